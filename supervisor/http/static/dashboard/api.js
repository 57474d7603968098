// Talks to the HTTP API: requests, the token, the stream of events.

import { h, released } from "./dom.js";

const TOKEN = "scraper-workers-token";

export class ApiError extends Error {
  constructor(status, body) {
    const error = (body && body.error) || {};
    super(error.message ? `${error.message}${error.hint ? `; ${error.hint}` : ""}` : `the server answered ${status}`);
    this.status = status;
    this.code = error.code || "";
    this.fields = error.fields || [];
    const untold = this.fields.filter((fault) => !this.message.includes(fault.problem));
    if (untold.length) this.message += ` (${untold.map((fault) => `${fault.field} ${fault.problem}`).join(", ")})`;
  }
}

function headers(more = {}) {
  const token = sessionStorage.getItem(TOKEN);
  return token ? { Authorization: `Bearer ${token}`, ...more } : more;
}

export const hasToken = () => Boolean(sessionStorage.getItem(TOKEN));
export const forgetToken = () => sessionStorage.removeItem(TOKEN);

async function send(method, path, body) {
  const sent = sessionStorage.getItem(TOKEN);
  const answer = await fetch(path, {
    method, cache: "no-store", headers: headers(body === undefined ? {} : { "Content-Type": "application/json" }),
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  if (answer.status === 401) {
    await askForToken(sent);
    return send(method, path, body);
  }
  if (answer.status === 204) return null;
  const text = await answer.text();
  let data = null;
  try { data = JSON.parse(text); } catch { /* an error page of something between */ }
  if (!answer.ok && !(path === "/health" && answer.status === 503 && data && "healthy" in data)) {
    throw new ApiError(answer.status, data);
  }
  return data;
}

// Its answer is drawn, mostly: not below a finger.
export async function get(path) {
  const found = await send("GET", path);
  await released();
  return found;
}


export const post = (path, body) => send("POST", path, body);
export const put = (path, body) => send("PUT", path, body);
export const remove = (path) => send("DELETE", path);
export const part = encodeURIComponent;

let asking = null;

// `refused` is the token that was sent, null where there was none.
function askForToken(refused) {
  // Another request has had a new one meanwhile: that one is tried first.
  if (!asking && sessionStorage.getItem(TOKEN) !== refused) return Promise.resolve();
  asking = asking || new Promise((resolve) => {
    const input = h("input", { type: "password", autocomplete: "off", required: true, autofocus: true });
    const dialog = h("dialog", { "aria-labelledby": "token-title", oncancel: (event) => event.preventDefault() },
      h("form", { method: "dialog", onsubmit: () => {
        sessionStorage.setItem(TOKEN, input.value.trim());
        dialog.remove();
        asking = null;
        resolve();
      } },
      h("h2", { id: "token-title" }, "This service asks for a token"),
      refused ? h("p.bad", { role: "alert" }, "The token was refused: it is wrong, or it was revoked.") : null,
      h("p.muted", {}, "Yours, or the operator's. It is kept until this tab is closed."),
      h("label.field", {}, "Token", input), h("button.main", {}, "Go on")));
    document.body.append(dialog);
    dialog.showModal();
  });
  return asking;
}

// The records as a file. A plain link cannot send a token, so they are fetched then.
export async function download(path, name) {
  let address = path;
  if (hasToken()) {
    const answer = await fetch(path, { headers: headers() });
    if (!answer.ok) throw new ApiError(answer.status, await answer.json().catch(() => null));
    address = URL.createObjectURL(await answer.blob());
  }
  const link = h("a", { href: address, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  if (address !== path) setTimeout(() => URL.revokeObjectURL(address), 60000);
}

// Server-sent events by fetch, since EventSource sends no token. Goes on behind the last event
// after a break. Returns a function that ends it.
export function listen(path, onEvent, onState = () => {}) {
  const controller = new AbortController();
  let last = "";
  let pause = 500;
  async function run() {
    while (!controller.signal.aborted) {
      const sent = sessionStorage.getItem(TOKEN);
      try {
        const answer = await fetch(path, {
          cache: "no-store", signal: controller.signal,
          headers: headers({ Accept: "text/event-stream", ...(last ? { "Last-Event-ID": last } : {}) }),
        });
        if (answer.status === 204) { onState("ended"); return; }
        if (answer.status === 401) { await askForToken(sent); continue; }
        if (!answer.ok) throw new ApiError(answer.status, null);
        onState("on");
        pause = 500;
        last = (await readStream(answer.body, onEvent)) || last;
      } catch (error) {
        if (controller.signal.aborted) return;
        onState("off");
        if (error.lastId) last = error.lastId;
      }
      await new Promise((resolve) => setTimeout(resolve, pause));
      pause = Math.min(pause * 2, 8000);
    }
  }
  run();
  return () => controller.abort();
}

const AT_ONCE_MS = 25;

async function readStream(body, onEvent) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  let last = "";
  let begun = performance.now();
  try {
    for (;;) {
      // What has come already is read without a break, else: nobody could click meanwhile.
      if (performance.now() - begun > AT_ONCE_MS) {
        await new Promise((resolve) => setTimeout(resolve));
        begun = performance.now();
      }
      const { done, value } = await reader.read();
      if (done) return last;
      text += value;
      const blocks = text.split("\n\n");
      text = blocks.pop();
      const events = [];
      for (const block of blocks) {
        const fields = {};
        for (const line of block.split("\n")) {
          const colon = line.indexOf(":");
          if (colon > 0) fields[line.slice(0, colon)] = line.slice(colon + 1).trimStart();
        }
        if (fields.id) last = fields.id;
        if (fields.data) events.push({ name: fields.event, id: fields.id, ...JSON.parse(fields.data) });
      }
      if (events.length) onEvent(events);
    }
  } catch (error) {
    error.lastId = last;
    throw error;
  }
}
