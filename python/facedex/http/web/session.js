// Sign in with a form, and sign out. The session is an HttpOnly cookie, which scripts cannot read.

import { request } from "./api.js";
import { makeFaceSignIn } from "./challenge.js";
import { card, runBusy, field, make, showMessage } from "./dom.js";
import { state } from "./state.js";

/** Make the form; `onSignIn` is called after signing in. */
export function makeSignIn(onSignIn) {
  const login = make("input", { name: "login", required: true, maxlength: 255, autocomplete: "username", autocapitalize: "none" });
  const password = make("input", { name: "password", type: "password", required: true, maxlength: 1024, autocomplete: "current-password" });
  const send = make("button", { type: "submit", text: "sign_in" });
  const face = state.session?.face_sign_in ? makeFaceSignIn(login, onSignIn) : null;
  const form = make(
    "form", { class: "fields narrow" },
    field("login", login), field("password", password), make("div", { class: "actions" }, send, face?.button),
    make("p", { text: "sign_in_hint", class: "hint" }),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    runBusy(send, async () => {
      try {
        await request("POST", "v1/session", { login: login.value.trim(), password: password.value, cookie: true });
      } finally {
        password.value = "";
      }
      await onSignIn();
    });
  });
  return { panel: card("sign_in_title", form, face?.box), focus: () => login.focus() };
}

/** Sign out; the server ends the session, so that its cookie is invalid. */
export async function signOut() {
  await request("DELETE", "v1/session");
  showMessage("signed_out", {}, "");
}
