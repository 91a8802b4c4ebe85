// Choosing pictures: from files, by dropping them, or with the camera; one or several, shown small before they are sent.

import { makeCamera } from "./camera.js";
import { make } from "./dom.js";

let made = 0;

/**
 * Make a chooser.
 * @param {object} how
 * @param {boolean} how.several whether pictures are collected; otherwise each takes the place of the one before
 * @param {function(Blob[])} how.changed given all pictures that are chosen
 */
export function makeChooser({ several = false, changed }) {
  let chosen = [];
  const input = make("input", {
    type: "file", accept: "image/*", multiple: several, class: "sr", id: `pictures-${++made}`,
    on: { change: () => { add([...input.files]); input.value = ""; } },
  });
  const label = make(
    "label", { for: input.id, class: "button quiet" },
    make("span", { text: several ? "choose_files" : "choose_file" }),
  );
  const open = make("button", { type: "button", text: "camera_open", class: "quiet", on: { click: () => camera.open() } });
  const camera = makeCamera((blob) => add([blob]), () => { open.hidden = camera.isOpen(); });
  const small = make("ul", { class: "thumbs" });
  const box = make(
    "div", { class: "chooser" },
    make("div", { class: "actions" }, input, label, open, make("span", { text: "or_drop", class: "hint wide" })),
    camera.box, small,
  );
  box.addEventListener("dragover", (event) => { event.preventDefault(); box.classList.add("over"); });
  box.addEventListener("dragleave", () => box.classList.remove("over"));
  box.addEventListener("drop", (event) => {
    event.preventDefault();
    box.classList.remove("over");
    add([...event.dataTransfer.files]);
  });

  function add(pictures) {
    if (!pictures.length) return;
    chosen = several ? [...chosen, ...pictures] : pictures.slice(0, 1);
    if (!several) camera.close();
    show();
    changed(chosen);
  }

  function show() {
    small.querySelectorAll("img").forEach((image) => URL.revokeObjectURL(image.src));
    if (!several) return;
    small.replaceChildren(...chosen.map((picture, at) => {
      const name = picture.name ?? `${at + 1}`;
      return make(
        "li", {},
        make("img", { src: URL.createObjectURL(picture), alt: name }),
        make("button", {
          type: "button", class: "corner", plain: "×", label: "remove", values: { name },
          on: { click: () => drop(picture, at) },
        }),
      );
    }));
  }

  /** Take one out; the focus goes to the next one's button. */
  function drop(picture, at) {
    chosen = chosen.filter((one) => one !== picture);
    show();
    changed(chosen);
    (small.querySelectorAll("button")[Math.min(at, chosen.length - 1)] ?? input).focus();
  }

  function clear() {
    chosen = [];
    show();
    changed(chosen);
  }

  return { box, clear, close: camera.close };
}
