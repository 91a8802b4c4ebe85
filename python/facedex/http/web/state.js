// State that the sections share: the session, the server's settings and the chosen person.

import { request } from "./api.js";
import { make } from "./dom.js";

export const state = { session: null, photos: "none", gallery: "default", person: null };

/** Return whether the user has a scope. */
export function hasScope(scope) {
  const scopes = state.session?.scopes ?? [];
  return scopes.includes(scope) || scopes.includes("admin");
}

/** Read the server's settings. */
export async function loadSettings() {
  if (!hasScope("read")) return;
  const { photos, gallery } = await request("GET", "v1/stats");
  state.photos = photos;
  state.gallery = gallery.gallery;
}

/** Make a hint on how to store original photos. */
export function makePhotosHint(key) {
  return makeCommandHint(key, "facedex serve --photos original");
}

/** Make a hint with a command. */
export function makeCommandHint(key, command) {
  return make("div", { class: "note" }, make("p", { text: key }), make("pre", {}, make("code", { plain: command })));
}
