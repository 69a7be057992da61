// @ts-check
// Fetches the next test image ahead: its page and pictures once this page is complete and the browser idle, its
// heat-maps only if the server's device is idle too. A new page appears when its pictures are decoded, or after a short
// time without them, so that nothing flickers and nobody waits.
import { painted, prepare } from "./heatmaps.js";

const LONGEST_WAIT = 16;
// The page in memory may be this old, in milliseconds; a run can be rebuilt.
const FRESH = 120_000;
const ASK_AGAIN = 1_000;
const QUESTIONS = 5;
const FRAGMENT = { "HX-Request": "true", "HX-Target": "div#page" };

/** @typedef {{ url: string, at: number, answer: Promise<Response | null> }} Ahead */

/** @type {Ahead | null} */
let next = null;
let turn = 0;
// The browser draws a picture at once that a page still holds decoded.
/** @type {HTMLImageElement[]} */
let held = [];

export function installAhead() {
  document.addEventListener("htmx:config:request", (event) => {
    const { ctx } = event.detail;
    if (ctx.request.method === "GET") ctx.fetch = answer;
  });
}

/** Start on every page; a page that comes before the idle moment ends the plan. */
export function planAhead() {
  turn += 1;
  next = null;
  /** @type {HTMLAnchorElement | null} */
  const link = document.querySelector('[data-idle] a[rel="next"]');
  const idle = /** @type {HTMLElement | null} */ (document.querySelector("[data-idle]"))?.dataset.idle;
  if (link && idle) goAhead(link, idle, turn);
}

/**
 * @param {HTMLAnchorElement} link
 * @param {string} idle - Address that says whether the device is idle.
 * @param {number} mine
 */
async function goAhead(link, idle, mine) {
  await painted();
  await pause();
  if (turn !== mine) return;
  next = { url: link.href, at: Date.now(), answer: fetch(link.href, { headers: FRAGMENT }).catch(() => null) };
  const response = await next.answer;
  if (turn !== mine || !response?.ok) return;
  const page = parsed(await response.clone().text());
  await Promise.allSettled(decode(page));
  for (let question = 0; question < QUESTIONS; question++) {
    await pause();
    if (turn !== mine) return;
    if (await isIdle(idle)) {
      if (turn === mine) prepare(page);
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, ASK_AGAIN));
  }
}

/** @param {string} url */
async function isIdle(url) {
  try {
    return (await (await fetch(url)).json()).idle === true;
  } catch {
    return false;
  }
}

/**
 * Answer a request of htmx, from memory if the page was fetched ahead, and wait a moment for its pictures.
 *
 * @param {string} action
 * @param {RequestInit} options
 */
async function answer(action, options) {
  const response = (await fetched(action, options)) ?? (await fetch(action, options));
  options.signal?.throwIfAborted();
  if (response.ok) {
    const pictures = decode(parsed(await response.clone().text()));
    await Promise.race([Promise.allSettled(pictures), new Promise((resolve) => setTimeout(resolve, LONGEST_WAIT))]);
    options.signal?.throwIfAborted();
  }
  return response;
}

/**
 * @param {string} action
 * @param {RequestInit} options
 */
async function fetched(action, options) {
  const headers = new Headers(options.headers);
  if (!next || next.url !== new URL(action, location.href).href || Date.now() - next.at > FRESH) return null;
  if (headers.get("HX-Target") !== FRAGMENT["HX-Target"] || headers.has("HX-History-Restore-Request")) return null;
  const response = await next.answer;
  return response?.ok ? response.clone() : null;
}

/** @param {string} text */
function parsed(text) {
  return new DOMParser().parseFromString(text, "text/html");
}

/**
 * Load and decode the pictures of a page that are not far below.
 *
 * @param {Document} page
 */
function decode(page) {
  const images = [.../** @type {NodeListOf<HTMLImageElement>} */ (page.querySelectorAll("img.base"))];
  const urls = new Set(
    images.filter((image) => image.loading !== "lazy").map((image) => image.getAttribute("src") ?? ""),
  );
  const before = new Map(held.map((image) => [image.src, image]));
  held = [...urls].map((url) => {
    const src = new URL(url, location.href).href;
    return before.get(src) ?? Object.assign(new Image(), { src });
  });
  return held.map((image) => image.decode());
}

function pause() {
  return new Promise((resolve) => {
    if ("requestIdleCallback" in window) requestIdleCallback(resolve);
    else setTimeout(resolve, 200);
  });
}
