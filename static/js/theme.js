// @ts-check
// Runs before the first paint, so that a chosen theme does not flash the other one; nothing else may be in here.
(() => {
  const root = document.documentElement;
  root.classList.add("js");
  try {
    const theme = localStorage.getItem("xda-theme");
    if (theme === "light" || theme === "dark") root.dataset.theme = theme;
  } catch {
    // storage is switched off: the system's theme it is
  }
})();
