// Builds elements. Text always goes in as text, never as markup: what was scraped is not trusted.

const SVG = "http://www.w3.org/2000/svg";

// h("a.url", {href, onclick, ...}, child, [children], ...); null and false children are left out.
export function h(tag, attributes, ...children) {
  const [name, ...classes] = tag.split(".");
  return fill(document.createElement(name || "div"), classes, attributes, children);
}

export function svg(tag, attributes, ...children) {
  const [name, ...classes] = tag.split(".");
  return fill(document.createElementNS(SVG, name), classes, attributes, children);
}

function fill(element, classes, attributes, children) {
  if (classes.length) element.setAttribute("class", classes.join(" "));
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "width%") element.style.width = `${value}%`;
    else if (name in { value: 1, checked: 1, disabled: 1, selected: 1 }) element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children.flat(3)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : String(child));
  }
  return element;
}

let release = () => {};
let pressed = Promise.resolve();
addEventListener("pointerdown", () => { pressed = new Promise((resolve) => { release = resolve; }); });
// A click comes right after its pointerup: what it is for is still there then.
for (const name of ["pointerup", "pointercancel", "dragend"]) addEventListener(name, () => setTimeout(release));

// Waits until no button is being pressed: one that is drawn anew in the middle of a click is not clicked.
export const released = () => pressed;

// New content for an element. The keyboard's focus, and what was being typed, stay where they were.
export function replace(element, ...children) {
  const focused = element.contains(document.activeElement) ? document.activeElement : null;
  const key = focused && focusKey(focused);
  element.replaceChildren(...children.flat(3).filter((child) => child || child === 0));
  if (key && !element.contains(focused)) {
    const same = [...element.querySelectorAll(FOCUSABLE)].find((one) => focusKey(one) === key);
    if (same && focused.tagName === "INPUT") same.value = focused.value;
    if (same) same.focus({ preventScroll: true });
  }
  return element;
}

const FOCUSABLE = "a[href], button, input, select, textarea, summary, [tabindex]";
const focusKey = (one) => [one.tagName, one.getAttribute("aria-label"), one.getAttribute("href"), one.name, one.tagName === "BUTTON" ? one.textContent : ""].join("|");

// A link to a scraped address: only http and https are made a link, the rest is shown as text.
export function outside(address) {
  const isWeb = /^https?:\/\//i.test(address || "");
  if (!isWeb) return h("span.url", {}, address || "–");
  return h("a.url", { href: address, title: address, rel: "noopener noreferrer nofollow", target: "_blank" }, address);
}

const STATE_LOOK = {
  completed: "good", running: "good", failed: "bad", dead: "bad", "backing-off": "bad", cancelled: "muted",
  delivered: "good", "failed, tried again": "warn", "given up": "bad", "not told": "bad",
  active: "", waiting: "muted", delayed: "warn", paused: "warn", starting: "warn", stopping: "warn",
};

export function chip(state) {
  const look = STATE_LOOK[state] || "";
  return h(look ? `span.chip.${look}` : "span.chip", {}, state);
}

// A table: columns [{name, of(row), class, small: false hides it on small screens}]. There, each row
// is a block with the columns' names beside its values; the roles say that it is a table all the same.
export function table(columns, rows, { empty = "Nothing here.", caption = "" } = {}) {
  if (!rows.length) return h("p.muted", {}, empty);
  const classOf = (column) => [column.class, column.small === false && "hide-small"].filter(Boolean).join(" ");
  return h("div.scroll", {}, h("table", { "aria-label": caption, role: "table" },
    h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, columns.map((column) => h("th", { class: classOf(column), scope: "col", role: "columnheader" }, column.name)))),
    h("tbody", { role: "rowgroup" }, rows.map((row) => h("tr", { role: "row" }, columns.map((column) =>
      h("td", { class: classOf(column), role: "cell", "data-name": column.name }, column.of(row))))))));
}

// A button in a table's row that opens and closes a row below it, as wide as the table.
export function opener(name, content) {
  let below = null;
  const button = h("button", { type: "button", "aria-expanded": "false", onclick: () => {
    const row = button.closest("tr");
    if (below) below.remove();
    below = below ? null : h("tr", { role: "row" }, h("td.below", { role: "cell", colspan: row.cells.length }, content()));
    if (below) row.after(below);
    button.setAttribute("aria-expanded", String(Boolean(below)));
    button.textContent = below ? "hide" : name;
  } }, name);
  return button;
}

export function facts(pairs) {
  return h("dl.facts", {}, pairs.filter(([, value]) => value !== null && value !== undefined && value !== "")
    .map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
}

export function toast(text, isBad = false) {
  const element = h(isBad ? "div.bad" : "div", {}, text);
  document.getElementById("toasts").append(element);
  setTimeout(() => element.remove(), isBad ? 12000 : 5000);
}

// Asks before something that hurts; resolves to true or false.
export function confirmed(question, detail, verb) {
  return new Promise((resolve) => {
    const dialog = h("dialog", { "aria-labelledby": "question", onclose: () => { dialog.remove(); resolve(dialog.returnValue === "yes"); } },
      h("form", { method: "dialog" },
        h("h2", { id: "question" }, question), h("p.muted", {}, detail),
        h("div.row", {}, h("button.danger", { value: "yes" }, verb), h("button", { value: "no", autofocus: true }, "Leave it"))));
    document.body.append(dialog);
    dialog.showModal();
  });
}
