// The attendance of a day, today first, in the reader's time zone.

import { request, ApiError } from "./api.js";
import { card, runBusy, field, make } from "./dom.js";
import { locale, text } from "./language.js";

/** Make the section. */
export function makeAttendance() {
  const day = make("input", { type: "date", required: true, on: { change: () => { chosen = day.value !== today(); runBusy(null, refresh); } } });
  const csv = make("a", { class: "button quiet", text: "csv", download: "" });
  const json = make("a", { class: "button quiet", text: "json", download: "" });
  const reload = make("button", { type: "button", text: "refresh", class: "quiet", on: { click: () => runBusy(reload, refresh) } });
  const list = make("div", { "aria-live": "polite" });
  const panel = make("div", {}, card(
    "attendance_title", make("div", { class: "fields" }, field("day", day), make("div", { class: "actions" }, reload, csv, json)), list,
  ));
  let chosen = false;

  async function refresh() {
    if (!chosen) day.value = today(); // a page that stays open after midnight shows the new day
    if (!day.value) return;
    const start = new Date(`${day.value}T00:00`);
    if (Number.isNaN(start.getTime())) throw new ApiError(0, "day", day.value);
    const end = new Date(start);
    end.setDate(end.getDate() + 1); // 23 or 25 hours later when clocks change
    const span = `start=${encodeURIComponent(start.toISOString())}&end=${encodeURIComponent(end.toISOString())}`;
    csv.href = `v1/attendance?${span}&format=csv`;
    csv.download = `attendance-${day.value}.csv`;
    json.href = `v1/attendance?${span}`;
    json.download = `attendance-${day.value}.json`;
    showAttempts(await request("GET", `v1/attendance?${span}`));
  }

  function showAttempts(attempts) {
    if (!attempts.length) {
      list.replaceChildren(make("p", { text: "attendance_none", class: "hint" }));
      return;
    }
    const keys = ["time", "decision", "recognised", "claimed", "similarity_title", "probability", "liveness", "through"];
    const table = make(
      "table", { class: "stacked" },
      make("thead", {}, make("tr", {}, ...keys.map((key) => make("th", { scope: "col", text: key })))),
      make("tbody", {}, ...attempts.toReversed().map(row)),
    );
    list.replaceChildren(make("p", { text: "attendance_count", values: { count: attempts.length }, class: "hint" }), table);
  }

  return { name: "attendance", panel, onShow: () => runBusy(null, refresh), onLeave: () => {}, onLanguageChange: () => runBusy(null, refresh) };
}

function row(attempt) {
  const time = new Intl.DateTimeFormat(locale(), { timeStyle: "medium" }).format(new Date(attempt.at));
  const mark = make(
    "span", { class: attempt.matched ? "pill good" : "pill bad" },
    make("span", { "aria-hidden": "true", plain: attempt.matched ? "✓ " : "✗ " }),
    make("span", { text: attempt.matched ? "match" : "mismatch" }),
  );
  const person = attempt.person_id === null ? text("unknown") : attempt.name || attempt.person_id;
  return make(
    "tr", {},
    make("th", { scope: "row", plain: time }),
    cell("decision", mark), cell("recognised", person), cell("claimed", attempt.claimed ?? "–"),
    cell("similarity_title", formatFigure(attempt.similarity)), cell("probability", formatFigure(attempt.probability)),
    cell("liveness", formatFigure(attempt.liveness)), cell("through", attempt.contract),
  );
}

function cell(key, value) {
  return make("td", {}, make("span", { class: "column", text: key }), value instanceof Node ? value : make("span", { plain: value }));
}

function formatFigure(value) {
  if (value === null) return "–";
  return new Intl.NumberFormat(locale(), { minimumFractionDigits: 2, maximumFractionDigits: 3 }).format(value);
}

/** Return today's local date in the format of a date field. */
function today() {
  const date = new Date();
  const two = (number) => String(number).padStart(2, "0");
  return `${String(date.getFullYear()).padStart(4, "0")}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
}
