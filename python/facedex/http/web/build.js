// Rebuild templates from the stored photos, of one person or of everybody, and show the progress and the time taken.

import { request, personPath, watchJob } from "./api.js";
import { card, runBusy, make, showMessage } from "./dom.js";
import { setText } from "./language.js";
import { clearPeople, nameOf } from "./people.js";
import { makePicker } from "./picker.js";
import { makePhotosHint, hasScope, state } from "./state.js";

/** Make the section. */
export function makeBuild() {
  const picker = makePicker(() => {});
  const oneButton = make("button", { type: "button", text: "build_one_go", on: { click: () => runBusy(oneButton, buildOne) } });
  const allButton = make("button", { type: "button", text: "build_all_go", on: { click: () => runBusy(allButton, () => buildAll()) } });
  const stop = make("button", { type: "button", text: "cancel", class: "quiet", hidden: true });
  const oneProgress = makeProgress();
  const allProgress = makeProgress();
  const everyone = hasScope("admin")
    ? [make("div", { class: "actions" }, allButton, stop), allProgress.box]
    : [make("p", { text: "build_all_admin", class: "note" })];
  const panel = state.photos === "original"
    ? make(
      "div", {},
      card("build_one", make("p", { text: "build_one_hint", class: "hint" }), picker.box, make("div", { class: "actions" }, oneButton), oneProgress.box),
      card("build_all", make("p", { text: "build_all_hint", class: "hint" }), ...everyone),
    )
    : make("div", {}, make("section", { class: "card" }, makePhotosHint("build_none")));

  async function buildOne() {
    const { person } = state;
    if (!person) {
      showMessage("choose_person_first", {}, "bad");
      picker.focus();
      return;
    }
    const name = nameOf(person);
    oneProgress.begin();
    try {
      const built = await request("POST", personPath(person.person_id, "/build"));
      clearPeople();
      const values = { faces: built.faces.length, name, seconds: oneProgress.end() };
      oneProgress.report("built_one", values, "good");
      if (built.rejected.length) oneProgress.addNote("built_refused", { count: built.rejected.length });
    } catch (error) {
      oneProgress.end();
      oneProgress.reportError(error);
    }
  }

  /** Build everybody, or follow a build that is already running. */
  async function buildAll(runningJob = null) {
    allProgress.begin("build_waiting", runningJob ? Date.now() - Date.parse(runningJob.created_at) : 0);
    try {
      const job = runningJob ?? await request("POST", "v1/index/build");
      stop.hidden = false;
      stop.onclick = () => runBusy(stop, () => request("DELETE", `v1/jobs/${encodeURIComponent(job.id)}`));
      const finished = await watchJob(job, allProgress.show);
      reportEnd(finished, allProgress.end());
    } catch (error) {
      allProgress.end();
      allProgress.reportError(error);
    } finally {
      if (document.activeElement === stop) allButton.focus();
      stop.hidden = true;
      clearPeople();
    }
  }

  async function resume() {
    if (!hasScope("admin") || state.photos !== "original" || allButton.getAttribute("aria-disabled") === "true") return;
    const job = (await request("GET", "v1/jobs")).find(({ kind, gallery, state: jobState }) => (
      kind === "build" && gallery === state.gallery && (jobState === "queued" || jobState === "running")
    ));
    if (job) runBusy(allButton, () => buildAll(job));
  }

  function reportEnd(job, seconds) {
    const { state: jobState, answer } = job;
    if (jobState === "done") {
      allProgress.report("built_all", { faces: answer.faces, people: answer.people, seconds }, "good");
      if (answer.left.length) allProgress.addNote("built_left", { names: answer.left.join(", ") });
    } else if (jobState === "cancelled") allProgress.report("build_cancelled", { seconds }, "");
    else if (jobState === "lost") allProgress.report("build_lost", {}, "bad");
    else allProgress.report("build_failed", { message: answer.message ?? jobState }, "bad");
  }

  return { name: "build", panel, onShow: () => { picker.refresh(); runBusy(null, resume); }, onLeave: () => {} };
}

/** Make a progress bar with a clock beside it and the result below. */
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
    setText(more, "");
    setText(words, key);
    running.hidden = false;
    const tick = () => setText(clock, "build_took", { seconds: Math.floor(seconds()) });
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
    setText(words, "build_running", { done: job.done, total: job.total });
  }

  function report(key, values, kind) {
    result.hidden = false;
    result.className = `note ${kind}`;
    setText(result, key, values);
  }

  function reportError(error) {
    const { key, values } = error.text ?? { key: "error_page", values: { message: String(error) } };
    report(key, values, "bad");
  }

  return { box, begin, end, show, report, reportError, addNote: (key, values) => setText(more, key, values) };
}
