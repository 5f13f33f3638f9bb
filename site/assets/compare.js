// The columns of the comparison that the reader chose, and what the ranks say of each beside the first.
"use strict";
(() => {
  const { make, read, written } = window.attnbench;

  // What b is beside a, by their places: [columns that it cannot be told from, a score of which less is better].
  function standing(a, b, column) {
    if (!a || !b) return "not compared";
    if (a[0].includes(column)) return "undecided";
    return b[1] < a[1] ? "better" : "worse";
  }

  const short = (label) => (label.length > 60 ? `${label.slice(0, 59)}…` : label);

  // The mechanisms that were wished for, also those that this view does not have; without a wish the usual ones.
  const wished = (extra, filter) => (filter.v ? read(filter.v) : extra.usual);

  function chosen(extra, filter) {
    const there = wished(extra, filter).filter((label) => extra.labels.includes(label));
    return there.length ? there : extra.usual;
  }

  // The wish with one mechanism more or less; a comparison has at least one side.
  function changed(extra, filter, label, isWanted) {
    const wish = wished(extra, filter), picked = chosen(extra, filter);
    if (isWanted) return [...new Set([...picked, ...wish, label])];
    return picked.length > 1 ? wish.filter((other) => other !== label) : wish;
  }

  function picker(holder, extra, picked, choose) {
    const boxes = extra.labels.map((label) => {
      const box = make("input", { type: "checkbox", value: label, checked: picked.includes(label) });
      box.addEventListener("change", () => {
        choose("v", (filter) => written(changed(extra, filter, label, box.checked)));
        box.checked ||= picked.length === 1;
      });
      return make("label", {}, box, short(label));
    });
    const old = holder.querySelector("fieldset.picker");
    const focused = document.activeElement?.closest?.("fieldset.picker") && document.activeElement.value;
    const legend = make("legend", {}, `Compared with ${short(picked[0])}, the first that was chosen`);
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
        const word = column === base ? "baseline" : cell.classList.contains("none") ? "" : standing(places[base], places[column], column);
        if (word) (cell.querySelector("small") ?? cell).append(make("span", { class: `beside ${word.replace(" ", "-")}` }, word));
      });
    });
  }

  window.attnbench.viewExtra = { names: ["v"], arrange };
})();
