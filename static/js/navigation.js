// Selects send their form at once; empty choices stay out of the address; a new page is told to screen readers; and
// what htmx cannot load, the browser does.
import { announce } from "./announce.js";

export function installNavigation() {
  document.addEventListener("change", (event) => {
    const select = event.target.closest?.("select[data-submit]");
    if (select && (!select.form.matches(".ask") || apart(select))) select.form.requestSubmit();
  });
  document.addEventListener("htmx:config:request", (event) => {
    const body = event.detail.ctx.request.body;
    if (!(body instanceof FormData)) return;
    for (const [name, value] of [...body.entries()]) if (value === "") body.delete(name);
  });
  // a request that failed on the way becomes a plain navigation, whose failure the browser itself explains
  document.addEventListener("htmx:error", (event) => {
    const request = event.detail.ctx?.request;
    if (request?.method === "GET" && request.action) location.assign(request.action);
  });
  let path = location.pathname;
  document.addEventListener("htmx:after:swap", () => {
    // only another page, not another state of the same one, moves the reader's place
    if (location.pathname !== path) {
      path = location.pathname;
      if (document.activeElement === document.body) document.getElementById("main")?.focus({ preventScroll: true });
    }
    announce(document.title);
  });
}

// "Why 9 and not 9" is no question: choosing the other side's class swaps the two, or is taken back.
function apart(changed) {
  const { target, against } = changed.form.elements;
  if (target.value !== against.value) return true;
  const before = [...changed.options].find((option) => option.defaultSelected)?.value ?? "";
  if (before === "") {
    changed.value = before;
    announce("Choose a class other than the one that is explained.");
    return false;
  }
  (changed === target ? against : target).value = before;
  return true;
}
