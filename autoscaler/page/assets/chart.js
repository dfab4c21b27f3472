// One chart over time in SVG: areas between two columns and lines, with gaps where a value is unknown.

import { element, shape } from "./elements.js";
import { clock, clockSeconds, number } from "./words.js";

const LEFT = 38, RIGHT = 8, TOP = 8, BOTTOM = 20;

// at: Unix seconds. areas: {kind, name, low, high, shift}, lines: {kind, name, values, shift}; low, high and values are
// lists as long as `at`, shift seconds or a list of them (what a value is about lies so much later). stepped: values
// hold until the next one. from, to: the span shown; now: where the past ends. unit: of the values.
export function chart({ at, areas, lines, from, to, now, unit, stepped, label, width, readout }) {
  const height = width < 480 ? 190 : 230;
  const shown = at.map((_, index) => index).filter((index) => at[index] >= from - 300);
  const highest = top([...areas.map((area) => area.high), ...lines.map((line) => line.values)], shown);
  const x = (time) => LEFT + ((time - from) / (to - from)) * (width - LEFT - RIGHT);
  const y = (value) => height - BOTTOM - (value / highest.top) * (height - TOP - BOTTOM);
  const clip = `clip-${label.replace(/\W+/g, "-")}`;
  const moment = (mark, index) => at[index] + (Array.isArray(mark.shift) ? mark.shift[index] ?? 0 : mark.shift ?? 0);

  const grid = [];
  for (let value = 0; value <= highest.top + 1e-9; value += highest.step) {
    grid.push(shape("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value) }));
    grid.push(shape("text", { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, number(value)));
  }
  for (const time of ticks(from, to, width)) {
    grid.push(shape("text", { x: x(time), y: height - 5, "text-anchor": "middle" }, clock(time)));
  }
  const marks = shape("g", { "clip-path": `url(#${clip})` });
  for (const area of areas) {
    for (const run of runs(shown, (index) => area.low[index] !== null && area.high[index] !== null)) {
      const upper = path(run, (index) => x(moment(area, index)), (index) => y(area.high[index]), stepped);
      const lower = path(run.reverse(), (index) => x(moment(area, index)), (index) => y(area.low[index]), stepped, true);
      marks.append(shape("path", { class: `area ${area.kind}`, d: `M${upper}L${lower}Z` }));
    }
  }
  for (const line of lines) {
    for (const run of runs(shown, (index) => line.values[index] !== null)) {
      const points = path(run, (index) => x(moment(line, index)), (index) => y(line.values[index]), stepped);
      marks.append(shape("path", { class: `line ${line.kind}`, d: `M${points}` }));
    }
  }
  if (now < to - 1) marks.append(shape("line", { class: "now", x1: x(now), x2: x(now), y1: TOP, y2: height - BOTTOM }));
  const cursor = shape("line", { class: "cursor", y1: TOP, y2: height - BOTTOM, visibility: "hidden" });
  const drawing = shape(
    "svg",
    { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label },
    shape("clipPath", { id: clip }, shape("rect", { x: LEFT, y: 0, width: width - LEFT - RIGHT, height })),
    grid, marks, cursor,
  );
  const point = (event) => {
    const box = drawing.getBoundingClientRect();
    const time = from + (((event.clientX - box.left) / box.width) * width - LEFT) / (width - LEFT - RIGHT) * (to - from);
    const index = nearest(at, time);
    if (index < 0) return;
    for (const end of ["x1", "x2"]) cursor.setAttribute(end, x(at[index]));
    cursor.setAttribute("visibility", "visible");
    const values = [...areas.filter((area) => area.name), ...lines].map(
      (mark) => `${mark.name} ${number((mark.told ?? mark.values ?? mark.high)[index])}`,
    );
    readout.textContent = `${clockSeconds(at[index])}: ${values.join(", ")}${unit ? ` ${unit}` : ""}`;
  };
  const leave = () => { cursor.setAttribute("visibility", "hidden"); readout.textContent = ""; };
  return element("div", { class: "plot", pointermove: point, pointerdown: point, pointerleave: leave }, drawing);
}

export function key(kind, name, isArea) {
  const mark = isArea
    ? shape("rect", { class: `area ${kind}`, width: 18, height: 10 })
    : shape("line", { class: `line ${kind}`, x1: 0, x2: 18, y1: 5, y2: 5 });
  return element("span", {}, shape("svg", { width: 18, height: 10, "aria-hidden": true }, mark), name);
}

// Stretches of indices whose values are known.
function runs(indices, known) {
  const found = [];
  let last = [];
  for (const index of indices) {
    if (known(index)) last.push(index);
    else if (last.length) { found.push(last); last = []; }
  }
  if (last.length) found.push(last);
  return found;
}

// backwards: a step read from its end goes up or down first.
function path(run, x, y, stepped, backwards = false) {
  const parts = [];
  run.forEach((index, place) => {
    const before = run[place - 1];
    if (stepped && place) parts.push(backwards ? `${at2(x(before))},${at2(y(index))}` : `${at2(x(index))},${at2(y(before))}`);
    parts.push(`${at2(x(index))},${at2(y(index))}`);
  });
  return parts.join("L");
}

const at2 = (value) => value.toFixed(1);

// A round top of the scale with four or five lines below it.
function top(columns, indices) {
  let highest = 0;
  for (const column of columns) for (const index of indices) highest = Math.max(highest, column[index] ?? 0);
  if (!highest) return { top: 1, step: 1 };
  const rough = highest / 4, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((one) => one >= rough);
  return { top: step * Math.ceil((highest * 1.04) / step), step }; // a line at the top stays whole
}

function ticks(from, to, width) {
  const most = Math.max(3, Math.floor(width / 90));
  const step = [300, 600, 900, 1800, 3600, 7200, 10800, 14400, 21600].find((one) => (to - from) / one <= most) ?? 43200;
  const offset = new Date(from * 1000).getTimezoneOffset() * 60;
  const found = [];
  for (let time = Math.ceil((from - offset) / step) * step + offset; time <= to; time += step) found.push(time);
  return found;
}

function nearest(at, time) {
  let best = -1;
  at.forEach((one, index) => { if (best < 0 || Math.abs(one - time) < Math.abs(at[best] - time)) best = index; });
  return best;
}
