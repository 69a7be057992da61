// Menus are <details>; this closes them on Esc, on a click elsewhere, and when the focus leaves.
export function installMenus() {
  const open = () => document.querySelectorAll("details[data-menu][open]");
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const menu of open()) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  });
  const closeOthers = (target) => {
    for (const menu of open()) if (!menu.contains(target)) menu.open = false;
  };
  document.addEventListener("click", (event) => closeOthers(event.target));
  document.addEventListener("focusin", (event) => closeOthers(event.target));
}
