"""Makes the tables of the pages, and their HTML."""
