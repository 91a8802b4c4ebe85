// Sign in with a face: the server asks for a few actions, the page shows them one after the other before the camera and
// sends the frames. The server alone judges them.

import { request } from "./api.js";
import { make, runBusy, showMessage } from "./dom.js";
import { setText } from "./language.js";

const FRAME_MS = 250;
const AHEAD_MS = 1250; // how long the user looks straight ahead before each action
const ACTION_MS = 2000;
const WIDTH = 640; // of the frames that are sent
const QUALITY = 0.85; // of their JPEG

const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

/**
 * Make the camera and the button to sign in with a face.
 * @param {HTMLInputElement} login
 * @param {function()} onSignIn called after signing in
 */
export function makeFaceSignIn(login, onSignIn) {
  const video = make("video", { autoplay: true, playsinline: true, muted: true, class: "mirrored", label: "camera_video" });
  const instruction = make("p", { class: "instruction", role: "status", "aria-live": "assertive" });
  const cancel = make("button", { type: "button", text: "cancel", class: "quiet", on: { click: close } });
  const box = make(
    "div", { class: "camera", hidden: true },
    make("div", { class: "view" }, video, make("div", { class: "guide", "aria-hidden": "true" })),
    instruction, make("div", { class: "actions" }, cancel),
  );
  const button = make("button", { type: "button", text: "face_sign_in", class: "quiet", on: { click: () => runBusy(button, start) } });
  let stream = null;
  let attempt = 0;

  async function start() {
    if (!login.reportValidity()) return;
    if (!navigator.mediaDevices?.getUserMedia) {
      showMessage("face_insecure", {}, "bad");
      return;
    }
    const current = ++attempt;
    try {
      if (!(await openCamera(current))) return;
      const frames = await follow(current);
      if (!frames) return; // cancelled
      show("face_judging");
      await send(frames);
    } finally {
      if (current === attempt) close();
    }
    await onSignIn();
  }

  async function openCamera(current) {
    let opened;
    try {
      const wanted = { facingMode: "user", width: { ideal: 1280 }, height: { ideal: 720 } };
      opened = await navigator.mediaDevices.getUserMedia({ video: wanted, audio: false });
    } catch (error) {
      const denied = error.name === "NotAllowedError" || error.name === "SecurityError";
      showMessage(denied ? "face_denied" : "face_no_camera", {}, "bad");
      return false;
    }
    if (current !== attempt) { // cancelled before the user allowed the camera
      opened.getTracks().forEach((track) => track.stop());
      return false;
    }
    stream = opened;
    video.srcObject = stream;
    box.hidden = false;
    await video.play();
    box.scrollIntoView({ block: "nearest" });
    return true;
  }

  /** Ask for a challenge and show its actions; resolves to its frames, or to null if the user cancels. */
  async function follow(current) {
    const challenge = await request("POST", "v1/challenges");
    const frames = [];
    for (const action of challenge.actions) {
      for (const [shown, duration] of [["ahead", AHEAD_MS], [action, ACTION_MS]]) {
        show(`face_${shown}`, shown);
        for (let passed = 0; passed < duration; passed += FRAME_MS) {
          await pause(FRAME_MS);
          if (current !== attempt) return null;
          if (passed || !frames.length) frames.push(await takeFrame()); // the user reacts first
        }
      }
    }
    return { id: challenge.challenge_id, frames };
  }

  function takeFrame() {
    const height = Math.round(WIDTH * video.videoHeight / video.videoWidth);
    const canvas = make("canvas", { width: WIDTH, height });
    canvas.getContext("2d").drawImage(video, 0, 0, WIDTH, height);
    return new Promise((resolve) => { canvas.toBlob(resolve, "image/jpeg", QUALITY); });
  }

  async function send({ id, frames }) {
    const form = new FormData();
    frames.forEach((frame, number) => form.append("images", frame, `${number}.jpg`));
    form.append("login", login.value.trim());
    form.append("challenge_id", id);
    form.append("cookie", "true");
    await request("POST", "v1/session/face", form);
  }

  function show(key, pose = "") {
    instruction.dataset.pose = pose;
    setText(instruction, key);
  }

  function close() {
    attempt += 1;
    if (stream) stream.getTracks().forEach((track) => track.stop());
    stream = null;
    video.srcObject = null;
    instruction.textContent = "";
    box.hidden = true;
  }

  return { button, box };
}
