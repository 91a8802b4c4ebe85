// Signing in: a form, a cookie that no script sees, and signing out.

import { ask } from "./api.js";
import { card, during, field, make, tell } from "./dom.js";

/** Make the form; `done` is called after signing in. */
export function makeSignIn(done) {
  const login = make("input", { name: "login", required: true, maxlength: 255, autocomplete: "username", autocapitalize: "none" });
  const password = make("input", { name: "password", type: "password", required: true, maxlength: 1024, autocomplete: "current-password" });
  const send = make("button", { type: "submit", text: "sign_in" });
  const form = make(
    "form", { class: "fields narrow" },
    field("login", login), field("password", password), make("div", { class: "actions" }, send),
    make("p", { text: "sign_in_hint", class: "hint" }),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    during(send, async () => {
      try {
        await ask("POST", "v1/session", { login: login.value.trim(), password: password.value, cookie: true });
      } finally {
        password.value = "";
      }
      await done();
    });
  });
  return { panel: card("sign_in_title", form), focus: () => login.focus() };
}

/** Sign out; the cookie is of no use from then on. */
export async function signOut() {
  await ask("DELETE", "v1/session");
  tell("signed_out", {}, "");
}
