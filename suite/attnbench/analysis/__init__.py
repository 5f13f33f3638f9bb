"""From records to answers: the table of all records, settings, rankings, growth with length, averages over tasks, comparisons."""
