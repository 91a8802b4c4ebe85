// Which language is spoken. What is on the page says by `data-t` which text it shows, so that a switch changes it in place.

import { TEXTS } from "./texts.js";

const KEPT = "facedex-language";
const DIGITS = 3;
const FIGURES = new Set(["similarity", "threshold"]); // written with all digits, so that they stand below each other
let language = first();

function first() {
  const wanted = kept() ?? navigator.language.slice(0, 2).toLowerCase();
  return wanted in TEXTS ? wanted : wanted === "in" || wanted === "ms" ? "id" : "en";
}

function kept() {
  try {
    return localStorage.getItem(KEPT);
  } catch {
    return null; // storage is forbidden: the language of the browser is taken each time
  }
}

/** The language that is spoken, as a tag for `Intl`; with the reader's country where the browser tells it. */
export function spoken() {
  return navigator.languages.find((tag) => tag.toLowerCase().startsWith(`${language}-`)) ?? language;
}

/** Whether there is a text of this key. */
export function known(key) {
  return key in TEXTS.en;
}

/**
 * Return a text with its values put in; numbers are written as the language writes them.
 * {count} is a value, {count|face|faces} a word that goes with it.
 */
export function text(key, values = {}) {
  if (!key) return "";
  const found = TEXTS[language][key] ?? TEXTS.en[key] ?? key;
  return found.replace(/\{(\w+)(?:\|([^|}]*)\|([^|}]*))?\}/g, (_, name, one, several) => {
    if (one === undefined) return written(values[name], FIGURES.has(name) ? DIGITS : 0);
    return values[name] === 1 ? one : several;
  });
}

function written(value, digits) {
  const how = { minimumFractionDigits: digits, maximumFractionDigits: DIGITS };
  if (typeof value === "number") return new Intl.NumberFormat(language, how).format(value);
  return value === null || value === undefined ? "–" : String(value);
}

/** Show a text in a node, or in one of its attributes. */
export function say(node, key, values = {}, attribute = null) {
  node.dataset[attribute ? "tLabel" : "t"] = key;
  node.dataset[attribute ? "tLabelValues" : "tValues"] = JSON.stringify(values);
  if (attribute) node.setAttribute(attribute, text(key, values));
  else node.textContent = text(key, values);
}

/** Show everything on the page anew. */
export function speak(chosen = language) {
  language = chosen;
  document.documentElement.lang = language;
  for (const node of document.querySelectorAll("[data-t]")) {
    node.textContent = text(node.dataset.t, JSON.parse(node.dataset.tValues ?? "{}"));
  }
  for (const node of document.querySelectorAll("[data-t-label]")) {
    node.setAttribute("aria-label", text(node.dataset.tLabel, JSON.parse(node.dataset.tLabelValues ?? "{}")));
  }
  for (const button of document.querySelectorAll("#language button")) {
    button.setAttribute("aria-pressed", String(button.value === language));
  }
}

/** Let the buttons switch the language, and remember it. */
export function listenForLanguage(changed) {
  document.getElementById("language").addEventListener("click", (event) => {
    const chosen = event.target.closest("button")?.value;
    if (!chosen) return;
    speak(chosen);
    try {
      localStorage.setItem(KEPT, chosen);
    } catch {
      // storage is forbidden: it is remembered until the page is closed
    }
    changed();
  });
  speak();
}
