// One job: how far it is, why it is slow, its pages, errors, what was left out, its events.

import { download, get, part, post, remove } from "../api.js";
import { chip, facts, h, outside, replace } from "../dom.js";
import { ago, bytes, decimal, ending, number, span } from "../format.js";
import { act, actAfterAsking } from "../actions.js";
import { TABS } from "./job_tabs.js";
import { pageBar } from "./job_table.js";

const FINAL = ["completed", "failed", "cancelled"];

export async function job(context) {
  const id = context.path[0];
  const path = `/jobs/${part(id)}`;
  const found = await get(path);
  if (context.isGone()) return 0;
  const isOver = FINAL.includes(found.state);
  const isNews = !isOver || found.state !== context.shownState;
  context.shownState = found.state;
  if (!context.isDrawn) {
    context.head = h("div");
    context.tab = context.query.get("tab") || "pages";
    context.body = h("section.card");
    replace(context.main, context.head, context.body);
    context.isDrawn = true;
    showTab(context, path);
  } else if (isNews) context.refreshTab();
  replace(context.head, h("h1", {}, found.id, " ", chip(found.state)), actions(found, path), summary(found));
  return isOver ? 10000 : 2000;
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
  const pace = found.state === "active" ? found.pace : null;
  const pages = found.pages;
  return h("div.wide", {},
    h("section.card", {}, pageBar(pages, found.maxPages),
      h("p", {}, h("strong", {}, number(pages.done)), ` recorded of at most ${number(found.maxPages)}; `,
        `${number(pages.known)} known: ${number(pages.queued)} queued, ${number(pages.delayed)} later, ${number(pages.leased)} in hand, `,
        h("span", { class: pages.failed ? "bad" : "" }, `${number(pages.failed)} failed`), `, ${number(pages.skipped)} skipped`,
        pages.left ? `; ${number(pages.left)} left when it ended` : ""),
      pace ? h("p", {}, `${decimal(pace.rate)} pages/s`, pace.eta === null ? "" : `, about ${span(pace.eta / 1000)} left`) : null,
      pace && pace.slow ? h("p.warn", {}, `Held up: ${pace.slow.text}`) : null,
      found.error ? h("p.bad", {}, found.error) : null,
      found.finishReason ? h("p.muted", {}, `Ended: ${ending(found.finishReason)}`) : null),
    h("section.card", {}, facts([
      ["URL", outside(found.url)], ["Type", found.type], ["Customer", found.customerId], ["Priority", found.priority || null],
      ["Attempt", `${found.attempt} of ${found.attempts}`], ["Submitted", ago(found.submittedAt)], ["Started", ago(found.startedAt)],
      ["Ended", found.completedAt ? ago(found.completedAt) : null], ["Fetched", bytes(found.bodyBytes)], ["Records", bytes(found.recordBytes)],
      ["Metadata", Object.keys(found.metadata || {}).length ? JSON.stringify(found.metadata) : null],
    ])));
}

function showTab(context, path) {
  context.ends.splice(0).forEach((end) => end());
  context.refreshTab = () => {};
  const content = h("div", { role: "tabpanel" });
  const names = Object.keys(TABS);
  const shown = TABS[context.tab] ? context.tab : names[0];
  const open = (name) => {
    context.tab = name;
    // Loaded again, or sent to a colleague, the address leads to the same tab.
    history.replaceState(null, "", `#${path}?tab=${name}`);
    showTab(context, path);
  };
  const turn = (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    open(names[(names.indexOf(shown) + step + names.length) % names.length]);
    context.body.querySelector("[aria-selected=true]").focus();
  };
  replace(context.body, h("div.tabs", { role: "tablist", "aria-label": "Parts of the job", onkeydown: turn }, names.map((name) =>
    h("button", { type: "button", role: "tab", tabindex: shown === name ? 0 : -1, "aria-selected": String(shown === name), onclick: () => open(name) }, TABS[name].title))), content);
  const isShown = () => content.isConnected;
  const fault = (error) => { if (isShown()) replace(content, h("p.bad", {}, error.message)); };
  Promise.resolve(TABS[shown].show(content, path, (end) => context.ends.push(end), () => FINAL.includes(context.shownState))).then((draw) => {
    // At a fault the page says so above, and what was drawn stays.
    if (draw && isShown()) context.refreshTab = () => Promise.resolve(draw()).catch(() => {});
  }, fault);
}
