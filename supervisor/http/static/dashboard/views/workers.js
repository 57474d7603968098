// The workers of all machines: state, jobs in hand, memory against its limit, restarts, age; and orders.

import { get, part, post, put } from "../api.js";
import { chip, h, replace, table } from "../dom.js";
import { ago, bytes, number, span } from "../format.js";
import { act, actAfterAsking } from "../actions.js";
import { jobLink } from "./job_table.js";

export async function workers(context) {
  const found = await get("/workers");
  if (context.isGone()) return 0;
  const without = found.workers.filter((worker) => !found.supervisors.some((one) => one.name === worker.supervisor));
  replace(context.main, h("h1", {}, "Workers"),
    found.supervisors.map((one) => machine(one, found.workers.filter((worker) => worker.supervisor === one.name))),
    without.length ? h("section.card", {}, h("h2", {}, "Without a supervisor"), list(without, null)) : null,
    !found.supervisors.length && !without.length ? h("p.muted", {}, "No worker is known: start the service.") : null);
  return 2000;
}

function machine(one, theirs) {
  const memory = one.memory;
  return h("section.card", {}, h("div.row", {}, h("h2", {}, one.name),
    h("span.muted", {}, [one.host !== one.name && one.host, `version ${one.version || "?"}`, `started ${ago(one.startedAt)}`].filter(Boolean).join(", ")),
    memory ? h("span.muted", {}, `memory ${bytes(memory.used)} of ${bytes(memory.total)}`) : null,
    one.takesOrders === false ? null : orders(one, theirs)), list(theirs, one));
}

function orders(one, theirs) {
  const wanted = h("input", { type: "number", min: 1, max: 1000, value: theirs.length, "aria-label": `Workers of ${one.name}`, size: 4 });
  const scale = (count) => act(() => put("/workers/count", { count, supervisor: one.name }), (answer) => answer.answer);
  return h("span.row.push", {}, h("span.muted", { "aria-hidden": "true" }, "Workers"), wanted,
    h("button", { type: "button", onclick: () => scale(Number(wanted.value)) }, "Scale"),
    h("button", { type: "button", onclick: () => scale("auto") }, "Auto"),
    h("button", { type: "button", onclick: () => actAfterAsking(`Restart all workers of ${one.name}?`, "One after another; pages in flight are finished first.", "Restart them",
      () => post(`/workers/restart?supervisor=${part(one.name)}&wait=120`), (answer) => answer.answer) }, "Restart all"),
    h("button.danger", { type: "button", onclick: () => actAfterAsking(`End ${one.name}?`, "Its pages in flight are finished, the rest goes back, and the service on that machine ends.", "Drain it",
      () => post(`/supervisors/drain?supervisor=${part(one.name)}`), (answer) => answer.answer) }, "Drain"));
}

function list(theirs, supervisor) {
  return table([
    { name: "Worker", class: "nowrap", of: (worker) => worker.id },
    { name: "State", of: (worker) => chip(worker.state || "running") },
    { name: "Jobs in hand", of: (worker) => (worker.jobs || []).slice(0, 5).map((id, index) => [index ? ", " : "", h("a", { href: jobLink(id) }, id)])
      .concat((worker.jobs || []).length > 5 ? [`, ${worker.jobs.length - 5} more`] : []) },
    { name: "Pages in hand", class: "num", of: (worker) => number(worker.pages ?? worker.pagesLeased), small: false },
    { name: "Memory", of: memory },
    { name: "Restarts", class: "num", of: (worker) => number(worker.restarts) },
    { name: "Age", class: "nowrap", of: (worker) => span(worker.ageS), small: false },
    { name: "Last exit", of: (worker) => worker.lastExit || "", small: false },
    { name: "Action", of: (worker) => (supervisor && supervisor.takesOrders !== false ? h("button", { type: "button", "aria-label": `Restart ${worker.id}`, onclick: () =>
      actAfterAsking(`Restart ${worker.id}?`, "Its pages in flight are finished first, the rest goes to other workers.", "Restart it",
        () => post(`/workers/${worker.id}/restart`), (answer) => answer.answer) }, "Restart") : "") },
  ], theirs, { empty: "None.", caption: "Workers" });
}

function memory(worker) {
  if (!worker.memoryBytes) return "–";
  const share = worker.memoryLimitBytes ? Math.min(100, (100 * worker.memoryBytes) / worker.memoryLimitBytes) : 0;
  return h("div", { title: `${Math.round(share)} % of ${bytes(worker.memoryLimitBytes)}` },
    h("div.bar", {}, h(share > 85 ? "i.failed" : share > 70 ? "i.high" : "i.done", { "width%": share })),
    h("div.muted.nowrap", {}, `${bytes(worker.memoryBytes)} of ${bytes(worker.memoryLimitBytes)}`));
}
