"""What the pages say of times by the present rule: resolution, processes, drift, load, kernels, code, and the setting they open on."""

from __future__ import annotations

import dataclasses
import re
from functools import cache

import pytest

from attnbench.analysis.number_format import two_digit_percent
from attnbench.stats import Resolution
from attnbench.website.groups import MODES
from attnbench.website.links import cell_file
from attnbench.website.pages import board
from attnbench.website.pages.opening import known_sentence, opening
from attnbench.website.results import Results
from attnbench.website.tables.checks import Checks
from attnbench.website.tables.resolution import resolution_text
from attnbench.website.tables.rows import cost_rows
from attnbench.website.tables.table import Cell, Table
from attnbench.website.times import by_rounds, over_softmax
from attnbench.website.view import View
from helpers import site_records, site_settled
from helpers.site_records import html
from helpers.site_sources import SOURCES, page_of
from helpers.site_stores import render_once


@cache
def results(device: str = "cpu") -> Results:
    return Results(site_settled.kernel_records(device), SOURCES.declared)


@cache
def views(device: str = "cpu") -> tuple[View, ...]:
    return tuple(board.views(results(device), Checks(())))


def table_of(device: str = "cpu", **axes: str) -> Table:
    """The leaderboard's table of a setting, of the calls that are neither causal nor padded."""
    wanted = {"causal": "no", "padded": "0", **axes}
    for view in views(device):
        given = {axis.name: axis.value for axis in view.axes}
        if all(given.get(name) == value for name, value in wanted.items()):
            (table,) = view.blocks
            assert isinstance(table, Table)
            return table
    raise KeyError(f"no view has {wanted}")


def row(table: Table, name: str) -> dict[str, Cell]:
    """The cells of a mechanism by the titles of their columns."""
    (found,) = [cells for cells in table.rows if cells[1].text == name]
    return {column.title: cell for column, cell in zip(table.columns, found, strict=True)}


def words(table: Table, name: str) -> dict[str, str]:
    """What stands beside a mechanism's name, with what it opens to."""
    return {word.text: " ".join(word.told) for word in row(table, name)["Variant"].words}


def test_every_table_of_times_says_what_it_cannot_tell_apart_and_holds_softmax_against_itself() -> None:
    for view in views():
        (table,) = view.blocks
        assert isinstance(table, Table)
        assert "cannot be told apart here: softmax against itself" in table.resolution, view.setting
        assert "against itself" in words(table, "softmax")
        (found,) = [each for each in table.data if each["name"] == "softmax"]
        low, value, high = (float(found[f"time_ratio{end}"] or 0) for end in ("_low", "", "_high"))
        said = re.search(r"Differences below ([\d.]+)", table.resolution)
        assert said and value == 1.0 and high == pytest.approx(1 + float(said[1]) / 100, abs=0.006) and low * high == pytest.approx(1.0)


def test_the_resolution_is_one_plain_line() -> None:
    told = resolution_text(Resolution(1.011, 1.023, 3))
    assert told == (
        "Differences below 2.3\u2009% cannot be told apart here: softmax against itself in three processes differs by 1.1\u2009%, and its "
        "time over all cells of this table by 2.3\u2009%."
    )
    assert resolution_text(Resolution(1.048, None, 1)).startswith("A first look, from one process. Differences below 4.8\u2009%")
    assert resolution_text(None) == ""
    assert resolution_text(Resolution(1.029, 1.031, 0)) == (
        "Softmax has no cell of its own here. Differences below 3.1\u2009% cannot be told apart: two measurements of the same code differ "
        "by 2.9\u2009%, as known from other cells, and softmax beside the cells of this table by 3.1\u2009%."
    )


@pytest.mark.parametrize(("share", "text"), [(0.00012, "0.012"), (0.18, "18"), (0.0954, "9.5"), (0.0999, "10"), (12.5, "1,250")])
def test_percentages_have_two_digits_and_are_whole_from_ten_on(share: float, text: str) -> None:
    assert two_digit_percent(share) == f"{text}\u2009%"


def test_a_row_of_mixed_sessions_says_how_many_of_its_processes_are_of_another() -> None:
    moved = [
        dataclasses.replace(each, session=site_settled.LATER) if (each.spec.variant, each.spec.seed) == ("gated", 2) else each
        for each in site_settled.kernel_records()
    ]
    view = board.views(Results(moved, SOURCES.declared), Checks(()))[0]
    (table,) = view.blocks
    assert isinstance(table, Table)
    told = words(table, "gated")
    assert f"This row has 1 of 3 processes of session {site_settled.LATER};" in told["other session"]
    assert "Its session has no cell of softmax" in told["1 of 3 processes left out"] and "two processes" in told


def test_rows_are_in_the_order_of_their_times_and_what_does_not_count_is_last() -> None:
    table = table_of(mode="forward", seq_len="2048")
    ratios = [float(each["time_ratio"] or 0) for each in table.data if each["rank"] is not None]
    assert ratios == sorted(ratios) and len(ratios) == len(table.rows) - 1
    assert table.rows[-1][1].text == "sigmoid"
    assert table.rows[-1][0].text == "flagged"
    assert "other processes used 0.97 of a core while it was timed; 0.1 is allowed" in table.rows[-1][0].told[0]
    disturbed = row(table, "sigmoid")
    assert (disturbed["Time"].text, table.data[-1].get("time_ratio")) == ("–", None) and disturbed["Absolute"].text.endswith("ms")


def test_a_ratio_by_rounds_says_so_and_what_does_not_count_has_none() -> None:
    of = {(each.spec.variant, each.spec.seq_len): each for each in results().records if each.spec.mode == "forward"}
    assert by_rounds(results(), of["performer", 4096]) == "by its rounds" and not by_rounds(results(), of["performer", 2048])
    downloaded = cost_rows(results(), [of["performer", 4096], of["sigmoid", 2048]])
    assert [each.get("time_ratio_by_rounds") for each in downloaded] == [True, None] and "time_ratio" not in downloaded[1]
    assert over_softmax(results(), of["sigmoid", 2048], None) is None and over_softmax(results(), of["sigmoid", 4096], None)


def test_a_row_says_of_which_commit_it_is_and_by_what_it_is_ranked() -> None:
    table = table_of(mode="forward", seq_len="4096")
    apart = words(table, "nystrom")
    assert site_settled.LATER in apart["other commit"] and "fedcba98" in apart["other commit"]
    assert "has no cell of softmax" in apart["by its rounds"]
    assert "speed changed 2.00-fold" in words(table, "performer")["by its rounds"]
    assert words(table, "orthogonal") == {}


def test_fewer_processes_than_the_tables_are_said_in_the_row() -> None:
    records = [each for each in site_settled.kernel_records() if each.spec.variant != "gated" or each.spec.seed == 0]
    view = board.views(Results(records, SOURCES.declared), Checks(()))[0]
    (table,) = view.blocks
    assert isinstance(table, Table)
    assert "one process" in words(table, "gated") and "one process" not in words(table, "softmax")


def test_a_gpu_shows_kernels_beside_the_wall_clock_and_what_is_bound_by_launches_has_no_exponent() -> None:
    table = table_of("cuda", mode="forward", seq_len="1024")
    softmax, orthogonal = row(table, "softmax"), row(table, "orthogonal")
    assert softmax["Kernels"].text.endswith("µs") and softmax["Absolute"].text.endswith("ms")
    assert float(table.data[0]["kernel_s"] or 0) > 0
    assert "its kernels" in words(table, "orthogonal")["launch-bound"]
    assert orthogonal["Growth"].text == "–" and "launch" in orthogonal["Growth"].told[0]
    assert (orthogonal["Code"].text, softmax["Code"].text) == ("reference", "tuned")
    assert "more than a quarter" in orthogonal["Code"].told[0]
    (column,) = [column for column in table.columns if column.title == "MFU"]
    assert "recomputation left out" in column.told and softmax["MFU"].text.endswith("%")
    assert "Kernels" not in [column.title for column in table_of(mode="forward", seq_len="1024").columns]


def test_an_exponent_stands_with_its_interval_and_its_lengths() -> None:
    table = table_of(mode="training", seq_len="16384")
    (column,) = [column for column in table.columns if column.title == "Growth"]
    assert column.small == "1k to 16k (claim)"
    assert re.fullmatch(r"n<sup>[\d.]+</sup>", row(table, "orthogonal")["Growth"].text)
    assert re.fullmatch(r"\[[\d.]+, [\d.]+\] \(n\)", row(table, "orthogonal")["Growth"].small)
    short = row(table_of(mode="training", seq_len="4096"), "softmax_math")["Growth"]  # measured up to 4,096 only
    assert short.small.endswith("256 to 4k (n²)")


def test_old_timing_is_history_that_no_table_mixes_with_the_present() -> None:
    old = [each for each in site_records.usual() if each.spec.track == "kernel" and each.machine == "example"]
    both = Results([*site_settled.kernel_records(), *old], SOURCES.declared)
    groups = both.groups("kernel")
    assert [group.is_history for group in groups] == sorted(group.is_history for group in groups)
    for group in groups:
        assert len({each.environment.get("timing") for each in group.records}) == 1
        assert group.is_history == ("old timing, kept as history" in group.title)
    chosen = opening(both)
    assert chosen and not chosen[0].is_history
    alone = opening(Results(old, SOURCES.declared))
    assert alone and alone[0].is_history and "by the old timing" in known_sentence(Results(old, SOURCES.declared))


def test_new_modes_and_padding_have_names_that_say_what_they_are() -> None:
    labels = {axis.value: axis.label for view in views() for axis in view.axes if axis.name in ("mode", "padded")}
    assert labels["prefill"] == MODES["prefill"] == "prefill (a prompt, and the state it leaves)"
    assert labels["0.333"] == "33.3 % of the tokens padding" and labels["0"] == "no padding"
    assert not any("no padding" in view.setting or "settled" in view.setting for view in views())  # what goes without saying
    assert all(", softmax by flash" in view.setting for view in views())


def test_a_cell_shows_what_its_numbers_can_be_judged_by() -> None:
    records = [each for each in site_settled.kernel_records() if each.spec.mode == "forward" and each.spec.seed == 0]
    chosen = {
        name: next(each for each in records if (each.spec.variant, each.spec.seq_len) == at)
        for name, at in {"quiet": ("orthogonal", 2048), "busy": ("sigmoid", 2048), "drift": ("performer", 4096)}.items()
    }
    pages = {
        name: page_of(records, cell_file(each)).split(f'id="cell-{each.id}.')[1].split("</article>")[0] for name, each in chosen.items()
    }
    for name, told in {
        "quiet": r"softmax took [\d.]+\u2009ms beside it, [\d.]+× its own time of [\d.]+\u2009ms",
        "busy": r"0\.97 of a core; 0 of a core stolen by the hypervisor; 12 involuntary switches; too much: other processes used",
        "drift": r"the drift anchor took 5\.00\u2009ms before and 10\.0\u2009ms after, 2\.00×",
    }.items():
        assert re.search(told, pages[name]), name
    error = "relative error 3e-07, of the worst row 8e-07; at most 15% of what is allowed; 64 rows compared"
    for told in (error, "tuned", "flash", "settled"):
        assert told in pages["quiet"]
    facts = {"timing": "settled", "not_compared": "its definition is too large"}
    unverified = dataclasses.replace(chosen["quiet"], environment=facts, measurements={"forward_s": [1.0], "drift_anchor_s": [4e-4] * 6})
    page = page_of([unverified], cell_file(unverified))
    assert "not compared with its definition: its definition is too large; so it has no rank" in page
    assert "drift was not judged: its anchor takes 0.4 ms" in page
    without = [dataclasses.replace(each, environment={}, measurements={"forward_s": [1.0]}) for each in records[:1]]
    assert "What to judge it by" not in page_of(without, cell_file(without[0]))


def test_the_rank_over_tasks_goes_where_most_rows_have_none() -> None:
    both = Results(site_settled.settled(), SOURCES.declared)
    (table,) = board.views(both, Checks(()))[0].blocks
    assert isinstance(table, Table) and len(table.rows) > 6
    assert "Task rank" not in [column.title for column in table.columns]


def test_empty_parts_say_what_fills_them() -> None:
    page = html(render_once("single"))["accuracy.html"]
    assert page.count("attnbench run --preset standard --track task") == 2 and "Over all tasks" in page
