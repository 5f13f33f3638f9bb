// Words that tell what they mean: a <details> that opens on a tap, a click or a key, and with this script also under the mouse and on focus,
// above everything else, where no table cuts it off.
"use strict";
(() => {
  const DELAY = 120; // ms before the mouse opens, so that crossing a table opens nothing
  const GAP = 6; // px
  let opening = 0, closing = 0; // timers

  const box = (tell) => tell.querySelector(".told");

  // Below the word, or above it where there is more room; never beyond the window.
  function place(tell) {
    const word = tell.querySelector("summary").getBoundingClientRect(), told = box(tell), { innerWidth: width, innerHeight: height } = window;
    told.style.left = `${Math.max(8, Math.min(word.left, document.documentElement.clientWidth - told.offsetWidth - 8, width - told.offsetWidth - 8))}px`;
    const below = height - word.bottom, isAbove = told.offsetHeight + GAP > below && word.top > below;
    told.style.top = `${isAbove ? Math.max(8, word.top - GAP - told.offsetHeight) : word.bottom + GAP}px`;
  }

  function close(tell) {
    delete tell.dataset.by;
    tell.open = false;
  }

  const others = (but) => document.querySelectorAll("details.tell[open]").forEach((tell) => { if (tell !== but) close(tell); });

  function open(tell, by) {
    if (tell.open) return;
    tell.dataset.by = by;
    tell.open = true;
  }

  const tellOf = (target) => target instanceof Element && target.closest("details.tell");

  document.addEventListener("toggle", ({ target }) => {
    if (!(target instanceof Element) || !target.matches("details.tell")) return;
    const told = box(target);
    if (!target.open || !told.showPopover) return;
    others(target);
    told.popover = "manual"; // the top layer; when the details close it goes with them
    told.showPopover();
    place(target);
  }, true);

  document.addEventListener("pointerover", ({ target, pointerType }) => {
    const tell = tellOf(target);
    clearTimeout(opening);
    if (tell?.open) clearTimeout(closing);
    if (pointerType === "mouse" && tell) opening = setTimeout(() => open(tell, "mouse"), DELAY);
  });
  document.addEventListener("pointerout", ({ target, relatedTarget, pointerType }) => {
    const tell = tellOf(target);
    if (pointerType !== "mouse" || !tell || tell.contains(relatedTarget)) return;
    clearTimeout(closing);
    closing = setTimeout(() => { if (tell.dataset.by === "mouse") close(tell); }, 2 * DELAY); // time to move onto what was told
  });
  // A click keeps open what the mouse or the focus opened, and closes what a click opened.
  document.addEventListener("click", (event) => {
    const tell = tellOf(event.target);
    others(tell);
    if (!tell || !event.target.closest("summary") || !tell.dataset.by || !tell.open) return;
    event.preventDefault();
    delete tell.dataset.by;
  });
  document.addEventListener("focusin", ({ target }) => {
    const tell = tellOf(target);
    if (tell && target.matches("summary:focus-visible")) open(tell, "focus");
  });
  document.addEventListener("focusout", ({ target, relatedTarget }) => {
    const tell = tellOf(target);
    if (tell && !tell.contains(relatedTarget) && tell.dataset.by === "focus") close(tell);
  });
  document.addEventListener("keydown", ({ key }) => { if (key === "Escape") others(null); });
  document.addEventListener("scroll", () => document.querySelectorAll("details.tell[open]").forEach(place), { capture: true, passive: true });
})();
