"""Charts: scales, marks, labels, and the figures that plotly draws."""
