// Opens the cell that the address points at.
"use strict";
(() => {
  function open() {
    const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!(target instanceof HTMLDetailsElement)) return;
    target.open = true;
    target.scrollIntoView({ block: "center" });
  }
  window.addEventListener("hashchange", open);
  open();
})();
