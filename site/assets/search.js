// The search in every page's head: pages, mechanisms, tasks, machines and claims. "/" leads to it.
"use strict";
(() => {
  const { make, root, say } = window.attnbench;
  const MOST = 8;
  const form = document.querySelector("form.search");
  const field = form.querySelector("input"), list = form.querySelector("[role=listbox]"), none = form.querySelector("p");
  let active = -1;

  // What begins with the text, then what has it in its name, then in what is said of it.
  function found(text) {
    const wish = text.trim().toLowerCase();
    if (!wish) return [];
    const score = ([title, kind, said]) => {
      const at = title.toLowerCase().indexOf(wish);
      if (at === 0) return 0;
      if (at > 0) return 1;
      return `${kind} ${said}`.toLowerCase().includes(wish) ? 2 : 3;
    };
    const scored = window.attnbench.search.map((entry, place) => [score(entry), place, entry]).filter(([of]) => of < 3);
    return scored.sort((a, b) => a[0] - b[0] || a[1] - b[1]).slice(0, MOST).map(([, , entry]) => entry);
  }

  function show() {
    const entries = found(field.value);
    list.replaceChildren(...entries.map(([title, kind, said, href], place) =>
      make("a", { role: "option", id: `found-${place}`, href: root + href, tabindex: "-1", "aria-selected": "false" }, make("b", {}, title), make("span", {}, said ? `${kind} · ${said}` : kind))));
    const isNone = Boolean(field.value.trim()) && !entries.length;
    none.hidden = !isNone;
    if (isNone) say(none.textContent);
    list.hidden = !entries.length;
    field.setAttribute("aria-expanded", String(!list.hidden && entries.length > 0));
    mark(entries.length ? 0 : -1);
  }

  function mark(place) {
    active = place;
    [...list.querySelectorAll("a")].forEach((option, at) => option.setAttribute("aria-selected", String(at === place)));
    if (place >= 0) field.setAttribute("aria-activedescendant", `found-${place}`);
    else field.removeAttribute("aria-activedescendant");
  }

  function close() {
    list.hidden = true;
    none.hidden = true;
    field.setAttribute("aria-expanded", "false");
    field.removeAttribute("aria-activedescendant");
  }

  field.addEventListener("input", show);
  field.addEventListener("focus", () => { if (field.value.trim()) show(); });
  field.addEventListener("keydown", (event) => {
    const options = list.querySelectorAll("a");
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (options.length) mark((active + (event.key === "ArrowDown" ? 1 : -1) + options.length) % options.length);
    } else if (event.key === "Escape") {
      close();
    }
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    list.querySelectorAll("a")[active]?.click();
  });
  form.addEventListener("focusout", (event) => { if (!form.contains(event.relatedTarget)) close(); });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || /^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement.tagName)) return;
    event.preventDefault();
    field.focus();
  });
  form.hidden = false;
})();
