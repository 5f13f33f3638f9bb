"""Whether a second session of the same cells orders mechanisms as the first did: what a table is worth to those whom it ranks low.

    python tools/reversals.py 20261129T091620Z-d7cacc 20261129T161928Z-cb9a7d            # sessions of results/

Each session is ranked by itself, by the rules of the pages. For every mode and length it prints how many pairs of mechanisms have a rank
in both sessions; of these, how many the first session tells apart, how many the second, and how many both; and of those, in how many the
faster mechanism of one session is the slower of the other. Such pairs are printed by name, above the table. Whatever it finds, it exits
with 0: an order is a finding.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

Place = Mapping[str, Any]  # a row of the ranking
Cell = tuple[str, ...]  # a setting's values, as texts
Table = dict[Cell, dict[str, Place]]
COUNTED = ("pairs", "first", "second", "both", "reversed")


def places(records: Any, session: str, track: str) -> Table:
    """The rows of every setting that have a rank in a session, by label. records: from attnbench.load."""
    from attnbench.analysis.ranking import ranking
    from attnbench.analysis.settings import SETTING, as_texts

    found: Table = {}
    for row in ranking(records[records.session == session], "time", track).to_dict("records"):
        if row["rank_low"] == row["rank_low"]:  # not missing
            found.setdefault(as_texts(row[axis] for axis in SETTING[track]), {})[row["label"]] = row
    return found


def order(table: Mapping[str, Place], one: str, other: str) -> int:
    """-1 where the first of two mechanisms is faster, 1 where the second is, 0 where they cannot be told apart."""
    if other in table[one]["ties"]:
        return 0
    return -1 if table[one]["value"] < table[other]["value"] else 1


def compared(first: Table, second: Table) -> Iterator[tuple[Cell, str, str, int, int]]:
    """Every pair of mechanisms that both sessions rank, with its order in either."""
    for setting in first.keys() & second.keys():
        for one, other in itertools.combinations(sorted(first[setting].keys() & second[setting].keys()), 2):
            yield setting, one, other, order(first[setting], one, other), order(second[setting], one, other)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("session", nargs=2, help="a session's name, as in its records' file")
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder of the records; results if not given")
    given = parser.parse_args()
    import attnbench
    from attnbench.analysis.settings import SETTING

    records = attnbench.load(given.results)
    if missing := set(given.session) - set(records.session):
        parser.error(f"{given.results} has no session {', '.join(sorted(missing))}")
    counts: dict[tuple[str, ...], Counter[str]] = {}
    for track, size in (("kernel", "seq_len"), ("depth", "num_layers")):
        mode, length = SETTING[track].index("mode"), SETTING[track].index(size)
        first, second = (places(records, session, track) for session in given.session)
        for setting, one, other, then, now in compared(first, second):
            own = counts.setdefault((track, setting[mode], setting[length]), Counter())
            own.update(pairs=1, first=bool(then), second=bool(now), both=bool(then and now), reversed=then * now < 0)
            if then * now < 0:
                print(f"reversed: {one} and {other}, {' '.join(filter(None, setting))}")
    print(f"{'':30}{''.join(f'{name:>10}' for name in COUNTED)}")
    total: Counter[str] = sum(counts.values(), Counter())
    for name, of in (*sorted(counts.items(), key=lambda item: (item[0][:2], int(item[0][2]))), (("all",), total)):
        print(f"{' '.join(name):30}{''.join(f'{of[column]:>10,}' for column in COUNTED)}")
    return 0


if __name__ == "__main__":
    from attnbench.cli.output import write_any_letter

    write_any_letter()
    sys.exit(main())
