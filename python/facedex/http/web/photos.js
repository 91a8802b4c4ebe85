// Photos of a person: add several at once, look at them, delete. Where the server keeps none, adding registers at once.

import { ask, personPath, pictureForm } from "./api.js";
import { card, confirmed, during, make, tell, tellError } from "./dom.js";
import { say, text } from "./language.js";
import { forgetPeople, nameOf } from "./people.js";
import { makePicker } from "./picker.js";
import { makeChooser } from "./pictures.js";
import { howToKeep, may, state } from "./state.js";

/** Make the section; `go` leads to another one. */
export function makePhotos(go) {
  const keeps = state.photos === "original";
  const picker = makePicker(() => during(null, show));
  const send = make("button", { type: "button", hidden: true, on: { click: () => during(send, upload) } });
  const build = make("button", { type: "button", class: "quiet", hidden: true, on: { click: () => go("build") } });
  const bar = make("progress", { hidden: true, max: 1, value: 0, label: "progress" });
  let chosen = [];
  const chooser = makeChooser({
    several: true,
    changed: (pictures) => {
      chosen = pictures;
      send.hidden = !chosen.length;
      say(send, "upload", { count: chosen.length });
    },
  });
  const adding = card("photos_add", chooser.box, make("div", { class: "actions" }, send, build), bar);
  const list = make("div", {});
  const panel = make(
    "div", {},
    make("section", { class: "card" }, picker.box, keeps ? null : hint()),
    may("enrol") ? adding : null,
    card(state.photos === "none" ? "faces_kept" : "photos_kept", list),
  );

  function hint() {
    return howToKeep(state.photos === "thumbnail" ? "thumbnails_only" : "originals_off");
  }

  async function upload() {
    const { person } = state;
    if (!person) {
      tell("choose_person_first", {}, "bad");
      picker.focus();
      return;
    }
    const pictures = chosen;
    const refused = [];
    bar.hidden = false;
    bar.max = pictures.length;
    for (const [at, picture] of pictures.entries()) {
      tell("uploading", { done: at + 1, count: pictures.length }, "");
      bar.value = at;
      try {
        if (keeps) await ask("POST", personPath(person.person_id, "/photos"), pictureForm(picture));
        else await ask("POST", personPath(person.person_id, "/faces"), pictureForm(picture, {}, "images"));
      } catch (error) {
        refused.push({ name: picture.name ?? String(at + 1), error });
      }
    }
    bar.hidden = true;
    chooser.clear();
    forgetPeople();
    await show();
    told(person, pictures.length, refused);
  }

  function told(person, count, refused) {
    const good = count - refused.length;
    build.hidden = !keeps || !good;
    say(build, "build_now", { name: nameOf(person) });
    if (count === 1 && refused.length) tellError(refused[0].error);
    else if (refused.length) {
      const why = refused.map(({ name, error }) => {
        const { key, values } = error.told ?? { key: "error_page", values: { message: String(error) } };
        return `${name}: ${text(key, values)}`;
      });
      tell("upload_some", { good, count, refused: why.join(" · ") }, "bad");
    } else tell(keeps ? "uploaded_build" : "registered", { count, name: nameOf(person) });
  }

  async function show() {
    const chosen = state.person;
    build.hidden = true;
    if (!chosen) {
      list.replaceChildren(make("p", { text: "choose_person_first", class: "hint" }));
      return;
    }
    const person = await ask("GET", personPath(chosen.person_id));
    const kept = state.photos === "none" ? [] : await ask("GET", personPath(chosen.person_id, "/photos"));
    if (state.person !== chosen) return; // another was chosen meanwhile
    if (state.photos === "none") showFaces(person);
    else showPhotos(person, kept);
  }

  function showPhotos(person, kept) {
    if (!kept.length) {
      list.replaceChildren(make("p", { text: "photos_none", values: { name: nameOf(person) }, class: "hint" }));
      return;
    }
    list.replaceChildren(make("ul", { class: "gallery" }, ...kept.map((photo) => {
      const filename = photo.filename ?? String(photo.photo_id);
      const address = `v1/photos/${photo.photo_id}/image`;
      const remove = make("button", { type: "button", text: "delete", label: "photo_delete", values: { filename }, class: "danger small" });
      remove.addEventListener("click", () => during(remove, async () => {
        if (!(await confirmed("photo_delete_sure"))) return;
        await ask("DELETE", `v1/photos/${photo.photo_id}`);
        await show();
        tell("photo_deleted");
        panel.focus();
      }));
      const picture = make("img", { src: address, loading: "lazy", alt: "" });
      return make(
        "li", {},
        make("a", { href: address, target: "_blank", rel: "noopener", label: "photo_view", values: { filename } }, picture),
        make("p", photo.filename
          ? { plain: filename, class: "cut", title: filename }
          : { text: "photo_number", values: { id: filename }, class: "cut" }),
        make("p", photo.faces.length
          ? { text: "photo_faces", values: { count: photo.faces.length }, class: "hint" }
          : { text: "photo_no_face", class: "hint" }),
        may("enrol") ? remove : null,
      );
    })));
  }

  function showFaces(person) {
    if (!person.faces.length) {
      list.replaceChildren(make("p", { text: "faces_none", values: { name: nameOf(person) }, class: "hint" }));
      return;
    }
    list.replaceChildren(make("ul", { class: "rows" }, ...person.faces.map((face) => {
      const values = { id: String(face.face_id) };
      const remove = make("button", { type: "button", text: "delete", label: "face_delete", values, class: "danger small" });
      remove.addEventListener("click", () => during(remove, async () => {
        if (!(await confirmed("face_delete_sure"))) return;
        await ask("DELETE", `v1/faces/${face.face_id}`);
        await show();
        tell("face_deleted");
        panel.focus();
      }));
      return make("li", {}, make("span", { text: "face_number", values }), may("enrol") ? remove : null);
    })));
  }

  return { name: "photos", panel, shown: () => { picker.refresh(); during(null, show); }, left: chooser.close };
}
