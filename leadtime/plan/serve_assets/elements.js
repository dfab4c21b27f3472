// Elements made from values: text is always a text node, so nothing that was typed can become markup.

export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(name, value);
    else if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== ""));
  return made;
}

// columns: [title, row => text or elements, class]; on a phone a row is a card, each cell behind its title
export function table(columns, rows, best) {
  const head = element("tr", {}, columns.map(([title, , kind]) => element("th", { scope: "col", class: kind }, title)));
  const body = rows.map((row) => element("tr", { class: row === best ? "best" : null }, columns.map(
    ([title, cell, kind]) => element("td", { class: kind, "data-title": title }, element("span", {}, cell(row))),
  )));
  return element("table", {}, element("thead", {}, head), element("tbody", {}, body));
}
