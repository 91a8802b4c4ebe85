// Verify: who is claimed, then a picture, then a verdict that colour, sign and words tell.

import { ask, found, pictureForm } from "./api.js";
import { drawFaces, makeBar } from "./draw.js";
import { card, choice, during, field, make } from "./dom.js";
import { say, text } from "./language.js";
import { nameOf } from "./people.js";
import { makeChooser } from "./pictures.js";

/** Make the section. */
export function makeVerify() {
  const words = make("input", { required: true, maxlength: 255, autocomplete: "off", inputmode: "email", autocapitalize: "none" });
  const find = make("button", { type: "submit", text: "find" });
  const form = make("form", { class: "fields" }, field("verify_find", words), make("div", { class: "actions" }, find));
  const several = make("div", { "aria-live": "polite" });
  const attend = make("input", { type: "checkbox" });
  const title = make("h2", { tabindex: -1 });
  const known = make("p", { class: "hint" });
  const other = make("button", { type: "button", text: "another_person", class: "quiet small", on: { click: () => claim(null) } });
  const verdict = make("div", { class: "verdict", role: "status", "aria-live": "assertive", hidden: true });
  const canvas = make("canvas", { role: "img" });
  const drawn = make("div", { class: "drawn", hidden: true }, canvas);
  const chooser = makeChooser({ changed: ([picture]) => { if (picture) during(null, () => verify(picture)); } });
  const proof = make("div", { class: "stack" }, chooser.box, choice("attend", attend));
  const asking = card("verify_who", form, several);
  const face = make(
    "section", { class: "card", hidden: true },
    make("div", { class: "heading" }, title, other), known, proof, verdict, drawn,
  );
  const panel = make("div", {}, asking, face);
  let person = null;
  let turn = 0;

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    during(find, look);
  });

  async function look() {
    const wanted = words.value.trim();
    claim(null);
    const people = await found(wanted);
    if (!people.length) several.replaceChildren(make("p", { text: "verify_nobody", values: { words: wanted }, class: "note bad" }));
    else if (people.length === 1) claim(people[0]);
    else {
      const buttons = people.map((one) => make("button", {
        type: "button", class: "quiet", plain: `${nameOf(one)} (${one.person_id})`, on: { click: () => claim(one) },
      }));
      several.replaceChildren(make("p", { text: "verify_several" }), make("div", { class: "actions" }, ...buttons));
    }
  }

  function claim(chosen) {
    turn += 1;
    person = chosen;
    several.replaceChildren();
    verdict.hidden = drawn.hidden = true;
    chooser.close();
    asking.hidden = Boolean(person);
    face.hidden = !person;
    if (!person) {
      words.focus();
      return;
    }
    say(title, "verify_face", { name: nameOf(person) });
    const count = person.faces.length;
    say(known, count ? "verify_faces" : "verify_no_faces", { count, name: nameOf(person), words: person.email ?? String(person.person_id) });
    known.className = count ? "hint" : "note bad";
    proof.hidden = !count;
    title.focus();
  }

  async function verify(picture) {
    const mine = ++turn;
    drawn.hidden = true;
    tellVerdict("", "…", "verifying", null);
    const options = { person_id: person.person_id, liveness: "advisory", attend: attend.checked };
    let answer;
    try {
      answer = await ask("POST", "v1/verify", pictureForm(picture, options));
    } catch (error) {
      if (mine === turn) tellVerdict("doubt", "?", "verify_not", error.told ?? null);
      return;
    }
    if (mine !== turn) return; // another picture or person was chosen meanwhile
    const values = { name: nameOf(person), similarity: answer.similarity, threshold: answer.threshold };
    const alive = answer.liveness ? `live_${answer.liveness.status}` : null;
    if (answer.match) tellVerdict("good", "✓", "match", { key: "match_reason", values }, alive);
    else tellVerdict("bad", "✗", "mismatch", { key: "mismatch_reason", values }, alive);
    verdict.append(makeBar(answer.similarity, answer.threshold));
    drawn.hidden = false;
    const label = `${answer.match ? "✓" : "✗"} ${text("similarity_short", values)}`;
    say(canvas, "verified_picture", {}, "aria-label");
    await drawFaces(canvas, picture, null, [{ bbox: answer.bbox, kind: answer.match ? "good" : "bad", label }]);
  }

  function tellVerdict(kind, mark, key, why, alive = null) {
    verdict.hidden = false;
    verdict.className = `verdict ${kind}`;
    verdict.replaceChildren(
      make("p", { class: "verdict-line" }, make("span", { class: "mark", "aria-hidden": "true", plain: mark }), make("strong", { text: key })),
      why ? make("p", { text: why.key, values: why.values }) : "",
      alive ? make("p", { text: alive, class: "small-print" }) : "",
    );
  }

  return { name: "verify", panel, shown: () => {}, left: chooser.close };
}
