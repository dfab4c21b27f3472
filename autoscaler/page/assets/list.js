// All autoscalers: what is wrong first, then by name.

import { element, table } from "./elements.js";
import { number, replicasNow, seconds } from "./words.js";

export const pathOf = (one) => `#/${encodeURIComponent(one.namespace)}/${encodeURIComponent(one.name)}`;

export class List {
  constructor(search, onSearch) {
    this.count = element("span", { class: "quiet", role: "status" });
    this.rows = element("div", { class: "card" });
    const box = element("input", {
      type: "search", value: search, placeholder: "Search namespace, name, mode, reason", "aria-label": "Search",
      input: (event) => onSearch(event.target.value),
    });
    this.element = element("div", {}, element("div", { class: "bar" }, box, this.count), this.rows);
  }

  show(answer) {
    const { items, found, total, now } = answer;
    this.count.textContent = found > items.length ? `first ${items.length} of ${number(found)}` : `${number(found)} of ${number(total)}`;
    if (!items.length) {
      const why = total ? "None matches." : "There is no PredictiveAutoscaler yet: `leadtime init hpa/NAME` writes one from an HPA.";
      this.rows.replaceChildren(element("p", { class: "quiet" }, why));
      return;
    }
    this.rows.replaceChildren(table([
      ["Autoscaler", (one) => [element("a", { href: pathOf(one) }, one.name), element("span", { class: "sub" }, one.namespace)], "", true],
      ["Mode", (one) => [chip(one.paused ? "paused" : one.mode ?? "unusable", one.paused || !one.mode)]],
      ["Demand", (one) => `${number(one.demandRequestsPerSecond)} req/s`, "number"],
      ["Ready", (one) => replicasNow(one.replicas), "number"],
      ["Desired", (one) => number(one.desiredReplicas), "number"],
      ["Why", (one) => why(one, now), "", true],
    ], items));
  }
}

function why(one, now) {
  const said = one.troubles.length ? [chip("look", true), ` ${one.troubles[0]}`] : [one.reason || "no decision yet"];
  const late = one.at !== null && now - one.at > 60 ? ` (last step ${seconds(now - one.at)} ago)` : "";
  return [...said, late];
}

export const chip = (text, warn) => element("span", { class: warn ? "chip warn" : "chip" }, text);
