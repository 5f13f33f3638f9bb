"""The pilot: softmax alone with doubled budgets until the protocol's rule chooses one, and what it prints."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from attnbench.cli.pilot import _print
from attnbench.runner.cell import resolve
from attnbench.runner.pilot import Piloted, piloted
from attnbench.spec import tuning
from attnbench.spec.axes import Spec
from attnbench.spec.budgets import CHOSEN
from attnbench.spec.learning_grids import PILOTED
from attnbench.spec.pilot import LONGEST, PilotGrid, budget_key
from attnbench.spec.presets import PILOT, PRESETS
from attnbench.spec.protocol import NEWEST
from attnbench.store.record import Record
from attnbench.store.store import Store
from helpers.command import cli_here
from helpers.paths import REPO
from helpers.records import know_machine, make_record

OPEN = Spec(
    track="task", task="mnist", variant="softmax", block="residual", num_layers=2, epochs=4, lr_grid=tuning.grid(NEWEST.base_rates(3e-3)),
    protocol=NEWEST.name,
)  # fmt: skip


def run_through(reached: Callable[[int], float], status: str = "ok") -> tuple[Piloted, list[Spec]]:
    """A pilot to its end, and every run that it asked for. reached: the accuracy of the middle rate by epochs; other rates learn less."""
    known: dict[str, Record] = {}
    asked: list[Spec] = []
    while True:
        found = piloted(OPEN, NEWEST, lambda spec: known.get(spec.key()))
        if not found.wanted:
            return found, asked
        for spec in found.wanted:
            assert spec.evaluate == "validation" and spec.variant == "softmax" and spec.key() not in known
            asked.append(spec)
            value = reached(spec.epochs or 0) - (0.0 if spec.lr == 3e-3 else 0.05) + 0.002 * (spec.seed == NEWEST.tuning_seeds[0])
            measured = {"validation_accuracy": [value], "validation_majority_share": [0.1], "validation_loss": [1.0 - value]}
            known[spec.key()] = make_record(spec, status=status, reason="no memory", measurements=measured if status == "ok" else {})


def test_budgets_are_doubled_until_a_doubling_gains_little() -> None:
    curve = {4: 0.5, 8: 0.7, 16: 0.75, 32: 0.755}
    found, asked = run_through(curve.__getitem__)
    assert found.chosen == 16 and found.nothing == 0.1 and found.metric == "accuracy"
    assert found.reached == pytest.approx({epochs: value + 0.001 for epochs, value in curve.items()})
    assert found.errors == pytest.approx(dict.fromkeys(curve, 0.001))
    assert {(spec.epochs, spec.lr, spec.seed) for spec in asked} == {
        (epochs, rate, seed) for epochs in curve for rate in (1e-3, 3e-3, 1e-2) for seed in NEWEST.tuning_seeds
    }


def test_the_runs_of_the_chosen_budget_are_softmaxs_own_trials() -> None:
    _, asked = run_through({4: 0.5, 8: 0.5}.__getitem__)
    trials = {spec.key() for spec in tuning.trials(OPEN)}
    assert {spec.key() for spec in asked if spec.epochs == 4} < trials


@pytest.mark.parametrize("task", ["mnist", "sotu_mlm"])
def test_a_run_that_diverged_knows_nothing_and_ends_no_pilot(task: str) -> None:
    """Neither one of a rate, nor all of a budget."""
    metric, nothing = ("accuracy", "majority_share") if task == "mnist" else ("bits_per_byte", "unigram_bits")

    def record_of(spec: Spec) -> Record:
        lost = spec.lr == 1e-2 or (spec.lr == 3e-3 and spec.seed == NEWEST.tuning_seeds[0]) or spec.epochs == 8
        scored = {} if lost else {f"validation_{metric}": [0.9 if task == "mnist" else 2.0]}
        return make_record(
            spec, measurements={**scored, f"validation_{nothing}": [0.1 if task == "mnist" else 4.0], "diverged": [float(lost)]}
        )

    found = piloted(dataclasses.replace(OPEN, task=task), NEWEST, record_of)
    good, bad = (0.9, 0.1) if task == "mnist" else (2.0, 4.0)
    assert (found.reached[4], found.reached[8]) == (good, bad) and found.errors[4] == 0.0 and found.chosen == 4


def test_a_task_that_nothing_is_learnt_of_has_no_budget() -> None:
    found, asked = run_through(lambda epochs: 0.1)
    assert found.chosen is None and max(spec.epochs or 0 for spec in asked) == 2 * LONGEST * 4
    found, asked = run_through(lambda epochs: 0.1, status="oom")
    assert found.chosen is None and found.failed == "no memory" and {spec.epochs for spec in asked} == {4}


def test_a_task_on_which_softmax_gains_for_long_has_the_longest_budget_and_says_so() -> None:
    found, asked = run_through(lambda epochs: 0.01 * epochs)
    assert (found.chosen, found.doubling_gains) == (LONGEST * 4, True) and max(spec.epochs or 0 for spec in asked) == 2 * LONGEST * 4
    found, _ = run_through({4: 0.5, 8: 0.505}.__getitem__)
    assert (found.chosen, found.doubling_gains) == (4, False)


def test_what_is_printed_says_which_budgets_are_the_longest_and_what_the_package_is_to_hold() -> None:
    shown = [run_through(reached)[0] for reached in (lambda epochs: 0.01 * epochs, {4: 0.5, 8: 0.505}.__getitem__)]
    written = StringIO()
    _print(shown, {"mnist": "mnist"}, Console(file=written, width=200))
    printed = written.getvalue()
    longest, flat = (line for line in printed.splitlines() if line.startswith("mnist"))
    assert f"{4 * LONGEST}, the longest" in longest and "the longest" not in flat
    assert "still gains the margin or more: mnist.\n" in printed and f'"mnist": {4 * LONGEST},' in printed and '"mnist": 4,' in printed


def test_the_preset_holds_the_first_two_budgets_of_softmax_on_every_task() -> None:
    (grid,) = PRESETS[PILOT].grids
    assert isinstance(grid, PilotGrid)
    specs = PRESETS[PILOT].specs()
    assert {(spec.variant, spec.evaluate, spec.protocol) for spec in specs} == {("softmax", "validation", NEWEST.name)}
    assert {spec.task for spec in specs} == grid.names
    by_task: dict[str, list[Spec]] = defaultdict(list)
    for spec in specs:
        by_task[dataclasses.replace(spec, epochs=1, lr=1.0, seed=0).key()].append(spec)
    for mine in by_task.values():
        short, long = sorted({spec.epochs or 0 for spec in mine})
        assert long == 2 * short and len(mine) == 2 * 3 * len(NEWEST.tuning_seeds)


TINY = '''"""Whether the first token is a one, of two."""
import torch
from attnbench.workload import Parts, Size, Split, Task


def split(rows, seed):
    tokens = torch.randint(0, 2, (rows, 4), generator=torch.Generator().manual_seed(seed))
    return Split(tokens, tokens[:, 0])


SIZE = Size(num_layers=1, num_heads=2, head_dim=8, batch_size=32, epochs=2, lr=3e-3)
TASK = Task(
    kind="synthetic", metric="accuracy", target=0.9, num_classes=2, seq_len=4, vocabulary=2, citation="here", licence="none",
    small=Size(num_layers=1, num_heads=2, head_dim=8, batch_size=32, epochs=2, lr=3e-3),
    large=Size(num_layers=1, num_heads=2, head_dim=8, batch_size=32, epochs=2, lr=3e-3),
    load=lambda: Parts(split(200, 0), split(100, 1), split(100, 2)),
)
'''


@pytest.mark.long
def test_a_pilot_runs_round_after_round_resumes_and_prints_the_budgets(tmp_path: Path) -> None:
    file, results = tmp_path / "tiny.py", tmp_path / "results"
    file.write_text(TINY)
    know_machine(results)
    first = cli_here("run", "--preset", "pilot", "--task", str(file), "--results", str(results))
    assert first.returncode == 0, first.stdout + first.stderr
    records = list(Store(results).read())
    assert {record.spec.evaluate for record in records} == {"validation"} and not any("accuracy" in r.measurements for r in records)
    assert 'tiny": ' in first.stdout or "none" in first.stdout
    again = cli_here("run", "--preset", "pilot", "--task", str(file), "--results", str(results))
    assert again.returncode == 0 and len(list(Store(results).read())) == len(records)
    refused = cli_here("run", "--preset", "pilot", "--variant", "relu", "--results", str(results))
    assert refused.returncode == 2 and "leave out --variant" in refused.stderr


def test_the_budgets_in_use_are_those_that_the_shipped_pilot_chose() -> None:
    """By the rule, of the records in the store; which they are is a finding. A task whose pilot has not ended is not among them."""
    records = {record.id: record for record in Store(REPO / "results").read() if record.spec.evaluate == "validation"}
    chosen = {}
    for spec in PILOTED.first("cpu", {}, NEWEST):
        found = piloted(spec, NEWEST, lambda one: records.get(resolve(one, {}, {}).spec.key()))
        if found.chosen:
            chosen[budget_key(spec, str(spec.task))] = found.chosen
    assert chosen == CHOSEN
