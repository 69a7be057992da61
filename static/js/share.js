// @ts-check
// "Copy link" creates a shared link in place and copies it; without this module its form opens the shared page instead.
// On pages whose address holds the whole state, it copies the address.
import { announce } from "./announce.js";
import { all, around } from "./elements.js";

const NUMBERS = new Set(["test", "train", "target", "against", "c", "train_class", "show", "opacity"]);

export function installShare() {
  document.addEventListener("submit", (event) => {
    const form = around(event, "[data-share]");
    if (!(form instanceof HTMLFormElement)) return;
    event.preventDefault();
    share(form);
  });
  document.addEventListener("click", (event) => {
    const link = around(event, "a[data-copy]");
    if (!(link instanceof HTMLAnchorElement) || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    if (link.parentElement) tell(link.parentElement, link.href);
  });
  const dismiss = (/** @type {EventTarget | null} */ place) => {
    const inside = place instanceof Node ? place : null;
    for (const answer of all("[data-answer]")) {
      if (!answer.parentElement?.contains(inside)) answer.remove();
    }
  };
  document.addEventListener("click", (event) => dismiss(event.target));
  document.addEventListener("keydown", (event) => event.key === "Escape" && dismiss(null));
}

/** @param {HTMLFormElement} form */
async function share(form) {
  const button = /** @type {HTMLButtonElement} */ (form.querySelector("button"));
  button.disabled = true;
  try {
    /** @type {Record<string, unknown>} */
    const state = {};
    for (const [name, value] of new FormData(form))
      if (value !== "") state[name] = NUMBERS.has(name) ? Number(value) : value;
    const response = await fetch(form.action, {
      method: "POST",
      headers: { "Content-Type": "application/json", Accept: "application/json" },
      body: JSON.stringify(state),
    });
    const answer = await response.json();
    if (!response.ok) throw new Error(answer.detail || `The server answered with status ${response.status}.`);
    await tell(form, answer.url);
  } catch (error) {
    say(form, error instanceof Error ? error.message : String(error));
  } finally {
    button.disabled = false;
  }
}

/**
 * @param {HTMLElement} form
 * @param {string} url
 */
async function tell(form, url) {
  const field = Object.assign(document.createElement("input"), { readOnly: true, value: url, size: 30 });
  field.setAttribute("aria-label", "Link to this explanation");
  form.querySelector("[data-answer]")?.remove();
  const answer = document.createElement("span");
  answer.dataset.answer = "";
  answer.className = "share-answer";
  answer.append(field);
  form.append(answer);
  try {
    await navigator.clipboard.writeText(url);
    say(form, "Copied");
  } catch {
    // Browsers have no clipboard outside https and localhost, so select the link for the reader to copy.
    field.focus();
    field.select();
    say(form, "Press Ctrl+C to copy the link");
  }
}

/**
 * @param {HTMLElement} form
 * @param {string} words
 */
function say(form, words) {
  /** @type {HTMLElement | null} */
  let answer = form.querySelector("[data-answer]");
  if (!answer) {
    answer = document.createElement("span");
    answer.dataset.answer = "";
    answer.className = "share-answer";
    form.append(answer);
  }
  /** @type {HTMLElement | null} */
  let message = answer.querySelector("[data-message]");
  if (!message) {
    message = document.createElement("span");
    message.dataset.message = "";
    answer.append(message);
  }
  message.textContent = words;
  // If the button is out of sight (key c on a scrolled page), the answer floats over the visible part.
  const { top, bottom } = form.getBoundingClientRect();
  answer.classList.toggle("afloat", bottom < 0 || top > window.innerHeight);
  announce(words);
}
