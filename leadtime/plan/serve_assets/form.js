// The form: made from the server's fields; what was typed stays, whatever the answer is.

import { element } from "./elements.js";
import * as server from "./server.js";

const SOURCES = [["path", "A recording on this machine"], ["upload", "Upload a recording"], ["generator", "A generator"]];
const KEPT = "leadtime plan: typed";

let described, onAsked, uploaded = null;
const form = document.getElementById("form");
const input = (name) => document.getElementById(`field-${name}`);

export function show(description, asked) {
  described = description;
  onAsked = asked;
  const { fields, offered, suffixes, mostUploadBytes } = description;
  form.replaceChildren(
    element("fieldset", {},
      element("legend", {}, "Demand"),
      SOURCES.map(([name, label]) => element("label", { class: "choice" },
        element("input", { type: "radio", name: "source", value: name, id: `source-${name}`, change: choose }), label)),
      field({ name: "path", label: "Recording", choices: offered,
        hint: "Path of a CSV or JSONL, where leadtime runs; whole days, best two weeks." }),
      field({ name: "upload", label: "File", type: "file", accept: suffixes.join(","), change: choseFile,
        hint: `${suffixes.join(", ")}, at most ${mostUploadBytes / 1e6} MB. Kept until the planner ends.` }),
      field({ name: "generator", label: "Generator", hint: "KIND:parameter=value,...; docs/reference/demand.md has all." })),
    element("div", { class: "grid" }, fields.filter((each) => !each.rare).map(field)),
    element("details", { id: "rare" }, element("summary", {}, "More"),
      element("div", { class: "grid" }, fields.filter((each) => each.rare).map(field))),
    element("p", { class: "fault", id: "fault", role: "alert", tabindex: "-1", hidden: true }),
    element("button", { class: "strong", type: "submit", id: "ask" }, "Plan"),
  );
  form.addEventListener("submit", submit);
  form.addEventListener("input", keep);
  const kept = JSON.parse(sessionStorage.getItem(KEPT) ?? "null");
  fill(kept !== null && kept.of === JSON.stringify(description.defaults) ? kept.values : description.defaults);
}

export function fill(values) {
  for (const each of form.querySelectorAll("input[id^=field-]")) if (each.type !== "file") each.value = values[each.name] ?? "";
  input("upload").dataset.key = values.upload ?? "";
  document.getElementById(`source-${values.source}`).checked = true;
  choose();
  told();
}

export function reuse(values) {
  fill(values);
  keep();
  document.getElementById("ask").focus();
  form.scrollIntoView();
}

function field({ name, label, hint, empty = "", choices = [], type = "text", accept = null, change = null }) {
  const list = choices.length ? `choices-${name}` : null;
  return element("div", { class: "field", id: `around-${name}` },
    element("label", { for: `field-${name}` }, label),
    element("input", { id: `field-${name}`, name, type, accept, list, placeholder: empty, spellcheck: "false",
      autocapitalize: "off", "aria-describedby": `hint-${name} fault-${name}`, ...(change ? { change } : {}) }),
    list && element("datalist", { id: list }, choices.map((value) => element("option", { value }))),
    element("p", { class: "hint", id: `hint-${name}` }, hint),
    element("p", { class: "fault", id: `fault-${name}`, role: "alert", hidden: true }));
}

function values() {
  const typed = { source: form.elements.source.value };
  for (const each of form.querySelectorAll("input[id^=field-]")) typed[each.name] = each.type === "file" ? each.dataset.key ?? "" : each.value;
  return typed;
}

function keep() {
  sessionStorage.setItem(KEPT, JSON.stringify({ of: JSON.stringify(described.defaults), values: values() }));
}

function choose() {
  for (const [name] of SOURCES) document.getElementById(`around-${name}`).hidden = form.elements.source.value !== name;
}

function choseFile() {
  uploaded = null;
  input("upload").dataset.key = "";
  told();
}

// The message beside its field, and its field in sight; without a field beside the button.
function told(fault = null) {
  for (const each of form.querySelectorAll(".fault")) each.hidden = true;
  for (const each of form.querySelectorAll("[aria-invalid]")) each.removeAttribute("aria-invalid");
  if (fault === null) return;
  const at = fault.field ? input(fault.field) : null;
  const place = document.getElementById(at ? `fault-${fault.field}` : "fault");
  place.textContent = fault.message;
  place.hidden = false;
  if (at) {
    at.setAttribute("aria-invalid", "true");
    const folded = at.closest("details");
    if (folded) folded.open = true;
  }
  (at ?? place).focus();
}

async function submit(event) {
  event.preventDefault();
  const button = document.getElementById("ask");
  if (button.disabled) return;
  button.disabled = true;
  try {
    told();
    await sendFile(button);
    button.textContent = "Checking …";
    onAsked(await server.ask(values()));
  } catch (fault) {
    button.disabled = false; // first, so that a field can have the focus
    told(fault.message ? fault : { field: "", message: String(fault) });
  } finally {
    button.disabled = false;
    button.textContent = "Plan";
  }
}

async function sendFile(button) {
  const file = input("upload").files[0];
  if (form.elements.source.value !== "upload" || !file || uploaded === file) return;
  if (file.size > described.mostUploadBytes)
    throw { field: "upload", message: `--demand: '${file.name}' is larger than ${described.mostUploadBytes / 1e6} MB, the most that is uploaded; give its path on this machine instead, or pack it with gzip` };
  button.textContent = "Uploading …";
  input("upload").dataset.key = (await server.upload(file)).key;
  uploaded = file;
  keep();
}
