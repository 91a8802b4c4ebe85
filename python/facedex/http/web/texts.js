// The texts of the page by language; English is used if another language lacks a text.

import en from "./texts.en.js";
import id from "./texts.id.js";

export const TEXTS = { en, id };
