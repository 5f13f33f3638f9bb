"""Charts as values: scales, marks, labels, and what plotly needs to draw them."""
