// Line charts over time, as SVG: no library, no inline styles, readable without colour by their legend.

import { h, svg } from "./dom.js";

const WIDTH = 300;
const HEIGHT = 130;
const LEFT = 52;
const BOTTOM = 20;
const MOST_POINTS = 400;

// series: [{name, points: [[epoch ms, value], ...]}]; `show` formats a value; `base` is that of its
// units: 1024 for bytes, 1 for what there are only whole ones of.
export function chart(title, series, show, base = 10) {
  const drawn = series.map((one) => ({ ...one, points: thinned(one.points) })).filter((one) => one.points.length);
  const all = drawn.flatMap((one) => one.points);
  if (all.length < 2) return h("section.card.chart", {}, h("h2", {}, title), h("p.muted", {}, "No history yet: wait some seconds."));
  const [from, to] = [Math.min(...all.map((p) => p[0])), Math.max(...all.map((p) => p[0]))];
  const top = nice(Math.max(...all.map((p) => p[1]), 0), base);
  const x = (at) => LEFT + ((at - from) / Math.max(1, to - from)) * (WIDTH - LEFT - 4);
  const y = (value) => 6 + (1 - value / top) * (HEIGHT - BOTTOM - 6);
  const lines = drawn.map((one, index) => svg(`polyline.line.s${index + 1}`, {
    points: one.points.map(([at, value]) => `${x(at).toFixed(1)},${y(value).toFixed(1)}`).join(" "),
  }));
  const grid = [0, top / 2, top].map((value) => [
    svg("line.axis", { x1: LEFT, x2: WIDTH, y1: y(value), y2: y(value) }),
    svg("text", { x: LEFT - 5, y: y(value) + 3, "text-anchor": "end" }, show(value)),
  ]);
  const time = (at) => new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  const newest = drawn.map((one) => `${one.name} ${show(one.points.at(-1)[1])}`).join(", ");
  return h("section.card.chart", {}, h("h2", {}, title),
    svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `${title}: ${newest}` },
      grid, lines,
      svg("text", { x: LEFT, y: HEIGHT - 4 }, time(from)), svg("text", { x: WIDTH - 4, y: HEIGHT - 4, "text-anchor": "end" }, time(to))),
    h("div.legend", {}, drawn.map((one, index) => h("span", {}, h(`span.key.k${index + 1}`), `${one.name} ${show(one.points.at(-1)[1])}`))));
}

// As many points as can be seen; each is the highest of those that it stands for.
function thinned(points) {
  if (points.length <= MOST_POINTS) return points;
  const size = Math.ceil(points.length / MOST_POINTS);
  const kept = [];
  for (let first = 0; first < points.length; first += size) {
    kept.push(points.slice(first, first + size).reduce((best, point) => (point[1] >= best[1] ? point : best)));
  }
  return kept;
}

// The upper end of the scale: what half of it is can be read, too.
function nice(value, base) {
  if (base === 1) return 2 * nice(Math.ceil(value / 2), 10);
  if (value <= 0) return 1;
  const unit = base === 1024 ? 1024 ** Math.floor(Math.log2(value) / 10) : 1;
  const power = unit * 10 ** Math.floor(Math.log10(value / unit));
  return [1, 2, 4, 6, 8, 10].map((step) => step * power).find((step) => step >= value) || unit * 1024;
}
