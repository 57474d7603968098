// Raw pushes that were refused, the newest first, with the reasons.

import { get, part } from "../api.js";
import { h, replace, table } from "../dom.js";
import { ago } from "../format.js";

export async function rejected(context) {
  const cursors = context.cursors || (context.cursors = [""]);
  const found = await get(`/rejected?limit=50${cursors.at(-1) ? `&cursor=${part(cursors.at(-1))}` : ""}`);
  if (context.isGone()) return 0;
  replace(context.main, h("h1", {}, "Refused pushes"),
    h("p.muted", {}, "What was pushed to Redis and is no job. Mend it and push it again."),
    h("section.card", {}, table([
      { name: "When", class: "nowrap", of: (push) => ago(push.at) }, { name: "Door", class: "nowrap", of: (push) => push.door, small: false },
      { name: "Reason", of: (push) => h("span.url", {}, push.reason) },
      { name: "Pushed", of: (push) => h("span.url.short", { title: String(push.payload).slice(0, 2000) }, String(push.payload).slice(0, 2000)) },
    ], found.rejected, { empty: "Nothing was refused.", caption: "Refused pushes" }),
    h("div.row.after", {}, h("button", { type: "button", disabled: cursors.length === 1, onclick: () => { cursors.pop(); context.again(); } }, "Newer"),
      h("button", { type: "button", disabled: !found.nextCursor, onclick: () => { cursors.push(found.nextCursor); context.again(); } }, "Older"))));
  return 10000;
}
