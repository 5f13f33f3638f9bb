// Which lines of a plot stand out: those that the reader selected, at first the core, are strong and named, the rest faint; the line that
// the mouse or the focus is on, in a plot, the legend or a table, comes forward with its name. The selection is in the address of the page.
"use strict";
(() => {
  const { make } = window.attnbench;
  const FEW = 6; // lines that a plot shows well without a choice
  const LABEL = 15, LETTER = 7; // px: the height of a label, the width of a letter
  const DELAY = 60; // ms before the mouse brings a line forward, so that crossing a table redraws nothing
  let selected = null; // names; null for the core
  let ahead = null; // name of the line that is brought forward
  let changed = () => {}; // redraws the plots
  let choose = (names) => {
    api.select(names);
    changed();
  };
  let timer = 0;

  // A label as records have it, from the text of a plot, in which what HTML means is escaped.
  const plain = (name) => name?.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&");
  const namesOf = (data) => new Map(data.filter(({ name }) => name).map(({ name }) => [plain(name), null]));

  // Every line of some figures by its name, with its colour and whether it belongs to the core.
  function linesOf(data) {
    const found = namesOf(data);
    for (const { name, line, marker, meta } of data) {
      if (name && meta) found.set(plain(name), { colour: line?.color ?? marker?.color, isCore: Boolean(meta.core) });
    }
    return found;
  }

  const isCrowded = (data) => namesOf(data).size > FEW;

  // The names of the lines that are strong; all where there are few, or none of the selected is there.
  function strongOf(data) {
    const lines = linesOf(data), names = [...lines.keys()];
    if (names.length <= FEW) return new Set(names);
    const chosen = names.filter((name) => (selected ? selected.includes(name) : lines.get(name)?.isCore));
    return new Set(chosen.length ? chosen : names);
  }

  function weight(trace, isStrong, isAhead, isDimmed) {
    const size = trace.marker?.size, bars = isStrong || isAhead ? {} : { error_y: { visible: false }, error_x: { visible: false } };
    return {
      ...trace, ...bars,
      opacity: isAhead ? 1 : (isStrong ? 1 : 0.3) * (isDimmed ? 0.35 : 1),
      ...(trace.line && { line: { ...trace.line, width: isAhead ? 3.5 : isStrong ? 2 : 1 } }),
      ...(size && { marker: { ...trace.marker, size: isStrong || isAhead ? size : 0.65 * size } }),
    };
  }

  // A figure's data and layout as they are to be drawn in a plot of some width.
  function styled(data, layout, width) {
    if (!data.some(({ meta }) => meta)) return { data, layout };
    const strong = strongOf(data), front = linesOf(data).has(ahead) ? ahead : null;
    const rank = ({ name }) => (plain(name) === front ? 2 : strong.has(plain(name)) || !name ? 1 : 0);
    const dressed = data.map((trace) => (trace.name ? weight(trace, strong.has(plain(trace.name)), plain(trace.name) === front, front !== null) : trace));
    const named = (layout.annotations ?? []).filter(({ name }) => strong.has(plain(name)) || plain(name) === front);
    const longest = Math.max(0, ...named.filter(({ name }) => strong.has(plain(name))).map(({ text }) => plain(text).length));
    const margin = { ...layout.margin, r: 20 + LETTER * longest };
    const shape = { ...layout, margin };
    return { data: dressed.sort((a, b) => rank(a) - rank(b)), layout: { ...shape, annotations: apart(named, shape, width, strong, front) } };
  }

  // The labels, moved up or down until none covers another; that of a line brought forward stands on its line if there is no room beside it.
  function apart(labels, { margin, height, xaxis, yaxis }, width, strong, front) {
    const tall = height - margin.t - margin.b, wide = width - margin.l - margin.r;
    const [left, right] = xaxis.range, [low, high] = yaxis.range;
    const boxes = labels.filter(({ name }) => strong.has(plain(name))).map((label) => {
      const at = ((high - label.y) / (high - low)) * tall, from = ((label.x - left) / (right - left)) * wide;
      return { label, at, now: at, from, to: from + LETTER * plain(label.text).length + LABEL };
    }).sort((a, b) => a.at - b.at);
    for (let turn = 0; turn < 200; turn += 1) {
      let moved = false;
      for (const [place, one] of boxes.entries()) {
        for (const other of boxes.slice(place + 1)) {
          const overlap = LABEL - (other.now - one.now);
          if (overlap <= 0.1 || one.to < other.from || other.to < one.from) continue;
          one.now -= overlap / 2;
          other.now += overlap / 2;
          moved = true;
        }
      }
      for (const box of boxes) box.now = Math.max(0, Math.min(tall, box.now));
      if (!moved) break;
    }
    const shown = boxes.map(({ label, at, now }) => ({ ...label, yshift: at - now, ...bold(label, front), opacity: front && plain(label.name) !== front ? 0.4 : 1 }));
    const alone = labels.filter(({ name }) => !strong.has(plain(name))).map((label) => ({ ...label, ...bold(label, front), xanchor: "right", xshift: -10, yshift: 12, bgcolor: "var(--page)" }));
    return [...shown, ...alone];
  }

  const bold = (label, front) => (plain(label.name) === front ? { text: `<b>${label.text}</b>` } : {});

  // ---- what the reader does

  function bring(name, delay = 0) {
    clearTimeout(timer);
    if (name === ahead) return;
    timer = setTimeout(() => {
      ahead = name;
      changed();
      document.querySelectorAll(".legend button").forEach((button) => button.classList.toggle("ahead", button.value === name));
    }, delay);
  }

  // Add a line to the selection, or take it out.
  function toggle(name) {
    const core = [...new Set([...document.querySelectorAll(".legend button[data-core]")].map(({ value }) => value))];
    const before = selected ?? core;
    const after = before.includes(name) ? before.filter((other) => other !== name) : [...before, name];
    const isUsual = after.length === core.length && core.every((other) => after.includes(other));
    selected = isUsual || !after.length ? null : after; // at once, for the next choice starts from here
    choose(selected);
  }

  const lineAt = (target) => (target instanceof Element ? target.closest(".legend button")?.value ?? target.closest("tr[data-line]")?.dataset.line ?? null : null);
  document.addEventListener("pointerover", ({ target, pointerType }) => { if (pointerType === "mouse") bring(lineAt(target), DELAY); });
  document.addEventListener("focusin", ({ target }) => { if (target.matches?.(":focus-visible")) bring(lineAt(target)); });
  document.addEventListener("focusout", ({ relatedTarget }) => { if (lineAt(relatedTarget) === null) bring(null); });
  document.addEventListener("click", ({ target }) => {
    const row = target.closest?.("tr[data-line]");
    if (row && document.querySelector(".legend") && !target.closest("a, button, details, input") && !String(getSelection())) toggle(row.dataset.line);
  });

  // ---- legends, one above the plots that need it

  const short = (name) => (name.length > 40 ? `${name.slice(0, 39)}…` : name);

  function legend(lines) {
    const order = [...lines].sort(([a, x], [b, y]) => y.isCore - x.isCore || a.localeCompare(b));
    const buttons = order.map(([name, { colour, isCore }]) => {
      const mark = make("span", { "aria-hidden": "true", style: `background: ${colour}` });
      return make("button", { type: "button", value: name, click: () => toggle(name), ...(isCore && { "data-core": "" }) }, mark, short(name));
    });
    return make("div", { class: "legend", role: "group", "aria-label": "Lines: those that are pressed are drawn strong" }, ...buttons);
  }

  function press() {
    for (const button of document.querySelectorAll(".legend button")) {
      button.setAttribute("aria-pressed", String(selected ? selected.includes(button.value) : "core" in button.dataset));
    }
    for (const row of document.querySelectorAll("tr[data-line]")) row.classList.toggle("picked", Boolean(selected?.includes(row.dataset.line)));
  }

  const api = {
    styled,
    bring: (name) => bring(plain(name)),
    toggle: (name) => toggle(plain(name)),
    // Redraw by a function whenever a line comes forward or is selected.
    redraw(of) { changed = of; },
    // Hand over the selection to a function whenever the reader changes it; the function is to call `select` and to redraw.
    chosen(of) { choose = of; },
    select(names) {
      selected = names;
      press();
    },
    // The legends of a part of the page. figure: gives the data of a plot, without the lines that are not wanted.
    legends(part, figure) {
      for (const charts of part.querySelectorAll(".charts")) {
        const data = [...charts.querySelectorAll("[data-figure]")].map(figure);
        const fresh = data.some(isCrowded) ? legend(new Map([...linesOf(data.flat())].filter(([, of]) => of))) : null;
        const old = charts.previousElementSibling?.matches(".legend") ? charts.previousElementSibling : null;
        if (fresh?.textContent === old?.textContent) continue; // the focus may be on it
        old?.remove();
        if (fresh) charts.before(fresh);
      }
      press();
    },
  };
  window.attnbench.lines = api;
})();
