"""A sweep goes on whatever its cells and its disk do, and what it finished is kept."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from attnbench.cli.run import Choice, sweep
from attnbench.store.facts import TIMING
from attnbench.store.store import Problem, Store
from helpers.command import cli_here
from helpers.misbehaving import PATIENCE_S, write_variant

MISHAPS = """
if seq_len == 128:
    raise ValueError("half a pair: \\ud800")
if seq_len == 256:
    class Mute(Exception):
        def __str__(self):
            raise RuntimeError("no text")
    raise Mute
if seq_len == 512:
    raise Unsupported("x" * 10**7)
if seq_len == 1024:
    os.kill(os.getpid(), signal.SIGSEGV)
if seq_len == 2048:
    v = v * torch.nan
"""
OUTCOMES = {
    128: ("error", "ValueError: half a pair: \\ud800"),
    256: ("error", "Mute: (its text cannot be had: RuntimeError)"),
    512: ("skipped", "xxxx"),
    1024: ("error", "died of SIGSEGV"),
    2048: ("incorrect", "the output holds values that are not finite"),
}


@pytest.mark.long
def test_a_sweep_survives_everything_its_cells_do(results: Path, tmp_path: Path) -> None:
    source = write_variant(tmp_path, MISHAPS)
    printed = Console(file=StringIO(), width=160)
    choice = Choice(tracks=("kernel",), variants=(source,))
    assert sweep(choice, results, PATIENCE_S, rerun=False, dry_run=False, console=printed) == 1
    problems: list[Problem] = []
    records = list(Store(results).read(problems))
    assert problems == []
    records = [record for record in records if record.spec.mode != "decode"]
    assert [(r.spec.seq_len, r.spec.mode) for r in records] == [(n, mode) for n in OUTCOMES for mode in ("forward", "training")]
    for record in records:
        status, said = OUTCOMES[record.spec.seq_len or 0]
        assert record.status == status, record
        assert (record.reason or "").startswith(said), record
        assert len(record.reason or "") < 3000
        assert record.measurements == {}
        assert record.environment["timing"] == TIMING  # among those of today's rule, and not of before it
        assert record.stage in ("warm up", "time", "verify")
    shown = cli_here("show", "--results", str(results))
    assert shown.returncode == 0, shown.stderr
    assert "not finite" in shown.stdout
