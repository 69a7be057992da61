// @ts-check
// One tab stop for each group ([data-roving]); arrows, Home and End move in it by what the reader sees, in rows and
// columns. Without this module every link is a tab stop. A click leaves the arrows to the page: they move in a group only
// if the reader came to it by keyboard.
import { all, around } from "./elements.js";

const ITEMS = "a[href], button, summary, input[type=checkbox]";
// A row further away weighs more than a column further away, so that a short last row is reached.
const ROW = 3;

let pointed = false;

export function installRovingKeys() {
  document.addEventListener("pointerdown", () => (pointed = true), true);
  const cameByKey = (/** @type {KeyboardEvent} */ event) => {
    if (event.key === "Tab") pointed = false;
  };
  document.addEventListener("keydown", cameByKey, true);
  document.addEventListener("focusin", (event) => {
    const item = around(event, ITEMS);
    const group = item && groupOf(item);
    if (item && group && itemsOf(group).includes(item)) stopAt(group, item);
  });
  document.addEventListener("keydown", (event) => {
    if (pointed || event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
    const item = around(event, ITEMS);
    const group = item && groupOf(item);
    if (!item || !group) return;
    const items = itemsOf(group).filter((each) => each.checkVisibility({ visibilityProperty: true }));
    if (!items.includes(item)) return;
    const found = aim(items, item, event.key);
    // Left and right belong to the group even at its end; up and down scroll where there is nothing more.
    if (found || event.key === "ArrowLeft" || event.key === "ArrowRight") event.preventDefault();
    found?.focus();
  });
  let pause = 0;
  window.addEventListener("resize", () => {
    clearTimeout(pause);
    pause = window.setTimeout(installRoving, 200);
  });
}

export function installRoving() {
  for (const group of all("[data-roving]")) {
    if (group.parentElement?.closest("[data-roving]")) continue;
    const items = itemsOf(group).filter((each) => each.checkVisibility({ visibilityProperty: true }));
    const focused = items.find((each) => each === document.activeElement);
    const chosen = group.matches("header") ? null : items.find((each) => each.getAttribute("aria-current") === "true");
    const stop = focused ?? chosen ?? items[0];
    if (stop) stopAt(group, stop);
  }
}

/**
 * Return the outermost group around an element.
 *
 * @param {HTMLElement} element
 */
function groupOf(element) {
  /** @type {HTMLElement | null} */
  let group = element.closest("[data-roving]");
  for (let outer = group; outer; outer = outer.parentElement?.closest("[data-roving]") ?? null) group = outer;
  return group;
}

/**
 * @param {HTMLElement} group
 * @returns {HTMLElement[]}
 */
function itemsOf(group) {
  /** @type {NodeListOf<HTMLElement>} */
  const items = group.querySelectorAll(ITEMS);
  return [...items].filter((each) => !each.closest(".menu ul, [data-answer]"));
}

/**
 * @param {HTMLElement} group
 * @param {HTMLElement} stop
 */
function stopAt(group, stop) {
  for (const each of itemsOf(group)) each.tabIndex = each === stop ? 0 : -1;
}

/**
 * Return the item that a key leads to.
 *
 * @param {HTMLElement[]} items
 * @param {HTMLElement} from
 * @param {string} key
 */
function aim(items, from, key) {
  if (key === "Home") return items[0];
  if (key === "End") return items.at(-1);
  const step = key === "ArrowRight" || key === "ArrowDown" ? 1 : key === "ArrowLeft" || key === "ArrowUp" ? -1 : 0;
  if (step === 0) return undefined;
  const start = middle(from);
  const others = items.filter((each) => each !== from).map((each) => ({ each, ...middle(each) }));
  if (key === "ArrowDown" || key === "ArrowUp") {
    const beyond = others.filter(({ y, high }) => (y - start.y) * step > Math.min(high, start.high) / 2);
    return nearest(beyond, ({ x, y }) => Math.abs(y - start.y) * ROW + Math.abs(x - start.x));
  }
  const row = others.filter(
    ({ x, y, high }) => Math.abs(y - start.y) <= Math.max(high, start.high) / 2 && (x - start.x) * step > 1,
  );
  const beside = nearest(row, ({ x }) => Math.abs(x - start.x));
  if (beside) return beside;
  // At the end of a row the next row follows, in the order in which the items are read.
  const backwards = getComputedStyle(from.closest("[data-roving]") ?? from).direction === "rtl";
  return items[items.indexOf(from) + (backwards ? -step : step)];
}

/** @param {HTMLElement} element */
function middle(element) {
  const box = element.getBoundingClientRect();
  return { x: box.left + box.width / 2, y: box.top + box.height / 2, high: box.height };
}

/**
 * @template {{ each: HTMLElement }} T
 * @param {T[]} places
 * @param {(place: T) => number} distance
 */
function nearest(places, distance) {
  /** @type {T | undefined} */
  let best;
  for (const place of places) if (!best || distance(place) < distance(best)) best = place;
  return best?.each;
}
