// Every text of the page, in each language; the first is spoken where another lacks a text.

import en from "./texts.en.js";
import id from "./texts.id.js";

export const TEXTS = { en, id };
