// The camera: live video with a frame for the face, a countdown, then the picture to use or to retake.

import { make, showMessage } from "./dom.js";
import { setText } from "./language.js";

const COUNT_FROM = 3;
const QUALITY = 0.92; // of the JPEG that is sent

/** Return the message key for an error of the browser. */
function messageKey(error) {
  if (error.name === "NotAllowedError" || error.name === "SecurityError") return "camera_denied";
  return "camera_none";
}

/**
 * Make a camera; it starts closed.
 * @param {function(Blob)} onPicture called with the picture that the user accepts
 * @param {function()} onToggle called when the camera opens or closes
 */
export function makeCamera(onPicture, onToggle) {
  const video = make("video", { autoplay: true, playsinline: true, muted: true, label: "camera_video" });
  const still = make("img", { class: "still", hidden: true, alt: "" });
  const count = make("p", { class: "count", "aria-hidden": "true", hidden: true });
  const announcement = make("p", { class: "sr", role: "status" });
  const guide = make("div", { class: "guide", "aria-hidden": "true" });
  const hint = make("p", { text: "camera_frame", class: "hint" });
  const takeButton = make("button", { type: "button", text: "camera_take", on: { click: countDown } });
  const useButton = make("button", { type: "button", text: "camera_use", hidden: true, on: { click: usePicture } });
  const retakeButton = make("button", { type: "button", text: "camera_again", class: "quiet", hidden: true, on: { click: retake } });
  const switchButton = make("button", { type: "button", text: "camera_switch", class: "quiet", hidden: true, on: { click: switchCamera } });
  const closeButton = make("button", { type: "button", text: "camera_close", class: "quiet", on: { click: close } });
  const box = make(
    "div", { class: "camera", hidden: true },
    make("div", { class: "view" }, video, still, guide, count), hint, announcement,
    make("div", { class: "actions" }, takeButton, useButton, retakeButton, switchButton, closeButton),
  );
  let stream = null;
  let facing = "user";
  let picture = null;
  let counting = 0;
  let attempt = 0;

  async function open() {
    const current = ++attempt;
    if (!navigator.mediaDevices?.getUserMedia) {
      showMessage("camera_insecure", {}, "bad");
      return;
    }
    try {
      stopStream();
      const wanted = { facingMode: facing, width: { ideal: 1280 }, height: { ideal: 720 } };
      const newStream = await navigator.mediaDevices.getUserMedia({ video: wanted, audio: false });
      if (current !== attempt) { // closed or opened again before the user allowed the camera
        stopTracks(newStream);
        return;
      }
      stream = newStream;
      video.srcObject = stream;
      video.classList.toggle("mirrored", facing === "user");
      await video.play();
    } catch (error) {
      if (current !== attempt) return;
      close();
      showMessage(messageKey(error), {}, "bad");
      return;
    }
    box.hidden = false;
    onToggle();
    retake();
    const cameras = (await navigator.mediaDevices.enumerateDevices()).filter(({ kind }) => kind === "videoinput");
    switchButton.hidden = cameras.length < 2;
  }

  function stopStream() {
    if (stream) stopTracks(stream);
    stream = null;
    video.srcObject = null;
  }

  function close() {
    attempt += 1;
    clearInterval(counting);
    stopStream();
    discardPicture();
    box.hidden = true;
    onToggle();
  }

  function switchCamera() {
    facing = facing === "user" ? "environment" : "user";
    open();
  }

  function countDown() {
    if (takeButton.getAttribute("aria-disabled") === "true") return;
    let remaining = COUNT_FROM;
    show({ counting: true });
    const step = () => {
      count.textContent = String(remaining);
      setText(announcement, "camera_count", { seconds: remaining });
      if (remaining === 0) {
        clearInterval(counting);
        takePicture();
      }
      remaining -= 1;
    };
    clearInterval(counting);
    counting = setInterval(step, 1000);
    step();
  }

  function takePicture() {
    if (!stream || !video.videoWidth) {
      retake();
      return;
    }
    const canvas = make("canvas", { width: video.videoWidth, height: video.videoHeight });
    canvas.getContext("2d").drawImage(video, 0, 0);
    const current = attempt;
    canvas.toBlob(async (blob) => {
      if (current !== attempt) return; // closed in the meantime
      discardPicture();
      picture = blob;
      still.src = URL.createObjectURL(blob);
      await still.decode().catch(() => {}); // the size is known only after decoding
      if (picture !== blob) return;
      setText(still, "camera_still", {}, "aria-label");
      setText(announcement, "camera_taken");
      show({ taken: true });
      focusButton(useButton);
    }, "image/jpeg", QUALITY);
  }

  function discardPicture() {
    if (still.src) URL.revokeObjectURL(still.src);
    still.removeAttribute("src");
    picture = null;
  }

  function retake() {
    discardPicture();
    show({});
    focusButton(takeButton);
  }

  /** Focus a button, and scroll the picture into view. */
  function focusButton(button) {
    button.focus({ preventScroll: true });
    box.scrollIntoView({ block: "nearest" });
  }

  function usePicture() {
    if (picture) onPicture(picture);
    if (stream) retake();
  }

  function show({ counting: countsDown = false, taken: hasPicture = false }) {
    video.hidden = guide.hidden = hint.hidden = hasPicture;
    still.hidden = useButton.hidden = retakeButton.hidden = !hasPicture;
    takeButton.hidden = hasPicture;
    if (countsDown) takeButton.setAttribute("aria-disabled", "true"); // not hidden, so that it keeps the focus
    else takeButton.removeAttribute("aria-disabled");
    count.hidden = !countsDown;
  }

  return { box, open, close, isOpen: () => !box.hidden };
}

function stopTracks(stream) {
  stream.getTracks().forEach((track) => track.stop());
}
