// @ts-check
// Sends forms when a choice changes, keeps empty choices out of the address, announces new pages to screen readers, and
// lets the browser load a page if htmx fails.
import { announce } from "./announce.js";
import { all } from "./elements.js";

// Every arrow press in a select is a change, so a form is sent only after the choice has stood for a while.
const PAUSE = 1200;

/** @typedef {HTMLSelectElement | HTMLInputElement} Field */

/** @type {{ path: string, values: Map<string, string>, timer?: ReturnType<typeof setTimeout> } | null} */
let pending = null;

export function installNavigation() {
  let byKeyboard = false;
  document.addEventListener("pointerdown", () => (byKeyboard = false), true);
  document.addEventListener(
    "keydown",
    (event) => {
      byKeyboard = true;
      if (event.key !== "Enter" || !pending || !chooser(event.target)) return;
      event.preventDefault();
      send();
    },
    true,
  );
  document.addEventListener("change", (event) => {
    const select = chooser(event.target);
    if (!select) return;
    keepApart(select.form);
    clearTimeout(pending?.timer);
    pending ??= { path: location.pathname, values: new Map() };
    pending.values.set(select.id, select.value);
    if (byKeyboard) pending.timer = setTimeout(send, PAUSE);
    else send();
  });
  // A submitted form needs no second submission by the timer.
  document.addEventListener(
    "submit",
    (event) => chosen().some(({ field }) => field.form === event.target) && forget(),
    true,
  );
  // The browser proposes only matches of the field's text, so select the text: the first typed letter replaces it.
  document.addEventListener("focusin", (event) => {
    if (event.target instanceof HTMLInputElement && event.target.list) event.target.select();
  });
  document.addEventListener("focusout", (event) => {
    // The reader moves to the other select of the same question, so both may still change.
    const field = chooser(event.target);
    const next = event.relatedTarget;
    if (pending && field && next && ("form" in next ? next.form : null) !== field.form) send();
  });
  document.addEventListener("htmx:config:request", (event) => {
    const body = event.detail.ctx.request.body;
    if (!(body instanceof FormData)) return;
    for (const [name, value] of [...body.entries()]) {
      if (value === "") body.delete(name);
      // The address holds only the number of a chosen proposal such as "281 · tabby cat".
      else if (typeof value === "string" && /^(\d+|none) · /.test(value)) body.set(name, value.replace(/ .*/s, ""));
    }
  });
  // A failed request becomes a plain navigation; the browser explains its failure itself.
  document.addEventListener("htmx:error", (event) => {
    const request = event.detail.ctx?.request;
    if (request?.method === "GET" && request.action) location.assign(request.action);
  });
  let path = location.pathname;
  document.addEventListener("htmx:after:swap", (event) => {
    // The document's own title changes only after this event.
    const title = event.detail.ctx?.title ?? document.title;
    // Scroll to the top only for another page, not for another state of the same page.
    if (location.pathname !== path) {
      path = location.pathname;
      if (document.activeElement === document.body) document.getElementById("main")?.focus({ preventScroll: true });
      announce(title);
    } else {
      // The chosen link is gone, so that reading goes on from the page's start.
      if (document.activeElement === document.body) document.getElementById("main")?.focus({ preventScroll: true });
      announce(document.querySelector("[data-announce]")?.textContent?.trim() ?? title);
    }
  });
}

// "Why 9 and not 9" is no question, so each select disables the other's choice.
export function installQuestion() {
  // The answer to an earlier choice arrived while the reader was still choosing.
  if (pending?.path === location.pathname) for (const { field, value } of chosen()) field.value = value;
  else forget();
  for (const form of all("form.ask")) keepApart(form);
}

/** @param {Element | null} form */
function keepApart(form) {
  const target = form?.querySelector("select[name=target]");
  const against = form?.querySelector("select[name=against]");
  if (!(target instanceof HTMLSelectElement && against instanceof HTMLSelectElement)) return;
  for (const option of target.options) option.disabled = option.value !== "" && option.value === against.value;
  for (const option of against.options) option.disabled = option.value !== "" && option.value === target.value;
}

/**
 * @param {EventTarget | null} element
 * @returns {Field | null}
 */
function chooser(element) {
  return element instanceof Element ? element.closest("select[data-submit], input[data-submit]") : null;
}

function forget() {
  clearTimeout(pending?.timer);
  pending = null;
}

function chosen() {
  return [...(pending?.values ?? [])].flatMap(([id, value]) => {
    const field = /** @type {Field | null} */ (document.getElementById(id));
    return field ? [{ field, value }] : [];
  });
}

function send() {
  const form = chosen()[0]?.field.form;
  forget();
  form?.requestSubmit();
}
