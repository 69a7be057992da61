// @ts-check
// Selects and text fields with proposals send their form; empty choices stay out of the address; a new page is told to
// screen readers; and what htmx cannot load, the browser does.
import { announce } from "./announce.js";
import { all } from "./elements.js";

// With the keyboard every arrow press is a change: only a choice that has stood for a while is sent by itself.
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
  // a form that is sent by itself needs no sending later
  document.addEventListener(
    "submit",
    (event) => chosen().some(({ field }) => field.form === event.target) && forget(),
    true,
  );
  // the proposals are those that match what is in the field, so the first letter typed replaces it
  document.addEventListener("focusin", (event) => {
    if (event.target instanceof HTMLInputElement && event.target.list) event.target.select();
  });
  document.addEventListener("focusout", (event) => {
    // on the way to the other select of the same question both may still change
    const field = chooser(event.target);
    const next = event.relatedTarget;
    if (pending && field && next && ("form" in next ? next.form : null) !== field.form) send();
  });
  document.addEventListener("htmx:config:request", (event) => {
    const body = event.detail.ctx.request.body;
    if (!(body instanceof FormData)) return;
    for (const [name, value] of [...body.entries()]) {
      if (value === "") body.delete(name);
      // what was chosen from proposals, "281 · tabby cat", stands in the address by its number
      else if (typeof value === "string" && /^\d+ · /.test(value)) body.set(name, value.replace(/ .*/s, ""));
    }
  });
  // a request that failed on the way becomes a plain navigation, whose failure the browser itself explains
  document.addEventListener("htmx:error", (event) => {
    const request = event.detail.ctx?.request;
    if (request?.method === "GET" && request.action) location.assign(request.action);
  });
  let path = location.pathname;
  document.addEventListener("htmx:after:swap", (event) => {
    // the title of the document itself follows only after this event
    const title = event.detail.ctx?.title ?? document.title;
    // only another page, not another state of the same one, moves the reader's place
    if (location.pathname !== path) {
      path = location.pathname;
      if (document.activeElement === document.body) document.getElementById("main")?.focus({ preventScroll: true });
      announce(title);
    } else {
      announce(document.querySelector("[data-announce]")?.textContent?.trim() ?? title);
    }
  });
}

// "Why 9 and not 9" is no question: what one select has, the other does not offer.
export function installQuestion() {
  // an answer to an earlier choice has come while this one was still being made
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
