// Shows the raw relevance of the pixel under the pointer, or of the one reached with the arrow keys.
const values = new Map();

function load(url) {
  if (!values.has(url)) {
    const answer = fetch(url).then(async (response) => {
      if (!response.ok) throw new Error(`status ${response.status}`);
      return new Float32Array(await response.arrayBuffer());
    });
    answer.catch(() => values.delete(url));
    values.set(url, answer);
  }
  return values.get(url);
}

function text(value) {
  const shown = value === 0 ? "0" : Math.abs(value) < 1e-4 ? value.toExponential(2) : value.toPrecision(3);
  return (value > 0 ? "+" : "") + shown.replace("-", "\u2212").replace("e-", "e\u2212");
}

export function installProbe() {
  for (const probe of document.querySelectorAll("[data-probe][data-values]:not([data-watched])")) watch(probe);
}

function watch(probe) {
  probe.dataset.watched = "";
  const image = probe.querySelector("img.map");
  const output = probe.parentElement.querySelector("[data-probe-value]");
  const cross = Object.assign(document.createElement("span"), { className: "cross", hidden: true });
  probe.append(cross);
  // the map's pixels, and the part of the picture that they cover, in shares of it
  const [width, height, ...seen] = probe.dataset.grid.split(" ").map(Number);
  let at = null;

  // what is asked before the map has come is answered when it has
  const loaded = new Promise((resolve) => {
    if (image.naturalWidth) resolve();
    else image.addEventListener("load", resolve, { once: true });
  });
  let latest = null;
  const answer = async (question) => {
    latest = question;
    await loaded;
    if (latest === question) question();
  };

  const show = async (column, row) => {
    at = [Math.max(0, Math.min(width - 1, column)), Math.max(0, Math.min(height - 1, row))];
    const [x, y] = at;
    const box = fitted(image);
    cross.hidden = false;
    const [w, h] = [box.width / width, box.height / height];
    Object.assign(cross.style, {
      left: `${box.left + x * w}px`,
      top: `${box.top + y * h}px`,
      width: `${Math.max(6, w)}px`,
      height: `${Math.max(6, h)}px`,
    });
    try {
      const relevance = await load(probe.dataset.values);
      if (at[0] !== x || at[1] !== y) return;
      const value = relevance[y * width + x];
      const word = value > 0 ? "supports" : value < 0 ? "opposes" : "no relevance";
      output.textContent = `${text(value)} ${word}, column ${x}, row ${y}`;
    } catch {
      output.textContent = "The values are not there yet; try again in a moment.";
    }
  };

  // where the map lies: the picture fills its square only if it is square itself, and the map may cover a part of it
  function fitted(picture) {
    const outer = probe.getBoundingClientRect();
    const inner = picture.getBoundingClientRect();
    const scale = Math.min(inner.width / picture.naturalWidth, inner.height / picture.naturalHeight);
    const [across, down] = [picture.naturalWidth * scale, picture.naturalHeight * scale];
    return {
      left: inner.left - outer.left + (inner.width - across) / 2 + seen[0] * across,
      top: inner.top - outer.top + (inner.height - down) / 2 + seen[1] * down,
      width: seen[2] * across,
      height: seen[3] * down,
    };
  }

  const point = (event) => {
    const outer = probe.getBoundingClientRect();
    const box = fitted(image);
    show(
      Math.floor(((event.clientX - outer.left - box.left) / box.width) * width),
      Math.floor(((event.clientY - outer.top - box.top) / box.height) * height),
    );
  };
  // a finger has no place to point from before it touches
  probe.addEventListener("pointerdown", (event) => answer(() => point(event)));
  probe.addEventListener("pointermove", (event) => answer(() => point(event)));
  probe.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!step) return;
    event.preventDefault();
    answer(() => {
      const [x, y] = at ?? [Math.floor(width / 2), Math.floor(height / 2)];
      show(x + step[0], y + step[1]);
    });
  });
}
