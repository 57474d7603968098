// Hosts that are fetched now or wait: how many fetches at once, until when each rests, and why.

import { get, part } from "../api.js";
import { h, replace, table } from "../dom.js";
import { number, span } from "../format.js";

export async function hosts(context) {
  const cursors = context.cursors || (context.cursors = [""]);
  const found = await get(`/hosts?limit=100${cursors.at(-1) ? `&cursor=${part(cursors.at(-1))}` : ""}`);
  if (context.isGone()) return 0;
  replace(context.main, h("h1", {}, "Hosts"), h("p.muted", {}, "Hosts with fetches in flight, a delay or a rest. Limits hold over all machines."),
    h("section.card", {}, table([
      { name: "Host", of: (host) => host.host },
      { name: "In flight", class: "num", of: (host) => number(host.inFlight) },
      { name: "Jobs that wait", class: "num", of: (host) => number(host.waitingLanes ?? host.waiting) },
      { name: "Rests", class: "nowrap", of: (host) => rest(host) },
      { name: "Delay", class: "nowrap", of: (host) => delays(host) },
    ], found.hosts, { empty: "No host is busy.", caption: "Hosts" }),
    h("div.row", {}, h("button", { type: "button", disabled: cursors.length === 1, onclick: () => { cursors.pop(); context.again(); } }, "Before"),
      h("button", { type: "button", disabled: !found.nextCursor, onclick: () => { cursors.push(found.nextCursor); context.again(); } }, "More"))));
  return 2000;
}

function rest(host) {
  const left = ((host.pausedUntil ? Date.parse(host.pausedUntil) || host.pausedUntil : 0) - Date.now()) / 1000;
  return left > 0 ? h("span.warn", {}, `for ${span(left)} more`) : "no";
}

function delays(host) {
  const ms = host.delayMs ?? Math.max(host.crawlDelayMs || 0, host.slowDelayMs || 0);
  return ms ? span(ms / 1000) : "none";
}
