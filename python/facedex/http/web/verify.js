// Verify a claimed identity: find the person by typing, then choose a picture; the verdict is shown by colour, sign and words.

import { request, personPath, pictureForm } from "./api.js";
import { drawFaces, makeBar } from "./draw.js";
import { card, choice, runBusy, make } from "./dom.js";
import { setText, text } from "./language.js";
import { nameOf } from "./people.js";
import { makePicker } from "./picker.js";
import { makeChooser } from "./pictures.js";

/** Make the section. */
export function makeVerify() {
  const claimed = { person: null }; // its own: who was looked at elsewhere claims nothing here
  const picker = makePicker(() => runBusy(null, read), claimed);
  const attend = make("input", { type: "checkbox" });
  const title = make("h2", { tabindex: -1 });
  const faceCount = make("p", { class: "hint" });
  const otherButton = make("button", { type: "button", text: "another_person", class: "quiet small", on: { click: () => claim(null) } });
  const verdict = make("div", { class: "verdict", role: "status", "aria-live": "assertive", hidden: true });
  const canvas = make("canvas", { role: "img" });
  const drawn = make("div", { class: "drawn", hidden: true }, canvas);
  const chooser = makeChooser({ onChange: ([picture]) => { if (picture) runBusy(null, () => verify(picture)); } });
  const proof = make("div", { class: "stack" }, chooser.box, choice("attend", attend));
  const claimCard = card("verify_who", picker.box);
  const face = make(
    "section", { class: "card", hidden: true },
    make("div", { class: "heading" }, title, otherButton), faceCount, proof, verdict, drawn,
  );
  const panel = make("div", {}, claimCard, face);
  let person = null;
  let turn = 0;

  async function read() {
    const chosen = claimed.person;
    const found = chosen && await request("GET", personPath(chosen.person_id)); // with the faces that are registered now
    if (claimed.person === chosen) claim(found);
  }

  function claim(chosen) {
    turn += 1;
    person = chosen;
    verdict.hidden = drawn.hidden = true;
    chooser.close();
    claimCard.hidden = Boolean(person);
    face.hidden = !person;
    if (!person) {
      claimed.person = null;
      picker.refresh();
      picker.focus();
      return;
    }
    setText(title, "verify_face", { name: nameOf(person) });
    const count = person.faces.length;
    setText(faceCount, count ? "verify_faces" : "verify_no_faces", { count, name: nameOf(person), words: person.email ?? String(person.person_id) });
    faceCount.className = count ? "hint" : "note bad";
    proof.hidden = !count;
    title.focus();
  }

  async function verify(picture) {
    const current = ++turn;
    drawn.hidden = true;
    showVerdict("", "…", "verifying", null);
    const options = { person_id: person.person_id, liveness: "advisory", attend: attend.checked };
    let result;
    try {
      result = await request("POST", "v1/verify", pictureForm(picture, options));
    } catch (error) {
      if (current === turn) showVerdict("doubt", "?", "verify_not", error.text ?? null);
      return;
    }
    if (current !== turn) return; // another picture or person was chosen in the meantime
    const values = { name: nameOf(person), similarity: result.similarity, threshold: result.threshold };
    const livenessKey = result.liveness ? `live_${result.liveness.status}` : null;
    if (result.match) showVerdict("good", "✓", "match", { key: "match_reason", values }, livenessKey);
    else showVerdict("bad", "✗", "mismatch", { key: "mismatch_reason", values }, livenessKey);
    verdict.append(makeBar(result.similarity, result.threshold));
    drawn.hidden = false;
    const label = `${result.match ? "✓" : "✗"} ${text("similarity_short", values)}`;
    setText(canvas, "verified_picture", {}, "aria-label");
    await drawFaces(canvas, picture, null, [{ bbox: result.bbox, kind: result.match ? "good" : "bad", label }]);
  }

  function showVerdict(kind, mark, key, why, livenessKey = null) {
    verdict.hidden = false;
    verdict.className = `verdict ${kind}`;
    verdict.replaceChildren(
      make("p", { class: "verdict-line" }, make("span", { class: "mark", "aria-hidden": "true", plain: mark }), make("strong", { text: key })),
      why ? make("p", { text: why.key, values: why.values }) : "",
      livenessKey ? make("p", { text: livenessKey, class: "small-print" }) : "",
    );
  }

  return { name: "verify", panel, onShow: () => {}, onLeave: chooser.close };
}
