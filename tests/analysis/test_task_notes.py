"""What is said of a task's table, as the pages and `show` say it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pytest

from attnbench.analysis.frame import frame
from attnbench.analysis.labels import Labels
from attnbench.analysis.standings import Standings
from attnbench.analysis.task_metrics import METRICS
from attnbench.analysis.task_notes import control_beside, control_text, mark_texts, marks_of_table, resolution_text
from attnbench.spec.protocol import NEWEST
from attnbench.store.controls import Control
from attnbench.store.record import Record
from helpers.controls import make_control
from helpers.records import learnt

ACCURACY = METRICS["accuracy"]
CLASSICAL = make_control(task="mnist", data="embedded:00000000", model="logistic regression on pixels", value=0.96, by_block=(0.96,) * 3)


def seeds(count: int, **means: float) -> list[Record]:
    """Runs of so many seeds, which lie a point apart."""
    return [learnt(variant, seed, mean - 0.01 * seed) for variant, mean in means.items() for seed in range(count)]


def marked(records: Sequence[Record], control: Control | None = None) -> list[str]:
    standings = Standings(frame(records), Labels([], {}))
    return mark_texts(marks_of_table(standings, records[0], ACCURACY, control))


def test_a_tie_of_single_seeds_says_nothing_about_the_task() -> None:
    """Softmax at .95 and uniform at .30 are tied with one seed of each; with the seeds of the protocol they are not."""
    assert marked(seeds(1, softmax=0.95, uniform=0.30)) == []
    assert marked(seeds(3, softmax=0.95, uniform=0.30)) == []
    said = ["This task says nothing about attention: uniform cannot be told from softmax here, and it takes no part in average ranks."]
    tied = seeds(3, softmax=0.95, uniform=0.95)
    assert marked(tied) == said
    newest = [dataclasses.replace(one, spec=dataclasses.replace(one.spec, protocol=NEWEST.name)) for one in tied]
    assert marked(newest) == [], "the newer protocol asks for five seeds"


def test_a_task_that_all_but_the_controls_solve_says_so() -> None:
    solved = [learnt(variant, seed, of) for variant, of in (("softmax", 1.0), ("gated", 1.0), ("identity", 0.03)) for seed in range(3)]
    assert marked(solved) == [
        "Here all mechanisms, controls aside, are above 0.999: the task orders nothing, and takes no part in average ranks."
    ]
    assert marked(solved[:6]) == ["Here all mechanisms are above 0.999: the task orders nothing, and takes no part in average ranks."]


def test_softmax_below_a_model_without_attention_is_to_be_read_with_care() -> None:
    records = seeds(3, softmax=0.9)
    assert control_beside([make_control(), CLASSICAL], records[0]) is CLASSICAL
    assert control_beside([make_control()], records[0]) is None
    assert marked(records, CLASSICAL) == ["Read it with care: softmax does not reach what a model without attention does."]
    assert control_text(CLASSICAL, ACCURACY) == (
        "Without attention: logistic regression on pixels reaches 96.0\u2009%, trained on the whole training part."
    )
    assert control_text(CLASSICAL, METRICS["bits_per_byte"]) == control_text(None, ACCURACY) == ""
    assert marked(records, make_control(task="mnist", data="embedded:00000000", value=0.5)) == []


@pytest.mark.parametrize(("count", "is_said"), [(1, False), (3, True)])
def test_the_resolution_is_said_where_softmax_has_two_seeds(count: int, is_said: bool) -> None:
    records = seeds(count, softmax=0.9, gated=0.8)
    said = resolution_text(Standings(frame(records), Labels([], {})), records[0], ACCURACY)
    assert said.startswith("Resolution: two equal mechanisms with as many seeds differ by up to ") is is_said
    assert said.endswith(" percentage points in 95 % of cases, as softmax's own seeds show.") is is_said
