// All jobs: filters, a page at a time however many there are, and a form for new ones.

import { get, part } from "../api.js";
import { h, replace, table } from "../dom.js";
import { act } from "../actions.js";
import { jobColumns } from "./job_table.js";
import { submitDialog } from "./submit.js";

const STATES = ["waiting", "delayed", "active", "paused", "completed", "failed", "cancelled"];
const LIMIT = 50;

export async function jobs(context) {
  const { query } = context;
  const cursors = context.cursors || (context.cursors = [""]);
  const filters = ["state", "customer", "type"].filter((name) => query.get(name)).map((name) => `${name}=${part(query.get(name))}`);
  const page = await get(`/jobs?${[...filters, `limit=${LIMIT}`, cursors.at(-1) && `cursor=${part(cursors.at(-1))}`].filter(Boolean).join("&")}`);
  if (context.isGone()) return 0;
  if (!context.isDrawn) {
    context.list = h("div");
    replace(context.main, h("div.row", {}, h("h1", {}, "Jobs"),
      h("button.main.push", { type: "button", onclick: () => submitDialog(act) }, "New job")), filterForm(query), h("section.card", {}, context.list));
    context.isDrawn = true;
  }
  replace(context.list, table(jobColumns(), page.jobs, { empty: filters.length ? "No job is like that." : "No jobs yet.", caption: "Jobs" }),
    h("div.row.after", {},
      h("button", { type: "button", disabled: cursors.length === 1, onclick: () => { cursors.pop(); context.again(); } }, "Newer"),
      h("button", { type: "button", disabled: !page.nextCursor, onclick: () => { cursors.push(page.nextCursor); context.again(); } }, "Older"),
      h("span.muted", {}, `page ${cursors.length}`)));
  return 4000;
}

function filterForm(query) {
  const field = (name, label, more = {}) => h("label.field", {}, label, h("input", { name, value: query.get(name) || "", ...more }));
  return h("form.row", { role: "search", onsubmit: (event) => {
    event.preventDefault();
    const given = [...new FormData(event.target)].filter(([, value]) => value.trim()).map(([name, value]) => `${name}=${part(value.trim())}`);
    location.hash = `#/jobs${given.length ? `?${given.join("&")}` : ""}`;
  } },
  h("label.field", {}, "State", h("select", { name: "state", "data-filter": true, onchange: (event) => event.target.form.requestSubmit() },
    h("option", { value: "" }, "all"), STATES.map((state) => h("option", { value: state, selected: query.get("state") === state }, state)))),
  field("customer", "Customer"), field("type", "Type", { placeholder: "full-crawl" }),
  h("button", {}, "Filter"));
}
