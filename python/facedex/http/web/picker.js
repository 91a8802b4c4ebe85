// Choosing a person by typing: a combobox as WAI-ARIA has it. Who is chosen in one section is chosen in the others too.

import { ended, field, make, progressed, tellError } from "./dom.js";
import { nameOf, seek } from "./people.js";
import { state } from "./state.js";

const SHOWN = 20;
const PAUSE_MS = 200; // after a letter, before it is looked for

let made = 0;

/**
 * Make a picker.
 * @param {function()} changed called when somebody else was chosen, who then is `state.person`
 */
export function makePicker(changed) {
  const id = `people-${++made}`;
  const input = make("input", {
    role: "combobox", "aria-autocomplete": "list", "aria-expanded": "false", "aria-controls": id, autocomplete: "off",
    autocapitalize: "none", spellcheck: "false", maxlength: 255,
  });
  const list = make("ul", { role: "listbox", id, label: "people" });
  const note = make("p", { role: "status", class: "hint" });
  const popup = make("div", { class: "popup", hidden: true, on: { mousedown: (event) => event.preventDefault() } }, list, note);
  const box = field("choose_person", input, "choose_person_hint");
  box.append(popup);
  let found = [];
  let active = -1;
  let turn = 0;
  let waiting = 0;

  input.addEventListener("focus", () => input.select());
  input.addEventListener("click", () => { if (popup.hidden) look(""); });
  input.addEventListener("input", () => {
    clearTimeout(waiting);
    turn += 1; // who was found for fewer letters is not chosen any more
    point(-1);
    waiting = setTimeout(() => look(input.value), PAUSE_MS);
  });
  input.addEventListener("blur", () => {
    if (!input.value.trim() && state.person) choose(null);
    close();
  });
  input.addEventListener("keydown", (event) => {
    const moves = { ArrowDown: 1, ArrowUp: -1 };
    if (event.key in moves) {
      event.preventDefault();
      if (popup.hidden) look("");
      else if (found.length) point((active + moves[event.key] + found.length) % found.length);
    } else if (event.key === "Enter" && !popup.hidden) {
      event.preventDefault();
      if (active >= 0) choose(found[active]);
    } else if (event.key === "Escape" && !popup.hidden) {
      event.preventDefault();
      close();
    }
  });

  async function look(words) {
    const mine = ++turn;
    found = [];
    list.replaceChildren();
    open();
    progressed(note, "people_looking", { count: 0 });
    try {
      const outcome = await seek(words, SHOWN, (people, count) => {
        if (mine !== turn) return false;
        show(people.slice(0, SHOWN), words);
        progressed(note, "people_looking", { count });
        return true;
      });
      if (mine !== turn || !outcome) return;
      show(outcome.people, words);
      if (outcome.more) ended(note, "people_narrow", { count: SHOWN });
      else if (found.length) ended(note, "people_found", { count: found.length });
      else if (words.trim()) ended(note, "people_nobody", { words: words.trim() });
      else ended(note, "users_none");
    } catch (error) {
      if (mine !== turn) return;
      close();
      tellError(error);
    }
  }

  function show(people, words) {
    const known = found.length;
    found = people;
    list.append(...people.slice(known).map((person, at) => make(
      "li", { role: "option", id: `${id}-${known + at}`, "aria-selected": "false", on: { click: () => choose(person) } },
      make("span", { plain: nameOf(person) }), make("span", { class: "hint", plain: person.email ?? person.person_id }),
    )));
    if (active < 0 && found.length && words.trim()) point(0);
  }

  function point(at) {
    list.children[active]?.setAttribute("aria-selected", "false");
    active = at;
    const option = list.children[at];
    option?.setAttribute("aria-selected", "true");
    option?.scrollIntoView({ block: "nearest" });
    if (option) input.setAttribute("aria-activedescendant", option.id);
    else input.removeAttribute("aria-activedescendant");
  }

  function choose(person) {
    state.person = person;
    close();
    changed();
  }

  function open() {
    popup.hidden = false;
    point(-1);
    input.setAttribute("aria-expanded", "true");
  }

  function close() {
    clearTimeout(waiting);
    turn += 1;
    popup.hidden = true;
    point(-1);
    input.setAttribute("aria-expanded", "false");
    refresh();
  }

  /** Show who is chosen. */
  function refresh() {
    const { person } = state;
    if (!person) input.value = "";
    else input.value = person.email ? `${nameOf(person)} · ${person.email}` : nameOf(person);
  }

  return { box, refresh, focus: () => input.focus() };
}
