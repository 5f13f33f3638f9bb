"""What is stored and how: records, check reports, peaks of machines, and the facts about hardware and code that stand in them."""
