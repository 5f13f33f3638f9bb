// What the other scripts share: the data that files bring, and loading more of them. `fetch` is blocked on file://.
"use strict";
window.attnbench = (() => {
  const loading = new Map();
  const api = {
    root: document.documentElement.dataset.root,
    page: null, // index of the page's views
    chunks: new Map(), // name -> views and their tables' data
    figures: {}, // name -> plotly figure
    cells: new Map(), // place on its page -> record
    search: [],
    metrics: null, // the suite's table of metrics

    index(given) { api.page = given; },
    chunk(given) {
      api.chunks.set(given.name, given);
      Object.assign(api.figures, given.figures);
    },
    cell(anchor, record) { api.cells.set(anchor, record); },

    // Run a script of this site once; a promise of its end.
    load(file) {
      if (!loading.has(file)) {
        loading.set(file, new Promise((resolve, reject) => {
          const script = document.createElement("script");
          script.src = api.root + file;
          script.onload = resolve;
          script.onerror = () => {
            loading.delete(file);
            reject(new Error(`${file} could not be loaded`));
          };
          document.head.append(script);
        }));
      }
      return loading.get(file);
    },

    // An element with attributes, properties that are functions, and children.
    make(tag, given = {}, ...children) {
      const element = document.createElement(tag);
      for (const [name, value] of Object.entries(given)) {
        if (typeof value === "function") element.addEventListener(name, value);
        else if (typeof value === "boolean") element.toggleAttribute(name, value);
        else element.setAttribute(name, value);
      }
      element.append(...children);
      return element;
    },

    // Labels as one value of the address, and back.
    written: (labels) => labels.map((label) => label.replaceAll("%", "%25").replaceAll("~", "%7E")).join("~"),
    read: (text) => text.split("~").map((label) => label.replaceAll("%7E", "~").replaceAll("%25", "%")),

    // Whether the address leads to a place in the page and is no state: the browser scrolls there by itself.
    isPlace() {
      return !location.hash.includes("=") && document.getElementById(location.hash.slice(1)) !== null;
    },

    // Say something to who cannot see the change.
    say(text) {
      const place = document.getElementById("said");
      if (place) place.textContent = text;
    },

    // Offer a file that was made here.
    offer(name, type, text) {
      const address = URL.createObjectURL(new Blob([text], { type }));
      const link = api.make("a", { href: address, download: name });
      document.body.append(link);
      link.click();
      link.remove();
      setTimeout(() => URL.revokeObjectURL(address), 1000);
    },
  };
  return api;
})();
