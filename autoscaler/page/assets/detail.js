// One autoscaler: the decision of now in words, demand and replicas over time, what was decided, lead times, pools.

import { chart, key } from "./chart.js";
import { element, table } from "./elements.js";
import { chip } from "./list.js";
import { DASH, number, replicasNow, seconds, when } from "./words.js";

const SPANS = [["1 h", 3600], ["6 h", 6 * 3600], ["24 h", 24 * 3600]];
const KEPT_SECONDS = 25 * 3600;

export class Detail {
  constructor() {
    this.span = 3600;
    this.history = { at: [] };
    this.answer = null;
    this.top = element("div");
    this.demand = element("section", { class: "card" });
    this.replicas = element("section", { class: "card" });
    this.rest = element("div");
    this.choices = SPANS.map(([name, span]) => element("button", { type: "button", click: () => this.choose(span) }, name));
    this.element = element(
      "div", {}, this.top, element("div", { class: "bar" }, this.choices), element("div", { class: "two" }, this.demand, this.replicas), this.rest,
    );
    this.choose(this.span);
  }

  // The newest instant that is known already: only what is newer need be sent.
  get after() { return this.history.at.at(-1) ?? 0; }

  choose(span) {
    this.span = span;
    this.choices.forEach((button, index) => button.setAttribute("aria-pressed", SPANS[index][1] === span));
    this.draw();
  }

  show(answer) {
    this.answer = answer;
    this.history = joined(this.history, answer.history, answer.now - KEPT_SECONDS);
    const open = this.rest.querySelector("details")?.open;
    this.top.replaceChildren(...head(answer));
    this.rest.replaceChildren(...rest(answer));
    if (open) this.rest.querySelector("details").open = true;
    if (!this.isRead()) this.draw();
  }

  // Somebody points at a chart: it would lose its readout. A finger leaves no hover that ends, so it does not count.
  isRead() { return matchMedia("(hover: hover)").matches && this.element.querySelector(".plot:hover") !== null; }

  draw() {
    if (!this.answer || !this.element.isConnected) return;
    const { now } = this.answer, past = this.history, decision = this.answer.decision;
    const ahead = past.leadTimeSeconds ?? [], lead = decision?.numbers.lead_time_seconds ?? 0;
    const times = (count, each) => count.map((value, index) => (value === null || each[index] === null ? null : value * each[index]));
    const from = now - this.span;
    const common = { at: past.at, from, now, to: now + Math.min(lead, this.span / 2) };
    const askedFor = times(past.aheadReplicas ?? [], past.capacityRequestsPerSecond ?? []);
    plot(this.demand, "Demand and what it takes, requests/s", {
      ...common, unit: "requests/s", label: "Demand, its forecast, capacity and what is needed one lead time ahead",
      areas: [{ kind: "forecast", low: past.forecastLowerRequestsPerSecond ?? [], high: past.forecastUpperRequestsPerSecond ?? [], shift: ahead }],
      lines: [
        { kind: "forecast", name: "expected a lead time ahead", values: past.forecastMedianRequestsPerSecond ?? [], shift: ahead },
        { kind: "ahead", name: "capacity needed then", values: askedFor, shift: ahead },
        { kind: "capacity", name: "capacity ready", values: times(past.readyReplicas ?? [], past.capacityRequestsPerSecond ?? []) },
        { kind: "demand", name: "demand", values: past.demandRequestsPerSecond ?? [] },
      ],
    }, [
      key("demand", "demand"), key("forecast", promised(this.answer.forecast), true),
      key("capacity", "capacity ready"), key("ahead", "capacity needed, as seen a lead time before"),
    ]);
    const ready = past.readyReplicas ?? [], starting = past.startingReplicas ?? [];
    const both = ready.map((value, index) => (value === null ? null : value + (starting[index] ?? 0)));
    plot(this.replicas, "Replicas", {
      ...common, unit: "", stepped: true, label: "Replicas ready, starting and desired",
      areas: [
        { kind: "ready", name: "ready", low: ready.map((value) => (value === null ? null : 0)), high: ready },
        { kind: "starting", name: "starting", low: ready, high: both, told: starting },
      ],
      lines: [{ kind: "desired", name: "desired", values: past.desiredReplicas ?? [] }],
    }, [key("ready", "ready", true), key("starting", "starting", true), key("desired", "desired")]);
  }
}

function plot(section, title, what, legend) {
  const readout = element("p", { class: "readout" });
  const heading = element("h2", {}, title);
  section.replaceChildren(heading, element("div", { class: "legend" }, legend), readout);
  const width = Math.max(260, Math.floor(heading.getBoundingClientRect().width));
  readout.before(chart({ ...what, width, readout }));
}

function joined(known, more, oldest) {
  if (!known.at.length) return more;
  const first = known.at.findIndex((at) => at >= oldest);
  const kept = Object.entries(more).map(([name, values]) => [name, [...known[name].slice(first < 0 ? known.at.length : first), ...values]]);
  return Object.fromEntries(kept);
}

function head(one) {
  const numbers = one.decision?.numbers ?? {};
  const bounds = one.spec ? `${one.spec.minReplicas} to ${one.spec.maxReplicas} replicas` : "";
  const slo = one.spec ? `${number(one.spec.slo.attainment * 100, 2)} % of requests: TTFT ${one.spec.slo.ttftSeconds} s, TPOT ${one.spec.slo.tpotSeconds} s` : "";
  const late = one.at !== null && one.now - one.at > 60 ? [chip(`last step ${seconds(one.now - one.at)} ago`, true)] : [];
  const ready = one.replicas ? [`${one.replicas.ready}`, one.replicas.starting ? ` + ${one.replicas.starting}` : ""].join("") : DASH;
  return [
    element("a", { href: "#/" }, "All autoscalers"),
    element("h1", {}, one.name),
    element("p", { class: "quiet under" }, `${one.namespace}, ${one.target || "no target"}`),
    element("p", {}, chip(one.mode ?? "unusable", !one.mode), " ", one.paused ? chip("paused", true) : "", " ", late, " ", element("span", { class: "quiet" }, [bounds, slo].filter(Boolean).join("; "))),
    one.troubles.length ? element("section", { class: "card troubles" }, one.troubles.map((text) => element("p", {}, text))) : "",
    element("section", { class: "card" },
      element("h2", {}, "Now"),
      element("p", { class: "sentence" }, one.decision?.message ?? "No decision yet."),
      element("p", { class: "quiet" }, one.decision ? `${one.decision.reason}. ${did(one)}` : ""),
    ),
    element("div", { class: "tiles" },
      tile(`${number(one.demandRequestsPerSecond)} req/s`, "demand now"),
      tile(ready, one.replicas?.starting ? "replicas ready + starting" : "replicas ready"),
      tile(number(one.desiredReplicas), "replicas desired"),
      tile(number(one.aheadReplicas), "replicas needed a lead time ahead"),
      tile(seconds(numbers.lead_time_seconds), "lead time"),
      tile(one.forecast ? range(one.forecast) : DASH, "req/s a lead time ahead, in 80 % of cases"),
      tile(`${number(one.capacityRequestsPerSecond, 2)} req/s`, "a replica serves within the SLO"),
    ),
  ].filter(Boolean);
}

function range({ lowerRequestsPerSecond: lower, upperRequestsPerSecond: upper }) {
  const digits = upper < 10 ? 1 : 0;
  return `${number(lower, digits)} to ${number(upper, digits)}`;
}

// What the forecast's band is to hold, and what it held.
function promised(told) {
  const kept = told?.coveredShare ?? null;
  const held = kept === null ? "" : ` (last day: ${number(kept * 100, 0)} %)`;
  return `forecast: 80 % are to lie within${held}`;
}

const tile = (value, name) => element("div", { class: "tile" }, element("b", {}, value), element("span", {}, name));

function did({ acted, mode }) {
  if (!acted) return "";
  if (acted.error) return `The write failed and is tried again: ${acted.error}`;
  if (acted.withheld) return `Nothing written: ${acted.withheld}`;
  if (acted.to) return `Written to ${acted.to}: ${acted.before ?? DASH} → ${acted.after ?? DASH}`;
  return mode === "Recommend" ? "Nothing written: mode Recommend only says." : "Nothing had to be written.";
}

const STEPS = [["ask", "askSeconds"], ["node", "nodeSeconds"], ["pull", "pullSeconds"], ["start", "startSeconds"], ["load", "loadSeconds"]];
const steps = (taken) => STEPS.filter(([, key]) => taken[key] >= 0.5).map(([name, key]) => `${name} ${seconds(taken[key])}`).join(", ");

function rest(one) {
  const sections = [element("section", { class: "card" },
    element("h2", {}, "Decisions that changed something"),
    one.decisions.length ? table([
      ["When", (told) => when(told.at, one.now), "when"],
      ["Replicas", (told) => (told.replicas === told.desiredReplicas ? `${told.replicas}` : `${told.replicas ?? DASH} → ${told.desiredReplicas ?? DASH}`), "number"],
      ["Why", (told) => [told.message, element("span", { class: "sub" }, [told.reason, told.wrote ? `written to ${told.wrote}` : told.withheld ? `not written: ${told.withheld}` : ""].filter(Boolean).join("; "))], "", true],
    ], one.decisions) : element("p", { class: "quiet" }, "None yet."),
  )];
  if (one.leadTimes) {
    sections.push(element("section", { class: "card" },
      element("h2", {}, "Lead times"),
      element("p", {}, one.leadTimes.sentence),
      one.leadTimes.paths.length ? table([
        ["Path", (path) => path.path, "", true],
        ["Pods", (path) => number(path.pods), "number"],
        ["Median", (path) => seconds(path.medianSeconds), "number"],
        ["90 % within", (path) => seconds(path.p90Seconds), "number"],
        ["Made of", (path) => steps(path.steps), "", true],
      ], one.leadTimes.paths) : "",
    ));
  }
  if (one.nodePools.length) {
    sections.push(element("section", { class: "card" },
      element("h2", {}, "Node pools"),
      table([
        ["Pool", (pool) => [pool.name, element("span", { class: "sub" }, pool.provider)], "", true],
        ["State", (pool) => [chip(pool.state, !["Idle", "Resizing", "Recommended"].includes(pool.state))]],
        ["Ready", (pool) => number(pool.readyNodes), "number"],
        ["Nodes", (pool) => number(pool.nodes), "number"],
        ["Floor", (pool) => number(pool.floorNodes), "number"],
        ["Why", (pool) => pool.message, "", true],
      ], one.nodePools),
    ));
  }
  sections.push(element("section", { class: "card" },
    element("h2", {}, "Conditions"),
    one.conditions.length ? table([
      ["Type", (condition) => condition.type],
      ["Status", (condition) => condition.status],
      ["Reason", (condition) => condition.reason],
      ["Message", (condition) => condition.message, "", true],
    ], one.conditions) : element("p", { class: "quiet" }, "None yet."),
  ));
  const numbers = Object.entries(one.decision?.numbers ?? {});
  if (numbers.length) {
    sections.push(element("details", { class: "card" },
      element("summary", {}, "All numbers of the decision"),
      element("dl", {}, numbers.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, number(value, 3))])),
    ));
  }
  return sections;
}
