// Recognise the faces of a picture: draw boxes and names on it, and list each face's candidates, closest first.

import { request, pictureForm } from "./api.js";
import { card, choice, runBusy, make } from "./dom.js";
import { drawFaces, makeBar } from "./draw.js";
import { setText, text } from "./language.js";
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
  const chooser = makeChooser({ onChange: ([picture]) => { if (picture) runBusy(null, () => recognise(picture)); } });
  const panel = make("div", {}, card("recognise_title", chooser.box, choice("attend", attend), outcome));
  let last = null;
  let timing = null;
  let turn = 0;

  async function recognise(picture) {
    const current = ++turn;
    last = null;
    drawn.hidden = true;
    faces.replaceChildren();
    setText(summary, "recognising");
    const started = performance.now();
    let result;
    try {
      result = await request("POST", "v1/recognize", pictureForm(picture, { k: CANDIDATES, attend: attend.checked }));
    } catch (error) {
      if (current === turn) setText(summary, "");
      throw error;
    }
    if (current !== turn) return; // another picture was chosen in the meantime
    const seconds = Math.round((performance.now() - started) / 10) / 100;
    result.faces.sort((one, next) => one.bbox[0] - next.bbox[0]); // from left to right
    timing = { count: result.faces.length, seconds };
    faces.replaceChildren(...result.faces.map(makeFace));
    last = { picture, result };
    await draw();
  }

  async function draw() {
    if (!last) return;
    const { picture, result } = last;
    const labelled = result.faces.map((face) => ({ bbox: face.bbox, kind: face.person_id === null ? "doubt" : "good", label: nameOf(face) }));
    const names = labelled.map(({ label }) => label).join(", ");
    if (names) setText(summary, "recognised_in", { ...timing, names });
    else setText(summary, "no_faces");
    drawn.hidden = false;
    setText(canvas, "recognised_picture", { names: names || text("no_faces") }, "aria-label");
    await drawFaces(canvas, picture, result.image_size, labelled);
  }

  return { name: "recognise", panel, onShow: () => {}, onLeave: chooser.close, onLanguageChange: () => runBusy(null, draw) };
}

function nameOf(face) {
  if (face.person_id === null) return text("unknown");
  return face.name || String(face.person_id);
}

function makeFace(face) {
  const known = face.person_id !== null;
  const title = make("h3", known ? { plain: nameOf(face) } : { text: "unknown" });
  const values = { similarity: face.similarity, threshold: face.threshold };
  return make(
    "article", { class: `face ${known ? "good" : "doubt"}` },
    make("p", { class: "verdict-line" }, make("span", { class: "mark", "aria-hidden": "true", plain: known ? "✓" : "?" }), title),
    ...(face.candidates.length ? [
      make("p", { text: "similarity", values, class: "hint" }),
      make("h4", { text: "candidates" }),
      make("ol", { class: "candidates" }, ...face.candidates.map((one) => makeCandidate(one, face.threshold))),
    ] : [make("p", { text: "nobody_registered", class: "hint" })]),
  );
}

function makeCandidate(one, threshold) {
  const reaches = one.similarity >= threshold;
  return make(
    "li", { class: reaches ? "reaches" : "" },
    make("span", { class: "cut", plain: one.name || String(one.person_id) }), makeBar(one.similarity, threshold),
    make("span", { class: "figure", text: "similarity_short", values: { similarity: one.similarity } }),
    reaches ? null : make("span", { class: "sr", text: "below" }),
  );
}
