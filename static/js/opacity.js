// @ts-check
// The slider fades the heat-maps without a request and replaces the address without a new entry in the history.
import { all, around } from "./elements.js";

const SLIDER = "[data-opacity-form] input[type=range]";
// The opacity of an address that names none (OPACITY in xda.present.colour).
const USUAL = "60";

export function installOpacity() {
  document.addEventListener("input", (event) => {
    const slider = around(event, SLIDER);
    /** @type {HTMLElement | null | undefined} */
    const page = slider?.closest("[data-opacity]");
    if (slider instanceof HTMLInputElement && page) page.dataset.opacity = slider.value;
  });
  document.addEventListener("change", (event) => {
    const slider = around(event, SLIDER);
    if (!(slider instanceof HTMLInputElement)) return;
    const url = new URL(location.href);
    if (slider.value === USUAL) url.searchParams.delete("opacity");
    else url.searchParams.set("opacity", slider.value);
    history.replaceState(history.state, "", url);
    carry(slider.value);
  });
}

// Links and forms of the page carry the chosen opacity on.
/** @param {string} value */
function carry(value) {
  for (const link of all("#main a[href], .segments a[href]")) {
    // The href of an SVG link is an object, so read the attribute.
    const url = new URL(link.getAttribute("href") ?? "", location.href);
    if (url.origin !== location.origin || !/\/test\/\d+/.test(url.pathname) || link.hasAttribute("download")) continue;
    if (value === USUAL) url.searchParams.delete("opacity");
    else url.searchParams.set("opacity", value);
    link.setAttribute("href", url.pathname + url.search + url.hash);
  }
  for (const form of all("#main form.ask, #main form.share, form.go")) {
    /** @type {HTMLInputElement | null} */
    let field = form.querySelector("input[name=opacity]");
    if (!field) {
      field = Object.assign(document.createElement("input"), { type: "hidden", name: "opacity" });
      form.append(field);
    }
    field.value = value;
  }
}
