// The tabs of one job. Each draws into an element; lists come by pages, by their cursors.

import { get, listen, part } from "../api.js";
import { chip, facts, h, outside, replace, table } from "../dom.js";
import { number } from "../format.js";
import { eventLog } from "./event_log.js";
import { webhook } from "./job_webhook.js";

const PAGE_STATES = ["queued", "delayed", "leased", "done", "failed", "skipped"];

export const TABS = {
  pages: { title: "Pages", show: pages },
  errors: { title: "Errors", show: errors },
  filtered: { title: "Left out", show: filtered },
  data: { title: "Records", show: records },
  events: { title: "Events", show: events },
  webhook: { title: "Webhook", show: webhook },
  explain: { title: "Explain a URL", show: explain },
};

// A list by parts, one at a time: however long it is, the browser has no more to draw than one.
// `load(cursor)` gives {rows, next}; it is asked for a part again when the reader goes back.
async function parts(place, columns, load, options) {
  const cursors = [""];
  let next = null;
  const list = h("div");
  const button = (name, turn) => h("button", { type: "button", onclick: () => {
    turn();
    draw().catch((error) => replace(list, h("p.bad", {}, error.message)));
  } }, name);
  const back = button("Back", () => cursors.pop());
  const more = button("More", () => cursors.push(next));
  const count = h("span.muted");
  const buttons = h("div.row", {}, back, more, count);
  replace(place, list, buttons);
  async function draw() {
    back.disabled = more.disabled = true;
    const rows = [];
    next = cursors.at(-1);
    do {
      const part = await load(next);
      rows.push(...part.rows);
      next = part.next;
    } while (next && rows.length < 50);
    replace(list, table(columns, rows, options));
    back.disabled = cursors.length === 1;
    more.disabled = !next;
    buttons.hidden = cursors.length === 1 && !next;
    count.textContent = `part ${cursors.length}`;
  }
  await draw();
}

const tail = (cursor) => (cursor ? `&cursor=${part(cursor)}` : "");

// A done page's note is its place among the records.
const noteOf = (page) => (page.state === "done" && page.note ? `record ${page.note}` : page.note);

async function pages(content, path) {
  const place = h("div");
  const columns = [
    { name: "URL", of: (page) => outside(page.url) }, { name: "State", of: (page) => chip(page.state) },
    { name: "Note", of: (page) => h("span.url", {}, noteOf(page)), small: false }, { name: "Depth", class: "num", of: (page) => page.depth, small: false },
    { name: "Attempts", class: "num", of: (page) => page.attempts, small: false },
    { name: "Found on", of: (page) => (page.foundOn ? outside(page.foundOn) : "the start"), small: false },
  ];
  const draw = (state) => parts(place, columns, async (cursor) => {
    const found = await get(`${path}/pages?${state ? `state=${state}` : PAGE_STATES.map((one) => `state=${one}`).join("&")}${tail(cursor)}`);
    return { rows: found.pages, next: found.nextCursor };
  }, { empty: "No such pages.", caption: "Pages" });
  const select = h("select", { "aria-label": "State of the pages", "data-filter": true, onchange: () => draw(select.value).catch((error) => replace(place, h("p.bad", {}, error.message))) },
    h("option", { value: "" }, "all states"), PAGE_STATES.map((state) => h("option", {}, state)));
  replace(content, h("div.row", {}, select), place);
  await draw("");
}

async function errors(content, path) {
  const kinds = new Map();
  let counted = 0;
  const summary = h("p.muted");
  const place = h("div");
  replace(content, summary, place);
  await parts(place, [
    { name: "URL", of: (error) => outside(error.url) }, { name: "Code", class: "nowrap", of: (error) => h("span.bad", {}, error.code) },
    { name: "What happened", of: (error) => h("span.url", {}, error.message || "") }, { name: "Attempts", class: "num", of: (error) => error.attempts ?? "", small: false },
  ], async (cursor) => {
    const found = await get(`${path}/errors?limit=100${tail(cursor)}`);
    const first = Number(cursor || 0);
    for (const error of found.errors.slice(Math.max(0, counted - first))) kinds.set(error.code, (kinds.get(error.code) || 0) + 1);
    counted = Math.max(counted, first + found.errors.length);
    const seen = counted;
    const kindsText = [...kinds].sort((a, b) => b[1] - a[1]).map(([code, count]) => `${code} ${number(count)}`).join(", ");
    replace(summary, found.total ? `${kindsText}${seen < found.total ? ` (of the first ${number(seen)} of ${number(found.total)})` : ""}` : "");
    return { rows: found.errors, next: found.nextCursor };
  }, { empty: "No page failed.", caption: "Errors" });
}

async function filtered(content, path) {
  const found = await get(`${path}/filtered`);
  const counts = Object.entries(found.counts).sort((a, b) => b[1] - a[1]);
  replace(content, h("p.muted", {}, "Links that never became pages of this job, by reason."),
    counts.length ? facts(counts.map(([reason, count]) => [reason, number(count)])) : h("p", {}, "No link was left out."),
    found.sample.length ? [h("h2", {}, "The newest of them"), table([
      { name: "Reason", class: "nowrap", of: (link) => link.reason }, { name: "URL", of: (link) => outside(link.url) }], found.sample, { caption: "Sample" })] : null);
}

async function records(content, path) {
  const place = h("div");
  replace(content, place);
  await parts(place, [
    { name: "URL", of: (record) => outside(record.url) }, { name: "Status", class: "num", of: (record) => record.status },
    { name: "Title", of: (record) => h("span.url", {}, record.title || ""), small: false },
    { name: "Record", of: (record) => h("details", {}, h("summary", {}, "show"), h("pre", {}, JSON.stringify(record, null, 2).slice(0, 100000))) },
  ], async (cursor) => {
    const found = await get(`${path}/data?limit=25${tail(cursor)}`);
    return { rows: found.data, next: found.data.length ? found.nextCursor : null };
  }, { empty: "No page is recorded yet.", caption: "Records" });
}

function events(content, path, atEnd) {
  const log = eventLog();
  replace(content, log.element);
  atEnd(listen(`${path}/events`, log.add));
}

function explain(content, path) {
  const answer = h("div", { role: "status" });
  const input = h("input", { type: "url", required: true, placeholder: "https://example.com/page", "aria-label": "URL", size: 50 });
  replace(content, h("p.muted", {}, "Why was this address fetched, or not?"),
    h("form.row", { onsubmit: async (event) => {
      event.preventDefault();
      try {
        const found = await get(`${path}/explain?url=${part(input.value)}`);
        replace(answer, h("p", {}, h("strong", {}, found.sentence)), facts([
          ["Verdict", found.verdict], ["Found on", found.foundOn ? outside(found.foundOn) : null], ["Attempts", found.attempts],
          ["Note", found.note], ["Pages before it", found.place]]));
      } catch (error) { replace(answer, h("p.bad", {}, error.message)); }
    } }, input, h("button.main", {}, "Explain")), answer);
  input.focus();
}
