"""The claims of papers, one module each: a query on the results, and a rule, fixed in advance, that gives a verdict."""
