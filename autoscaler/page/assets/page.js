// Asks every 5 s and shows the answer; keeps the last one while the controller is away, and says so.

import { Detail } from "./detail.js";
import { element } from "./elements.js";
import { List } from "./list.js";
import { clockSeconds, seconds } from "./words.js";

const PERIOD_MS = 5000, TIMEOUT_MS = 10_000;
const [main, leader, age, away, faults] = ["main", "leader", "age", "away", "faults"].map((id) => document.getElementById(id));

let view = null, search = "", timer = 0, round = 0;
let answeredAt = null, fault = "";

function place() {
  const parts = location.hash.replace(/^#\/?/, "").split("/").filter(Boolean).map(decodeURIComponent);
  return parts.length === 2 ? { namespace: parts[0], name: parts[1] } : null;
}

function open() {
  const one = place();
  view = one ? new Detail() : new List(search, (text) => { search = text; ask(); });
  document.title = one ? `${one.name} – leadtime` : "leadtime";
  main.replaceChildren(one ? element("p", { class: "quiet" }, `Asking for ${one.namespace}/${one.name} …`) : view.element);
  scrollTo(0, 0);
  ask();
}

// Relative: the page may stand behind the API server's proxy.
function address() {
  const one = place();
  if (!one) return `api/v1/autoscalers?search=${encodeURIComponent(search)}`;
  return `api/v1/autoscalers/${encodeURIComponent(one.namespace)}/${encodeURIComponent(one.name)}?after=${view.after}`;
}

async function ask() {
  clearTimeout(timer);
  const mine = ++round;
  let answer = null, found = true;
  try {
    const response = await fetch(address(), { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS) });
    const body = await response.text();
    if (mine !== round) return; // another was asked meanwhile
    if (!response.ok && response.status !== 404) throw new Error(`it answered ${response.status}`);
    answer = JSON.parse(body);
    found = response.ok;
    answeredAt = Date.now() / 1000;
    fault = "";
  } catch (error) {
    if (mine !== round) return;
    fault = error.name === "TimeoutError" ? `no answer within ${TIMEOUT_MS / 1000} s` : error.message;
  }
  if (answer && found) show(answer);
  else if (answer) main.replaceChildren(element("p", {}, `There is ${answer.message}. `, element("a", { href: "#/" }, "All autoscalers")));
  tell();
  timer = setTimeout(ask, PERIOD_MS);
}

function show(answer) {
  if (!view.element.isConnected) main.replaceChildren(view.element);
  view.show(answer);
  const { identity, leader: holder, isLeader, paused, faults: found } = answer.controller;
  const who = isLeader ? `${identity} is the leader` : `${holder || "nobody yet"} is the leader; this is ${identity}, which writes nothing`;
  leader.textContent = paused ? `${who}; the whole cluster is paused` : who;
  faults.hidden = !found.length;
  faults.replaceChildren(...found.map((text) => element("li", {}, text)));
}

function tell() {
  const now = Date.now() / 1000;
  away.hidden = !fault;
  away.textContent = fault
    ? `The controller is away (${fault}). ${answeredAt === null ? "Nothing was received yet." : `What is shown is of ${clockSeconds(answeredAt)}, ${seconds(now - answeredAt)} ago.`}`
    : "";
  age.textContent = answeredAt === null ? "" : `as of ${clockSeconds(answeredAt)}`;
}

addEventListener("hashchange", open);
addEventListener("resize", () => view.draw?.());
setInterval(tell, 1000);
open();
