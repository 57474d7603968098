// A log of events: the newest on top, a bounded number of them, drawn at most a few times a second.

import { h } from "../dom.js";
import { clock } from "../format.js";
import { jobLink } from "./job_table.js";

const KEPT = 300;
const DRAW_EVERY_MS = 250;
const SHOWN_APART = new Set(["name", "event", "id", "at", "jobId", "o"]);

// `jobId`: the job that all are of, so that it is not named in each line.
export function eventLog(jobId = null) {
  const list = h("div.log", { role: "log", "aria-label": "Events", tabindex: "0" });
  const count = h("span.muted", {}, "waiting for events");
  let pending = [];
  let timer = 0;
  let seen = 0;
  let isHeld = false;
  const hold = h("button", { type: "button", "aria-pressed": "false", onclick: () => {
    isHeld = !isHeld;
    hold.setAttribute("aria-pressed", String(isHeld));
    hold.textContent = isHeld ? "Go on" : "Hold";
    draw();
  } }, "Hold");

  function draw() {
    timer = 0;
    if (isHeld) {
      count.textContent = `held; the newest ${pending.length} wait`;
      return;
    }
    list.prepend(...pending.slice(-KEPT).reverse().map((event) => line(event, jobId)));
    pending = [];
    while (list.childElementCount > KEPT) list.lastElementChild.remove();
    count.textContent = `${seen.toLocaleString("en")} events${seen > KEPT ? `; the newest ${KEPT} are shown` : ""}`;
  }

  return {
    element: h("div", {}, h("div.row", {}, hold, count), list),
    add(events) {
      seen += events.length;
      pending.push(...events);
      if (pending.length > KEPT) pending = pending.slice(-KEPT);
      timer = timer || setTimeout(draw, DRAW_EVERY_MS);
    },
  };
}

function line(event, jobId) {
  const rest = Object.fromEntries(Object.entries(event).filter(([name]) => !SHOWN_APART.has(name) && !(jobId && name === "customerId")));
  const look = /Failed|Error|Stalled|force|high|gap|Rejected|Leak/.test(event.name) ? "bad" : "";
  return h("div", {}, h("time", {}, clock(event.at)), h("b", { class: look }, event.name),
    event.jobId && event.jobId !== jobId ? [h("a", { href: jobLink(event.jobId) }, event.jobId), " "] : null, short(rest));
}

function short(rest) {
  const text = Object.entries(rest).map(([name, value]) => `${name}=${typeof value === "object" ? JSON.stringify(value) : value}`).join(" ");
  return text.length > 400 ? `${text.slice(0, 400)} …` : text;
}
