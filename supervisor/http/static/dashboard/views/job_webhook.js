// What became of the calls of a job's webhook, and calling again.

import { get, part, post } from "../api.js";
import { actAfterAsking } from "../actions.js";
import { chip, facts, h, replace, table } from "../dom.js";
import { ago, clock, number, span } from "../format.js";

const EVERY_MS = 3000;
const SHOWN = 100;
const OUTCOMES = { delivered: "delivered", failed: "failed, tried again", given_up: "given up", gap: "not told" };

export async function webhook(content, path, atEnd) {
  let isGone = false;
  let timer = 0;
  atEnd(() => { isGone = true; clearTimeout(timer); });
  async function draw() {
    clearTimeout(timer);
    try {
      const log = await get(`${path}/deliveries?limit=${SHOWN}`);
      if (isGone) return;
      replace(content, log.webhook ? [state(log), attempts(log.deliveries, path, draw)] : h("p.muted", {}, "This job has no webhook."));
      if (!log.webhook) return;
    } catch (error) {
      if (isGone) return;
      replace(content, h("p.bad", {}, error.message));
    }
    timer = setTimeout(draw, EVERY_MS);
  }
  await draw();
}

function state(log) {
  return [facts([
    ["Calls", h("span.url", {}, log.webhook.url)], ["For", log.webhook.events.join(", ")], ["Signed", log.webhook.isSigned ? "yes" : "no"],
    ["Waiting", number(log.waiting)], ["Not told, as too many waited", log.dropped ? number(log.dropped) : null],
    ["Failing since", log.failingSince ? h("span.bad", {}, ago(log.failingSince)) : null],
    ["Next attempt", log.waiting && log.nextAttemptAt ? clock(log.nextAttemptAt) : null],
  ]), log.lastError ? h("p.bad", { class: "bad url" }, log.lastError) : null];
}

function attempts(deliveries, path, draw) {
  // The same event may be there for several attempts: one button is enough.
  const seen = new Set();
  const newest = new Set(deliveries.filter((one) => one.id && !seen.has(one.id) && seen.add(one.id)));
  return table([
    { name: "When", class: "nowrap", of: (one) => ago(one.at), small: false },
    { name: "Event", of: (one) => (one.outcome === "gap" ? `${number(one.count)} events` : one.event) },
    { name: "No.", class: "num", of: (one) => one.sequence ?? "", small: false },
    { name: "Attempt", class: "num", of: (one) => one.attempt ?? "", small: false },
    { name: "Outcome", of: (one) => chip(OUTCOMES[one.outcome] || one.outcome) },
    { name: "Answer", of: (one) => h("span.url", {}, one.error || (one.status ? String(one.status) : "")), small: false },
    { name: "Took", class: "num", of: (one) => (one.tookMs === undefined || one.tookMs === null ? "" : span(one.tookMs / 1000)), small: false },
    { name: "Action", of: (one) => (newest.has(one) ? h("button", { type: "button", "aria-label": `Deliver ${one.event} number ${one.sequence} again`,
      onclick: () => again(one, path).then(draw) }, "Again") : "") },
  ], deliveries, { empty: "Nothing was sent yet.", caption: "Deliveries" });
}

const again = (one, path) => actAfterAsking(`Deliver ${one.event} again?`,
  "The receiver is called with the same body, id and number. One that does not drop what it has had acts on it twice.", "Deliver it",
  () => post(`${path}/deliveries/${part(one.id)}/redeliver`), "It waits for its turn");
