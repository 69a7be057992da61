// Selects send their form at once; empty choices stay out of the address; a new page is told to screen readers.
import { announce } from "./announce.js";

export function installNavigation() {
  document.addEventListener("change", (event) => {
    const select = event.target.closest?.("select[data-submit]");
    select?.form.requestSubmit();
  });
  document.addEventListener("htmx:config:request", (event) => {
    const body = event.detail.ctx.request.body;
    if (!(body instanceof FormData)) return;
    for (const [name, value] of [...body.entries()]) if (value === "") body.delete(name);
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
