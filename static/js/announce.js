// @ts-check

/**
 * Say something to screen readers without moving the focus.
 *
 * @param {string} words
 */
export function announce(words) {
  const place = document.getElementById("announce");
  if (place) place.textContent = words;
}
