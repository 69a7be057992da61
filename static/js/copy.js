// @ts-check
// "Copy" beside a text puts it into the clipboard; without this module a click on the text selects it.
import { announce } from "./announce.js";
import { around } from "./elements.js";

export function installCopy() {
  document.addEventListener("click", (event) => {
    const button = around(event, "[data-copy-text]");
    if (button?.previousElementSibling) copy(button, button.previousElementSibling);
  });
}

/**
 * @param {HTMLElement} button
 * @param {Element} text
 */
async function copy(button, text) {
  try {
    await navigator.clipboard.writeText(text.textContent);
    button.textContent = "Copied";
    announce("Copied");
  } catch {
    // no clipboard outside https and localhost: the text is selected, ready to be copied
    getSelection()?.selectAllChildren(text);
    announce("Press Ctrl+C to copy");
  }
}
