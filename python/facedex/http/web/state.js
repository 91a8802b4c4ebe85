// What the sections share: who is signed in, how the server is set up, and who is chosen.

import { ask } from "./api.js";
import { make } from "./dom.js";

export const state = { session: null, photos: "none", gallery: "default", person: null };

/** Whether whoever is signed in may do something. */
export function may(scope) {
  const scopes = state.session?.scopes ?? [];
  return scopes.includes(scope) || scopes.includes("admin");
}

/** Ask how the server is set up. */
export async function learn() {
  if (!may("read")) return;
  const { photos, gallery } = await ask("GET", "v1/stats");
  state.photos = photos;
  state.gallery = gallery.gallery;
}

/** How to switch the keeping of originals on. */
export function howToKeep(key) {
  return howTo(key, "facedex serve --photos original");
}

/** Words and the command that they speak of. */
export function howTo(key, command) {
  return make("div", { class: "note" }, make("p", { text: key }), make("pre", {}, make("code", { plain: command })));
}
