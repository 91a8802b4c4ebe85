// What the sections share: who is signed in, how the server is set up, and who is registered.

import { ask, everybody, nameOf } from "./api.js";
import { make } from "./dom.js";

export const state = { session: null, photos: "none", people: [], more: false, person: "" };

/** Whether whoever is signed in may do something. */
export function may(scope) {
  const scopes = state.session?.scopes ?? [];
  return scopes.includes(scope) || scopes.includes("admin");
}

/** Ask how the server is set up. */
export async function learn() {
  if (may("read")) state.photos = (await ask("GET", "v1/stats")).photos;
}

/** Ask anew who is registered. */
export async function refreshPeople() {
  const { people, more } = await everybody();
  state.people = people;
  state.more = more;
}

/** Put everybody into a list to choose from; the one chosen in another section is chosen here too. */
export function fillPicker(picker) {
  const options = state.people.map((person) => {
    const id = String(person.person_id);
    const plain = person.email ? `${nameOf(person)} · ${person.email}` : nameOf(person);
    return make("option", { value: id, plain });
  });
  picker.replaceChildren(make("option", { value: "", text: "nobody_chosen" }), ...options);
  picker.value = state.people.some((one) => String(one.person_id) === state.person) ? state.person : "";
}

/** Return the person who is chosen in a list. */
export function picked(picker) {
  return state.people.find((person) => String(person.person_id) === picker.value) ?? null;
}

/** How to switch the keeping of originals on. */
export function howToKeep(key) {
  return make(
    "div", { class: "note" },
    make("p", { text: key }),
    make("pre", {}, make("code", { plain: "facedex serve --photos original" })),
  );
}
