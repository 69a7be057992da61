// @ts-check
// Runs before the first paint, so that the other theme does not flash. Keep it to that one task.
(() => {
  const root = document.documentElement;
  root.classList.add("js");
  try {
    const theme = localStorage.getItem("xda-theme");
    if (theme === "light" || theme === "dark") root.dataset.theme = theme;
  } catch {
    // Storage is switched off: use the system's theme.
  }
})();
