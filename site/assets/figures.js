// The plots of a page without views to choose from.
"use strict";
window.attnbench.plots.show(document);
