// The page: who is signed in, which sections that person may use, and the language.

import { ask } from "./api.js";
import { makeAttendance } from "./attendance.js";
import { makeBuild } from "./build.js";
import { during, make, tell, tellError } from "./dom.js";
import { listenForLanguage, say } from "./language.js";
import { forgetPeople } from "./people.js";
import { makePhotos } from "./photos.js";
import { makeRecognise } from "./recognise.js";
import { makeSignIn, signOut } from "./session.js";
import { learn, may, state } from "./state.js";
import { makeSystem } from "./system.js";
import { showTabs } from "./tabs.js";
import { makeUsers } from "./users.js";
import { makeVerify } from "./verify.js";

const out = document.getElementById("sign-out");
const enter = document.getElementById("sign-in-open");
const who = document.getElementById("who");
let parts = [];
let go = () => {};

/** The sections, each with what one must be allowed to do for it. */
const SECTIONS = [
  [["read"], () => makeUsers(lead)],
  [["read"], () => makePhotos(lead)],
  [["read", "enrol"], makeBuild],
  [["recognise"], makeRecognise],
  [["read", "recognise"], makeVerify],
  [["read"], makeAttendance],
  [["read"], makeSystem],
];

function lead(name) {
  go(name);
}

async function start() {
  state.session = await ask("GET", "v1/session");
  const { kind, name } = state.session;
  const account = kind === "account";
  who.textContent = account ? name.replace(/^account:/, "") : "";
  out.hidden = !account;
  await learn();
  leave();
  parts = SECTIONS.filter(([needed]) => needed.every(may)).map(([, build]) => build());
  enter.hidden = kind !== "anybody" || !parts.length;
  if (parts.length) go = showTabs(parts);
  else showSignIn();
}

function leave() {
  for (const part of parts) part.left();
  parts = [];
}

function showSignIn() {
  leave();
  forgetPeople();
  state.person = null;
  const { panel, focus } = makeSignIn(start);
  const tabs = document.getElementById("tabs");
  tabs.hidden = true;
  tabs.replaceChildren();
  document.getElementById("panels").replaceChildren(panel);
  who.textContent = "";
  out.hidden = enter.hidden = true;
  focus();
}

out.addEventListener("click", () => during(out, async () => {
  await signOut();
  await start();
  tell("signed_out", {}, "");
}));
enter.addEventListener("click", showSignIn);
window.addEventListener("facedex-signed-out", () => {
  showSignIn();
  tell("session_over", {}, "bad");
});
window.addEventListener("unhandledrejection", (event) => tellError(event.reason));

listenForLanguage(() => {
  for (const part of parts) part.changed?.();
});
start().catch((error) => {
  tellError(error);
  const again = make("button", { type: "button", on: { click: () => location.reload() } });
  say(again, "refresh");
  document.getElementById("panels").replaceChildren(again);
});
