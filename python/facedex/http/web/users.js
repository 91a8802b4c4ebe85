// Users: list, find, create, edit and delete them.

import { request, personPath } from "./api.js";
import { card, confirmAction, runBusy, showResult, field, make, showProgress, showMessage, showError } from "./dom.js";
import { setText } from "./language.js";
import { summarize, clearPeople, nameOf, searchPeople } from "./people.js";
import { makeCommandHint, hasScope, state } from "./state.js";

const SHOWN = 50; // a button shows more
const PAUSE_MS = 250; // after the last key press, before the search starts

/** Make the section; `openTab` opens another one. */
export function makeUsers(openTab) {
  const name = make("input", { name: "name", required: true, maxlength: 255, autocomplete: "off" });
  const email = make("input", { name: "email", type: "email", maxlength: 255, autocomplete: "off" });
  const personId = make("input", { name: "person_id", maxlength: 255, autocomplete: "off", pattern: "[^\\/]+" });
  const send = make("button", { type: "submit", text: "create" });
  const cancelButton = make("button", { type: "button", text: "cancel", class: "quiet", hidden: true, on: { click: () => edit(null) } });
  const form = make(
    "form", { class: "fields" },
    field("name", name), field("email", email), field("person_id", personId, "person_id_hint"),
    make("div", { class: "actions" }, send, cancelButton),
  );
  const entry = card("users_new", form);
  const words = make("input", { type: "search", name: "search", maxlength: 255, autocomplete: "off", autocapitalize: "none", spellcheck: "false" });
  const note = make("p", { role: "status", class: "hint" });
  const rows = make("tbody", {});
  const head = ["name", "email", "person_id", "faces", "actions"].map((key) => make("th", { scope: "col", text: key }));
  const table = make("table", { class: "stacked", hidden: true }, make("thead", {}, make("tr", {}, ...head)), rows);
  const more = make("button", { type: "button", text: "more", class: "quiet", hidden: true, on: { click: () => runBusy(more, showMore) } });
  const panel = make(
    "div", {}, hasScope("enrol") ? entry : null,
    card("users_list", field("users_search", words, "choose_person_hint"), note, table, more),
    hasScope("admin") ? makeCommandHint("accounts_hint", "facedex users add ayu@example.org --scope read --scope recognise") : null,
  );
  let edited = null;
  let limit = SHOWN;
  let shownPeople = "";
  let turn = 0;
  let timer = 0;

  words.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      limit = SHOWN;
      list().catch(showError);
    }, PAUSE_MS);
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    runBusy(send, save);
  });

  async function save() {
    const details = { name: name.value.trim(), email: email.value.trim() || null };
    if (details.email) {
      const owners = (await request("GET", `v1/people?email=${encodeURIComponent(details.email)}`)).items;
      if (owners.some((one) => String(one.person_id) !== edited?.person_id)) {
        showMessage("email_taken", { email: details.email }, "bad");
        email.focus();
        return;
      }
    }
    if (edited) await request("PATCH", personPath(edited.person_id), details);
    const id = edited ? edited.person_id : await create(details);
    const message = edited ? "user_saved" : "user_created";
    if (!edited) words.value = "";
    if (!edited || state.person?.person_id === id) state.person = summarize(await request("GET", personPath(id)));
    edit(null);
    await refresh();
    showMessage(message, { name: details.name });
    name.focus();
  }

  async function create(details) {
    const wanted = personId.value.trim();
    const base = wanted || slug(details.name);
    for (let number = 1; ; number += 1) {
      const id = number === 1 ? base : `${base}-${number}`;
      try {
        return String((await request("POST", "v1/people", { person_id: id, ...details })).person_id);
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
    cancelButton.hidden = !person;
    setText(send, person ? "save" : "create");
    setText(entry.querySelector("h2"), person ? "users_edit" : "users_new");
    if (person) name.focus();
  }

  async function remove(person) {
    const personName = nameOf(person);
    if (!(await confirmAction("user_delete_sure", { name: personName }))) return;
    await request("DELETE", personPath(person.person_id));
    if (edited?.person_id === person.person_id) edit(null);
    if (state.person?.person_id === person.person_id) state.person = null;
    await refresh();
    showMessage("user_deleted", { name: personName });
    panel.focus();
  }

  function row(person) {
    const values = { name: nameOf(person) };
    const button = (key, label, look, work) => {
      const made = make("button", { type: "button", text: key, label, values, class: look });
      made.addEventListener("click", () => runBusy(made, work));
      return made;
    };
    const buttons = [
      button("tab_photos", "photos_who", "quiet small", () => { state.person = person; openTab("photos"); }),
      hasScope("enrol") ? button("edit", "edit_who", "quiet small", () => edit(person)) : null,
      hasScope("enrol") ? button("delete", "delete_who", "danger small", () => remove(person)) : null,
    ];
    const personName = make("th", { scope: "row", plain: person.name });
    if (!person.name) setText(personName, "unnamed");
    return make(
      "tr", {}, personName,
      cell("email", person.email ?? "–"), cell("person_id", person.person_id), cell("faces", String(person.faces)),
      make("td", { class: "buttons" }, make("div", { class: "actions" }, ...buttons)),
    );
  }

  /** Search, and show progress and matches; a newer search replaces this one. */
  async function list() {
    const current = ++turn;
    const wanted = words.value.trim();
    const outcome = await searchPeople(wanted, limit, (people, count) => {
      if (current !== turn) return false;
      if (wanted) showProgress(note, "people_looking", { count });
      if (people.length) show(people);
      return true;
    });
    if (current !== turn || !outcome) return;
    show(outcome.people);
    more.hidden = !outcome.more;
    const count = outcome.people.length;
    if (outcome.more) showResult(note, "people_first", { count });
    else if (count) showResult(note, wanted ? "people_found" : "", { count });
    else if (wanted) showResult(note, "people_nobody", { words: wanted });
    else showResult(note, "users_none");
  }

  function show(people) {
    const now = JSON.stringify(people);
    if (now === shownPeople) return; // rows are not replaced, so that a focused button keeps the focus
    shownPeople = now;
    table.hidden = !people.length;
    rows.replaceChildren(...people.map(row));
  }

  async function showMore() {
    const before = rows.children.length;
    limit += SHOWN;
    await list();
    rows.children[before]?.querySelector("button").focus(); // the first of the new rows
  }

  async function refresh() {
    clearPeople();
    await list();
  }

  return { name: "users", panel, onShow: () => runBusy(null, refresh), onLeave: () => {} };
}

/** Make a cell that names its column, for narrow screens. */
function cell(key, plain) {
  return make("td", {}, make("span", { class: "column", text: key }), make("span", { plain }));
}

/** Make an id from a name: "Ayu Lestari" becomes ayu-lestari. */
function slug(name) {
  const plain = name.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
  return plain.replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-|-$/g, "") || "user";
}
