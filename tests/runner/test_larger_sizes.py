"""What ran out of memory or time is not tried at a larger size, until it succeeds."""

from __future__ import annotations

import dataclasses
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from attnbench.cli.run import Choice, sweep
from attnbench.runner.cell import NOT_TRIED
from attnbench.runner.larger_sizes import RanOut
from attnbench.spec.axes import Spec
from attnbench.store.record import Record
from attnbench.store.store import Store
from helpers.misbehaving import PATIENCE_S, write_variant
from helpers.records import make_record, make_spec

DEPTH = {"track": "depth", "block": "residual", "num_layers": 4, "seq_len": 64}


def ran_out(status: str = "oom", **axes: Any) -> Record:
    return make_record(make_spec(**axes), status=status, stage="warm up", reason="too large", measurements={})


def why_not(ladder: RanOut, spec: Spec) -> str | None:
    refusal = ladder.why_not(spec, make_record().fingerprint)
    assert refusal is None or refusal.status == "skipped"
    return None if refusal is None else refusal.reason


@pytest.mark.parametrize(
    ("record", "larger", "said"),
    [
        (ran_out(seq_len=512), {"seq_len": 1024}, "ran out of memory at seq_len 512, so a larger one is not tried"),
        (ran_out(seq_len=2048), {"seq_len": 2049}, "ran out of memory at seq_len 2,048, so a larger one is not tried"),
        (ran_out("timeout", seq_len=512), {"seq_len": 1024}, "ran out of time at seq_len 512, so a larger one is not tried"),
        (ran_out(**DEPTH), {**DEPTH, "num_layers": 8}, "ran out of memory at num_layers 4, so a larger one is not tried"),
    ],
)
def test_a_larger_size_of_what_ran_out_is_not_tried(record: Record, larger: dict[str, Any], said: str) -> None:
    assert why_not(RanOut([record]), make_spec(**larger)) == said


@pytest.mark.parametrize(
    "axes",
    [
        {"seq_len": 512},
        {"seq_len": 511},
        *({"seq_len": 1024, **other} for other in ({"mode": "training"}, {"variant": "softmax_math"}, {"head_dim": 32}, {"seed": 1})),
        {"seq_len": 1024, "params": {"degree": 2}},
        {"seq_len": 1024, "dtype": "bfloat16"},
        {"seq_len": 1024, "device": "cuda"},
    ],
)
def test_the_size_itself_a_smaller_one_and_anything_else_is_tried(axes: dict[str, Any]) -> None:
    assert why_not(RanOut([ran_out(seq_len=512)]), make_spec(**axes)) is None


def test_other_sources_are_tried() -> None:
    assert RanOut([ran_out(seq_len=512)]).why_not(make_spec(seq_len=1024), "0" * 16) is None


@pytest.mark.parametrize("status", ["ok", "skipped", "unavailable", "incorrect", "error"])
def test_nothing_else_keeps_a_larger_size_from_being_tried(status: str) -> None:
    assert why_not(RanOut([ran_out(status, seq_len=512)]), make_spec(seq_len=1024)) is None


@pytest.mark.parametrize("sizes", [(512, 2048), (2048, 512)])
def test_the_smallest_size_that_ran_out_counts(sizes: tuple[int, ...]) -> None:
    ladder = RanOut(ran_out(seq_len=size) for size in sizes)
    assert "at seq_len 512," in (why_not(ladder, make_spec(seq_len=4096)) or "")
    assert "at seq_len 512," in (why_not(ladder, make_spec(seq_len=1024)) or "")


def test_a_task_has_no_size() -> None:
    axes = {"track": "task", "mode": "training", "seq_len": None, "task": "mnist", "block": "residual", "epochs": 1, "lr": 1e-3}
    ladder = RanOut([ran_out(**axes, num_layers=2)])
    assert why_not(ladder, make_spec(**axes, num_layers=4)) is None


def run(results: Path, choice: Choice, timeout_s: float = PATIENCE_S, rerun: bool = False) -> tuple[int, str, list[Record]]:
    """`attnbench run`: its exit code, what it printed, and the records that it added."""
    before = list(Store(results).read())
    printed = StringIO()
    code = sweep(choice, results, timeout_s, rerun, dry_run=False, console=Console(file=printed, width=200), busy=True)
    return code, printed.getvalue(), list(Store(results).read())[len(before) :]


TOO_LARGE = "if seq_len >= 512 and not (HERE / 'roomy').exists(): torch.empty(2**50)"


@pytest.mark.long
def test_out_of_memory_at_512_is_not_paid_for_again(results: Path, tmp_path: Path) -> None:
    source = write_variant(tmp_path, TOO_LARGE)
    everything = Choice(tracks=("kernel",), variants=(source,))
    code, printed, added = run(results, everything)
    assert code == 0
    added = [record for record in added if record.spec.mode != "decode"]  # which the file has no form of
    found = {(r.spec.seq_len, r.spec.mode): r for r in added}
    assert len(found) == len(added) == 10
    for (seq_len, _), record in found.items():
        expected = "ok" if seq_len < 512 else "oom" if seq_len == 512 else "skipped"
        assert record.status == expected, record
    for larger in (record for record in added if record.status == "skipped"):
        assert (larger.stage, larger.duration_s, larger.measurements) == (NOT_TRIED, 0.0, {})
        assert larger.reason == "ran out of memory at seq_len 512, so a larger one is not tried"
    assert "[9/12]" not in printed, "a larger size was begun"
    code, printed, added = run(results, everything)
    assert (code, added) == (0, [])
    assert "Nothing to do: all 12 cells are finished" in printed

    (tmp_path / "roomy").touch()  # no source changed, so only --rerun can find out
    larger = Choice(variants=(source,), cell=found[1024, "forward"].spec.compact())
    assert run(results, larger)[2] == []
    _, _, (record,) = run(results, larger, rerun=True)
    assert record.status == "ok"


# As a kernel that is compiled for one length takes long the first time.
SLOW_AT_512 = "if seq_len == 512 and not globals().setdefault('warm', []): warm.append(time.sleep(2))"


@pytest.mark.usefixtures("fork_server")
@pytest.mark.long
def test_out_of_time_at_512_is_tried_again_with_more_time_and_so_are_larger_ones(results: Path, tmp_path: Path) -> None:
    source = write_variant(tmp_path, SLOW_AT_512)
    first, at_512, at_1024 = (Choice(variants=(source,), cell=make_spec(variant="mine", seq_len=n).compact()) for n in (16, 512, 1024))
    assert run(results, first)[0] == 0  # its checks are not repeated, so that little but the sleep takes time at 512
    _, _, (timeout,) = run(results, at_512, timeout_s=1.0)
    assert (timeout.status, timeout.reason) == ("timeout", "killed after 1 s")
    _, _, (skipped,) = run(results, at_1024, timeout_s=1.0)
    assert (skipped.status, skipped.stage) == ("skipped", NOT_TRIED)
    assert skipped.reason == "ran out of time at seq_len 512, so a larger one is not tried"
    for choice in (at_512, at_1024):
        assert run(results, choice, timeout_s=1.0)[2] == []
    _, _, (mended,) = run(results, at_512)
    assert mended.status == "ok"
    _, _, (tried,) = run(results, at_1024)
    assert tried.status == "ok"
    assert dataclasses.replace(tried.spec, seq_len=512) == mended.spec
    assert [run(results, choice)[2] for choice in (at_512, at_1024)] == [[], []]
