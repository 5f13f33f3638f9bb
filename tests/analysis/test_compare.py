"""Two variants, machines or commits: which cells are paired, what is decided, what is a regression, and the exit code."""

from __future__ import annotations

import dataclasses
import io
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from attnbench.analysis.compare import Pair, _judged, compare
from attnbench.analysis.frame import frame
from attnbench.cli import app, guarded
from attnbench.cli.compare import show_comparison
from attnbench.cli.filters import Filter
from attnbench.errors import BadInput
from attnbench.store.record import Record
from attnbench.store.store import Store
from helpers.paths import REPO
from helpers.records import learnt, timed

OLD, NEW = "a" * 40, "b" * 40
LENGTHS = (128, 256, 512)


def at(commit: str) -> dict[str, Any]:
    return {"session": commit[:8], "environment": {"torch": "2.13.0", "commit": commit}}


def differences(records: list[Record], a: str, b: str, **options: Any) -> dict[tuple[str, Any], str]:
    return {(p.what, p.setting.get("seq_len")): p.difference for p in compare(frame(records), a, b, **options).pairs}


def test_variants_are_compared_within_each_setting() -> None:
    records = [timed("softmax", 1.0, seq_len=n) for n in LENGTHS]
    records += [timed("orthogonal", cost, seq_len=n) for n, cost in zip(LENGTHS, (1.5, 1.02, 0.5), strict=True)]
    found = compare(frame(records), "softmax", "orthogonal")
    assert (found.kind, found.only_a, found.only_b, len(found.regressions)) == ("variant", 0, 0, 3)
    assert differences(records, "softmax", "orthogonal") == {
        ("time", 128): "worse", ("time", 256): "undecided", ("time", 512): "better",
        ("memory", 128): "worse", ("memory", 256): "worse", ("memory", 512): "better",
    }  # fmt: skip
    (slower,) = (p for p in found.pairs if p.difference == "worse" and p.what == "time")
    assert slower.metric == "softmax_ratio" and slower.change is not None
    assert slower.change.low < slower.change.value < slower.change.high and slower.change.value == pytest.approx(1.5, rel=0.02)
    assert set(differences(records, "orthogonal", "softmax").values()) == {"worse", "better", "undecided"}


def test_machines_are_compared_by_the_most_threads_that_each_has() -> None:
    """Whichever was measured last; and by what is known where something is not."""

    def on(machine: str, middle: float, session: str, **facts: Any) -> Record:
        return timed("softmax", middle, machine=machine, session=session, environment={"torch": "2.13.0", **facts})

    records = [on("a", 1.0, "s", threads=4), on("a", 3.0, "t", threads=1), on("a", 9.0, "u"), on("b", 2.0, "v", threads=16)]
    for order in (records, records[::-1]):
        (pair,) = (p for p in compare(frame(order), "a", "b").pairs if p.what == "time")
        assert (pair.difference, round(pair.a or 0), round(pair.b or 0)) == ("worse", 1, 2)


def test_the_margin_is_what_counts_as_alike() -> None:
    records = [timed("softmax", 1.0), timed("orthogonal", 1.2)]
    assert differences(records, "softmax", "orthogonal")["time", 1024] == "worse"
    assert differences(records, "softmax", "orthogonal", margin=1.5)["time", 1024] == "undecided"


def test_results_of_variants_are_compared_by_welchs_test_and_differences_shown() -> None:
    records = [learnt(name, seed, mean + 0.02 * seed) for name, mean in (("softmax", 0.5), ("orthogonal", 0.8)) for seed in range(3)]
    (pair,) = (p for p in compare(frame(records), "softmax", "orthogonal").pairs if p.what == "result")
    assert (pair.difference, pair.a, pair.b) == ("better", pytest.approx(0.52), pytest.approx(0.82))
    assert pair.change is not None and pair.change.value == pytest.approx(0.3)
    bits = [dataclasses.replace(r, measurements={"bits_per_byte": r.measurements["accuracy"]}) for r in records]
    (pair,) = (p for p in compare(frame(bits), "softmax", "orthogonal").pairs if p.what == "result")
    assert pair.difference == "worse"


def test_machines_are_compared_in_seconds_and_commits_by_their_ratios() -> None:
    fast, slow = (timed("orthogonal", cost, machine=name) for name, cost in (("fast", 1.0), ("slow", 2.0)))
    (pair, _) = compare(frame([fast, slow]), "fast", "slow").pairs
    assert (pair.difference, pair.metric, pair.label) == ("worse", "forward_s", "orthogonal")
    commits = [timed("orthogonal", 1.0, **at(OLD)), timed("orthogonal", 0.5, **at(NEW))]
    (pair, _) = compare(frame(commits), OLD[:7], NEW[:7]).pairs
    assert (pair.difference, pair.metric) == ("better", "softmax_ratio")
    (pair, _) = compare(frame([timed("softmax", 1.0, **at(OLD)), timed("softmax", 0.5, **at(NEW))]), OLD[:7], NEW[:7]).pairs
    assert (pair.difference, pair.metric) == ("better", "drift_ratio")  # beside itself it never changes


def test_a_cell_that_fails_in_the_second_is_a_regression_and_one_that_is_missing_is_not() -> None:
    broken = dataclasses.replace(timed("orthogonal", 1.0, **at(NEW)), status="oom", reason="too large\nby far", measurements={})
    found = compare(frame([timed("orthogonal", 1.0, **at(OLD)), broken]), OLD[:4], NEW[:4])
    assert {p.difference for p in found.regressions} == {"failed"} and found.regressions[0].why == "oom: too large"
    assert [p.difference for p in found.pairs] == ["failed"]  # once, not for its time and its memory
    other = timed("polynomial", 1.0, **at(NEW))
    found = compare(frame([timed("orthogonal", 1.0, **at(c)) for c in (OLD, NEW)] + [other]), OLD[:4], NEW[:4])
    assert (len(found.pairs), found.only_a, found.only_b) == (2, 0, 1)


def test_what_is_not_compared_is_said(results: Path) -> None:
    """What another mechanism cannot do is no regression; what a commit no longer does is."""
    skipped = dataclasses.replace(timed("orthogonal", 1.0), status="skipped", reason="no causal form", measurements={})
    records = [timed("softmax", 1.0), skipped, timed("softmax", 1.0, seq_len=99), timed("orthogonal", 1.0, seq_len=99)]
    found = compare(frame(records), "softmax", "orthogonal")
    assert [(p.difference, p.why) for p in found.pairs if p.why] == [("not compared", "skipped: no causal form")]
    gone = dataclasses.replace(skipped, **at(NEW))
    (pair,) = compare(frame([timed("orthogonal", 1.0, **at(OLD)), gone]), OLD, NEW).pairs
    assert (pair.difference, pair.why) == ("failed", "skipped: no causal form")


def test_nothing_in_common_is_an_error_and_no_pass() -> None:
    with pytest.raises(BadInput, match="no cell in common"):
        compare(frame([timed("orthogonal", 1.0, **at(OLD)), timed("polynomial", 1.0, **at(NEW))]), OLD, NEW)
    newer = timed("orthogonal", 9.0, session="b", environment={"torch": "2.14.0", "commit": NEW})
    with pytest.raises(BadInput, match="version of torch"):
        compare(frame([timed("orthogonal", 1.0, **at(OLD)), newer]), OLD, NEW)


def test_a_machine_that_is_slower_throughout_is_no_regression_of_softmax() -> None:
    """Its drift anchor is as much slower."""
    slow = timed("softmax", 1.2, **at(NEW))
    slow = dataclasses.replace(slow, measurements={**slow.measurements, "drift_anchor_s": [1.2e-3]})
    assert compare(frame([timed("softmax", 1.0, **at(OLD)), slow]), OLD, NEW, whats=["time"]).regressions == []


def test_a_mechanism_has_one_name_on_both_sides() -> None:
    """my_file with another parameter on each of two machines is not one mechanism."""
    records = [timed("my_file", cost, machine=name, params={"degree": int(cost)}) for name, cost in (("one", 2.0), ("two", 9.0))]
    records += [timed("softmax", 1.0, machine=name) for name in ("one", "two")]
    found = compare(frame(records), "one", "two")
    assert {p.label for p in found.pairs} == {"softmax"} and (found.only_a, found.only_b) == (1, 1)


def test_times_of_disturbed_cells_are_left_out() -> None:
    noisy = [timed("orthogonal", 9.0, seq_len=n, environment={"torch": "2.13.0", "other_load": 1.0}) for n in LENGTHS]
    records = [*noisy, *(timed("softmax", 1.0, seq_len=n) for n in LENGTHS)]
    found = compare(frame(records), "softmax", "orthogonal").pairs
    assert {(p.what, p.difference) for p in found} == {("time", "not compared"), ("memory", "worse")}
    assert all("flagged" in p.why for p in found if p.what == "time")


def test_where_the_speed_changed_ratios_are_compared_and_seconds_are_not() -> None:
    changed = {"drift_anchor_s": [1e-3] * 3 + [2e-3] * 3}
    records = [timed("softmax", 1.0), timed("orthogonal", 3.0, more=changed)]
    (pair,) = compare(frame(records), "softmax", "orthogonal", whats=["time"]).pairs
    assert (pair.difference, pair.metric) == ("worse", "softmax_ratio")
    there = [dataclasses.replace(r, machine="other") for r in records]
    found = {p.label: p for p in compare(frame([*records, *there]), "desk", "other", whats=["time"]).pairs}
    assert found["softmax"].difference == "undecided"
    assert found["orthogonal"].difference == "not compared" and "2.00-fold while" in found["orthogonal"].why


def test_many_equal_cells_are_no_regression() -> None:
    """200 cells of the same code."""
    records = [timed("orthogonal", 1.0, seq_len=n, **at(commit)) for commit in (OLD, NEW) for n in range(100, 300)]
    assert compare(frame(records), OLD, NEW).regressions == []


def test_what_is_not_compared_does_not_weaken_what_is() -> None:
    """100 cells that the second cannot do, beside one of few samples that is just decided."""
    pair = Pair("kernel", {}, "", "time", "anchor_ratio", 1.0, 2.0, None, "undecided")
    others = [(dataclasses.replace(pair, difference="not compared"), 1.0, 1.0)] * 100
    assert _judged([(pair, 0.004, 0.9), *others], 0.01)[0].difference == "worse"


@pytest.mark.parametrize(
    ("a", "b", "said"),
    [
        ("softmax", "softmax", "give two that differ"),
        ("softmax", "desk", "not of one kind"),
        ("softmax", "sofmax", "hold nothing of 'sofmax'; they have variants: orthogonal, softmax; machines: desk; commits: aaaaaaaaaaaa"),
        ("aaaa", "bbb", "hold nothing of 'bbb'"),
        ("cccc", "dddd", "hold nothing of 'cccc' or of 'dddd'"),
    ],
)
def test_names_that_cannot_be_compared_are_refused(a: str, b: str, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        compare(frame([timed("softmax", 1.0, **at(OLD)), timed("orthogonal", 1.0, **at(NEW))]), a, b)


def test_a_prefix_of_two_commits_is_refused() -> None:
    records = [timed("softmax", 1.0, **at("a" * 4 + end * 36)) for end in "012"]
    with pytest.raises(BadInput, match="may be any of"):
        compare(frame(records), "aaaa", "aaaa0")


def test_commits_may_be_named_as_git_knows_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPO)
    done = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True)
    if done.returncode:
        pytest.skip("this is no git checkout")
    head = done.stdout.strip()
    found = compare(frame([timed("orthogonal", 1.0, **at(OLD)), timed("orthogonal", 1.0, **at(head))]), OLD, "HEAD")
    assert (found.kind, found.b) == ("commit", head)


@pytest.fixture
def stored(results: Path) -> Path:
    store = Store(results)
    for commit, cost in ((OLD, 1.0), (NEW, 2.0)):
        for n in LENGTHS:
            store.append(timed("orthogonal", cost, seq_len=n, **at(commit)))
        for seed in range(3):
            store.append(learnt("orthogonal", seed, 0.9 + 0.001 * seed, **at(commit)))
    return results


def printed(results: Path, a: str, b: str, as_json: bool = False, wanted: Filter | None = None) -> tuple[int, str]:
    out = io.StringIO()
    code = show_comparison(results, a, b, wanted or Filter(), 1.05, as_json, Console(file=out, width=60), Console(file=out))
    return code, out.getvalue().replace("\u2009", " ")


def test_the_exit_code_tells_a_regression(stored: Path) -> None:
    assert [printed(stored, *names)[0] for names in ((OLD, NEW), (NEW, OLD))] == [1, 0]
    assert printed(stored, OLD, NEW, wanted=Filter(track="task"))[0] == 0
    with pytest.raises(BadInput, match="unknown machine 'dask'"):
        printed(stored, OLD, NEW, wanted=Filter(machine="dask"))


def test_the_terminal_shows_ratios_with_intervals_whole_at_any_width(stored: Path) -> None:
    _, text = printed(stored, OLD, NEW)
    assert "aaaaaaaaaaaa" in text and text.count(" slower") == 3 + 2  # each cell, the summary and the footnote
    assert "bbbbbbbbbbbb: 3 slower" in text and "bbbbbbbbbbbb: 3 larger" in text and "1 undecided" in text
    (line,) = (line for line in text.splitlines() if "seq_len 128" in line and "slower" in line)
    assert line.count("×") == 5 and "[" in line


def test_programs_get_strict_json(stored: Path, capsys: pytest.CaptureFixture[str]) -> None:
    printed(stored, OLD, NEW, as_json=True)
    found = json.loads(capsys.readouterr().out, parse_constant=lambda constant: pytest.fail(f"{constant} is not JSON"))
    assert (found["kind"], found["regressions"], len(found["pairs"])) == ("commit", 6, 8)
    assert {pair["verdict"] for pair in found["pairs"]} == {"worse", "undecided"}


def test_the_command_exits_with_1_on_a_regression_and_2_on_bad_input(stored: Path, capsys: pytest.CaptureFixture[str]) -> None:
    codes = [
        guarded(lambda words=words: app(["compare", *words, "--results", str(stored)])) for words in ((OLD, NEW), (NEW, OLD), (OLD, "x"))
    ]
    assert codes == [1, 0, 2]
