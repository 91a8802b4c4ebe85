// Photos of a person: add, view and delete. If the server stores no originals, an added picture is registered at once.

import { request, personPath, pictureForm } from "./api.js";
import { card, confirmAction, runBusy, make, showMessage, showError } from "./dom.js";
import { setText, text } from "./language.js";
import { clearPeople, nameOf } from "./people.js";
import { makePicker } from "./picker.js";
import { makeChooser } from "./pictures.js";
import { makePhotosHint, hasScope, state } from "./state.js";

/** Make the section; `openTab` opens another one. */
export function makePhotos(openTab) {
  const storesOriginals = state.photos === "original";
  const picker = makePicker(() => runBusy(null, refresh));
  const send = make("button", { type: "button", hidden: true, on: { click: () => runBusy(send, upload) } });
  const build = make("button", { type: "button", class: "quiet", hidden: true, on: { click: () => openTab("build") } });
  const bar = make("progress", { hidden: true, max: 1, value: 0, label: "progress" });
  let chosen = [];
  const chooser = makeChooser({
    several: true,
    onChange: (pictures) => {
      chosen = pictures;
      send.hidden = !chosen.length;
      setText(send, "upload", { count: chosen.length });
    },
  });
  const adding = card("photos_add", chooser.box, make("div", { class: "actions" }, send, build), bar);
  const list = make("div", {});
  const panel = make(
    "div", {},
    make("section", { class: "card" }, picker.box, storesOriginals ? null : originalsHint()),
    hasScope("enrol") ? adding : null,
    card(state.photos === "none" ? "faces_kept" : "photos_kept", list),
  );

  function originalsHint() {
    return makePhotosHint(state.photos === "thumbnail" ? "thumbnails_only" : "originals_off");
  }

  async function upload() {
    const { person } = state;
    if (!person) {
      showMessage("choose_person_first", {}, "bad");
      picker.focus();
      return;
    }
    const pictures = chosen;
    const rejected = [];
    bar.hidden = false;
    bar.max = pictures.length;
    for (const [at, picture] of pictures.entries()) {
      showMessage("uploading", { done: at + 1, count: pictures.length }, "");
      bar.value = at;
      try {
        if (storesOriginals) await request("POST", personPath(person.person_id, "/photos"), pictureForm(picture));
        else await request("POST", personPath(person.person_id, "/faces"), pictureForm(picture, {}, "images"));
      } catch (error) {
        rejected.push({ name: picture.name ?? String(at + 1), error });
      }
    }
    bar.hidden = true;
    chooser.clear();
    clearPeople();
    await refresh();
    report(person, pictures.length, rejected);
  }

  function report(person, count, rejected) {
    const good = count - rejected.length;
    build.hidden = !storesOriginals || !good;
    setText(build, "build_now", { name: nameOf(person) });
    if (count === 1 && rejected.length) showError(rejected[0].error);
    else if (rejected.length) {
      const why = rejected.map(({ name, error }) => {
        const { key, values } = error.text ?? { key: "error_page", values: { message: String(error) } };
        return `${name}: ${text(key, values)}`;
      });
      showMessage("upload_some", { good, count, refused: why.join(" · ") }, "bad");
    } else showMessage(storesOriginals ? "uploaded_build" : "registered", { count, name: nameOf(person) });
  }

  async function refresh() {
    const chosen = state.person;
    build.hidden = true;
    if (!chosen) {
      list.replaceChildren(make("p", { text: "choose_person_first", class: "hint" }));
      return;
    }
    const person = await request("GET", personPath(chosen.person_id));
    const stored = state.photos === "none" ? [] : await request("GET", personPath(chosen.person_id, "/photos"));
    if (state.person !== chosen) return; // another person was chosen in the meantime
    if (state.photos === "none") showFaces(person);
    else showPhotos(person, stored);
  }

  function showPhotos(person, stored) {
    if (!stored.length) {
      list.replaceChildren(make("p", { text: "photos_none", values: { name: nameOf(person) }, class: "hint" }));
      return;
    }
    list.replaceChildren(make("ul", { class: "gallery" }, ...stored.map((photo) => {
      const filename = photo.filename ?? String(photo.photo_id);
      const address = `v1/photos/${photo.photo_id}/image`;
      const remove = make("button", { type: "button", text: "delete", label: "photo_delete", values: { filename }, class: "danger small" });
      remove.addEventListener("click", () => runBusy(remove, async () => {
        if (!(await confirmAction("photo_delete_sure"))) return;
        await request("DELETE", `v1/photos/${photo.photo_id}`);
        await refresh();
        showMessage("photo_deleted");
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
        hasScope("enrol") ? remove : null,
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
      remove.addEventListener("click", () => runBusy(remove, async () => {
        if (!(await confirmAction("face_delete_sure"))) return;
        await request("DELETE", `v1/faces/${face.face_id}`);
        await refresh();
        showMessage("face_deleted");
        panel.focus();
      }));
      return make("li", {}, make("span", { text: "face_number", values }), hasScope("enrol") ? remove : null);
    })));
  }

  return { name: "photos", panel, onShow: () => { picker.refresh(); runBusy(null, refresh); }, onLeave: chooser.close };
}
