// Build: templates made anew from the kept photos, of one person or of everybody, with progress and the time it took.

import { ask, personPath, watched } from "./api.js";
import { card, during, make, tell } from "./dom.js";
import { say } from "./language.js";
import { forgetPeople, nameOf } from "./people.js";
import { makePicker } from "./picker.js";
import { howToKeep, may, state } from "./state.js";

/** Make the section. */
export function makeBuild() {
  const picker = makePicker(() => {});
  const one = make("button", { type: "button", text: "build_one_go", on: { click: () => during(one, buildOne) } });
  const all = make("button", { type: "button", text: "build_all_go", on: { click: () => during(all, () => buildAll()) } });
  const stop = make("button", { type: "button", text: "cancel", class: "quiet", hidden: true });
  const first = makeProgress();
  const second = makeProgress();
  const everyone = may("admin")
    ? [make("div", { class: "actions" }, all, stop), second.box]
    : [make("p", { text: "build_all_admin", class: "note" })];
  const panel = state.photos === "original"
    ? make(
      "div", {},
      card("build_one", make("p", { text: "build_one_hint", class: "hint" }), picker.box, make("div", { class: "actions" }, one), first.box),
      card("build_all", make("p", { text: "build_all_hint", class: "hint" }), ...everyone),
    )
    : make("div", {}, make("section", { class: "card" }, howToKeep("build_none")));

  async function buildOne() {
    const { person } = state;
    if (!person) {
      tell("choose_person_first", {}, "bad");
      picker.focus();
      return;
    }
    const name = nameOf(person);
    first.begin();
    try {
      const built = await ask("POST", personPath(person.person_id, "/build"));
      forgetPeople();
      const values = { faces: built.faces.length, name, seconds: first.end() };
      first.tell("built_one", values, "good");
      if (built.rejected.length) first.also("built_refused", { count: built.rejected.length });
    } catch (error) {
      first.end();
      first.failed(error);
    }
  }

  /** Build everybody; or watch on what was begun before the page was opened, or on another one. */
  async function buildAll(begun = null) {
    second.begin("build_waiting", begun ? Date.now() - Date.parse(begun.created_at) : 0);
    try {
      const job = begun ?? await ask("POST", "v1/index/build");
      stop.hidden = false;
      stop.onclick = () => during(stop, () => ask("DELETE", `v1/jobs/${encodeURIComponent(job.id)}`));
      const ended = await watched(job, second.show);
      tellEnd(ended, second.end());
    } catch (error) {
      second.end();
      second.failed(error);
    } finally {
      if (document.activeElement === stop) all.focus();
      stop.hidden = true;
      forgetPeople();
    }
  }

  async function takeUp() {
    if (!may("admin") || state.photos !== "original" || all.getAttribute("aria-disabled") === "true") return;
    const job = (await ask("GET", "v1/jobs")).find(({ kind, gallery, state: how }) => (
      kind === "build" && gallery === state.gallery && (how === "queued" || how === "running")
    ));
    if (job) during(all, () => buildAll(job));
  }

  function tellEnd(job, seconds) {
    const { state: how, answer } = job;
    if (how === "done") {
      second.tell("built_all", { faces: answer.faces, people: answer.people, seconds }, "good");
      if (answer.left.length) second.also("built_left", { names: answer.left.join(", ") });
    } else if (how === "cancelled") second.tell("build_cancelled", { seconds }, "");
    else if (how === "lost") second.tell("build_lost", {}, "bad");
    else second.tell("build_failed", { message: answer.message ?? how }, "bad");
  }

  return { name: "build", panel, shown: () => { picker.refresh(); during(null, takeUp); }, left: () => {} };
}

/** A progress bar with a clock beside it and the outcome below. */
function makeProgress() {
  const bar = make("progress", { label: "progress" });
  const words = make("span", { class: "hint" });
  const clock = make("span", { class: "hint clock" });
  const result = make("p", { class: "note", hidden: true });
  const more = make("p", { class: "hint" });
  const running = make("div", { class: "running", hidden: true }, bar, words, clock);
  const box = make("div", {}, running, make("div", { "aria-live": "polite" }, result, more));
  let started = 0;
  let ticking = 0;

  const seconds = () => Math.round((performance.now() - started) / 10) / 100;

  function begin(key = "", before = 0) {
    started = performance.now() - Math.max(0, before);
    bar.removeAttribute("value");
    result.hidden = true;
    say(more, "");
    say(words, key);
    running.hidden = false;
    const tick = () => say(clock, "build_took", { seconds: Math.floor(seconds()) });
    clearInterval(ticking);
    ticking = setInterval(tick, 500);
    tick();
  }

  function end() {
    clearInterval(ticking);
    running.hidden = true;
    return seconds();
  }

  function show(job) {
    if (!job.total) return;
    bar.max = job.total;
    bar.value = job.done;
    say(words, "build_running", { done: job.done, total: job.total });
  }

  function told(key, values, kind) {
    result.hidden = false;
    result.className = `note ${kind}`;
    say(result, key, values);
  }

  function failed(error) {
    const { key, values } = error.told ?? { key: "error_page", values: { message: String(error) } };
    told(key, values, "bad");
  }

  return { box, begin, end, show, tell: told, failed, also: (key, values) => say(more, key, values) };
}
