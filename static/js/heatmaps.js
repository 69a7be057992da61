// @ts-check
// Requests a heat-map again if the server was too busy, after pauses that grow. Its place stays reserved and shows that
// it is still to come.
const FIRST_PAUSE = 800;
const TRIES = 8;

export function installHeatmaps() {
  /** @type {NodeListOf<HTMLImageElement>} */
  const images = document.querySelectorAll("img[data-heatmap]:not([data-watched])");
  for (const image of images) watch(image);
}

/** @param {HTMLImageElement} image */
function watch(image) {
  image.dataset.watched = "";
  let tries = 0;
  const settle = () => image.classList.remove("waiting");
  const again = () => {
    const { src } = image;
    if (image.isConnected) image.src = src;
  };
  const retry = () => {
    tries += 1;
    if (tries > TRIES) {
      settle();
      image.alt = "heat-map not available, reload to try again";
      return;
    }
    image.classList.add("waiting");
    setTimeout(again, FIRST_PAUSE * 1.6 ** (tries - 1) * (0.75 + Math.random() / 2));
  };
  image.addEventListener("load", settle);
  image.addEventListener("error", retry);
  if (!image.complete) image.classList.add("waiting");
  else if (image.naturalWidth === 0) retry();
}
