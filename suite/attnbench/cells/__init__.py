"""What each track measures, inside a cell's own process."""
