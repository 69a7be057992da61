// @ts-check
// The button "Copy" puts the text beside it into the clipboard; without this module a click selects the text.
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
    // Browsers have no clipboard outside https and localhost, so select the text for the reader to copy.
    getSelection()?.selectAllChildren(text);
    announce("Press Ctrl+C to copy");
  }
}
