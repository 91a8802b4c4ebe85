// Users: create, edit, delete, and who is there.

import { ask, nameOf, personPath } from "./api.js";
import { card, confirmed, during, field, make, tell } from "./dom.js";
import { say } from "./language.js";
import { may, refreshPeople, state } from "./state.js";

const SHOWN = 50; // more come on request

/** Make the section; `go` leads to another one. */
export function makeUsers(go) {
  const name = make("input", { name: "name", required: true, maxlength: 255, autocomplete: "off" });
  const email = make("input", { name: "email", type: "email", maxlength: 255, autocomplete: "off" });
  const personId = make("input", { name: "person_id", maxlength: 255, autocomplete: "off", pattern: "[^\\/]+" });
  const send = make("button", { type: "submit", text: "create" });
  const back = make("button", { type: "button", text: "cancel", class: "quiet", hidden: true, on: { click: () => edit(null) } });
  const form = make(
    "form", { class: "fields" },
    field("name", name), field("email", email), field("person_id", personId, "person_id_hint"),
    make("div", { class: "actions" }, send, back),
  );
  const entry = card("users_new", form);
  const list = make("div", {});
  const panel = make("div", {}, may("enrol") ? entry : null, card("users_list", list));
  let edited = null;
  let shown = SHOWN;
  let drawn = "";

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    during(send, save);
  });

  async function save() {
    const details = { name: name.value.trim(), email: email.value.trim() || null };
    if (details.email) {
      const owners = (await ask("GET", `v1/people?email=${encodeURIComponent(details.email)}`)).items;
      if (owners.some((one) => String(one.person_id) !== String(edited?.person_id))) {
        tell("email_taken", { email: details.email }, "bad");
        email.focus();
        return;
      }
    }
    if (edited) await ask("PATCH", personPath(edited.person_id), details);
    else state.person = await create(details);
    const told = edited ? "user_saved" : "user_created";
    edit(null);
    await refresh();
    tell(told, { name: details.name });
    name.focus();
  }

  async function create(details) {
    const wanted = personId.value.trim();
    const base = wanted || slug(details.name);
    for (let number = 1; ; number += 1) {
      const id = number === 1 ? base : `${base}-${number}`;
      try {
        return String((await ask("POST", "v1/people", { person_id: id, ...details })).person_id);
      } catch (error) {
        if (error.code !== "duplicate_person" || wanted || number === 100) throw error;
      }
    }
  }

  function edit(person) {
    edited = person;
    name.value = person?.name ?? "";
    email.value = person?.email ?? "";
    personId.value = person ? String(person.person_id) : "";
    personId.disabled = Boolean(person);
    back.hidden = !person;
    say(send, person ? "save" : "create");
    say(entry.querySelector("h2"), person ? "users_edit" : "users_new");
    if (person) name.focus();
  }

  async function remove(person) {
    const called = nameOf(person);
    if (!(await confirmed("user_delete_sure", { name: called }))) return;
    await ask("DELETE", personPath(person.person_id));
    if (edited?.person_id === person.person_id) edit(null);
    await refresh();
    tell("user_deleted", { name: called });
    panel.focus();
  }

  function row(person) {
    const values = { name: nameOf(person) };
    const button = (key, label, look, work) => {
      const made = make("button", { type: "button", text: key, label, values, class: look });
      made.addEventListener("click", () => during(made, work));
      return made;
    };
    const buttons = [
      button("tab_photos", "photos_who", "quiet small", () => { state.person = String(person.person_id); go("photos"); }),
      may("enrol") ? button("edit", "edit_who", "quiet small", () => edit(person)) : null,
      may("enrol") ? button("delete", "delete_who", "danger small", () => remove(person)) : null,
    ];
    const called = make("th", { scope: "row", plain: person.name });
    if (!person.name) say(called, "unnamed");
    return make(
      "tr", {}, called,
      cell("email", person.email ?? "–"), cell("person_id", String(person.person_id)),
      cell("faces", String(person.faces.length)),
      make("td", { class: "buttons" }, make("div", { class: "actions" }, ...buttons)),
    );
  }

  function show() {
    const now = JSON.stringify([state.people, state.more, shown]);
    if (now === drawn) return; // the button that has the focus stays where it is
    drawn = now;
    if (!state.people.length) {
      list.replaceChildren(make("p", { text: "users_none", class: "hint" }));
      return;
    }
    const head = ["name", "email", "person_id", "faces", "actions"].map((key) => make("th", { scope: "col", text: key }));
    const rows = state.people.slice(0, shown).map(row);
    const table = make("table", { class: "stacked" }, make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...rows));
    const more = make("button", {
      type: "button", text: "more", class: "quiet", hidden: shown >= state.people.length,
      on: { click: () => { shown += SHOWN; show(); } },
    });
    const cut = state.more && shown >= state.people.length;
    list.replaceChildren(table, more, cut ? make("p", { text: "people_more", values: { count: state.people.length }, class: "hint" }) : "");
  }

  async function refresh() {
    await refreshPeople();
    show();
  }

  return { name: "users", panel, shown: () => during(null, refresh), left: () => {} };
}

/** A cell that says on a phone which column it is. */
function cell(key, plain) {
  return make("td", {}, make("span", { class: "column", text: key }), make("span", { plain }));
}

/** Make an id of a name: "Ayu Lestari" is ayu-lestari. */
function slug(name) {
  const plain = name.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
  return plain.replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-|-$/g, "") || "user";
}
