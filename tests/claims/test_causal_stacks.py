"""Causal stacks, which came after the claims about depth were written, bear on none that does not ask for them."""

from __future__ import annotations

from attnbench.analysis.frame import frame
from attnbench.claim import measured
from attnbench.store.record import Record
from helpers.records import make_record, make_spec

STACK = {"track": "depth", "block": "skipless", "num_layers": 12, "seq_len": 64, "mode": "training"}


def stack(rank: float, causal: bool) -> Record:
    return make_record(make_spec(**STACK, causal=causal), measurements={"effective_rank": [rank]})


def test_a_causal_stack_bears_on_no_claim_that_does_not_ask_for_it() -> None:
    table = frame([stack(3.0, causal=False), stack(5.0, causal=True)])
    assert measured(table, "depth", "effective_rank", label="softmax")["value"].tolist() == [3.0]
    assert measured(table, "depth", "effective_rank", causal=True)["value"].tolist() == [5.0]
