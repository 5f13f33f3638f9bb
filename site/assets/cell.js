// One cell of its page at a time: raw samples, the environment, the record as a file, and a comparison with any other cell.
"use strict";
(() => {
  const { cells, figures, plots, make, load, offer, say, format } = window.attnbench;
  const KEPT = "attnbench-kept-cell";
  let turn = 0;
  const articles = [...document.querySelectorAll("article.cell")];

  const stateOf = () => {
    const [anchor, ...rest] = location.hash.slice(1).split("&");
    return { anchor, other: new URLSearchParams(rest.join("&")).get("with") };
  };
  const fileOf = (anchor) => `cells/${anchor.slice(0, anchor.indexOf(".")).slice(-2)}`;
  const isAnchor = (text) => /^cell-[a-z0-9_-]+\.[a-z0-9_-]+(\.[a-z0-9_-]+)?$/.test(text);
  const titleOf = (record) => [record.spec.variant, record.spec.task ?? record.spec.mode, record.machine, record.started_at].filter(Boolean).join(" · ");

  function kept() {
    try { return localStorage.getItem(KEPT); } catch { return null; }
  }

  function keep(anchor) {
    try { localStorage.setItem(KEPT, anchor); } catch { say("This browser keeps nothing for pages from a folder"); }
  }

  async function recordOf(anchor) {
    if (!cells.has(anchor)) await load(`${fileOf(anchor)}.js`);
    const record = cells.get(anchor);
    if (!record) throw new Error("There is no such cell in this site");
    return record;
  }

  // ---- parts of a cell

  // Times of several samples, the cell's own first.
  function timed(record) {
    const own = `${record.spec.mode}_s`;
    const names = Object.keys(record.measurements).filter((name) => format.isTime(name) && record.measurements[name].length > 1);
    return names.sort((a, b) => (b === own) - (a === own) || a.localeCompare(b));
  }

  function samplesFigure(sides, metric) {
    const colours = ["var(--link)", "var(--warn)"], symbols = ["circle", "diamond"];
    const data = sides.map(([name, record], side) => {
      const samples = record.measurements[metric] ?? [];
      return {
        type: "scatter", mode: "lines+markers", name, showlegend: false, x: samples.map((_, place) => place + 1), y: samples,
        line: { color: colours[side], width: 1 }, marker: { color: colours[side], symbol: symbols[side], size: 7 },
        text: samples.map((x, place) => `${name}, sample ${place + 1}: ${format.shown(metric, x)}`), hovertemplate: "%{text}<extra></extra>",
      };
    });
    const all = data.flatMap(({ y }) => y), low = Math.min(...all), high = Math.max(...all), room = 0.08 * (high - low) || 0.05 * high;
    const ticks = Array.from({ length: 5 }, (_, k) => low + (k / 4) * (high - low || room));
    const left = 24 + 7 * Math.max(...ticks.map((t) => format.shown(metric, t).length));
    const yaxis = { range: [low - room, high + room], tickvals: ticks, ticktext: ticks.map((t) => format.shown(metric, t)) };
    const layout = { height: 260, margin: { t: 12, b: 48, l: left, r: 16 }, hovermode: "closest", xaxis: { title: { text: "sample, in the order of measuring", standoff: 8 } }, yaxis };
    return { data, layout };
  }

  function samplesPart(sides) {
    const names = timed(sides[0][1]).filter((name) => sides.every(([, record]) => record.measurements[name]));
    if (!names.length) return [];
    const figure = `samples-${turn}`;
    const plot = make("div", { class: "plot", "data-figure": figure, role: "img", style: "min-height: 260px" });
    const draw = (metric) => {
      figures[figure] = samplesFigure(sides, metric);
      plot.setAttribute("aria-label", `Raw samples of ${metric}; medians are in the table`);
      load("assets/plotly.min.js").then(() => plots.draw(plot)); // a list of cells does without it
    };
    const select = make("select", { name: "metric", change: () => draw(select.value) });
    names.forEach((name) => select.add(new Option(name, name)));
    const legend = sides.map(([name], side) => make("span", { class: `side side-${side}` }, name));
    queueMicrotask(() => draw(names[0]));
    return [make("h3", {}, "Raw samples"), make("p", { class: "controls" }, make("label", {}, "metric", select), ...(sides.length > 1 ? legend : [])), plot];
  }

  function pairs(rows, heads) {
    const head = make("tr", {}, ...heads.map((text) => make("th", { scope: "col" }, text)));
    const body = rows.map(([name, ...values]) => make("tr", {}, make("th", { scope: "row", class: "head" }, name), ...values.map((value) => make("td", {}, value))));
    const table = make("table", { class: "pairs" }, make("thead", {}, head), make("tbody", {}, ...body));
    return make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": heads.join(", ") }, table);
  }

  const text = (value) => (value === null || value === undefined ? "–" : typeof value === "object" ? JSON.stringify(value) : String(value));

  function environmentPart(record) {
    const rows = Object.entries(record.environment).map(([name, value]) => [name, text(value)]);
    return make("details", {}, make("summary", {}, "Environment in full"), pairs(rows, ["what", "value"]));
  }

  // ---- two cells

  function flat(record) {
    const { measurements, curve, clocks, ...rest } = record;
    const found = new Map();
    const walk = (prefix, value) => {
      if (value && typeof value === "object" && !Array.isArray(value)) for (const [name, of] of Object.entries(value)) walk(prefix ? `${prefix}.${name}` : name, of);
      else found.set(prefix, text(value));
    };
    walk("", rest);
    return found;
  }

  function measured(a, b) {
    const names = [...new Set([...Object.keys(a.measurements), ...Object.keys(b.measurements)])].sort();
    return names.map((name) => {
      const middles = [a, b].map((record) => (record.measurements[name]?.length ? format.median(record.measurements[name]) : null));
      const ratio = middles[0] && middles[1] !== null ? `${format.digits(middles[1] / middles[0])}×` : "–";
      return [name, ...middles.map((x) => (x === null ? "–" : format.shown(name, x))), ratio];
    });
  }

  function difference(a, b) {
    const [one, other] = [flat(a), flat(b)];
    const rows = [...new Set([...one.keys(), ...other.keys()])].map((name) => [name, one.get(name) ?? "–", other.get(name) ?? "–"]);
    const differing = rows.filter(([, x, y]) => x !== y), same = rows.filter(([, x, y]) => x === y);
    const heads = ["what", "this cell", "the other"];
    return [
      make("h3", {}, "Measurements"), pairs(measured(a, b), [...heads, "other / this"]),
      make("p", { class: "note" }, "Medians, and their ratio. Whether a difference is more than chance is told by Compare and the ranks, not here."),
      ...samplesPart([["this cell", a], ["the other", b]]),
      make("h3", {}, `What else differs: ${differing.length} of ${rows.length}`), pairs(differing, heads),
      make("details", {}, make("summary", {}, `What is the same: ${same.length}`), pairs(same.map(([name, x]) => [name, x]), ["what", "both"])),
    ];
  }

  function chooser(anchor) {
    const field = make("input", { type: "text", name: "other", "aria-label": "Address or place of another cell", placeholder: "address of another cell", spellcheck: "false" });
    const go = (other) => { location.hash = `${anchor}&with=${other}`; };
    const form = make("form", { class: "controls chooser" }, make("label", {}, "Compare with", field), make("button", {}, "Compare"));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const other = field.value.trim().split("#").at(-1).split("&")[0];
      if (isAnchor(other)) go(other);
      else say(field.placeholder = "copy the address of a cell's page");
    });
    const mine = make("button", { type: "button", click: () => { keep(anchor); say("Kept"); mine.textContent = "Kept: open another cell to compare"; } }, "Keep this cell to compare");
    form.append(mine);
    const before = kept();
    if (before && before !== anchor && isAnchor(before)) form.append(make("button", { type: "button", click: () => go(before) }, "Compare with the kept cell"));
    return form;
  }

  async function tools(article, anchor, other) {
    article.querySelector(".tools")?.remove();
    const record = cells.get(anchor);
    if (!record) return;
    const part = make("div", { class: "tools" });
    article.append(part);
    const download = make("button", { type: "button", click: () => offer(`${anchor}.json`, "application/json", JSON.stringify(record, null, 1) + "\n") }, "Record as JSON");
    if (!other) {
      part.append(...samplesPart([["this cell", record]]), chooser(anchor), environmentPart(record), make("p", {}, download));
      return;
    }
    const mine = turn;
    try {
      const second = await recordOf(other);
      if (mine !== turn) return; // the reader has gone on meanwhile
      const link = make("a", { href: `../${fileOf(other)}.html#${other}` }, titleOf(second));
      part.append(make("h2", {}, "Compared with ", link), ...difference(record, second), chooser(anchor));
    } catch (error) {
      part.append(make("p", { class: "reason" }, error.message), chooser(anchor));
    }
  }

  function open() {
    const { anchor, other } = stateOf();
    if (turn && !isAnchor(anchor) && window.attnbench.isPlace()) return;
    turn += 1;
    const chosen = articles.find(({ id }) => id === anchor);
    articles.forEach((article) => { article.hidden = Boolean(chosen) && article !== chosen; });
    document.querySelector(".cells-list").hidden = Boolean(chosen);
    if (!chosen) return;
    document.title = `${chosen.querySelector("h2").textContent.trim()} · attnbench`;
    window.scrollTo(0, 0);
    tools(chosen, anchor, other && isAnchor(other) ? other : null);
  }

  window.addEventListener("hashchange", open);
  open();
})();
