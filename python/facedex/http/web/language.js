// The language of the page. Each element names its text in `data-t`, so that a switch of language changes it in place.

import { TEXTS } from "./texts.js";

const STORAGE_KEY = "facedex-language";
const DIGITS = 3;
const FIGURES = new Set(["similarity", "threshold"]); // always written with all digits, so that they align
let language = initialLanguage();

function initialLanguage() {
  const wanted = storedLanguage() ?? navigator.language.slice(0, 2).toLowerCase();
  return wanted in TEXTS ? wanted : wanted === "in" || wanted === "ms" ? "id" : "en";
}

function storedLanguage() {
  try {
    return localStorage.getItem(STORAGE_KEY);
  } catch {
    return null; // storage is blocked: the browser's language is used
  }
}

/** Return the language as a tag for `Intl`, with the reader's country if the browser names it. */
export function locale() {
  return navigator.languages.find((tag) => tag.toLowerCase().startsWith(`${language}-`)) ?? language;
}

/** Return whether a text has this key. */
export function hasText(key) {
  return key in TEXTS.en;
}

/**
 * Return a text with its values inserted; numbers are formatted for the language.
 * {count} is a value, {count|face|faces} the singular or plural that goes with it.
 */
export function text(key, values = {}) {
  if (!key) return "";
  const template = TEXTS[language][key] ?? TEXTS.en[key] ?? key;
  return template.replace(/\{(\w+)(?:\|([^|}]*)\|([^|}]*))?\}/g, (_, name, one, several) => {
    if (one === undefined) return formatValue(values[name], FIGURES.has(name) ? DIGITS : 0);
    return values[name] === 1 ? one : several;
  });
}

function formatValue(value, digits) {
  const options = { minimumFractionDigits: digits, maximumFractionDigits: DIGITS };
  if (typeof value === "number") return new Intl.NumberFormat(language, options).format(value);
  return value === null || value === undefined ? "–" : String(value);
}

/** Set the text of a node, or of one of its attributes. */
export function setText(node, key, values = {}, attribute = null) {
  node.dataset[attribute ? "tLabel" : "t"] = key;
  node.dataset[attribute ? "tLabelValues" : "tValues"] = JSON.stringify(values);
  if (attribute) node.setAttribute(attribute, text(key, values));
  else node.textContent = text(key, values);
}

/** Show every text of the page in a language. */
export function applyLanguage(chosen = language) {
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

/** Let the buttons switch the language, and store the choice. */
export function listenForLanguage(onChange) {
  document.getElementById("language").addEventListener("click", (event) => {
    const chosen = event.target.closest("button")?.value;
    if (!chosen) return;
    applyLanguage(chosen);
    try {
      localStorage.setItem(STORAGE_KEY, chosen);
    } catch {
      // storage is blocked: the choice lasts until the page closes
    }
    onChange();
  });
  applyLanguage();
}
