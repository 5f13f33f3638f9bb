"""What had been seen of the cells on which a verdict rests: every record of them that is stored, not the newest alone.

A cell that is measured again gives the same numbers, often bit for bit. So whoever changed a rule between the two had seen them, and the
newer record shows nothing. Seeds, budgets and trials of a cell show much of it too. Trials of softmax, which the pilot has to make before
anything else, show no comparison: they count for claims about softmax alone.
"""

from __future__ import annotations

from collections.abc import Set
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from attnbench.analysis.codes import codes
from attnbench.analysis.frame import AXES
from attnbench.analysis.samples import BASELINE
from attnbench.analysis.settings import label_of, labels_of, needed_rows
from attnbench.claim import FAILED

if TYPE_CHECKING:
    import pandas as pd

# The axes on which a record may differ from a cell and still show much of what it gives, as trials and other budgets do.
_WITHIN = ("seed", "epochs", "lr", "lr_grid", "tuned_epochs", "test_seq_len", "evaluate")
_SAME = tuple(axis for axis in AXES if axis not in (*_WITHIN, "params"))
_TOLD = ("attnbench_commit", "dirty", "protocol_fingerprint")


class Seen(NamedTuple):
    """What is known of the code that measured some records; None where it is not.

    commit, dirty: that of attnbench, and whether the code was changed since. protocol: of training runs, its name; fingerprint: that of
    its text. counts: whether they are of a cell on which the verdict rests; else they are other seeds, budgets or trials of it.
    """

    commit: str | None
    dirty: bool | None
    protocol: str | None = None
    fingerprint: str | None = None
    counts: bool = True


def seen(table: pd.DataFrame, cells: Set[str]) -> set[Seen]:
    """What is known of all records that show something of some cells, without repetition. table: of all records; cells: their ids.

    These are the records of the same mechanism, by its label, that agree with such a cell in all axes but seed, learning rate, epochs and
    the part that is measured. Those that never ran, as they were skipped or something was not there, show nothing; nor do trials of softmax
    where another mechanism counts too.
    """
    ran = table["status"].isin(("ok", *FAILED)).to_numpy()
    own = ran & table["id"].isin(cells).to_numpy()
    places = np.flatnonzero(own)
    found = {Seen(None, None)} if cells - set(table["id"].to_numpy()[places]) else set()  # those that a query made up
    alike = ran
    for name in ("track", "variant", "task"):
        alike = alike & table[name].isin(table[name].to_numpy()[places]).to_numpy()
    heads = table.iloc[needed_rows(table, np.flatnonzero(alike), "")]
    kinds = codes(heads.assign(label=label_of(heads, labels_of(heads))), (*_SAME, "label"))
    counts = heads["id"].isin(cells).to_numpy()
    shows = np.isin(kinds, kinds[counts])
    if (heads["variant"][counts] != BASELINE).any():
        shows &= ~((heads["variant"] == BASELINE) & (heads["evaluate"] == "validation") & (heads["init_norm"] == 1.0)).to_numpy()
    told = heads[[*_TOLD, "track", "protocol"]][shows].assign(counts=counts[shows]).drop_duplicates()
    return found | {_of(*row) for row in told.itertuples(index=False)}


def _of(commit: Any, dirty: Any, fingerprint: Any, track: str, protocol: str, counts: bool) -> Seen:
    known = dirty is not None and dirty == dirty
    code = _text(commit), bool(dirty) if known else None
    return Seen(*code, protocol, _text(fingerprint), counts) if track == "task" else Seen(*code, counts=counts)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
