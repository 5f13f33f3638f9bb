"""One claim of a paper each: a query on the results, a rule fixed in advance, a verdict."""
