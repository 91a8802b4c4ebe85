// All requests to the server. A request that fails throws an ApiError with the server's stable code.

import { hasText } from "./language.js";

/** An error response and its message. */
export class ApiError extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }

  get text() {
    const key = `error_${this.code}`;
    return hasText(key) ? { key, values: {} } : { key: "error_server", values: { message: this.message } };
  }
}

/** Codes of errors about a picture that the server cannot read, and this browser perhaps can. */
const UNREADABLE = new Set(["image_unsupported", "not_an_image"]);

/** Send a request and return the content of its response; `body` is an object, sent as JSON, or a form with pictures. */
export async function request(method, path, body = null) {
  const options = { method, headers: { Accept: "application/json" }, credentials: "same-origin" };
  if (body instanceof FormData) options.body = body;
  else if (body !== null) {
    options.body = JSON.stringify(body);
    options.headers["Content-Type"] = "application/json";
  }
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new ApiError(0, "unreachable", path);
  }
  const content = await readContent(response);
  if (response.ok) return content;
  const converted = UNREADABLE.has(content?.code) ? await convertPictures(body) : null;
  if (converted !== null) return request(method, path, converted);
  const error = new ApiError(response.status, content?.code ?? "unknown", content?.detail ?? response.statusText);
  if (response.status === 401 && error.code === "unauthenticated") {
    window.dispatchEvent(new CustomEvent("facedex-signed-out"));
  }
  throw error;
}

/**
 * Convert the pictures of a form to JPEG, as far as this browser can decode them, such as HEIC on phones.
 * @returns {Promise<FormData|null>} null when it is no form, or a picture cannot be decoded or is JPEG already
 */
async function convertPictures(body) {
  if (!(body instanceof FormData)) return null;
  const form = new FormData();
  for (const [name, value] of body) {
    if (!(value instanceof Blob)) {
      form.append(name, value);
      continue;
    }
    if (value.type === "image/jpeg") return null; // also what was converted before
    try {
      const bitmap = await createImageBitmap(value, { imageOrientation: "from-image" });
      const canvas = Object.assign(document.createElement("canvas"), { width: bitmap.width, height: bitmap.height });
      canvas.getContext("2d").drawImage(bitmap, 0, 0);
      bitmap.close();
      const picture = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.95));
      form.append(name, picture, value.name);
    } catch {
      return null;
    }
  }
  return form;
}

/** Read a response; null if it is empty or is not JSON, as from a proxy. */
async function readContent(response) {
  if (response.status === 204 || !response.headers.get("content-type")?.includes("json")) return null;
  try {
    return await response.json();
  } catch {
    throw new ApiError(0, "unreachable", "the response is incomplete");
  }
}

/** Return the path of a person, or of a resource below it. */
export function personPath(id, rest = "") {
  return `v1/people/${encodeURIComponent(id)}${rest}`;
}

/** Make a form with one picture and options. */
export function pictureForm(blob, options = {}, name = "image") {
  const form = new FormData();
  form.append(name, blob, blob.name ?? "camera.jpg");
  for (const [option, value] of Object.entries(options)) form.append(option, String(value));
  return form;
}

/** Follow a job by server-sent events; resolves to the finished job. */
export function watchJob(job, onProgress) {
  return new Promise((resolve, reject) => {
    const source = new EventSource(`v1/jobs/${encodeURIComponent(job.id)}/events`);
    const onEvent = (event) => {
      const current = JSON.parse(event.data);
      onProgress(current);
      if (current.finished_at === null && current.state !== "lost") return;
      source.close();
      resolve(current);
    };
    for (const state of ["queued", "running", "done", "failed", "cancelled", "lost"]) {
      source.addEventListener(state, onEvent);
    }
    source.addEventListener("error", () => {
      if (source.readyState !== EventSource.CLOSED) return; // the browser reconnects by itself
      reject(new ApiError(0, "unreachable", "the progress of the job cannot be watched"));
    });
  });
}
