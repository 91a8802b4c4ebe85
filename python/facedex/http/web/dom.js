// Elements are made here, and every value goes in as text: nothing of a server or user is ever read as markup.

import { say } from "./language.js";

/**
 * Make an element.
 * @param {string} tag
 * @param {object} [given] text (a key of texts.js) with values, plain (text as it is), on (listeners), label (a key for
 *   aria-label), dataset, and attributes
 * @param {...(Node|string|null)} children
 */
export function make(tag, given = {}, ...children) {
  const node = document.createElement(tag);
  const { text, values, plain, on, label, dataset, ...attributes } = given;
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
  }
  for (const [name, value] of Object.entries(dataset ?? {})) node.dataset[name] = value;
  for (const [name, listener] of Object.entries(on ?? {})) node.addEventListener(name, listener);
  if (text) say(node, text, values);
  if (plain !== undefined && plain !== null) node.textContent = plain;
  if (label) say(node, label, values, "aria-label");
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

let made = 0;

/** A label with its control below it, and a hint that belongs to it. */
export function field(key, control, hint = null) {
  control.id ||= `field-${++made}`;
  const parts = [make("label", { text: key, for: control.id }), control];
  if (hint) {
    const words = make("p", { text: hint, class: "hint", id: `${control.id}-hint` });
    control.setAttribute("aria-describedby", words.id);
    parts.push(words);
  }
  return make("div", { class: "field" }, ...parts);
}

/** A check box with its label beside it. */
export function choice(key, control) {
  control.id ||= `field-${++made}`;
  return make("div", { class: "choice" }, control, make("label", { text: key, for: control.id }));
}

/** A card with a heading. */
export function card(key, ...children) {
  return make("section", { class: "card" }, make("h2", { text: key }), ...children);
}

/** A term and its value, for a description list. */
export function term(key, value) {
  return make("div", {}, make("dt", { text: key }), make("dd", {}, value instanceof Node ? value : String(value)));
}

/** Ask before something that cannot be undone; resolves to whether it was agreed to. */
export function confirmed(key, values) {
  const dialog = document.getElementById("confirm");
  say(document.getElementById("confirm-words"), key, values);
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

/** Show in a live region how far something is; who hears the page hears only what comes of it. */
export function progressed(node, key, values) {
  node.ariaLive = "off";
  say(node, key, values);
}

/** Tell in a live region what came of something. */
export function ended(node, key, values) {
  node.ariaLive = "polite";
  say(node, key, values);
}

/** Tell what happened, also to those who hear the page. */
export function tell(key, values, kind = "good") {
  const status = document.getElementById("status");
  status.className = `status ${kind}`;
  say(status, key, values);
}

/** Say nothing more. */
export function hush() {
  const status = document.getElementById("status");
  status.className = "status";
  say(status, "");
}

/** Tell an error, in the reader's language where its code is known. */
export function tellError(error) {
  const { key, values } = error.told ?? { key: "error_page", values: { message: String(error) } };
  tell(key, values, "bad");
}

/** Run something a button asked for; the button rests meanwhile, and an error is told. */
export async function during(button, work) {
  if (button?.getAttribute("aria-disabled") === "true") return;
  button?.setAttribute("aria-disabled", "true");
  try {
    hush();
    await work();
  } catch (error) {
    tellError(error);
  } finally {
    button?.removeAttribute("aria-disabled");
  }
}
