"""The stored data and its formats: records, check reports, peaks of machines, and the facts about hardware and code in them."""
