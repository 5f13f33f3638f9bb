"""The setting that the front page opens on, and the sentence that says what is known there."""

from __future__ import annotations

import dataclasses
import re
from functools import cache

from attnbench.analysis.leaders import leaders
from attnbench.analysis.standing import Standing
from attnbench.stats import Interval
from attnbench.store.record import Record
from attnbench.website.pages import board
from attnbench.website.pages.opening import known_sentence, opening
from attnbench.website.results import Results
from attnbench.website.tables.checks import Checks
from helpers import site_settled
from helpers.site_records import record
from helpers.site_sources import SOURCES


@cache
def results() -> Results:
    return Results(site_settled.kernel_records(), SOURCES.declared)


def test_the_page_opens_on_the_longest_setting_in_which_every_row_is_ranked() -> None:
    assert opening(results()) == (results().groups("kernel")[0], "training", 16384)
    assert {axis.name: axis.value for axis in board.views(results(), Checks(()))[0].axes}["seq_len"] == "16384"
    failed = [
        record(each.spec, "oom", session=each.session, environment=each.environment, reason="none left")
        if (each.spec.variant, each.spec.mode, each.spec.seq_len) == ("gated", "training", 16384)
        else each
        for each in site_settled.kernel_records()
    ]
    assert opening(Results(failed, SOURCES.declared))[1:] == ("forward", 16384)  # type: ignore[index]
    assert opening(Results([], {})) is None


def test_the_page_opens_on_decoding_where_nothing_else_is_ranked_whole() -> None:
    """A step over 16,384 tokens computes one; a pass over 256 computes them all."""
    decoding = [each for each in site_settled.kernel_records() if each.spec.mode == "decode"]
    short = [each for each in site_settled.kernel_records() if each.spec.mode == "forward" and each.spec.seq_len == 256]
    assert {each.spec.seq_len for each in decoding} >= {1024}
    assert opening(Results([*decoding, *short], SOURCES.declared))[1:] == ("forward", 256)  # type: ignore[index]
    alone = opening(Results(decoding, SOURCES.declared))
    assert alone is not None and alone[1] == "decode"


def test_what_is_known_is_one_sentence_with_links_and_none_where_nothing_is() -> None:
    told = known_sentence(results())
    text = re.sub(r"<[^>]+>", "", told)
    assert re.match(
        r"On example \(cpu, 8 threads\), training: nothing is faster than .*softmax at 256, nor than orthogonal from 512 to ", text
    )
    assert re.search(r"which takes 0\.0\d+ \[0\.0\d+, 0\.0\d+\] of softmax’s time at 16,384\.$", text)
    assert "machines.html#machine-example" in told and "variants/orthogonal.html" in told and "seq_len=16384" in told
    assert known_sentence(Results([], {})) == ""
    assert known_sentence(Results(site_settled.kernel_records()[:3], SOURCES.declared)) == ""  # one mechanism is ahead of nothing


def test_a_control_is_not_what_nothing_is_faster_than() -> None:
    """identity copies the values; the sentence is the same as without it, and says that it is left aside."""
    copying = [
        dataclasses.replace(each, id=spec.key(), spec=spec, measurements=fast(each))
        for each in site_settled.kernel_records()
        if (each.spec.variant, each.spec.mode, each.spec.device) == ("linear_elu", "training", "cpu")
        for spec in [dataclasses.replace(each.spec, variant="identity")]
    ]
    both = Results([*site_settled.kernel_records(), *copying], SOURCES.declared)
    places = both.standings.places("time", next(each for each in copying if each.spec.seq_len == 16384))
    assert places["identity"].rank == (1, 1)
    assert known_sentence(both).replace("controls aside, ", "") == known_sentence(results()) != known_sentence(both)


def fast(of: Record) -> dict[str, list[float]]:
    """The measurements of a record, a thousand times as fast."""
    timed = {name: [x / 1000 for x in of.measurements[name]] for name in ("training_s", "anchor_ratio") if name in of.measurements}
    return {**of.measurements, **timed}


def test_a_tie_behind_a_control_stays_a_tie() -> None:
    """The control is surely ahead of one of two that cannot be told apart."""
    places = {
        "identity": standing(0.8, (1, 2), "b"),
        "a": standing(1.0, (2, 3), "b"),
        "b": standing(1.1, (1, 3), "identity", "a"),
        "last": standing(2.0, (4, 4)),
    }
    assert leaders(places, frozenset({"identity"})) == {"a", "b"}
    assert leaders(places) == {"identity", "b"}


def standing(value: float, rank: tuple[int, int], *ties: str) -> Standing:
    return Standing(rank, ties, "softmax_ratio", Interval(value, value - 0.1, value + 0.1, 0.95), None)
