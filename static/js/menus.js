// @ts-check
// Closes menus (<details>) on Esc, on a click elsewhere, and when the focus leaves.
export function installMenus() {
  /** @returns {NodeListOf<HTMLDetailsElement>} */
  const open = () => document.querySelectorAll("details[data-menu][open]");
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const menu of open()) {
      menu.open = false;
      menu.querySelector("summary")?.focus();
    }
  });
  const closeOthers = (/** @type {Event} */ event) => {
    const place = event.target instanceof Node ? event.target : null;
    for (const menu of open()) if (!menu.contains(place)) menu.open = false;
  };
  document.addEventListener("click", closeOthers);
  document.addEventListener("focusin", closeOthers);
}
