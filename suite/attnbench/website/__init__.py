"""The static site: pages, charts and tables made from the answers of analysis and claims."""
