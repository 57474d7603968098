// What happens, as it happens, and what did in the last minutes; by default without the single pages,
// of which there are many.

import { listen } from "../api.js";
import { h, replace } from "../dom.js";
import { eventLog } from "./event_log.js";

const GROUPS = {
  "all but pages, progress and health": ["jobWaiting", "workerActive", "workerCompleted", "workerFailed", "jobRetried", "jobCancelled", "jobRejected",
    "started", "workerReady", "workerError", "workerStalled", "workerClosed", "workerRecycled", "highMemoryUsage", "memoryLeakSuspected",
    "shuttingDown", "shutdown", "forceShutdown"],
  "jobs that end": ["workerCompleted", "workerFailed", "jobCancelled"],
  "workers": ["workerReady", "workerError", "workerStalled", "workerClosed", "workerRecycled", "highMemoryUsage", "memoryLeakSuspected"],
  "health, every few seconds": ["healthUpdate"],
  "everything": [],
};

const LOOKS_BACK_MS = 5 * 60 * 1000;

export async function events(context) {
  const place = h("section.card");
  const select = h("select", { "aria-label": "Which events", "data-filter": true, onchange: () => open(select.value) },
    Object.keys(GROUPS).map((name) => h("option", {}, name)));
  replace(context.main, h("h1", {}, "Events"), h("div.row", {}, select), place);
  function open(name) {
    context.ends.splice(0).forEach((end) => end());
    const log = eventLog();
    replace(place, log.element);
    const names = GROUPS[name].map((event) => `name=${event}`);
    // An event's id begins with its time. All of the last minutes may be very many.
    if (names.length) names.push(`after=${Date.now() - LOOKS_BACK_MS}-0`);
    context.ends.push(listen(`/events?${names.join("&")}`, log.add));
  }
  open(select.value);
  return 0;
}
