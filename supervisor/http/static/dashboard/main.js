// The shell: navigation, the banner of what is wrong, the theme, and which view is shown.

import { get, post, listen, forgetToken, hasToken } from "./api.js";
import { act, afterEach } from "./actions.js";
import { h, replace } from "./dom.js";
import { clock } from "./format.js";
import { live } from "./live.js";
import { overview } from "./views/overview.js";
import { jobs } from "./views/jobs.js";
import { job } from "./views/job.js";
import { workers } from "./views/workers.js";
import { hosts } from "./views/hosts.js";
import { events } from "./views/events.js";
import { rejected } from "./views/rejected.js";

// Path, name in the navigation, view, key behind "g".
const VIEWS = [
  ["", "Overview", overview, "o"],
  ["jobs", "Jobs", jobs, "j"],
  ["workers", "Workers", workers, "w"],
  ["hosts", "Hosts", hosts, "h"],
  ["events", "Events", events, "e"],
  ["rejected", "Refused", rejected, "r"],
];
const OPERATORS = new Set(["workers", "hosts"]);
const BANNER_EVERY_MS = 5000;
const AGAIN_AFTER_MS = 5000;
const THEMES = ["system", "light", "dark"];

let leave = () => {};
let refresh = () => {};
let bannerTimer = 0;
afterEach(() => { refresh(); showBanner(); });

function show() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [name, ...rest] = path.split("/").map(decoded);
  const place = name === "jobs" && rest.length ? "job" : name;
  const [at, title, listed] = VIEWS.find(([known]) => known === name) || VIEWS[0];
  const view = place === "job" ? job : listed;
  document.title = `${place === "job" ? rest[0] : title} – Scraper Workers`;
  leave();
  replace(document.getElementById("fault"));
  const main = document.getElementById("view");
  replace(main, h("p.muted", {}, "Loading …"));
  for (const link of document.querySelectorAll("#nav a")) {
    const isHere = link.dataset.view === at;
    if (isHere) link.setAttribute("aria-current", "page"); else link.removeAttribute("aria-current");
  }
  const shown = poller(view, main, rest, new URLSearchParams(query));
  leave = shown.leave;
  refresh = shown.refresh;
  main.focus({ preventScroll: true });
}

// A part of a path that somebody typed may be no encoded text at all.
function decoded(text) {
  try { return decodeURIComponent(text); } catch { return text; }
}

// Runs a view: it draws itself, and is asked again every `every` ms while the page is looked at. When
// that fails, what was drawn stays, with a note above: at a fault the last figures are wanted most.
function poller(view, main, path, query) {
  let timer = 0;
  let isGone = false;
  let drawnAt = 0;
  const context = { main, path, query, isGone: () => isGone, again: () => run(), ends: [] };
  async function run() {
    clearTimeout(timer);
    let every = 3000;
    try {
      if (!document.hidden && !isSelecting(main)) {
        every = (await view(context)) || 0;
        if (isGone) return;
        drawnAt = Date.now();
        replace(document.getElementById("fault"));
      }
    } catch (error) {
      if (isGone) return;
      failed(error);
      every = AGAIN_AFTER_MS;
    }
    if (!isGone && every) timer = setTimeout(run, every);
  }
  function failed(error) {
    const again = h("button", { type: "button", onclick: run }, "Try again");
    const isMissing = error.code === "job_not_found";
    if (drawnAt && !isMissing) {
      replace(document.getElementById("fault"), h("div.bad", {}, `As of ${clock(drawnAt)}, not newer: ${error.message} `, again));
      return;
    }
    drawnAt = 0;
    context.isDrawn = false;
    replace(main, h("section.card", {}, h("h1", {}, isMissing ? "No such job" : "That did not work"), h("p.bad", {}, error.message),
      h("div.row", {}, again, isMissing ? h("a", { href: "#/jobs" }, "All jobs") : null)));
  }
  run();
  return { refresh: run, leave: () => { isGone = true; clearTimeout(timer); context.ends.forEach((end) => end()); } };
}

// Whoever marks a text wants to copy it: drawing anew would take the marking away.
function isSelecting(main) {
  const selection = getSelection();
  return !selection.isCollapsed && main.contains(selection.anchorNode);
}

async function showBanner() {
  clearTimeout(bannerTimer);
  const banner = document.getElementById("banner");
  try {
    const health = await get("/health");
    const problems = health.problems || [];
    const queue = health.queue || {};
    const warnings = queue.warnings || [];
    showOperators(true);
    replace(banner,
      problems.length ? h("div.bad", { role: "alert" }, h("strong", {}, "Unhealthy"), h("ul", {}, problems.map((text) => h("li", {}, text)))) : null,
      warnings.length ? h("div.warn", {}, h("strong", {}, "Warning"), h("ul", {}, warnings.map((text) => h("li", {}, text)))) : null,
      queue.paused ? h("div.warn", {}, "The queue is paused: no page is handed out. ",
        h("button", { type: "button", onclick: () => act(() => post("/queue/resume"), "The queue goes on") }, "Resume")) : null);
  } catch (error) {
    // A customer's token may not ask for it, nor for the machines.
    if (error.status === 403) {
      showOperators(false);
      replace(banner);
    } else replace(banner, h("div.bad", { role: "alert" }, `The service does not answer: ${error.message}`));
  }
  forget.hidden = !hasToken();
  clearTimeout(bannerTimer);
  bannerTimer = setTimeout(showBanner, BANNER_EVERY_MS);
}

function showOperators(isOperator) {
  for (const link of document.querySelectorAll("#nav a")) link.hidden = !isOperator && OPERATORS.has(link.dataset.view);
}

function setTheme(choice) {
  const isDark = choice === "dark" || (choice === "system" && matchMedia("(prefers-color-scheme: dark)").matches);
  document.documentElement.dataset.theme = isDark ? "dark" : "light";
  const button = document.getElementById("theme");
  button.textContent = { system: "Theme: system", light: "Theme: light", dark: "Theme: dark" }[choice];
  button.onclick = () => {
    const next = THEMES[(THEMES.indexOf(choice) + 1) % THEMES.length];
    localStorage.setItem("theme", next);
    setTheme(next);
  };
}

function keys() {
  let isGoing = false;
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    if (/^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName)) return;
    if (isGoing) {
      const view = VIEWS.find(([, , , key]) => key === event.key);
      if (view) location.hash = `#/${view[0]}`;
      isGoing = false;
    } else if (event.key === "g") {
      isGoing = true;
      setTimeout(() => { isGoing = false; }, 1200);
    } else if (event.key === "/") {
      const filter = document.querySelector("[data-filter]");
      if (filter) { filter.focus(); event.preventDefault(); }
    }
  });
}

const forget = h("button.quiet", { type: "button", hidden: !hasToken(), onclick: () => { forgetToken(); location.reload(); } }, "Forget token");
replace(document.getElementById("nav"),
  VIEWS.map(([path, name, , key]) => h("a", { href: `#/${path}`, "data-view": path, title: `g, then ${key}` }, name)),
  h("a", { href: "/docs" }, "API"),
  forget);
setTheme(localStorage.getItem("theme") || "system");
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => setTheme(localStorage.getItem("theme") || "system"));
keys();
live(listen);
addEventListener("hashchange", show);
document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
show();
showBanner();
