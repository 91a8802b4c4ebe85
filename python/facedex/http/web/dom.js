// Make elements. Values are set as text, never as markup, so that no data can inject HTML.

import { setText } from "./language.js";

/**
 * Make an element.
 * @param {string} tag
 * @param {object} [options] text (a key of texts.js) with values, plain (literal text), on (listeners), label (a key for
 *   aria-label), dataset, and attributes
 * @param {...(Node|string|null)} children
 */
export function make(tag, options = {}, ...children) {
  const node = document.createElement(tag);
  const { text, values, plain, on, label, dataset, ...attributes } = options;
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
  }
  for (const [name, value] of Object.entries(dataset ?? {})) node.dataset[name] = value;
  for (const [name, listener] of Object.entries(on ?? {})) node.addEventListener(name, listener);
  if (text) setText(node, text, values);
  if (plain !== undefined && plain !== null) node.textContent = plain;
  if (label) setText(node, label, values, "aria-label");
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

let fieldCount = 0;

/** Make a label with its control below it, and an optional hint. */
export function field(key, control, hint = null) {
  control.id ||= `field-${++fieldCount}`;
  const parts = [make("label", { text: key, for: control.id }), control];
  if (hint) {
    const words = make("p", { text: hint, class: "hint", id: `${control.id}-hint` });
    control.setAttribute("aria-describedby", words.id);
    parts.push(words);
  }
  return make("div", { class: "field" }, ...parts);
}

/** Make a check box with its label beside it. */
export function choice(key, control) {
  control.id ||= `field-${++fieldCount}`;
  return make("div", { class: "choice" }, control, make("label", { text: key, for: control.id }));
}

/** Make a card with a heading. */
export function card(key, ...children) {
  return make("section", { class: "card" }, make("h2", { text: key }), ...children);
}

/** Make a term and its value, for a description list. */
export function term(key, value) {
  return make("div", {}, make("dt", { text: key }), make("dd", {}, value instanceof Node ? value : String(value)));
}

/** Ask the user to confirm what cannot be undone; resolves to true or false. */
export function confirmAction(key, values) {
  const dialog = document.getElementById("confirm");
  setText(document.getElementById("confirm-words"), key, values);
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

/** Show progress in a live region; screen readers announce only the result. */
export function showProgress(node, key, values) {
  node.ariaLive = "off";
  setText(node, key, values);
}

/** Announce a result in a live region. */
export function showResult(node, key, values) {
  node.ariaLive = "polite";
  setText(node, key, values);
}

/** Show a message, and announce it to screen readers. */
export function showMessage(key, values, kind = "good") {
  const status = document.getElementById("status");
  status.className = `status ${kind}`;
  setText(status, key, values);
}

/** Clear the message. */
export function clearMessage() {
  const status = document.getElementById("status");
  status.className = "status";
  setText(status, "");
}

/** Show an error, translated if its code is known. */
export function showError(error) {
  const { key, values } = error.text ?? { key: "error_page", values: { message: String(error) } };
  showMessage(key, values, "bad");
}

/** Run the work of a button; disables the button, shows errors. */
export async function runBusy(button, work) {
  if (button?.getAttribute("aria-disabled") === "true") return;
  button?.setAttribute("aria-disabled", "true");
  try {
    clearMessage();
    await work();
  } catch (error) {
    showError(error);
  } finally {
    button?.removeAttribute("aria-disabled");
  }
}
