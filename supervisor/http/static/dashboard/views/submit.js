// The form for a new job: the usual fields, and any other as JSON.

import { get, post } from "../api.js";
import { h, replace } from "../dom.js";

const SWITCHES = [["turboMode", "Turbo: speed first"], ["ecommerceMode", "Products (single pages)"], ["aiOptimization", "Markdown and chunks"], ["ownSite", "The customer's own site"]];

export async function submitDialog(act) {
  const presets = await get("/presets").then((found) => Object.keys(found.presets), () => []);
  const faults = h("div.bad", { role: "alert" });
  const form = h("form", { onsubmit: async (event) => {
    event.preventDefault();
    try {
      const job = fieldsOf(event.target);
      const made = await post("/jobs", job);
      dialog.close();
      act(async () => made, `Job ${made.jobId} is accepted`);
      location.hash = `#/jobs/${encodeURIComponent(made.jobId)}`;
    } catch (error) {
      const named = (error.fields || []).map((fault) => h("li", {}, `${fault.field}: ${fault.problem}${fault.hint ? ` (${fault.hint})` : ""}`));
      replace(faults, named.length ? h("ul", {}, named) : error.message);
    }
  } },
  h("h2", { id: "new-job" }, "New job"),
  h("label.field", {}, "URL", h("input", { name: "url", type: "url", required: true, autofocus: true, placeholder: "https://example.com/" })),
  h("label.field", {}, "Type", h("select", { name: "type" }, h("option", {}, "single-page"), h("option", {}, "full-crawl"))),
  h("label.field", {}, "Customer", h("input", { name: "customerId", value: "default" })),
  h("label.field", {}, "At most so many pages (full-crawl)", h("input", { name: "maxPages", type: "number", min: 1 })),
  presets.length ? h("label.field", {}, "Preset", h("select", { name: "preset" }, h("option", { value: "" }, "none"), presets.map((name) => h("option", {}, name)))) : null,
  SWITCHES.map(([name, label]) => h("label.check", {}, h("input", { type: "checkbox", name }), label)),
  h("label.field", {}, "More fields, as JSON", h("textarea", { name: "more", rows: 3, placeholder: '{"includePaths": ["/blog/**"], "priority": 5}' })),
  faults,
  h("div.row", {}, h("button.main", {}, "Submit"), h("button", { type: "button", onclick: () => dialog.close() }, "Never mind")));
  const dialog = h("dialog", { "aria-labelledby": "new-job", onclose: () => dialog.remove() }, form);
  document.body.append(dialog);
  dialog.showModal();
}

function fieldsOf(form) {
  const given = new FormData(form);
  let more = {};
  const text = given.get("more").trim();
  if (text) {
    try { more = JSON.parse(text); } catch (error) { throw new Error(`"More fields" is no JSON: ${error.message}`); }
  }
  const job = { type: given.get("type"), url: given.get("url"), customerId: given.get("customerId") || "default" };
  if (given.get("maxPages")) job.maxPages = Number(given.get("maxPages"));
  if (given.get("preset")) Object.assign(job, { useNewConfig: true, newConfigPreset: given.get("preset") });
  for (const [name] of SWITCHES) if (given.get(name)) job[name] = true;
  return { ...job, ...more };
}
