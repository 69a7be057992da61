// @ts-check
// Fetches the signed heat-maps of a page and paints them over their pictures. Colours and scale change without a
// request. A busy server is asked again, after pauses that grow; the place of a map is reserved from the start.
import { painted as pixels } from "./colours.js";

const FIRST_PAUSE = 800;
const TRIES = 8;
// So many maps are kept in memory, the most recently used ones.
const KEPT = 256;
// Maps with more pixels a side are smoothed when enlarged (SMOOTHED_FROM in xda.present.layers).
const SMOOTHED_FROM = 84;
const MISSING = "heat-map not available, reload to try again";

// The magnitude of full colour, the largest one, and the values relative to that (xda.present.signed_maps).
/** @typedef {{ scale: number, largest: number, values: Int16Array }} SignedMap */

/** @type {Map<string, SignedMap>} */
const kept = new Map();
/** @type {Map<string, { answer: Promise<SignedMap>, abort: AbortController, ahead: boolean }>} */
const flying = new Map();
/** @type {WeakMap<HTMLCanvasElement, SignedMap>} */
const shown = new WeakMap();
/** @type {WeakSet<Element>} */
const watched = new WeakSet();
/** @type {Set<Promise<void>>} */
const pending = new Set();

const observer = new IntersectionObserver(
  (entries) => {
    for (const { isIntersecting, target } of entries) {
      if (isIntersecting && target instanceof HTMLCanvasElement) start(target);
    }
  },
  { rootMargin: "500px" },
);

/** Watch the maps of the present page and let go of requests that only an earlier page needed. */
export function installHeatmaps() {
  const canvases = mapsOf(document);
  const wanted = new Set(canvases.map((canvas) => canvas.dataset.map));
  for (const [url, { abort, ahead }] of flying) if (!ahead && !wanted.has(url)) abort.abort();
  for (const canvas of canvases) watch(canvas);
  for (const image of document.querySelectorAll("img[data-heatmap]")) {
    if (!watched.has(image)) watchImage(/** @type {HTMLImageElement} */ (image));
  }
  tell();
}

/** Return a promise that all maps requested so far are painted, or given up. */
export async function painted() {
  while (pending.size > 0) await Promise.all(pending);
}

/**
 * Fetch and paint the maps of a part that is not on the page yet, but for those far below.
 *
 * @param {ParentNode} part
 */
export async function prepare(part) {
  await Promise.all(mapsOf(part).map((canvas) => ("lazy" in canvas.dataset ? undefined : begin(canvas, true))));
}

/** Paint all maps again, after a choice of colours or scale. */
export function repaint() {
  for (const canvas of mapsOf(document)) {
    if (shown.has(canvas)) paint(canvas);
    else if (fullScale(canvas) !== undefined && !canvas.classList.contains("waiting")) start(canvas);
  }
}

/**
 * Return a signed map, from memory or from the server.
 *
 * @param {string} url
 * @param {boolean} ahead - Whether a page needs it that is not shown yet.
 * @returns {Promise<SignedMap>}
 */
export function load(url, ahead = false) {
  const ready = kept.get(url);
  if (ready) {
    keep(url, ready);
    return Promise.resolve(ready);
  }
  const known = flying.get(url);
  if (known && !known.abort.signal.aborted) {
    known.ahead &&= ahead;
    return known.answer;
  }
  const abort = new AbortController();
  const answer = request(url, abort.signal);
  flying.set(url, { answer, abort, ahead });
  const land = () => flying.get(url)?.answer === answer && flying.delete(url);
  answer.then((map) => keep(url, map)).then(land, land);
  return answer;
}

/**
 * @param {string} url
 * @param {AbortSignal} signal
 * @returns {Promise<SignedMap>}
 */
async function request(url, signal) {
  for (let tries = 0; ; tries++) {
    const response = await fetch(url, { signal }).catch(() => null);
    signal.throwIfAborted();
    if (response?.ok) {
      const content = await response.arrayBuffer();
      const head = new DataView(content);
      const [scale, largest] = [head.getFloat32(0, true), head.getFloat32(4, true)];
      return { scale, largest, values: new Int16Array(content, 8) };
    }
    if (tries === TRIES || (response && response.status < 500 && response.status !== 429)) throw new Error(MISSING);
    await new Promise((resolve) => setTimeout(resolve, FIRST_PAUSE * 1.6 ** tries * (0.75 + Math.random() / 2)));
    signal.throwIfAborted();
  }
}

/**
 * @param {string} url
 * @param {SignedMap} map
 */
function keep(url, map) {
  kept.delete(url);
  kept.set(url, map);
  for (const oldest of kept.keys()) {
    if (kept.size <= KEPT) break;
    kept.delete(oldest);
  }
}

/**
 * @param {ParentNode} part
 * @returns {HTMLCanvasElement[]}
 */
function mapsOf(part) {
  return [.../** @type {NodeListOf<HTMLCanvasElement>} */ (part.querySelectorAll("canvas[data-map]"))];
}

/** @param {HTMLCanvasElement} canvas */
function watch(canvas) {
  if (watched.has(canvas)) return;
  if ("lazy" in canvas.dataset && fullScale(canvas) === undefined) {
    watched.add(canvas);
    observer.observe(canvas);
  } else start(canvas);
}

/** @param {HTMLCanvasElement} canvas */
function start(canvas) {
  const job = begin(canvas, false).finally(() => {
    pending.delete(job);
    tell();
  });
  pending.add(job);
}

/**
 * @param {HTMLCanvasElement} canvas
 * @param {boolean} ahead
 */
async function begin(canvas, ahead) {
  observer.unobserve(canvas);
  watched.add(canvas);
  const { map: url = "", box = "0 0 100 100" } = canvas.dataset;
  const [left, top, width, height] = box.split(" ").map((share) => `${share}%`);
  Object.assign(canvas.style, { left, top, width, height });
  canvas.classList.toggle("smooth", Math.max(canvas.width, canvas.height) > SMOOTHED_FROM);
  const ready = kept.get(url);
  if (ready) {
    // Without a pause, so that a page from memory is painted before the browser shows it.
    arrive(canvas, ready);
    return;
  }
  canvas.classList.add("waiting");
  try {
    arrive(canvas, await load(url, ahead));
  } catch {
    if (canvas.isConnected) {
      const words = Object.assign(document.createElement("span"), { className: "map-missing", textContent: MISSING });
      canvas.after(words);
    }
  }
  canvas.classList.remove("waiting");
}

/**
 * @param {HTMLCanvasElement} canvas
 * @param {SignedMap} map
 */
function arrive(canvas, map) {
  const before = fullScale(canvas);
  shown.set(canvas, map);
  if (before === undefined || map.scale <= before) paint(canvas);
  else for (const other of fellows(canvas)) paint(other);
}

/**
 * Return the maps on the page that share a scale with this one, if it has none of its own.
 *
 * @param {HTMLCanvasElement} canvas
 */
function fellows(canvas) {
  const page = /** @type {HTMLElement | null} */ (canvas.closest("[data-scale]"));
  const { group } = canvas.dataset;
  const alone = !page || group === "own" || page.dataset.scale !== "page";
  return alone ? [] : mapsOf(page).filter((other) => other.dataset.group === group);
}

/**
 * Return the largest relevance among the maps that share a scale with this one; undefined if it has its own.
 *
 * @param {HTMLCanvasElement} canvas
 */
function fullScale(canvas) {
  const all = fellows(canvas);
  return all.length > 0 ? Math.max(...all.map((other) => shown.get(other)?.scale ?? 0)) : undefined;
}

/** @param {HTMLCanvasElement} canvas */
function paint(canvas) {
  const map = shown.get(canvas);
  const context = canvas.getContext("2d");
  if (!map || !context) return;
  const full = fullScale(canvas) ?? map.scale;
  const page = /** @type {HTMLElement | null} */ (canvas.closest("[data-colours]"));
  const colours = page?.dataset.colours ?? "";
  const painting = pixels(map.values, full > 0 ? map.largest / full : 0, colours);
  context.putImageData(new ImageData(painting, canvas.width, canvas.height), 0, 0);
}

/** Say on the root whether maps are still to come, for benchmarks and tests. */
function tell() {
  document.documentElement.dataset.maps = pending.size > 0 ? "waiting" : "painted";
}

// The layers of links that were shared before maps were stored as signed numbers.
/** @param {HTMLImageElement} image */
function watchImage(image) {
  watched.add(image);
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
      image.alt = MISSING;
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
