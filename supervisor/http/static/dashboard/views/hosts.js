// Hosts that are fetched now or wait: how many fetches at once, until when each rests, and why.

import { get } from "../api.js";
import { h, replace, table } from "../dom.js";
import { number, span } from "../format.js";

const MOST = 200;

export async function hosts(context) {
  const found = await get(`/hosts?limit=${MOST}`);
  if (context.isGone()) return 0;
  replace(context.main, h("h1", {}, "Hosts"), h("p.muted", {}, "Hosts of running jobs, and those that work waits for. Limits hold over all machines."),
    h("section.card", {}, table([
      { name: "Host", of: (host) => h("span.url", {}, host.host) },
      { name: "In flight", class: "num", of: (host) => number(host.inFlight) },
      { name: "Work waits for it", of: (host) => (host.isWaitedFor ? h("span.warn", {}, "yes") : "no") },
      { name: "Rests after 429 or 503", class: "nowrap", of: (host) => left(host.pausedUntil) },
      { name: "Crawl-delay", class: "nowrap", of: (host) => delay(host.crawlDelayMs), small: false },
      { name: "Delay as it is slow", class: "nowrap", of: (host) => delay(host.slowDelayMs), small: false },
    ], found.hosts, { empty: "No host is busy.", caption: "Hosts" }),
    found.hosts.length >= MOST ? h("p.muted", {}, `The first ${MOST} are shown.`) : null));
  return 2000;
}

function left(moment) {
  const seconds = moment ? (Date.parse(moment) - Date.now()) / 1000 : 0;
  return seconds > 0 ? h("span.warn", {}, `for ${span(seconds)} more`) : "no";
}

const delay = (ms) => (ms ? span(ms / 1000) : "none");
