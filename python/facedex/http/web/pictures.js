// Choose one or several pictures, from files, by drag and drop or with the camera, and show thumbnails of them.

import { makeCamera } from "./camera.js";
import { make } from "./dom.js";

let chooserCount = 0;

/**
 * Make a chooser.
 * @param {object} options
 * @param {boolean} options.several whether pictures are collected; otherwise each replaces the previous one
 * @param {function(Blob[])} options.onChange called with all chosen pictures
 */
export function makeChooser({ several = false, onChange }) {
  let chosen = [];
  const input = make("input", {
    type: "file", accept: "image/*", multiple: several, class: "sr", id: `pictures-${++chooserCount}`,
    on: { change: () => { add([...input.files]); input.value = ""; } },
  });
  const label = make(
    "label", { for: input.id, class: "button quiet" },
    make("span", { text: several ? "choose_files" : "choose_file" }),
  );
  const open = make("button", { type: "button", text: "camera_open", class: "quiet", on: { click: () => camera.open() } });
  const camera = makeCamera((blob) => add([blob]), () => { open.hidden = camera.isOpen(); });
  const thumbnails = make("ul", { class: "thumbs" });
  const box = make(
    "div", { class: "chooser" },
    make("div", { class: "actions" }, input, label, open, make("span", { text: "or_drop", class: "hint wide" })),
    camera.box, thumbnails,
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
    onChange(chosen);
  }

  function show() {
    thumbnails.querySelectorAll("img").forEach((image) => URL.revokeObjectURL(image.src));
    if (!several) return;
    thumbnails.replaceChildren(...chosen.map((picture, at) => {
      const name = picture.name ?? `${at + 1}`;
      return make(
        "li", {},
        make("img", { src: URL.createObjectURL(picture), alt: name }),
        make("button", {
          type: "button", class: "corner", plain: "×", label: "remove", values: { name },
          on: { click: () => removePicture(picture, at) },
        }),
      );
    }));
  }

  /** Remove a picture; the focus moves to the button of the next one. */
  function removePicture(picture, at) {
    chosen = chosen.filter((one) => one !== picture);
    show();
    onChange(chosen);
    (thumbnails.querySelectorAll("button")[Math.min(at, chosen.length - 1)] ?? input).focus();
  }

  function clear() {
    chosen = [];
    show();
    onChange(chosen);
  }

  return { box, clear, close: camera.close };
}
