// What happens, as it happens; by default without the single pages, of which there are many.

import { listen } from "../api.js";
import { h, replace } from "../dom.js";
import { eventLog } from "./event_log.js";

const GROUPS = {
  "all but pages and progress": ["jobWaiting", "workerActive", "workerCompleted", "workerFailed", "jobRetried", "jobCancelled", "jobRejected",
    "started", "workerReady", "workerError", "workerStalled", "workerClosed", "workerRecycled", "highMemoryUsage", "memoryLeakSuspected",
    "healthUpdate", "shuttingDown", "shutdown", "forceShutdown"],
  "jobs that end": ["workerCompleted", "workerFailed", "jobCancelled"],
  "workers": ["workerReady", "workerError", "workerStalled", "workerClosed", "workerRecycled", "highMemoryUsage", "memoryLeakSuspected"],
  "everything": [],
};

export async function events(context) {
  const place = h("section.card");
  const select = h("select", { "aria-label": "Which events", "data-filter": true, onchange: () => open(select.value) },
    Object.keys(GROUPS).map((name) => h("option", {}, name)));
  replace(context.main, h("h1", {}, "Events"), h("div.row", {}, select), place);
  function open(name) {
    context.ends.splice(0).forEach((end) => end());
    const log = eventLog();
    replace(place, log.element);
    context.ends.push(listen(`/events?${GROUPS[name].map((event) => `name=${event}`).join("&")}`, log.add));
  }
  open(select.value);
  return 0;
}
