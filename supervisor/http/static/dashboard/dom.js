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
  return h("a.url", { href: address, rel: "noopener noreferrer nofollow", target: "_blank" }, address);
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

// A table: columns [{name, of(row), class, small: false hides it on small screens}].
export function table(columns, rows, { empty = "Nothing here.", caption = "" } = {}) {
  if (!rows.length) return h("p.muted", {}, empty);
  const classOf = (column) => [column.class, column.small === false && "hide-small"].filter(Boolean).join(" ");
  return h("div.scroll", {}, h("table", { "aria-label": caption },
    h("thead", {}, h("tr", {}, columns.map((column) => h("th", { class: classOf(column), scope: "col" }, column.name)))),
    h("tbody", {}, rows.map((row) => h("tr", {}, columns.map((column) =>
      h("td", { class: classOf(column) }, column.of(row))))))));
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
