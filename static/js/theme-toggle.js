// @ts-check
// The button cycles through the system's theme, light and dark; theme.js applies the choice before the first paint.
import { all } from "./elements.js";

const ORDER = ["auto", "light", "dark"];
/** @type {Record<string, string>} */
const WORDS = { auto: "automatic", light: "light", dark: "dark" };

export function installTheme() {
  for (const button of all("[data-theme-toggle]:not([data-watched])")) {
    button.dataset.watched = "";
    name(button);
    button.addEventListener("click", () => {
      const root = document.documentElement;
      const theme = ORDER[(ORDER.indexOf(root.dataset.theme ?? "auto") + 1) % ORDER.length] ?? "auto";
      if (theme === "auto") delete root.dataset.theme;
      else root.dataset.theme = theme;
      try {
        if (theme === "auto") localStorage.removeItem("xda-theme");
        else localStorage.setItem("xda-theme", theme);
      } catch {
        // Storage is switched off: the choice ends with this page.
      }
      name(button);
    });
  }
}

/** @param {HTMLElement} button */
function name(button) {
  const words = `Colour theme: ${WORDS[document.documentElement.dataset.theme ?? "auto"]}`;
  button.setAttribute("aria-label", words);
  button.title = words;
}
