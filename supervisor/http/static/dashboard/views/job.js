// One job: how far it is, why it is slow, its pages, errors, what was left out, its events.

import { download, get, part, post, remove } from "../api.js";
import { chip, facts, h, outside, replace } from "../dom.js";
import { ago, bytes, decimal, number, span } from "../format.js";
import { progress } from "../live.js";
import { act, actAfterAsking } from "../actions.js";
import { TABS } from "./job_tabs.js";
import { pageBar } from "./job_table.js";

const FINAL = ["completed", "failed", "cancelled"];

export async function job(context) {
  const id = context.path[0];
  const path = `/jobs/${part(id)}`;
  const found = await get(path);
  if (context.isGone()) return 0;
  if (!context.isDrawn) {
    context.head = h("div");
    context.tab = context.query.get("tab") || "pages";
    context.body = h("section.card");
    replace(context.main, context.head, context.body);
    context.isDrawn = true;
    showTab(context, path, found);
  }
  replace(context.head, h("h1", {}, found.id, " ", chip(found.state)), actions(found, path), summary(found));
  return FINAL.includes(found.state) ? 10000 : 2000;
}

function actions(found, path) {
  const isOver = FINAL.includes(found.state);
  const button = (name, run, look = "button", disabled = false) => h(look, { type: "button", onclick: run, disabled }, name);
  const doing = (name, done) => () => act(() => post(`${path}/${name}`), done);
  return h("div.row", {},
    !isOver && found.state !== "paused" ? button("Pause", doing("pause", "Paused")) : null,
    found.state === "paused" ? button("Resume", doing("resume", "It goes on")) : null,
    !isOver ? button("Cancel", () => actAfterAsking("Cancel this job?", "Its records stay; what is not fetched yet is given up.", "Cancel it",
      () => post(`${path}/cancel`), "Cancelled"), "button.danger") : null,
    isOver ? button("Run again", doing("retry", "It runs again")) : null,
    isOver && found.pages.failed ? button("Retry failed pages", doing("retry?failedPages=true", "The failed pages are tried again")) : null,
    button("NDJSON", () => act(() => download(`${path}/data?format=ndjson`, `${found.id}.jsonl`), "The download begins"), "button", !found.pages.done),
    button("CSV", () => act(() => download(`${path}/data?format=csv`, `${found.id}.csv`), "The download begins"), "button", !found.pages.done),
    isOver ? button("Delete", () => actAfterAsking("Delete this job?", "Its records go with it, for good.", "Delete it",
      () => remove(path).then(() => { location.hash = "#/jobs"; }), "Deleted"), "button.danger") : null);
}

function summary(found) {
  const seen = progress.get(found.id);
  const isRunning = found.state === "active" && seen;
  const pages = found.pages;
  return h("div.wide", {},
    h("section.card", {}, pageBar(pages, found.maxPages),
      h("p", {}, h("strong", {}, number(pages.done)), ` recorded of at most ${number(found.maxPages)}; `,
        `${number(pages.known)} known: ${number(pages.queued)} queued, ${number(pages.delayed)} later, ${number(pages.leased)} in hand, `,
        h("span", { class: pages.failed ? "bad" : "" }, `${number(pages.failed)} failed`), `, ${number(pages.skipped)} skipped`,
        pages.left ? `; ${number(pages.left)} left when it ended` : ""),
      isRunning ? h("p", {}, `${decimal(seen.rate)} pages/s`, seen.eta !== undefined && seen.eta !== null ? `, about ${span(seen.eta / 1000)} left` : "") : null,
      isRunning && slowText(seen) ? h("p.warn", {}, `Slow because of: ${slowText(seen)}`) : null,
      found.error ? h("p.bad", {}, found.error) : null,
      found.finishReason ? h("p.muted", {}, `Ended: ${found.finishReason}`) : null),
    h("section.card", {}, facts([
      ["URL", outside(found.url)], ["Type", found.type], ["Customer", found.customerId], ["Priority", found.priority || null],
      ["Attempt", `${found.attempt} of ${found.attempts}`], ["Submitted", ago(found.submittedAt)], ["Started", ago(found.startedAt)],
      ["Ended", found.completedAt ? ago(found.completedAt) : null], ["Fetched", bytes(found.bodyBytes)], ["Records", bytes(found.recordBytes)],
      ["Metadata", Object.keys(found.metadata || {}).length ? JSON.stringify(found.metadata) : null],
    ])));
}

const SLOW = {
  host_pause: "the host rests after 429 or 503", crawl_delay: "its Crawl-delay", slow_host: "the host answers slowly",
  host_delay: "the delay set for hosts", host_limit: "as many fetches as its host may have", turn: "other customers' turns",
  memory: "too little memory",
};

// What holds a running job up, in words; "" when nothing does.
function slowText({ slow }) {
  if (!slow) return "";
  const words = SLOW[slow.reason] || slow.reason;
  return slow.host ? `${words} (${slow.host})` : words;
}

function showTab(context, path, found) {
  context.ends.splice(0).forEach((end) => end());
  const content = h("div");
  const open = (name) => { context.tab = name; showTab(context, path, found); };
  replace(context.body, h("div.tabs", { role: "tablist" }, Object.entries(TABS).map(([name, tab]) =>
    h("button", { type: "button", role: "tab", "aria-selected": String(context.tab === name), onclick: () => open(name) }, tab.title))), content);
  const tab = TABS[context.tab] || TABS.pages;
  Promise.resolve(tab.show(content, path, (end) => context.ends.push(end)))
    .catch((error) => replace(content, h("p.bad", {}, error.message)));
}
