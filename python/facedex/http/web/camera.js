// The camera: a live picture with a frame for the face, a countdown, the picture taken, and once more.

import { make, tell } from "./dom.js";
import { say } from "./language.js";

const COUNT_FROM = 3;
const QUALITY = 0.92; // of the JPEG that is sent

/** What the browser says → the key of the text that tells it. */
function reason(error) {
  if (error.name === "NotAllowedError" || error.name === "SecurityError") return "camera_denied";
  return "camera_none";
}

/**
 * Make a camera that is closed.
 * @param {function(Blob)} taken given the picture when it is to be used
 * @param {function()} changed called when the camera opens or closes
 */
export function makeCamera(taken, changed) {
  const video = make("video", { autoplay: true, playsinline: true, muted: true, label: "camera_video" });
  const still = make("img", { class: "still", hidden: true, alt: "" });
  const count = make("p", { class: "count", "aria-hidden": "true", hidden: true });
  const heard = make("p", { class: "sr", role: "status" });
  const guide = make("div", { class: "guide", "aria-hidden": "true" });
  const hint = make("p", { text: "camera_frame", class: "hint" });
  const take = make("button", { type: "button", text: "camera_take", on: { click: countDown } });
  const use = make("button", { type: "button", text: "camera_use", hidden: true, on: { click: accept } });
  const again = make("button", { type: "button", text: "camera_again", class: "quiet", hidden: true, on: { click: retake } });
  const other = make("button", { type: "button", text: "camera_switch", class: "quiet", hidden: true, on: { click: turn } });
  const shut = make("button", { type: "button", text: "camera_close", class: "quiet", on: { click: close } });
  const box = make(
    "div", { class: "camera", hidden: true },
    make("div", { class: "view" }, video, still, guide, count), hint, heard,
    make("div", { class: "actions" }, take, use, again, other, shut),
  );
  let stream = null;
  let facing = "user";
  let picture = null;
  let counting = 0;
  let asked = 0;

  async function open() {
    const mine = ++asked;
    if (!navigator.mediaDevices?.getUserMedia) {
      tell("camera_insecure", {}, "bad");
      return;
    }
    try {
      stopStream();
      const wanted = { facingMode: facing, width: { ideal: 1280 }, height: { ideal: 720 } };
      const given = await navigator.mediaDevices.getUserMedia({ video: wanted, audio: false });
      if (mine !== asked) { // closed, or asked once more, before the camera was allowed
        stop(given);
        return;
      }
      stream = given;
      video.srcObject = stream;
      video.classList.toggle("mirrored", facing === "user");
      await video.play();
    } catch (error) {
      if (mine !== asked) return;
      close();
      tell(reason(error), {}, "bad");
      return;
    }
    box.hidden = false;
    changed();
    retake();
    const cameras = (await navigator.mediaDevices.enumerateDevices()).filter(({ kind }) => kind === "videoinput");
    other.hidden = cameras.length < 2;
  }

  function stopStream() {
    if (stream) stop(stream);
    stream = null;
    video.srcObject = null;
  }

  function close() {
    asked += 1;
    clearInterval(counting);
    stopStream();
    forget();
    box.hidden = true;
    changed();
  }

  function turn() {
    facing = facing === "user" ? "environment" : "user";
    open();
  }

  function countDown() {
    if (take.getAttribute("aria-disabled") === "true") return;
    let left = COUNT_FROM;
    show({ counting: true });
    const step = () => {
      count.textContent = String(left);
      say(heard, "camera_count", { seconds: left });
      if (left === 0) {
        clearInterval(counting);
        shoot();
      }
      left -= 1;
    };
    clearInterval(counting);
    counting = setInterval(step, 1000);
    step();
  }

  function shoot() {
    if (!stream || !video.videoWidth) {
      retake();
      return;
    }
    const canvas = make("canvas", { width: video.videoWidth, height: video.videoHeight });
    canvas.getContext("2d").drawImage(video, 0, 0);
    const mine = asked;
    canvas.toBlob(async (blob) => {
      if (mine !== asked) return; // closed meanwhile
      forget();
      picture = blob;
      still.src = URL.createObjectURL(blob);
      await still.decode().catch(() => {}); // it has its size from then on
      if (picture !== blob) return;
      say(still, "camera_still", {}, "aria-label");
      say(heard, "camera_taken");
      show({ taken: true });
      lead(use);
    }, "image/jpeg", QUALITY);
  }

  function forget() {
    if (still.src) URL.revokeObjectURL(still.src);
    still.removeAttribute("src");
    picture = null;
  }

  function retake() {
    forget();
    show({});
    lead(take);
  }

  /** Give the focus to a button, with the whole picture in sight. */
  function lead(button) {
    button.focus({ preventScroll: true });
    box.scrollIntoView({ block: "nearest" });
  }

  function accept() {
    if (picture) taken(picture);
    if (stream) retake();
  }

  function show({ counting: counts = false, taken: done = false }) {
    video.hidden = guide.hidden = hint.hidden = done;
    still.hidden = use.hidden = again.hidden = !done;
    take.hidden = done;
    if (counts) take.setAttribute("aria-disabled", "true"); // it stays, so that the focus does
    else take.removeAttribute("aria-disabled");
    count.hidden = !counts;
  }

  return { box, open, close, isOpen: () => !box.hidden };
}

function stop(stream) {
  stream.getTracks().forEach((track) => track.stop());
}
