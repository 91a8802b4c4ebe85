// Recognise: a picture, boxes and names drawn on it, and for each face who it might be, closest first.

import { ask, pictureForm } from "./api.js";
import { card, choice, during, make } from "./dom.js";
import { drawFaces, makeBar } from "./draw.js";
import { say, text } from "./language.js";
import { makeChooser } from "./pictures.js";

const CANDIDATES = 5;

/** Make the section. */
export function makeRecognise() {
  const attend = make("input", { type: "checkbox" });
  const canvas = make("canvas", { role: "img" });
  const drawn = make("div", { class: "drawn", hidden: true }, canvas);
  const summary = make("p", { class: "hint", role: "status" });
  const faces = make("div", { class: "found" });
  const outcome = make("div", { class: "stack" }, summary, drawn, faces);
  const chooser = makeChooser({ changed: ([picture]) => { if (picture) during(null, () => recognise(picture)); } });
  const panel = make("div", {}, card("recognise_title", chooser.box, choice("attend", attend), outcome));
  let last = null;
  let took = null;
  let turn = 0;

  async function recognise(picture) {
    const mine = ++turn;
    last = null;
    drawn.hidden = true;
    faces.replaceChildren();
    say(summary, "recognising");
    const started = performance.now();
    let answer;
    try {
      answer = await ask("POST", "v1/recognize", pictureForm(picture, { k: CANDIDATES, attend: attend.checked }));
    } catch (error) {
      if (mine === turn) say(summary, "");
      throw error;
    }
    if (mine !== turn) return; // another picture was chosen meanwhile
    const seconds = Math.round((performance.now() - started) / 10) / 100;
    answer.faces.sort((one, next) => one.bbox[0] - next.bbox[0]); // as they stand in the picture
    took = { count: answer.faces.length, seconds };
    faces.replaceChildren(...answer.faces.map(shownFace));
    last = { picture, answer };
    await draw();
  }

  async function draw() {
    if (!last) return;
    const { picture, answer } = last;
    const called = answer.faces.map((face) => ({ bbox: face.bbox, kind: face.person_id === null ? "doubt" : "good", label: nameOf(face) }));
    const names = called.map(({ label }) => label).join(", ");
    if (names) say(summary, "recognised_in", { ...took, names });
    else say(summary, "no_faces");
    drawn.hidden = false;
    say(canvas, "recognised_picture", { names: names || text("no_faces") }, "aria-label");
    await drawFaces(canvas, picture, answer.image_size, called);
  }

  return { name: "recognise", panel, shown: () => {}, left: chooser.close, changed: () => during(null, draw) };
}

function nameOf(face) {
  if (face.person_id === null) return text("unknown");
  return face.name || String(face.person_id);
}

function shownFace(face) {
  const known = face.person_id !== null;
  const title = make("h3", known ? { plain: nameOf(face) } : { text: "unknown" });
  const values = { similarity: face.similarity, threshold: face.threshold };
  return make(
    "article", { class: `face ${known ? "good" : "doubt"}` },
    make("p", { class: "verdict-line" }, make("span", { class: "mark", "aria-hidden": "true", plain: known ? "✓" : "?" }), title),
    make("p", { text: "similarity", values, class: "hint" }),
    make("h4", { text: "candidates" }),
    make("ol", { class: "candidates" }, ...face.candidates.map((one) => shownCandidate(one, face.threshold))),
  );
}

function shownCandidate(one, threshold) {
  const reaches = one.similarity >= threshold;
  return make(
    "li", { class: reaches ? "reaches" : "" },
    make("span", { class: "cut", plain: one.name || String(one.person_id) }), makeBar(one.similarity, threshold),
    make("span", { class: "figure", text: "similarity_short", values: { similarity: one.similarity } }),
    reaches ? null : make("span", { class: "sr", text: "below" }),
  );
}
