// The tabs of one job. Each draws into an element; lists come by pages, by their cursors.

import { get, listen, part } from "../api.js";
import { chip, facts, h, opener, outside, replace, table } from "../dom.js";
import { number } from "../format.js";
import { eventLog } from "./event_log.js";
import { webhook } from "./job_webhook.js";

const PART = 50;
const OPEN_STATES = new Set(["queued", "delayed", "leased"]);
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
// `load(cursor)` gives {rows, next}; it is asked for a part again when the reader goes back. Gives a
// function that draws the first part anew, as long as that one is looked at.
async function parts(place, columns, load, options) {
  // Where each part begins: a cursor, and how many rows behind it.
  const starts = [["", 0]];
  let next = null;
  let turn = 0;
  const list = h("div");
  const button = (name, move) => h("button", { type: "button", onclick: () => {
    move();
    draw().catch((error) => replace(list, h("p.bad", {}, error.message)));
  } }, name);
  const back = button("Back", () => starts.pop());
  const more = button("More", () => { if (next) starts.push(next); next = null; });
  const count = h("span.muted");
  const buttons = h("div.row.after", {}, back, more, count);
  replace(place, list, buttons);
  async function draw() {
    const mine = turn += 1;
    const rows = [];
    let [cursor, skipped] = starts.at(-1);
    let following = null;
    do {
      const found = await load(cursor);
      if (mine !== turn) return;
      rows.push(...found.rows.slice(skipped));
      following = found.next ? [found.next, 0] : null;
      if (rows.length > PART) following = [cursor, found.rows.length - (rows.length - PART)];
      [cursor, skipped] = [found.next, 0];
    } while (cursor && rows.length < PART);
    next = following;
    replace(list, table(columns, rows.slice(0, PART), options));
    back.disabled = starts.length === 1;
    more.disabled = !next;
    buttons.hidden = starts.length === 1 && !next;
    count.textContent = `part ${starts.length}`;
  }
  await draw();
  return () => (starts.length > 1 || place.querySelector("[aria-expanded=true]") ? null : draw());
}

const tail = (cursor) => (cursor ? `&cursor=${part(cursor)}` : "");

// A done page's note is its place among the records.
const noteOf = (page) => (page.state === "done" && page.note ? `record ${page.note}` : page.note);

async function pages(content, path, atEnd, isOver) {
  const place = h("div");
  const columns = [
    { name: "URL", class: "half", of: (page) => outside(page.url) }, { name: "State", of: (page) => chip(isOver() && OPEN_STATES.has(page.state) ? "not fetched" : page.state) },
    { name: "Note", of: (page) => h("span.url.short", { title: noteOf(page) }, noteOf(page)) }, { name: "Depth", class: "num", of: (page) => page.depth, small: false },
    { name: "Attempts", class: "num", of: (page) => page.attempts, small: false },
    { name: "Found on", class: "half", of: (page) => (page.foundOn ? outside(page.foundOn) : "the start"), small: false },
  ];
  let refresh = () => null;
  const draw = async (state) => { refresh = await parts(place, columns, async (cursor) => {
    const found = await get(`${path}/pages?${state ? `state=${state}` : PAGE_STATES.map((one) => `state=${one}`).join("&")}${tail(cursor)}`);
    return { rows: found.pages, next: found.nextCursor };
  }, { empty: "No such pages.", caption: "Pages" }); };
  const select = h("select", { "aria-label": "State of the pages", "data-filter": true, onchange: () => draw(select.value).catch((error) => replace(place, h("p.bad", {}, error.message))) },
    h("option", { value: "" }, "all states"), PAGE_STATES.map((state) => h("option", {}, state)));
  replace(content, h("div.row", {}, select), place);
  await draw("");
  return () => refresh();
}

async function errors(content, path) {
  const kinds = new Map();
  let counted = 0;
  const summary = h("p.muted");
  const place = h("div");
  replace(content, summary, place);
  return parts(place, [
    { name: "URL", class: "half", of: (error) => outside(error.url) }, { name: "Code", class: "nowrap", of: (error) => h("span.bad", {}, error.code) },
    { name: "What happened", of: (error) => h("span.url", {}, error.message || "") }, { name: "Attempts", class: "num", of: (error) => error.attempts ?? "", small: false },
  ], async (cursor) => {
    const found = await get(`${path}/errors?limit=${PART}${tail(cursor)}`);
    const first = Number(cursor || 0);
    for (const error of found.errors.slice(Math.max(0, counted - first))) kinds.set(error.code, (kinds.get(error.code) || 0) + 1);
    counted = Math.max(counted, first + found.errors.length);
    const seen = counted;
    const kindsText = [...kinds].sort((a, b) => b[1] - a[1]).map(([code, count]) => `${code} ${number(count)}`).join(", ");
    replace(summary, found.total ? `${kindsText}${seen < found.total ? ` (of the first ${number(seen)} of ${number(found.total)})` : ""}` : "");
    return { rows: found.errors, next: found.nextCursor };
  }, { empty: "No page failed.", caption: "Errors" });
}

const REASONS = {
  off_scope: "another site", excluded: "excludePaths matches", not_included: "includePaths does not match",
  too_deep: "more than maxDepth links away", nofollow: "the link, or its page, asks robots not to follow it",
  trap_calendar: "no end of such dates", trap_query: "no end of such queries", trap_session: "the same page under other session ids",
  trap_path: "no end of such paths", sitemap_limit: "too many sitemaps or URLs in one", too_many_links: "pages with more links than are read",
  too_long: "over 2,048 characters", malformed: "no URL", scheme: "mailto:, javascript:, tel: or data:", budget: "the job knows as many pages as it may fetch",
};

async function filtered(content, path) {
  const draw = () => drawFiltered(content, path);
  await draw();
  return draw;
}

async function drawFiltered(content, path) {
  const found = await get(`${path}/filtered`);
  const counts = Object.entries(found.counts).sort((a, b) => b[1] - a[1]);
  replace(content, h("p.muted", {}, "Links that never became pages of this job, by reason."),
    counts.length ? facts(counts.map(([reason, count]) => [reason, `${number(count)}${REASONS[reason] ? ` – ${REASONS[reason]}` : ""}`])) : h("p", {}, "No link was left out."),
    found.sample.length ? [h("h2.after", {}, "The newest of them"), table([
      { name: "Reason", class: "nowrap", of: (link) => link.reason }, { name: "URL", of: (link) => outside(link.url) }], found.sample, { caption: "Sample" })] : null);
}

async function records(content, path) {
  const place = h("div");
  replace(content, place);
  return parts(place, [
    { name: "URL", class: "half", of: (record) => outside(record.url) }, { name: "Status", class: "num", of: (record) => record.status },
    { name: "Title", of: (record) => h("span.url.short", { title: record.title || "" }, record.title || "") },
    { name: "Record", of: (record) => opener("show", () => h("pre", { tabindex: 0 }, JSON.stringify(record, null, 2).slice(0, 100000))) },
  ], async (cursor) => {
    const found = await get(`${path}/data?limit=${PART}${tail(cursor)}`);
    return { rows: found.data, next: found.data.length ? found.nextCursor : null };
  }, { empty: "No page is recorded yet.", caption: "Records" });
}

function events(content, path, atEnd) {
  const log = eventLog(decodeURIComponent(path.split("/").pop()));
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
}
