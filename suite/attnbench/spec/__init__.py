"""What to measure: the axes of a cell, presets of cells, the choice of learning rates, and the notation that asv uses for a cell."""
