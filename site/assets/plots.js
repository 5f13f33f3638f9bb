// Draws plots when they come near the window, in the colours of the theme, only those lines that the reader asks for.
"use strict";
(() => {
  const { figures, lines, make } = window.attnbench;
  const probe = make("span", { hidden: true });
  document.body.append(probe);
  let wanted = () => true; // by the name of a line

  const colours = new Map(); // of the theme, by their names

  function colour(text) {
    if (!colours.has(text)) {
      probe.style.color = text;
      colours.set(text, getComputedStyle(probe).color);
    }
    return colours.get(text);
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

  // As many ticks as there is room for; of too many every second.
  function thinned(given, width) {
    const { tickvals = [], ticktext = [] } = given;
    if (tickvals.length * 10 * Math.max(...ticktext.map((text) => text.length), 3) <= width || tickvals.length < 4) return given;
    const keep = (_, place) => (tickvals.length - 1 - place) % 2 === 0;
    return { ...given, tickvals: tickvals.filter(keep), ticktext: ticktext.filter(keep) };
  }

  const isKept = (name) => name === undefined || wanted(name);

  const dataOf = (plot) => (figures[plot.dataset.figure]?.data ?? []).filter(({ name }) => isKept(name));

  function draw(plot) {
    const figure = figures[plot.dataset.figure];
    if (!figure || !window.Plotly) return;
    plot.hidden = false;
    const { data, layout } = lines.styled(dataOf(plot), figure.layout, plot.clientWidth);
    const family = getComputedStyle(document.body).fontFamily;
    const dressed = {
      ...layout,
      annotations: (layout.annotations ?? []).filter(({ name }) => isKept(name)),
      xaxis: { tickangle: 0, ...axis(thinned(layout.xaxis, plot.clientWidth - layout.margin.l - layout.margin.r)) },
      yaxis: axis(layout.yaxis),
      autosize: true,
      font: { family, size: 12, color: "var(--muted)" },
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      hoverlabel: { bgcolor: "var(--page)", bordercolor: "var(--axis)", font: { family, size: 12, color: "var(--ink)" } },
    };
    const isNew = !plot.classList.contains("js-plotly-plot");
    window.Plotly.react(plot, resolved(data), resolved(dressed), { displayModeBar: false, responsive: true });
    if (isNew) follow(plot);
  }

  // The line under the pointer comes forward, and a tap on it selects it.
  function follow(plot) {
    plot.on("plotly_hover", ({ points: [{ data }] }) => lines.bring(data.name ?? null));
    plot.on("plotly_unhover", () => lines.bring(null));
    plot.on("plotly_click", ({ points: [{ data }] }) => { if (data.name) lines.toggle(data.name); });
  }

  const near = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (!isIntersecting) continue;
      near.unobserve(target);
      draw(target);
    }
  }, { rootMargin: "700px" });

  const shown = () => [...document.querySelectorAll("[data-figure]")];
  const drawn = () => document.querySelectorAll(".js-plotly-plot").forEach(draw);

  window.attnbench.plots = {
    // Show the plots of a part of the page, each as soon as it comes near.
    show(part) {
      for (const plot of part.querySelectorAll("[data-figure]")) {
        plot.hidden = false;
        near.observe(plot);
      }
      lines.legends(part, dataOf);
    },
    // Give up the plots of a part that is about to go.
    forget(part) {
      part.querySelectorAll("[data-figure]").forEach((plot) => near.unobserve(plot));
      part.querySelectorAll(".js-plotly-plot").forEach((plot) => window.Plotly.purge(plot));
    },
    // Keep only the lines whose names a function says yes to.
    keep(of) {
      wanted = of;
      document.querySelectorAll("[data-section]").forEach((part) => lines.legends(part, dataOf));
      drawn();
    },
    draw,
  };
  lines.redraw(drawn);
  document.addEventListener("attnbench:theme", () => {
    colours.clear();
    drawn();
  });
  window.addEventListener("beforeprint", () => shown().forEach(draw));
})();
