"""The code that runs in a cell's own process: clocks, memory, FLOPs, verification, and the three tracks."""
