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
  const map = /** @type {HTMLCanvasElement | null} */ (probe.querySelector("canvas.map"));
  if (!map) return;
  const output = /** @type {HTMLElement} */ (probe.parentElement?.querySelector("[data-probe-value]"));
  const cross = Object.assign(document.createElement("span"), { className: "cross", hidden: true });
  probe.append(cross);
  const { width, height } = map;
  /** @type {[number, number] | null} */
  let at = null;

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

  // The place of the map, which may cover only a part of its picture.
  function fitted() {
    const outer = probe.getBoundingClientRect();
    const inner = /** @type {HTMLCanvasElement} */ (map).getBoundingClientRect();
    return { left: inner.left - outer.left, top: inner.top - outer.top, width: inner.width, height: inner.height };
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
  probe.addEventListener("pointerdown", point);
  probe.addEventListener("pointermove", point);
  probe.addEventListener("keydown", (event) => {
    const step = STEPS[event.key];
    if (!step) return;
    event.preventDefault();
    const [x, y] = at ?? [Math.floor(width / 2), Math.floor(height / 2)];
    show(x + step[0], y + step[1]);
  });
}
