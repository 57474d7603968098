// How a job stands in a list: its state, its pages as a bar, its speed and the time left.

import { chip, h } from "../dom.js";
import { ago, decimal, ending, number, span } from "../format.js";
import { progress } from "../live.js";

export const jobLink = (id) => `#/jobs/${encodeURIComponent(id)}`;

export function pageBar(pages, maxPages) {
  const goal = Math.max(1, Math.min(maxPages, pages.known));
  const share = (count) => Math.min(100, (100 * count) / Math.max(goal, pages.done + pages.failed + pages.skipped));
  const text = `${number(pages.done)} of ${number(pages.known)} pages recorded, ${number(pages.failed)} failed, ${number(pages.skipped)} skipped`;
  return h("div", { title: text }, h("div.bar", { role: "img", "aria-label": text },
    h("i.done", { "width%": share(pages.done) }), h("i.failed", { "width%": share(pages.failed) }),
    h("i.skipped", { "width%": share(pages.skipped) }), h("i.leased", { "width%": share(pages.leased) })));
}

export function speed(job) {
  const seen = progress.get(job.id);
  if (job.state !== "active" || !seen) return ending(job.finishReason);
  const left = seen.eta === undefined || seen.eta === null ? "" : `, ${span(seen.eta / 1000)} left`;
  return `${decimal(seen.rate)}/s${left}`;
}

export function jobColumns() {
  return [
    { name: "Job", of: (job) => [h("a.url", { href: jobLink(job.id) }, job.id), h("div.muted.url", {}, job.url)] },
    { name: "State", of: (job) => chip(job.state) },
    { name: "Customer", of: (job) => job.customerId, small: false },
    { name: "Type", class: "nowrap", of: (job) => job.type, small: false },
    { name: "Pages", of: (job) => [pageBar(job.pages, job.maxPages), h("div.muted.nowrap", {}, `${number(job.pages.done)} / ${number(Math.min(job.maxPages, job.pages.known))}`)] },
    { name: "Errors", class: "num", of: (job) => (job.pages.failed ? h("span.bad", {}, number(job.pages.failed)) : "0") },
    { name: "Speed, or why it ended", of: speed, small: false },
    { name: "Submitted", class: "nowrap", of: (job) => ago(job.submittedAt), small: false },
  ];
}
