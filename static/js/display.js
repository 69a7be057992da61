// @ts-check
// Opacity, colours and scale of the heat-maps change without a request; they replace the address without a new entry in
// the history, and the page's links and forms carry them on.
import { all, around } from "./elements.js";
import { repaint } from "./heatmaps.js";

const SLIDER = "[data-opacity-form] input[type=range]";
/** @typedef {"opacity" | "map" | "scale"} Name */
// An address names only what differs from these (View in xda.web.view).
const USUAL = { opacity: "60", map: "red-blue", scale: "own" };
const ON_THE_PAGE = { opacity: "opacity", map: "colours", scale: "scale" };
// Files that hold numbers alone.
const NUMBERS = /\.(csv|json|npz)$/;

export function installDisplay() {
  document.addEventListener("input", (event) => {
    const slider = around(event, SLIDER);
    if (slider instanceof HTMLInputElement) show(slider, "opacity", slider.value);
  });
  document.addEventListener("change", (event) => {
    const slider = around(event, SLIDER);
    if (slider instanceof HTMLInputElement) carry("opacity", slider.value);
  });
  document.addEventListener("click", choose, true);
}

/** @param {MouseEvent} event */
function choose(event) {
  const link = around(event, "a[data-display]");
  if (!link || event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  // Stored pictures of an old link have the colours of its time, so only the server can follow.
  if (document.querySelector("img[data-heatmap]")) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  const { display, value = "" } = link.dataset;
  const name = /** @type {Name} */ (display);
  for (const other of all(`a[data-display="${name}"]`)) {
    if (other === link) other.setAttribute("aria-current", "true");
    else other.removeAttribute("aria-current");
  }
  show(link, name, value);
  carry(name, value);
  repaint();
}

/**
 * @param {HTMLElement} control
 * @param {Name} name
 * @param {string} value
 */
function show(control, name, value) {
  /** @type {HTMLElement | null} */
  const page = control.closest("[data-opacity]");
  if (page) page.dataset[ON_THE_PAGE[name]] = value;
}

/**
 * @param {Name} name
 * @param {string} value
 */
function carry(name, value) {
  history.replaceState(history.state, "", changed(new URL(location.href), name, value));
  for (const link of all("#main a[href], .segments a[href], #compare")) {
    if (link.dataset.display === name) continue;
    // The href of an SVG link is an object, so read the attribute.
    const url = new URL(link.getAttribute("href") ?? "", location.href);
    if (url.origin !== location.origin || !/\/test\/\d+/.test(url.pathname) || NUMBERS.test(url.pathname)) continue;
    changed(url, name, value);
    link.setAttribute("href", url.pathname + url.search + url.hash);
  }
  for (const form of all("#main form.ask, #main form.share, form.go")) {
    /** @type {HTMLInputElement | null} */
    let field = form.querySelector(`input[name=${name}]`);
    if (!field) {
      field = Object.assign(document.createElement("input"), { type: "hidden", name });
      form.append(field);
    }
    field.value = value;
  }
}

/**
 * @param {URL} url
 * @param {Name} name
 * @param {string} value
 */
function changed(url, name, value) {
  if (value === USUAL[name]) url.searchParams.delete(name);
  else url.searchParams.set(name, value);
  return url;
}
