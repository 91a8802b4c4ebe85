// Choose a person by typing, in a combobox as specified by WAI-ARIA. Sections share the choice, except for Verify's claim.

import { showResult, field, make, showProgress, showError } from "./dom.js";
import { nameOf, searchPeople } from "./people.js";
import { state } from "./state.js";

const SHOWN = 20;
const PAUSE_MS = 200; // after the last key press, before the search starts

let pickerCount = 0;

/**
 * Make a picker.
 * @param {function()} onChange called after the person has changed
 * @param {{person: object|null}} holder where the chosen person is kept
 */
export function makePicker(onChange, holder = state) {
  const id = `people-${++pickerCount}`;
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
  input.addEventListener("click", () => { if (popup.hidden) search(""); });
  input.addEventListener("input", () => {
    clearTimeout(waiting);
    turn += 1; // matches of the previous words can no longer be chosen
    setActive(-1);
    waiting = setTimeout(() => search(input.value), PAUSE_MS);
  });
  input.addEventListener("blur", () => {
    if (!input.value.trim() && holder.person) choose(null);
    close();
  });
  input.addEventListener("keydown", (event) => {
    const moves = { ArrowDown: 1, ArrowUp: -1 };
    if (event.key in moves) {
      event.preventDefault();
      if (popup.hidden) search("");
      else if (found.length) setActive((active + moves[event.key] + found.length) % found.length);
    } else if (event.key === "Enter" && !popup.hidden) {
      event.preventDefault();
      if (active >= 0) choose(found[active]);
    } else if (event.key === "Escape" && !popup.hidden) {
      event.preventDefault();
      close();
    }
  });

  async function search(words) {
    const current = ++turn;
    found = [];
    list.replaceChildren();
    open();
    showProgress(note, "people_looking", { count: 0 });
    try {
      const outcome = await searchPeople(words, SHOWN, (people, count) => {
        if (current !== turn) return false;
        show(people.slice(0, SHOWN), words);
        showProgress(note, "people_looking", { count });
        return true;
      });
      if (current !== turn || !outcome) return;
      show(outcome.people, words);
      if (outcome.more) showResult(note, "people_narrow", { count: SHOWN });
      else if (found.length) showResult(note, "people_found", { count: found.length });
      else if (words.trim()) showResult(note, "people_nobody", { words: words.trim() });
      else showResult(note, "users_none");
    } catch (error) {
      if (current !== turn) return;
      close();
      showError(error);
    }
  }

  function show(people, words) {
    const before = found.length;
    found = people;
    list.append(...people.slice(before).map((person, at) => make(
      "li", { role: "option", id: `${id}-${before + at}`, "aria-selected": "false", on: { click: () => choose(person) } },
      make("span", { plain: nameOf(person) }), make("span", { class: "hint", plain: person.email ?? person.person_id }),
    )));
    if (active < 0 && found.length && words.trim()) setActive(0);
  }

  function setActive(at) {
    list.children[active]?.setAttribute("aria-selected", "false");
    active = at;
    const option = list.children[at];
    option?.setAttribute("aria-selected", "true");
    option?.scrollIntoView({ block: "nearest" });
    if (option) input.setAttribute("aria-activedescendant", option.id);
    else input.removeAttribute("aria-activedescendant");
  }

  function choose(person) {
    holder.person = person;
    close();
    onChange();
  }

  function open() {
    popup.hidden = false;
    setActive(-1);
    input.setAttribute("aria-expanded", "true");
  }

  function close() {
    clearTimeout(waiting);
    turn += 1;
    popup.hidden = true;
    setActive(-1);
    input.setAttribute("aria-expanded", "false");
    refresh();
  }

  /** Show the chosen person. */
  function refresh() {
    const { person } = holder;
    if (!person) input.value = "";
    else input.value = person.email ? `${nameOf(person)} · ${person.email}` : nameOf(person);
  }

  return { box, refresh, focus: () => input.focus() };
}
