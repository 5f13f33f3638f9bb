// Sorts, filters and saves the tables of the views. Every number was made when the site was built.
"use strict";
(() => {
  const { make, offer, say } = window.attnbench;

  const compared = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b)));

  // Rows in the order of a key, "-" before it for the reverse; what has no value last, whichever way.
  function sorted(rows, sort) {
    const key = sort.replace(/^-/, ""), sign = sort.startsWith("-") ? -1 : 1;
    return [...rows].sort((a, b) => {
      const x = a.data[key] ?? null, y = b.data[key] ?? null;
      if (x === null || y === null) return (x === null) - (y === null) || a.place - b.place;
      return sign * compared(x, y) || a.place - b.place;
    });
  }

  const words = (text) => text.toLowerCase().split(/[\s,]+/).filter(Boolean);

  function named(filter) {
    const all = words(filter.q ?? "");
    return (name) => !all.length || all.some((word) => String(name).toLowerCase().includes(word));
  }

  // The rows of a table with their data, once.
  function rowsOf(table, data) {
    return [...table.tBodies[0].rows].map((row, place) => {
      if (!("place" in row.dataset)) row.dataset.place = place;
      return { row, place: Number(row.dataset.place), data: data[Number(row.dataset.place)] };
    });
  }

  function header(cell, sort, choose) {
    const { key } = cell.dataset, first = cell.dataset.falling === "" ? `-${key}` : key;
    const other = first.startsWith("-") ? key : `-${key}`;
    let button = cell.querySelector("button");
    if (!button) {
      button = make("button", { type: "button", class: "sort" });
      button.append(...[...cell.childNodes].filter((node) => !node.matches?.(".words"))); // what opens stands beside the button
      cell.prepend(button);
    }
    button.onclick = () => choose(sort === first ? other : sort === other ? "" : first);
    const now = sort === key ? "ascending" : sort === `-${key}` ? "descending" : null;
    if (now) cell.setAttribute("aria-sort", now);
    else cell.removeAttribute("aria-sort");
  }

  // Bring a table into the order and to the rows that the state asks for; how many of how many are shown.
  function arrange(table, data, state, choose) {
    const keys = [...table.tHead.rows[0].cells].filter((cell) => cell.dataset.key);
    const known = keys.some((cell) => cell.dataset.key === (state.sort ?? "").replace(/^-/, ""));
    keys.forEach((cell) => header(cell, known ? state.sort : "", choose));
    const rows = rowsOf(table, data), holds = isKept(state);
    const order = known ? sorted(rows, state.sort) : [...rows].sort((a, b) => a.place - b.place);
    table.tBodies[0].append(...order.map(({ row }) => row));
    let count = 0;
    for (const { row, data: of } of rows) {
      row.hidden = !holds(of);
      if (of.name) row.dataset.line = of.name;
      count += !row.hidden;
    }
    return [count, rows.length];
  }

  // ---- files

  const shown = (table, data) => rowsOf(table, data).filter(({ row }) => !row.hidden).map(({ data: of }) => of);

  // Text that a spreadsheet would take for a formula gets a quote before it.
  function field(value) {
    if (value === null || value === undefined) return "";
    const text = typeof value === "string" && /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value);
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  }

  function csv(rows) {
    const columns = [...new Set(rows.flatMap(Object.keys))];
    return [columns, ...rows.map((row) => columns.map((name) => row[name]))].map((line) => line.map(field).join(",")).join("\r\n") + "\r\n";
  }

  const isKept = (filter) => {
    const hasName = named(filter);
    return (of) => hasName(of.name ?? of.setting ?? "");
  };

  // The rows of a view as a file: those given, or those of its tables as they are shown.
  function save(kind, name, view, filter, tables) {
    const { setting, axes, rows: given } = view;
    const chosen = given ? given.filter(isKept(filter)) : tables.flatMap(([table, data]) => shown(table, data));
    const rows = chosen.map((row) => ({ ...axes, ...row }));
    if (kind === "csv") offer(`${name}.csv`, "text/csv", csv(rows));
    else offer(`${name}.json`, "application/json", JSON.stringify({ setting, axes, rows }, null, 1) + "\n");
    say(`Saved ${rows.length} rows`);
  }

  window.attnbench.tables = { arrange, named, save };
})();
