// Users: create, edit, delete, find, and who is there.

import { ask, personPath } from "./api.js";
import { card, confirmed, during, ended, field, make, progressed, tell, tellError } from "./dom.js";
import { say } from "./language.js";
import { brief, forgetPeople, nameOf, seek } from "./people.js";
import { howTo, may, state } from "./state.js";

const SHOWN = 50; // more come on request
const PAUSE_MS = 250; // after a letter, before it is looked for

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
  const words = make("input", { type: "search", name: "search", maxlength: 255, autocomplete: "off", autocapitalize: "none", spellcheck: "false" });
  const note = make("p", { role: "status", class: "hint" });
  const rows = make("tbody", {});
  const head = ["name", "email", "person_id", "faces", "actions"].map((key) => make("th", { scope: "col", text: key }));
  const table = make("table", { class: "stacked", hidden: true }, make("thead", {}, make("tr", {}, ...head)), rows);
  const more = make("button", { type: "button", text: "more", class: "quiet", hidden: true, on: { click: () => during(more, showMore) } });
  const panel = make(
    "div", {}, may("enrol") ? entry : null,
    card("users_list", field("users_search", words, "choose_person_hint"), note, table, more),
    may("admin") ? howTo("accounts_hint", "facedex users add ayu@example.org --scope read --scope recognise") : null,
  );
  let edited = null;
  let shown = SHOWN;
  let drawn = "";
  let turn = 0;
  let waiting = 0;

  words.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      shown = SHOWN;
      list().catch(tellError);
    }, PAUSE_MS);
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    during(send, save);
  });

  async function save() {
    const details = { name: name.value.trim(), email: email.value.trim() || null };
    if (details.email) {
      const owners = (await ask("GET", `v1/people?email=${encodeURIComponent(details.email)}`)).items;
      if (owners.some((one) => String(one.person_id) !== edited?.person_id)) {
        tell("email_taken", { email: details.email }, "bad");
        email.focus();
        return;
      }
    }
    if (edited) await ask("PATCH", personPath(edited.person_id), details);
    const id = edited ? edited.person_id : await create(details);
    const told = edited ? "user_saved" : "user_created";
    if (!edited) words.value = "";
    if (!edited || state.person?.person_id === id) state.person = brief(await ask("GET", personPath(id)));
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
    personId.value = person?.person_id ?? "";
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
    if (state.person?.person_id === person.person_id) state.person = null;
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
      button("tab_photos", "photos_who", "quiet small", () => { state.person = person; go("photos"); }),
      may("enrol") ? button("edit", "edit_who", "quiet small", () => edit(person)) : null,
      may("enrol") ? button("delete", "delete_who", "danger small", () => remove(person)) : null,
    ];
    const called = make("th", { scope: "row", plain: person.name });
    if (!person.name) say(called, "unnamed");
    return make(
      "tr", {}, called,
      cell("email", person.email ?? "–"), cell("person_id", person.person_id), cell("faces", String(person.faces)),
      make("td", { class: "buttons" }, make("div", { class: "actions" }, ...buttons)),
    );
  }

  /** Show who is found; it is told how far the search has come, and another one takes its place. */
  async function list() {
    const mine = ++turn;
    const wanted = words.value.trim();
    const outcome = await seek(wanted, shown, (people, count) => {
      if (mine !== turn) return false;
      if (wanted) progressed(note, "people_looking", { count });
      if (people.length) show(people);
      return true;
    });
    if (mine !== turn || !outcome) return;
    show(outcome.people);
    more.hidden = !outcome.more;
    const count = outcome.people.length;
    if (outcome.more) ended(note, "people_first", { count });
    else if (count) ended(note, wanted ? "people_found" : "", { count });
    else if (wanted) ended(note, "people_nobody", { words: wanted });
    else ended(note, "users_none");
  }

  function show(people) {
    const now = JSON.stringify(people);
    if (now === drawn) return; // the button that has the focus stays where it is
    drawn = now;
    table.hidden = !people.length;
    rows.replaceChildren(...people.map(row));
  }

  async function showMore() {
    const before = rows.children.length;
    shown += SHOWN;
    await list();
    rows.children[before]?.querySelector("button").focus(); // the first of those who have come
  }

  async function refresh() {
    forgetPeople();
    await list();
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
