// Numbers as the pages write them: three significant digits, a thin space before the unit.
"use strict";
(() => {
  const THIN = "\u2009";
  const TIMES = [[1, "s"], [1e-3, "ms"], [1e-6, "µs"], [1e-9, "ns"]];
  const SIZES = [[2 ** 40, "TiB"], [2 ** 30, "GiB"], [2 ** 20, "MiB"], [2 ** 10, "KiB"], [1, "B"]];

  function digits(x) {
    const rounded = Number(x.toPrecision(3));
    if (rounded === 0 || !Number.isFinite(rounded)) return Number.isFinite(rounded) ? "0" : "–";
    const magnitude = Math.floor(Math.log10(Math.abs(rounded)) + 1e-12);
    if (magnitude < -4 || magnitude > 5) return power(rounded);
    return rounded.toLocaleString("en-US", { minimumFractionDigits: Math.max(0, 2 - magnitude), maximumFractionDigits: Math.max(0, 2 - magnitude) });
  }

  function power(x) {
    const [mantissa, exponent] = x.toExponential(2).split("e");
    return `${mantissa}×10${[...exponent.replace("+", "")].map((sign) => (sign === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[sign])).join("")}`;
  }

  const scaled = (units, x, least) => {
    const [factor, unit] = units.find(([of]) => Math.abs(x) >= least * of) ?? units.at(-1);
    return `${digits(x / factor)}${THIN}${unit}`;
  };

  // Unit of a metric, and whether it is read in percent: from the suite's own table, or, of a name that it lacks, from how the name ends.
  const { known, endings } = window.attnbench.metrics;
  const byName = new Map(known.map((metric) => [metric.name, metric]));
  const byEnding = (name) => endings.find((ending) => name.endsWith(ending.name)) ?? { unit: "1" };
  const kind = (name) => byName.get(name.replace(/_layer_\d+$/, "_layer_N")) ?? byEnding(name.replace(/_layer_\d+$/, ""));

  const isTime = (metric) => kind(metric).unit === "s";

  // A metric's value in its unit.
  function shown(metric, x) {
    const { unit, in_percent } = kind(metric);
    if (in_percent) return `${(100 * x).toFixed(1)}${THIN}%`;
    switch (unit) {
      case "s": return scaled(TIMES, x, 0.9995);
      case "B": return scaled(SIZES, x, 1);
      case "token/s": return `${digits(x)}${THIN}tokens/s`;
      case "bit/B": return `${x.toFixed(3)} bits/byte`;
      default: return digits(x);
    }
  }

  function median(samples) {
    const ordered = [...samples].sort((a, b) => a - b), n = ordered.length;
    return (ordered[(n - 1) >> 1] + ordered[n >> 1]) / 2;
  }

  window.attnbench.format = { digits, shown, isTime, median };
})();
