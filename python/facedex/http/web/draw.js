// Boxes and names on the picture, and bars: an unknown face has a broken line, and a verdict its sign, besides their colours.

import { make } from "./dom.js";

const LOOKS = {
  good: { line: "#22c55e", back: "#14532d", dash: [] },
  doubt: { line: "#f59e0b", back: "#78350f", dash: [10, 7] },
  bad: { line: "#ef4444", back: "#7f1d1d", dash: [] },
};
const LETTERS = [11, 15]; // smallest and largest, CSS pixels

/**
 * Draw a picture and its faces.
 * @param {HTMLCanvasElement} canvas
 * @param {Blob} picture
 * @param {{width: number, height: number}|null} size of the upright picture, in whose pixels the boxes are
 * @param {{bbox: number[], label: string, kind: "good"|"doubt"|"bad"}[]} faces
 */
export async function drawFaces(canvas, picture, size, faces) {
  const bitmap = await createImageBitmap(picture, { imageOrientation: "from-image" });
  size ??= { width: bitmap.width, height: bitmap.height };
  const dots = window.devicePixelRatio || 1;
  const shown = Math.min(canvas.parentElement.clientWidth || size.width, Math.max(size.width, 320));
  const scale = (shown * dots) / size.width;
  canvas.width = Math.round(size.width * scale);
  canvas.height = Math.round(size.height * scale);
  const pen = canvas.getContext("2d");
  pen.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  const text = dots * Math.min(LETTERS[1], Math.max(LETTERS[0], shown / 40));
  const taken = [];
  pen.font = `600 ${text}px system-ui, sans-serif`;
  pen.textBaseline = "middle";
  for (const { bbox, label, kind } of faces) {
    const look = LOOKS[kind];
    const [x1, y1, x2, y2] = bbox.map((side) => side * scale);
    pen.lineWidth = 3 * dots;
    pen.strokeStyle = look.line;
    pen.setLineDash(look.dash.map((part) => part * dots));
    pen.strokeRect(x1, y1, x2 - x1, y2 - y1);
    const width = Math.min(pen.measureText(label).width + text, canvas.width);
    const height = 1.6 * text;
    const left = Math.max(0, Math.min(x1 - pen.lineWidth / 2, canvas.width - width));
    const top = freePlace([y1 - height, y2, y1, y2 - height, y1 - 2 * height, y2 + height], left, width, height, canvas.height, taken);
    taken.push([left, top, left + width, top + height]);
    pen.fillStyle = look.back;
    pen.fillRect(left, top, width, height);
    pen.fillStyle = "#fff";
    pen.fillText(label, left + text / 2, top + height / 2, width - text);
  }
}

/** The first place for a label that is within the picture and on no other label; else the first within. */
function freePlace(tops, left, width, height, bottom, taken) {
  const within = tops.filter((top) => top >= 0 && top + height <= bottom);
  const free = within.find((top) => taken.every(([x1, y1, x2, y2]) => (
    left >= x2 || left + width <= x1 || top >= y2 || top + height <= y1
  )));
  return free ?? within[0] ?? 0;
}

/** A bar of a similarity, with a line where the threshold is. What it shows stands beside it in words. */
export function makeBar(similarity, threshold) {
  const share = (value) => `${100 * Math.min(1, Math.max(0, value))}%`;
  const fill = make("span", { class: similarity >= threshold ? "fill good" : "fill" });
  const cut = make("span", { class: "cutoff" });
  fill.style.width = share(similarity);
  cut.style.left = share(threshold);
  return make("span", { class: "scale", "aria-hidden": "true" }, fill, cut);
}
