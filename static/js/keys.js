// @ts-check
// Single-key shortcuts. The reader can switch them off in the sheet (WCAG 2.1.4); they never act while someone types.
import { announce } from "./announce.js";
import { around } from "./elements.js";
import { hideMaps } from "./hiding.js";

const STORE = "xda-shortcuts";

function enabled() {
  try {
    return localStorage.getItem(STORE) !== "off";
  } catch {
    return true;
  }
}

/** @param {Event} event */
function typing(event) {
  return around(event, "input:not([type=range]):not([type=checkbox]), select, textarea, [contenteditable]");
}

/** @param {string} selector */
function follow(selector) {
  /** @type {HTMLElement | null} */
  const link = document.querySelector(selector);
  link?.click();
  return Boolean(link);
}

// Steps go one by one. A press while the next image loads is counted and taken later, since only the loaded page knows
// the next link. A held key takes as many steps as there is time for.
let stepping = false;
let owed = 0;

/** @param {number} by */
function step(by) {
  stepping = follow(by < 0 ? '#page a[rel="prev"]' : '#page a[rel="next"]');
  if (!stepping) owed = 0;
  return stepping;
}

/**
 * @param {number} by
 * @param {boolean} held
 */
function press(by, held) {
  if (!stepping) return step(by);
  if (!held) owed += by;
  return true;
}

function stepped() {
  stepping = false;
  if (owed === 0) return;
  const by = Math.sign(owed);
  owed -= by;
  step(by);
}

function stay() {
  stepping = false;
  owed = 0;
}

/** @type {Record<string, (event: KeyboardEvent) => boolean>} */
const actions = {
  ArrowLeft: (event) => press(-1, event.repeat),
  ArrowRight: (event) => press(1, event.repeat),
  "/": () => {
    /** @type {HTMLInputElement | null} */
    const field = document.querySelector('[data-key="/"]');
    const menu = field?.closest("details");
    if (menu && !field?.checkVisibility()) menu.open = true;
    field?.focus();
    field?.select();
    return Boolean(field);
  },
  "?": () => openSheet(),
  g: () => follow('[data-key="g"]') || follow(".where a.plain"),
  e: () => follow('[data-key="e"]'),
  c: () => follow('[data-key="c"]'),
  h: () => {
    hideMaps(true);
    return true;
  },
};

function openSheet() {
  const sheet = /** @type {HTMLDialogElement} */ (document.getElementById("keys"));
  if (!sheet.open) sheet.showModal();
  return true;
}

export function installKeys() {
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (typing(event) || document.querySelector("dialog[open]")) return;
    const arrow = event.key.startsWith("Arrow");
    // Sliders, the pixel probe and scrolling tables use arrows themselves.
    if (arrow && around(event, "input, [data-probe], .scroll")) return;
    if (!arrow && !enabled()) return;
    if (Object.hasOwn(actions, event.key) && actions[event.key]?.(event)) event.preventDefault();
  });
  document.addEventListener("htmx:after:swap", () => stepping && setTimeout(stepped));
  document.addEventListener("htmx:error", stay);
  window.addEventListener("pageshow", stay);
  // Drop the counted steps if the reader goes elsewhere.
  document.addEventListener("click", (event) => event.isTrusted && stay());
  const show = () => hideMaps(false);
  document.addEventListener("keyup", (event) => event.key === "h" && show());
  window.addEventListener("blur", show);
  document.addEventListener("click", (event) => {
    if (around(event, '[data-open="keys"]')) openSheet();
  });
  const box = /** @type {HTMLInputElement} */ (document.querySelector("[data-shortcuts]"));
  box.checked = enabled();
  box.addEventListener("change", () => {
    try {
      localStorage.setItem(STORE, box.checked ? "on" : "off");
    } catch {
      // Storage is switched off: the choice ends with this page.
    }
    announce(box.checked ? "Single-key shortcuts are on." : "Single-key shortcuts are off.");
  });
}
