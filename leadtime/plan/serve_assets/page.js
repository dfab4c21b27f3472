// The planner's page: the form, the runs while they go on, and the answers side by side.

import { element, table } from "./elements.js";
import * as form from "./form.js";
import * as server from "./server.js";

const POLL_MS = 1000;
const WORDS = { waiting: "waits", running: "running", done: "done", failed: "no answer", cancelled: "cancelled" };
const open = new Set();
let shown = "", asked = 0, said = "";

const get = (id) => document.getElementById(id);

start();

async function start() {
  try {
    form.show(await server.form(), () => poll());
  } catch (fault) {
    return away(fault);
  }
  return poll();
}

// One loop at a time: a new question begins another, which ends the one before.
async function poll() {
  const turn = ++asked;
  while (turn === asked) {
    let isBusy = true;
    try {
      const { runs } = await server.runs();
      away(null);
      if (turn !== asked) return;
      draw(runs);
      isBusy = runs.some(isOpen);
    } catch (fault) {
      away(fault);
    }
    if (!isBusy) return;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

const isOpen = (run) => run.state === "waiting" || run.state === "running";

function away(fault) {
  get("away").hidden = fault === null;
  if (fault !== null) get("away").textContent = fault.message ?? String(fault);
}

function draw(runs) {
  const text = JSON.stringify(runs);
  if (text === shown) return;
  shown = text;
  const focused = document.activeElement?.id;
  get("runs").hidden = runs.length === 0;
  get("runs-list").replaceChildren(...runs.map(described));
  const done = runs.filter((run) => run.state === "done");
  get("compared").hidden = done.length === 0;
  if (done.length) get("compared-table").replaceChildren(compared(done));
  if (focused && document.activeElement?.id !== focused) get(focused)?.focus();
  say(runs);
}

// For those who do not see the page: a change of state or stage, not each second.
function say(runs) {
  const now = runs.filter((run) => run.state !== "waiting").slice(0, 1)
    .map((run) => `Run ${run.number}: ${run.state === "running" ? run.progress?.stage ?? "starting" : WORDS[run.state]}`).join("");
  if (now !== said) get("status").textContent = said = now;
}

function described(run) {
  const { number, state, figures } = run;
  const isDone = state === "done";
  return element("article", { class: "run", id: `run-${number}`, "data-state": state },
    element("h3", {}, `${number}. ${run.name}`),
    element("p", { class: "quiet" }, `${asWords(run.values)}; ${WORDS[state]}${run.seconds === null ? "" : `, ${spent(run.seconds)}`}`),
    state === "running" ? progressed(run) : null,
    run.error ? element("p", { class: "fault" }, run.error) : null,
    isDone ? folded(`answer-${number}`, "Answer", element("dl", {},
      Object.entries(figures.answer).map(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]))) : null,
    folded(`command-${number}`, "As a command", element("code", {}, run.command)),
    isDone ? folded(`files-${number}`, "Files", element("div", { class: "actions" }, run.files
      .filter((name) => name !== "plan.html").map((name) => element("a", { id: `file-${number}-${name}`, href: `runs/${number}/${name}`, download: name }, name)))) : null,
    element("div", { class: "actions" },
      isDone ? element("a", { id: `report-${number}`, href: `runs/${number}/plan.html`, target: "_blank", rel: "noopener" }, "Report") : null,
      isOpen(run) ? element("button", { type: "button", id: `cancel-${number}`, click: () => end(number) }, `Cancel run ${number}`) : null,
      element("button", { type: "button", id: `reuse-${number}`, click: () => form.reuse(run.values) }, "Ask again, changed")));
}

function folded(id, title, ...inside) {
  const toggled = (event) => open[event.target.open ? "add" : "delete"](id);
  return element("details", { open: open.has(id), toggle: toggled }, element("summary", { id }, title), ...inside);
}

async function end(number) {
  try {
    await server.cancel(number);
  } catch (fault) {
    away(fault);
  }
  return poll();
}

function progressed({ number, progress }) {
  if (progress === null) return element("p", {}, "starting …");
  const { stage, done, total, kept } = progress;
  const text = `${stage}: ${whole(done)} of ${whole(total)}${total ? "" : " so far"}${kept ? `, ${whole(kept)} of them kept from before` : ""}`;
  return [element("p", { id: `progress-${number}` }, text),
    element("progress", { max: Math.max(1, total), value: done, "aria-labelledby": `progress-${number}` })];
}

function compared(done) {
  const cost = (run) => run.figures.usd_per_month.value;
  const best = done.reduce((least, run) => (cost(run) < cost(least) ? run : least));
  const dearer = (run) => (run === best || cost(best) === 0 ? null : element("span", { class: "sub" }, `+${(100 * (cost(run) / cost(best) - 1)).toFixed(0)} %`));
  return table([
    ["Run", (run) => [element("a", { id: `compared-${run.number}`, href: `#run-${run.number}` }, `${run.number}. ${run.name}`), element("span", { class: "sub" }, asWords(run.values))]],
    ["GPU", ({ figures }) => [figures.candidate, element("span", { class: "sub" }, figures.machine)]],
    ["Policy", ({ figures }) => [figures.policy, element("span", { class: "sub" }, Object.entries(figures.parameters).map(([name, value]) => `${name}=${value}`).join(", "))]],
    ["Replicas now", ({ figures }) => interval(figures.replicas, (value) => value.toFixed(1)), "number"],
    ["At the peak", ({ figures }) => interval(figures.peak_replicas, whole), "number"],
    ["Attainment", ({ figures }) => interval(figures.attainment, (value) => `${(100 * value).toFixed(2)} %`), "number"],
    ["Cost a month", (run) => [...interval(run.figures.usd_per_month, (value) => `$${whole(value)}`), dearer(run)].filter(Boolean), "number"],
    ["Report", ({ number }) => element("a", { id: `compared-report-${number}`, href: `runs/${number}/plan.html`, target: "_blank", rel: "noopener" }, "open")],
  ], done, done.length > 1 ? best : null);
}

function interval({ value, low, high }, text) {
  const [middle, from, to] = [value, low, high].map(text);
  return from === to && from === middle ? [middle] : [middle, element("span", { class: "sub" }, `${from} to ${to}`)];
}

const whole = (value) => Math.round(value).toLocaleString("en-US");
const spent = (seconds) => (seconds < 90 ? `${Math.round(seconds)} s` : `${Math.round(seconds / 60)} min`);

// What distinguishes a question from another.
function asWords(values) {
  const models = [values.model, values.gpus, values.profiles].filter(Boolean).join(" ");
  const growth = [values.growth, values.peak_factor].some((value) => Number(value) !== 1) ? `, x ${values.growth}, crowd x ${values.peak_factor}` : "";
  const further = [["quota", values.quota], ["spot", values.spot]].filter(([, value]) => value).map(([name, value]) => `, ${name} ${value}`).join("");
  return `${models}; ${values.attainment} within ${values.slo} s; lead time ${values.lead_time}${growth}${further}`;
}
