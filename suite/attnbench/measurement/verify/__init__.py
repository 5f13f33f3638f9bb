"""Verifies what is timed: the results of kept calls are compared with the same calls repeated, and with the definition in float64."""
