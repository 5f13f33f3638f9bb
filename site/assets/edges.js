// Tables wider than the page fade at the edge where they scroll, so that nobody takes a cut column for the last.
"use strict";
(() => {
  function mark(region) {
    region.classList.toggle("cut", region.scrollWidth - region.clientWidth - region.scrollLeft > 1);
    region.style.setProperty("--caption", `${region.querySelector("caption")?.offsetHeight ?? 0}px`); // which stays in sight and does not fade
  }
  const sizes = new ResizeObserver((entries) => entries.forEach(({ target }) => mark(target.closest(".scroll"))));

  // Watch the tables of a part of the page.
  window.attnbench.edges = (part) => {
    for (const region of part.querySelectorAll(".scroll")) {
      region.addEventListener("scroll", () => mark(region), { passive: true });
      sizes.observe(region);
      if (region.firstElementChild) sizes.observe(region.firstElementChild);
    }
  };
  window.attnbench.edges(document);
})();
