// @ts-check
// Shows the raw relevance of the pixel under the pointer, or of the one reached with the arrow keys.
import { all } from "./elements.js";

/** @type {Record<string, [number, number]>} */
const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
/** @type {Map<string, Promise<Float32Array>>} */
const values = new Map();

/** @param {string} url */
function load(url) {
  const known = values.get(url);
  if (known) return known;
  const answer = fetch(url).then(async (response) => {
    if (!response.ok) throw new Error(`status ${response.status}`);
    return new Float32Array(await response.arrayBuffer());
  });
  answer.catch(() => values.delete(url));
  values.set(url, answer);
  return answer;
}

/** @param {number} value */
function text(value) {
  const shown = value === 0 ? "0" : Math.abs(value) < 1e-4 ? value.toExponential(2) : value.toPrecision(3);
  return (value > 0 ? "+" : "") + shown.replace("-", "\u2212").replace("e-", "e\u2212");
}

export function installProbe() {
  for (const probe of all("[data-probe][data-values]:not([data-watched])")) watch(probe);
}

/** @param {HTMLElement} probe */
function watch(probe) {
  probe.dataset.watched = "";
  const image = /** @type {HTMLImageElement} */ (probe.querySelector("img.map"));
  const output = /** @type {HTMLElement} */ (probe.parentElement?.querySelector("[data-probe-value]"));
  const cross = Object.assign(document.createElement("span"), { className: "cross", hidden: true });
  probe.append(cross);
  // Columns and rows of the map, and the part of the picture that it covers, in shares of the picture.
  const [width = 0, height = 0, left = 0, top = 0, across = 0, down = 0] = (probe.dataset.grid ?? "")
    .split(" ")
    .map(Number);
  /** @type {[number, number] | null} */
  let at = null;

  // Keep a question that comes before the values, and answer it when they arrive.
  const loaded = new Promise((resolve) => {
    if (image.naturalWidth) resolve(image);
    else image.addEventListener("load", () => resolve(image), { once: true });
  });
  /** @type {(() => void) | null} */
  let latest = null;
  const answer = async (/** @type {() => void} */ question) => {
    latest = question;
    await loaded;
    if (latest === question) question();
  };

  const show = async (/** @type {number} */ column, /** @type {number} */ row) => {
    const x = Math.max(0, Math.min(width - 1, column));
    const y = Math.max(0, Math.min(height - 1, row));
    at = [x, y];
    const box = fitted();
    cross.hidden = false;
    const [w, h] = [box.width / width, box.height / height];
    Object.assign(cross.style, {
      left: `${box.left + x * w}px`,
      top: `${box.top + y * h}px`,
      width: `${Math.max(6, w)}px`,
      height: `${Math.max(6, h)}px`,
    });
    try {
      const relevance = await load(probe.dataset.values ?? "");
      if (at[0] !== x || at[1] !== y) return;
      const value = relevance[y * width + x] ?? 0;
      const word = value > 0 ? "supports" : value < 0 ? "opposes" : "no relevance";
      output.textContent = `${text(value)} ${word}, column ${x}, row ${y}`;
    } catch {
      output.textContent = "The values are not there yet; try again in a moment.";
    }
  };

  // The place of the map: only a square picture fills the square, and the map may cover only a part of the picture.
  function fitted() {
    const outer = probe.getBoundingClientRect();
    const inner = image.getBoundingClientRect();
    const scale = Math.min(inner.width / image.naturalWidth, inner.height / image.naturalHeight);
    const [shownWidth, shownHeight] = [image.naturalWidth * scale, image.naturalHeight * scale];
    return {
      left: inner.left - outer.left + (inner.width - shownWidth) / 2 + left * shownWidth,
      top: inner.top - outer.top + (inner.height - shownHeight) / 2 + top * shownHeight,
      width: across * shownWidth,
      height: down * shownHeight,
    };
  }

  const point = (/** @type {PointerEvent} */ event) => {
    const outer = probe.getBoundingClientRect();
    const box = fitted();
    show(
      Math.floor(((event.clientX - outer.left - box.left) / box.width) * width),
      Math.floor(((event.clientY - outer.top - box.top) / box.height) * height),
    );
  };
  // A finger has no position before it touches.
  probe.addEventListener("pointerdown", (event) => answer(() => point(event)));
  probe.addEventListener("pointermove", (event) => answer(() => point(event)));
  probe.addEventListener("keydown", (event) => {
    const step = STEPS[event.key];
    if (!step) return;
    event.preventDefault();
    answer(() => {
      const [x, y] = at ?? [Math.floor(width / 2), Math.floor(height / 2)];
      show(x + step[0], y + step[1]);
    });
  });
}
