// Elements made from values: text is always a text node, so nothing that a cluster says can become markup.

const SVG = "http://www.w3.org/2000/svg";

export const element = (tag, attributes = {}, ...children) => filled(document.createElement(tag), attributes, children);
export const shape = (tag, attributes = {}, ...children) => filled(document.createElementNS(SVG, tag), attributes, children);

function filled(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(name, value);
    else if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== ""));
  return made;
}

// columns: [title, row => text or elements, class, whether it takes a line of its own on a phone]
export function table(columns, rows) {
  const head = element("tr", {}, columns.map(([title, , kind]) => element("th", { class: kind, scope: "col" }, title)));
  const body = rows.map((row) => element("tr", {}, columns.map(([title, cell, kind, whole]) => element(
    "td",
    { class: [kind, whole ? "whole" : ""].filter(Boolean).join(" ") || null, "data-label": whole ? null : title },
    cell(row),
  ))));
  return element("table", { class: "folds" }, element("thead", {}, head), element("tbody", {}, body));
}
