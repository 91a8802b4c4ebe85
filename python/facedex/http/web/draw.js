// Draw boxes and names on a picture, and similarity bars. Colour is never the only cue: unknown faces have dashed lines.

import { make } from "./dom.js";

const STYLES = {
  good: { line: "#22c55e", back: "#14532d", dash: [] },
  doubt: { line: "#f59e0b", back: "#78350f", dash: [10, 7] },
  bad: { line: "#ef4444", back: "#7f1d1d", dash: [] },
};
const FONT_SIZES = [11, 15]; // smallest and largest, CSS pixels

/**
 * Draw a picture and its faces.
 * @param {HTMLCanvasElement} canvas
 * @param {Blob} picture
 * @param {{width: number, height: number}|null} size of the upright picture; the boxes are in its pixels
 * @param {{bbox: number[], label: string, kind: "good"|"doubt"|"bad"}[]} faces
 */
export async function drawFaces(canvas, picture, size, faces) {
  const bitmap = await createImageBitmap(picture, { imageOrientation: "from-image" });
  size ??= { width: bitmap.width, height: bitmap.height };
  const pixelRatio = window.devicePixelRatio || 1;
  const shownWidth = Math.min(canvas.parentElement.clientWidth || size.width, Math.max(size.width, 320));
  const scale = (shownWidth * pixelRatio) / size.width;
  canvas.width = Math.round(size.width * scale);
  canvas.height = Math.round(size.height * scale);
  const context = canvas.getContext("2d");
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  const fontSize = pixelRatio * Math.min(FONT_SIZES[1], Math.max(FONT_SIZES[0], shownWidth / 40));
  const occupied = [];
  context.font = `600 ${fontSize}px system-ui, sans-serif`;
  context.textBaseline = "middle";
  for (const { bbox, label, kind } of faces) {
    const style = STYLES[kind];
    const [x1, y1, x2, y2] = bbox.map((side) => side * scale);
    context.lineWidth = 3 * pixelRatio;
    context.strokeStyle = style.line;
    context.setLineDash(style.dash.map((part) => part * pixelRatio));
    context.strokeRect(x1, y1, x2 - x1, y2 - y1);
    const width = Math.min(context.measureText(label).width + fontSize, canvas.width);
    const height = 1.6 * fontSize;
    const left = Math.max(0, Math.min(x1 - context.lineWidth / 2, canvas.width - width));
    const top = freeTop([y1 - height, y2, y1, y2 - height, y1 - 2 * height, y2 + height], left, width, height, canvas.height, occupied);
    occupied.push([left, top, left + width, top + height]);
    context.fillStyle = style.back;
    context.fillRect(left, top, width, height);
    context.fillStyle = "#fff";
    context.fillText(label, left + fontSize / 2, top + height / 2, width - fontSize);
  }
}

/** Return the first top that keeps the label inside the picture and off other labels; else the first inside the picture. */
function freeTop(tops, left, width, height, bottom, occupied) {
  const within = tops.filter((top) => top >= 0 && top + height <= bottom);
  const free = within.find((top) => occupied.every(([x1, y1, x2, y2]) => (
    left >= x2 || left + width <= x1 || top >= y2 || top + height <= y1
  )));
  return free ?? within[0] ?? 0;
}

/** Make a bar of a similarity, with a line at the threshold. The caller shows the same in words. */
export function makeBar(similarity, threshold) {
  const share = (value) => `${100 * Math.min(1, Math.max(0, value))}%`;
  const fill = make("span", { class: similarity >= threshold ? "fill good" : "fill" });
  const cut = make("span", { class: "cutoff" });
  fill.style.width = share(similarity);
  cut.style.left = share(threshold);
  return make("span", { class: "scale", "aria-hidden": "true" }, fill, cut);
}
