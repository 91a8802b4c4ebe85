// The server: every request of the page goes through here. An error is an ApiError with the stable code of the server.

import { known } from "./language.js";

/** What the server refused, and how to tell it. */
export class ApiError extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }

  get told() {
    const key = `error_${this.code}`;
    return known(key) ? { key, values: {} } : { key: "error_server", values: { message: this.message } };
  }
}

/** Ask the server; `body` is an object, sent as JSON, or a form with pictures. */
export async function ask(method, path, body = null) {
  const request = { method, headers: { Accept: "application/json" }, credentials: "same-origin" };
  if (body instanceof FormData) request.body = body;
  else if (body !== null) {
    request.body = JSON.stringify(body);
    request.headers["Content-Type"] = "application/json";
  }
  let answer;
  try {
    answer = await fetch(path, request);
  } catch {
    throw new ApiError(0, "unreachable", path);
  }
  const content = await contentOf(answer);
  if (answer.ok) return content;
  const error = new ApiError(answer.status, content?.code ?? "unknown", content?.detail ?? answer.statusText);
  if (answer.status === 401 && error.code === "unauthenticated") {
    window.dispatchEvent(new CustomEvent("facedex-signed-out"));
  }
  throw error;
}

/** Read an answer; null where it is empty, or comes from something before the server that speaks no JSON. */
async function contentOf(answer) {
  if (answer.status === 204 || !answer.headers.get("content-type")?.includes("json")) return null;
  try {
    return await answer.json();
  } catch {
    throw new ApiError(0, "unreachable", "the answer broke off");
  }
}

/** The address of a person, and of what belongs to the person. */
export function personPath(id, rest = "") {
  return `v1/people/${encodeURIComponent(id)}${rest}`;
}

/** A form with one picture and options. */
export function pictureForm(blob, options = {}, name = "image") {
  const form = new FormData();
  form.append(name, blob, blob.name ?? "camera.jpg");
  for (const [option, value] of Object.entries(options)) form.append(option, String(value));
  return form;
}

/** Find people by e-mail address, or by id where there is no '@'. */
export async function found(words) {
  if (words.includes("@")) return (await ask("GET", `v1/people?email=${encodeURIComponent(words)}`)).items;
  try {
    return [await ask("GET", personPath(words))];
  } catch (error) {
    if (error.code === "unknown_person") return [];
    throw error;
  }
}

/** Watch a job by server-sent events; resolves to the job when it has ended. */
export function watched(job, progressed) {
  return new Promise((resolve, reject) => {
    const source = new EventSource(`v1/jobs/${encodeURIComponent(job.id)}/events`);
    const told = (event) => {
      const now = JSON.parse(event.data);
      progressed(now);
      if (now.finished_at === null && now.state !== "lost") return;
      source.close();
      resolve(now);
    };
    for (const state of ["queued", "running", "done", "failed", "cancelled", "lost"]) {
      source.addEventListener(state, told);
    }
    source.addEventListener("error", () => {
      if (source.readyState !== EventSource.CLOSED) return; // the browser asks again by itself
      reject(new ApiError(0, "unreachable", "the progress of the job cannot be watched"));
    });
  });
}
