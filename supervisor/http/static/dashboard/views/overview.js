// What a person on call wants to see first: is it healthy, how fast, how much is left, who works.

import { get, post } from "../api.js";
import { chart } from "../chart.js";
import { actAfterAsking } from "../actions.js";
import { h, replace, table } from "../dom.js";
import { bytes, decimal, number, span } from "../format.js";
import { jobColumns } from "./job_table.js";

const RANGES = [["15 min", 15], ["1 h", 60], ["6 h", 360], ["24 h", 1440]];

export async function overview(context) {
  const state = context.state || (context.state = { minutes: 60 });
  const [health, history, active, failed] = await Promise.all([
    get("/health").catch(forbidden), get(`/history?minutes=${state.minutes}`).catch(forbidden),
    get("/jobs?state=active&limit=8"), get("/jobs?state=failed&limit=5"),
  ]);
  if (context.isGone()) return 0;
  replace(context.main, h("div.row", {}, h("h1", {}, "Overview"), health && !(health.queue || {}).paused ? pauseButton() : null),
    health ? tiles(health) : null,
    history ? charts(context, state, history.points) : null,
    h("section.card", {}, h("h2", {}, "Running jobs"),
      table(jobColumns(), active.jobs, { empty: "No job is running.", caption: "Running jobs" })),
    h("section.card", {}, h("h2", {}, "Failed last"),
      table(jobColumns(), failed.jobs, { empty: "No failed job is kept.", caption: "Jobs that failed last" })));
  return 3000;
}

// A customer's token sees its jobs, not the fleet.
function forbidden(error) {
  if (error.status === 403) return null;
  throw error;
}

const pauseButton = () => h("button.push", { type: "button", onclick: () => actAfterAsking("Pause the queue?",
  "No worker on any machine gets another page until it goes on; pages in flight are finished.", "Pause it",
  () => post("/queue/pause"), "The queue is paused") }, "Pause the queue");

function tile(name, value, more, look = "") {
  return h("section.card.tile", {}, h("div.name", {}, name), h(look ? `div.value.${look}` : "div.value", {}, value), h("div.more", {}, more));
}

function tiles(health) {
  const queue = health.queue || { jobs: {}, redis: {} };
  const supervisors = health.supervisors || [];
  const running = supervisors.reduce((sum, one) => sum + ((one.health || {}).activeWorkers || 0), 0);
  const memory = supervisors.map((one) => one.memory).filter(Boolean);
  const used = memory.reduce((sum, one) => sum + one.used, 0);
  const total = memory.reduce((sum, one) => sum + one.total, 0);
  const share = total ? used / total : 0;
  const jobs = queue.jobs;
  return h("div.grid", {},
    tile("State", health.healthy ? "healthy" : "unhealthy", !health.healthy ? "see above" : (queue.warnings || []).length ? "with a warning, see above" : "nothing to do", health.healthy ? "good" : "bad"),
    tile("Throughput", `${decimal(queue.throughput)}/s`, "pages, over the last minute"),
    tile("Open jobs", number(queue.backlog), `${number(jobs.waiting)} waiting, ${number(jobs.active)} running, ${number(jobs.delayed)} later`),
    tile("Longest wait", span(queue.oldestWaitingS), "of a waiting job", queue.oldestWaitingS > 60 ? "warn" : ""),
    tile("Workers", `${number(running)} / ${number(health.totalWorkers)}`, `running, on ${number(supervisors.length)} machine${supervisors.length === 1 ? "" : "s"}`),
    tile("Memory", total ? `${Math.round(share * 100)} %` : "–", total ? `${bytes(used)} of ${bytes(total)}` : "not watched", share > 0.9 ? "bad" : share > 0.85 ? "warn" : ""),
    tile("Redis", queue.redis.latencyMs === undefined ? "–" : `${decimal(queue.redis.latencyMs)} ms`, `${queue.redis.server || ""}, AOF ${queue.redis.durability || "?"}`),
    tile("Refused pushes", number(queue.rejected), h("a", { href: "#/rejected" }, "show"), queue.rejected ? "warn" : ""));
}

function charts(context, state, points) {
  const rate = points.slice(1).map((point, index) => {
    const before = points[index];
    return [point.at, Math.max(0, point.pages - before.pages) * 1000 / Math.max(1, point.at - before.at)];
  });
  const of = (name) => points.map((point) => [point.at, point[name]]);
  return h("div", {},
    h("div.row", {}, h("span.muted", {}, "History:"), RANGES.map(([name, minutes]) => h("button", {
      type: "button", "aria-pressed": String(state.minutes === minutes), class: state.minutes === minutes ? "main" : "",
      onclick: () => { state.minutes = minutes; context.again(); },
    }, name))),
    h("div.charts", {},
      chart("Pages a second", [{ name: "committed", points: rate }], decimal),
      chart("Jobs", [{ name: "waiting", points: of("waiting") }, { name: "running", points: of("active") }, { name: "later", points: of("delayed") }], number, 1),
      chart("Workers", [{ name: "running", points: of("running") }, { name: "wanted", points: of("workers") }], number, 1),
      chart("Memory of all machines", [{ name: "used", points: of("memoryUsed") }, { name: "allowed", points: of("memoryTotal") }], bytes, 1024)));
}
