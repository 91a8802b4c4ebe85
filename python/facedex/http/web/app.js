// Start the page: read the session, open the sections that the user has scopes for, and react to signing in and out.

import { request } from "./api.js";
import { makeAttendance } from "./attendance.js";
import { makeBuild } from "./build.js";
import { runBusy, make, showMessage, showError } from "./dom.js";
import { listenForLanguage, setText } from "./language.js";
import { clearPeople } from "./people.js";
import { makePhotos } from "./photos.js";
import { makeRecognise } from "./recognise.js";
import { makeSignIn, signOut } from "./session.js";
import { loadSettings, hasScope, state } from "./state.js";
import { makeSystem } from "./system.js";
import { showTabs } from "./tabs.js";
import { makeUsers } from "./users.js";
import { makeVerify } from "./verify.js";

const signOutButton = document.getElementById("sign-out");
const signInButton = document.getElementById("sign-in-open");
const userName = document.getElementById("who");
let sections = [];
let openTab = () => {};

/** The sections, each with the scopes that it needs. */
const SECTIONS = [
  [["read"], () => makeUsers(goTo)],
  [["read"], () => makePhotos(goTo)],
  [["read", "enrol"], makeBuild],
  [["recognise"], makeRecognise],
  [["read", "recognise"], makeVerify],
  [["read"], makeAttendance],
  [["read"], makeSystem],
];

function goTo(name) {
  openTab(name);
}

async function start() {
  state.session = await request("GET", "v1/session");
  const { kind, name } = state.session;
  const account = kind === "account";
  userName.textContent = account ? name.replace(/^account:/, "") : "";
  signOutButton.hidden = !account;
  await loadSettings();
  closeSections();
  sections = SECTIONS.filter(([scopes]) => scopes.every(hasScope)).map(([, build]) => build());
  signInButton.hidden = kind !== "anybody" || !sections.length;
  if (sections.length) openTab = showTabs(sections);
  else showSignIn();
}

function closeSections() {
  for (const section of sections) section.onLeave();
  sections = [];
}

function showSignIn() {
  closeSections();
  clearPeople();
  state.person = null;
  const { panel, focus } = makeSignIn(start);
  const tabs = document.getElementById("tabs");
  tabs.hidden = true;
  tabs.replaceChildren();
  document.getElementById("panels").replaceChildren(panel);
  userName.textContent = "";
  signOutButton.hidden = signInButton.hidden = true;
  focus();
}

signOutButton.addEventListener("click", () => runBusy(signOutButton, async () => {
  await signOut();
  await start();
  showMessage("signed_out", {}, "");
}));
signInButton.addEventListener("click", showSignIn);
window.addEventListener("facedex-signed-out", () => {
  showSignIn();
  showMessage("session_over", {}, "bad");
});
window.addEventListener("unhandledrejection", (event) => showError(event.reason));

listenForLanguage(() => {
  for (const section of sections) section.onLanguageChange?.();
});
start().catch((error) => {
  showError(error);
  const reload = make("button", { type: "button", on: { click: () => location.reload() } });
  setText(reload, "refresh");
  document.getElementById("panels").replaceChildren(reload);
});
