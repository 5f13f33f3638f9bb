// Shows one view of each section, as the address says, and draws the plots. Every number and every view was made when the
// site was built; nothing is computed here.
"use strict";
(() => {
  const { switches, sections, figures } = window.ATTNBENCH;
  const holders = [...document.querySelectorAll("[data-section]")];
  const form = document.querySelector("form.controls");
  if (!holders.length) return;
  for (const holder of holders) sections[holder.dataset.section][0].html = holder.innerHTML;
  const leading = sections[holders[0].dataset.section];
  const shown = new Map();  // section -> view
  let state = {};

  // ---- state in the address

  function wanted() {
    const known = new Set(switches.map(({ name }) => name));
    return Object.fromEntries([...new URLSearchParams(location.hash.slice(1))].filter(([name]) => known.has(name)));
  }

  const agreement = (view, wish) => Object.entries(wish).filter(([name, value]) => view.axes[name] === value).length;

  // The view that agrees with most of the wished axes, and among those with most of the usual ones; the earliest of equals.
  function nearest(views, wish, usual) {
    let best = null, most = -1;
    for (const view of views) {
      const agreeing = 100 * agreement(view, wish) + agreement(view, usual);
      if (agreeing > most) [best, most] = [view, agreeing];
    }
    return best;
  }

  function address(axes) {
    const several = switches.filter(({ name, values }) => values.length > 1 && name in axes);
    return new URLSearchParams(several.map(({ name }) => [name, axes[name]])).toString();
  }

  function follow() {
    const view = nearest(leading, wanted(), leading[0].axes);
    state = view.axes;
    for (const holder of holders) {
      const views = sections[holder.dataset.section];
      const matching = views === leading ? view : views.find(({ axes }) => Object.entries(axes).every(([name, value]) => state[name] === value));
      holder.parentElement.hidden = !matching;  // a section has nothing to add where no number could be drawn
      if (matching) show(holder, matching);
    }
    controls();
  }

  function show(holder, view) {
    if (shown.get(holder) === view) return;
    const first = !shown.has(holder) && view === sections[holder.dataset.section][0];
    for (const plot of holder.querySelectorAll(".js-plotly-plot")) window.Plotly.purge(plot);
    if (!first) holder.innerHTML = view.html;
    const setting = holder.parentElement.querySelector("[data-setting]");
    if (setting) setting.textContent = view.setting;
    shown.set(holder, view);
    draw(holder);
  }

  // ---- controls: one select for each axis on which the views at hand differ

  function controls() {
    const selects = [];
    let views = leading;
    for (const { name, values } of switches) {
      if (!(name in state)) continue;
      const there = new Set(views.map(({ axes }) => axes[name]));
      views = views.filter(({ axes }) => axes[name] === state[name]);
      if (there.size > 1) selects.push(choice(name, values.filter(([value]) => there.has(value))));
    }
    const focused = document.activeElement?.name;
    form.replaceChildren(...selects);
    form.hidden = !selects.length;
    if (focused) form.elements.namedItem(focused)?.focus();
  }

  function choice(name, values) {
    const label = document.createElement("label");
    const select = document.createElement("select");
    select.name = name;
    for (const [value, text] of values) select.add(new Option(text, value, false, value === state[name]));
    select.addEventListener("change", () => {
      location.hash = address(nearest(leading, { [name]: select.value }, state).axes);
    });
    label.append(name, select);
    return label;
  }

  // ---- plots

  const probe = document.createElement("span");
  probe.hidden = true;
  document.body.append(probe);

  function colour(text) {
    probe.style.color = text;
    return getComputedStyle(probe).color;
  }

  // A figure with its CSS variables replaced by the colours of this moment.
  function resolved(value) {
    if (typeof value === "string") return value.startsWith("var(--") ? colour(value) : value;
    if (Array.isArray(value)) return value.map(resolved);
    if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, resolved(v)]));
    return value;
  }

  function axis(given) {
    const line = { gridcolor: "var(--grid)", linecolor: "var(--axis)", zeroline: false, fixedrange: true, automargin: false };
    return { ...line, showline: true, ticks: "outside", ticklen: 4, tickcolor: "var(--axis)", ...given };
  }

  function draw(holder) {
    const family = getComputedStyle(document.body).fontFamily;
    for (const plot of holder.querySelectorAll("[data-figure]")) {
      const { data, layout } = figures[plot.dataset.figure];
      const dressed = {
        ...layout,
        xaxis: axis(layout.xaxis),
        yaxis: axis(layout.yaxis),
        autosize: true,
        font: { family, size: 12, color: "var(--muted)" },
        paper_bgcolor: "rgba(0,0,0,0)",
        plot_bgcolor: "rgba(0,0,0,0)",
        hoverlabel: { bgcolor: "var(--page)", bordercolor: "var(--axis)", font: { family, size: 12, color: "var(--ink)" } },
      };
      plot.hidden = false;
      window.Plotly.react(plot, resolved(data), resolved(dressed), { displayModeBar: false, responsive: true });
    }
  }

  document.addEventListener("attnbench:theme", () => holders.forEach(draw));
  window.addEventListener("hashchange", follow);
  follow();
})();
