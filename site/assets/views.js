// Shows one view of each section of a page, as the address says. Every view was made when the site was built.
"use strict";
(() => {
  const { page, chunks, edges, lines, plots, tables, make, load, read, say, written } = window.attnbench;
  const holders = [...document.querySelectorAll("[data-section]")];
  if (!page || !holders.length) return;
  const form = document.querySelector("form.controls");
  const FILTERS = ["sort", "q", "pick"]; // of rows and lines, beside the axes of views

  // Every view with its axes by name, from the codes of the index.
  const decoded = (codes) => {
    const given = page.axes.map(({ name, values }, place) => [name, values[codes[place]]?.[0]]);
    const axes = Object.fromEntries(given.filter(([, value]) => value !== undefined));
    return { axes, chunk: page.chunks[codes[page.axes.length]], place: codes[page.axes.length + 1] };
  };
  const sections = Object.fromEntries(Object.entries(page.sections).map(([name, views]) => [name, views.map(decoded)]));
  const leading = sections[holders[0].dataset.section];
  const first = Object.fromEntries(holders.map((holder) => [holder.dataset.section, holder.innerHTML]));
  const showing = new Map(); // holder -> view
  let state = {}, filter = {}, turn = 0, followed = "";

  // ---- state in the address

  function wanted() {
    const known = new Set([...page.axes.map(({ name }) => name), ...FILTERS, ...extraNames()]);
    return Object.fromEntries([...new URLSearchParams(location.hash.slice(1))].filter(([name]) => known.has(name)));
  }

  const extraNames = () => window.attnbench.viewExtra?.names ?? [];
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

  function address(axes, more) {
    const several = page.axes.filter(({ name, values }) => values.length > 1 && name in axes);
    const rest = Object.entries(more).filter(([, value]) => value);
    return new URLSearchParams([...several.map(({ name }) => [name, axes[name]]), ...rest]).toString();
  }

  function go(axes, more) {
    const target = address(axes, more);
    if (target === location.hash.slice(1)) return;
    location.hash = target;
    follow(); // at once: what the reader does next, before the browser tells of the new hash, starts from here
  }

  // change: the new value, or what makes it from the filter of the moment, which may be ahead of what is drawn.
  const chooseFilter = (name, change) => go(state, { ...filter, [name]: typeof change === "function" ? change(filter) : change });

  async function follow() {
    followed = location.hash;
    if (showing.size && window.attnbench.isPlace()) return;
    const mine = ++turn;
    const wish = wanted();
    filter = Object.fromEntries(Object.entries(wish).filter(([name]) => FILTERS.includes(name) || extraNames().includes(name)));
    const view = nearest(leading, wish, leading[0].axes);
    state = view.axes;
    controls();
    const chosen = holders.map((holder) => {
      const views = sections[holder.dataset.section];
      if (views === leading) return [holder, view];
      const own = views.find(({ axes }) => Object.entries(axes).every(([name, value]) => !(name in state) || state[name] === value));
      return [holder, own];
    });
    try {
      await Promise.all(chosen.map(([, of]) => of && !chunks.has(of.chunk) && load(`data/${page.page}-${of.chunk}.js`)));
    } catch (error) {
      say(`${error.message}; build the site again`);
      return;
    }
    if (mine !== turn) return; // the reader has gone on meanwhile
    for (const [holder, of] of chosen) {
      holder.parentElement.hidden = !of; // a section has nothing to add where no number could be drawn
      if (of) show(holder, of);
    }
    const [count, all] = arrange(holders[0], view);
    const told = form?.querySelector("output");
    if (told) told.textContent = count < all ? `${count} of ${all} shown` : "";
    lines.select(filter.pick ? read(filter.pick) : null);
    plots.keep(tables.named(filter)); // lines go by the names that are sought
    const { to } = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
    if (to) document.getElementById(to)?.scrollIntoView();
  }

  function contentOf(view, holder) {
    const content = chunks.get(view.chunk).sections[holder.dataset.section][view.place];
    return view === sections[holder.dataset.section][0] ? { ...content, html: first[holder.dataset.section] } : content;
  }

  function show(holder, view) {
    if (showing.get(holder) !== view) {
      const content = contentOf(view, holder);
      const isFirst = !showing.has(holder) && view === sections[holder.dataset.section][0];
      plots.forget(holder);
      if (!isFirst) {
        holder.innerHTML = content.html;
        edges(holder);
      }
      const setting = holder.parentElement.querySelector("[data-setting]");
      if (setting) setting.textContent = content.setting;
      if (showing.has(holder) && holder === holders[0]) say(`Showing ${content.setting}`);
      showing.set(holder, view);
      plots.show(holder);
    }
    if (holder !== holders[0]) arrange(holder, view);
  }

  // The tables of a holder with their data, in the state's order.
  function arranged(holder, view) {
    const { data } = contentOf(view, holder);
    return [...holder.querySelectorAll("table[data-table]")].map((table) => [table, data[Number(table.dataset.table)] ?? []]).filter(([, of]) => of.length);
  }

  function arrange(holder, view) {
    const counts = arranged(holder, view).map(([table, data]) => tables.arrange(table, data, filter, (sort) => chooseFilter("sort", sort)));
    window.attnbench.viewExtra?.arrange(holder, contentOf(view, holder).extra, filter, chooseFilter);
    return counts[0] ?? [0, 0];
  }

  // ---- controls: one select for each axis on which the views at hand differ, a field to find rows by, and files

  function controls() {
    if (!form) return;
    const selects = [];
    let views = leading;
    for (const { name, values } of page.axes) {
      if (!(name in state)) continue;
      const there = new Set(views.map(({ axes }) => axes[name]));
      views = views.filter(({ axes }) => axes[name] === state[name]);
      if (there.size > 1) selects.push(choice(name, values.filter(([value]) => there.has(value)), state[name], (value) => go(nearest(leading, { [name]: value }, state).axes, filter)));
    }
    const focused = document.activeElement?.name;
    const field = form.querySelector("input[name=q]");
    form.querySelector(".choices").replaceChildren(...selects);
    if (field && document.activeElement !== field) field.value = filter.q ?? "";
    form.hidden = false;
    if (focused) form.elements.namedItem(focused)?.focus();
  }

  function choice(name, values, chosen, change) {
    const select = make("select", { name, change: () => change(select.value) });
    for (const [value, text] of values) select.add(new Option(text, value, false, value === chosen));
    return make("label", {}, name, select);
  }

  function save(kind) {
    const view = showing.get(holders[0]);
    const name = `attnbench-${page.page}-${Object.values(view.axes).slice(0, 4).join("-")}`.replace(/[^\w.-]+/g, "-");
    const { setting, rows } = contentOf(view, holders[0]);
    tables.save(kind, name, { setting, rows, axes: view.axes }, filter, arranged(holders[0], view));
  }

  async function copyLink(button) {
    const target = `${location.href.split("#")[0]}#${address(state, filter)}`;
    try {
      await navigator.clipboard.writeText(target);
      button.textContent = "Link copied";
    } catch {
      location.hash = address(state, filter); // no clipboard here: the address bar has it
      button.textContent = "Link is in the address bar";
    }
    setTimeout(() => { button.textContent = "Link"; }, 2000);
  }

  if (form) {
    form.addEventListener("submit", (event) => event.preventDefault());
    form.querySelector("input[name=q]")?.addEventListener("input", (event) => {
      history.replaceState(null, "", `#${address(state, { ...filter, q: event.target.value.trim() })}`); // not a step back for every letter
      follow();
    });
    form.querySelectorAll("button[data-save]").forEach((button) => button.addEventListener("click", () => save(button.dataset.save)));
    form.querySelector("button[data-link]")?.addEventListener("click", (event) => copyLink(event.target));
  }
  lines.chosen((names) => chooseFilter("pick", names && written(names)));
  window.addEventListener("hashchange", () => { if (location.hash !== followed) follow(); });
  follow();
})();
