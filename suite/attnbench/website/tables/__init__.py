"""Tables as values, and as HTML."""
