"""The static site: makes pages, charts and tables from the results of analysis and claims."""
