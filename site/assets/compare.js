// The columns of the comparison that the reader chose, and what the ranks say of each beside the first.
"use strict";
(() => {
  const { make } = window.attnbench;

  // What b is beside a, by their ranks: [first, last, columns that it cannot be told from].
  function verdict(a, b, column) {
    if (!a || !b) return "not compared";
    if (a[2].includes(column)) return "undecided";
    return b[0] < a[0] || (b[0] === a[0] && b[1] < a[1]) ? "better" : "worse";
  }

  function chosen(extra, filter) {
    const wish = (filter.v ?? "").split("~").filter((label) => extra.labels.includes(label));
    return wish.length ? wish : extra.usual;
  }

  function picker(holder, extra, picked, choose) {
    const boxes = extra.labels.map((label) => {
      const box = make("input", { type: "checkbox", value: label, checked: picked.includes(label) });
      box.addEventListener("change", () => {
        const now = box.checked ? [...picked, label] : picked.filter((other) => other !== label);
        if (now.length) choose("v", now.join("~"));
        else box.checked = true; // a comparison has at least one side
      });
      return make("label", {}, box, label);
    });
    const old = holder.querySelector("fieldset.picker");
    const focused = document.activeElement?.closest?.("fieldset.picker") && document.activeElement.value;
    const legend = make("legend", {}, `Compared with ${picked[0]}, the first that was chosen`);
    const fieldset = make("fieldset", { class: "picker" }, legend, ...boxes);
    if (old) old.replaceWith(fieldset);
    else holder.prepend(fieldset);
    if (focused) [...fieldset.querySelectorAll("input")].find(({ value }) => value === focused)?.focus();
  }

  function arrange(holder, extra, filter, choose) {
    if (!extra) return;
    const picked = chosen(extra, filter), base = extra.labels.indexOf(picked[0]);
    picker(holder, extra, picked, choose);
    const table = holder.querySelector("table");
    const order = picked.map((label) => extra.labels.indexOf(label));
    for (const row of [...table.tHead.rows, ...table.tBodies[0].rows]) {
      row.cellsByColumn ??= [...row.cells].slice(1);
      row.cellsByColumn.forEach((cell, column) => { cell.hidden = !order.includes(column); });
      row.append(...order.map((column) => row.cellsByColumn[column]));
    }
    [...table.tBodies[0].rows].forEach((row) => {
      const places = extra.places[Number(row.dataset.place)];
      order.forEach((column) => {
        const cell = row.cellsByColumn[column];
        cell.querySelector(".beside")?.remove();
        const word = column === base ? "baseline" : cell.classList.contains("none") ? "" : verdict(places[base], places[column], column);
        if (word) (cell.querySelector("small") ?? cell).append(make("span", { class: `beside ${word.replace(" ", "-")}` }, word));
      });
    });
  }

  window.attnbench.viewExtra = { names: ["v"], arrange };
})();
