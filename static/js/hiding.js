// @ts-check
// Hides the heat-maps: while key h is held, or by a button that a finger can hold, or tap to switch.
import { all, around } from "./elements.js";

const HIDDEN = "hide-maps";
// A press of at least so many milliseconds is a hold, which ends with it; a shorter one is a tap, which stays.
const HOLD = 350;

/** @param {boolean} hidden */
export function hideMaps(hidden) {
  document.documentElement.classList.toggle(HIDDEN, hidden);
  showHiding();
}

/** Show on the buttons of the page whether the maps are hidden. */
export function showHiding() {
  const hidden = document.documentElement.classList.contains(HIDDEN);
  for (const button of all("[data-hide-maps]")) button.setAttribute("aria-pressed", String(hidden));
}

export function installHiding() {
  /** @type {{ since: number, before: boolean } | null} */
  let press = null;
  let held = false;
  document.addEventListener("pointerdown", (event) => {
    if (!around(event, "[data-hide-maps]")) return;
    press = { since: event.timeStamp, before: document.documentElement.classList.contains(HIDDEN) };
    held = false;
    hideMaps(true);
  });
  for (const end of ["pointerup", "pointercancel"]) {
    document.addEventListener(end, (event) => {
      if (!press) return;
      held = event.timeStamp - press.since >= HOLD || end === "pointercancel";
      // A tap is settled by its click.
      hideMaps(held ? false : press.before);
      press = null;
    });
  }
  document.addEventListener("click", (event) => {
    if (!around(event, "[data-hide-maps]")) return;
    if (!held) hideMaps(!document.documentElement.classList.contains(HIDDEN));
    held = false;
  });
  // A finger that rests would open the browser's own menu.
  document.addEventListener("contextmenu", (event) => around(event, "[data-hide-maps]") && event.preventDefault());
}
