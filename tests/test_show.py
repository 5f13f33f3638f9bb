"""The tables in the terminal: both metrics of tasks, rates that were tuned, trials that are no results, failures."""

from __future__ import annotations

import dataclasses
import io
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from rich.console import Console

import site_records
from attnbench.errors import BadInput
from attnbench.record import Record
from attnbench.show import Filter, show_results
from attnbench.store import Store
from site_records import task_spec, trained


def shown(records: Sequence[Record], folder: Path, wanted: Filter | None = None) -> str:
    for each in records:
        Store(folder).append(each)
    out = io.StringIO()
    show_results(folder, wanted or Filter(), Console(file=out, width=200), Console(file=out))
    return out.getvalue().replace("\u2009", " ")


def test_the_terminal_shows_metrics_rates_and_trials(tmp_path: Path) -> None:
    text = shown([r for r in site_records.usual() if r.spec.track == "task"], tmp_path)
    assert re.search(
        r"mnist · residual · 2 layers · 3 epochs · accuracy and cost\nlr tuned of 0\.001, 0\.003, .*\n.*11\.4 %\.\n10 tuning", text
    )
    assert re.search(r"sotu_lm · causal .* bits per byte and cost", text)
    assert re.search(r"softmax +2\.\d{3} ± 0\.\d{3} +3 +0 +0\.003 +[\d.]+ s +[\d.]+ s \(2/3\)", text)
    assert re.search(r"my_file +85\.4 % ± 0\.4 +3 +0 +0\.003 +[\d.]+ s +never", text)
    assert "skipped: task · softmax_math · mnist · skipless · 6 layers · seed 0: no rate could be tried" in text
    assert text.count("tuning trials.\n") == 4


def test_the_terminal_counts_trials_whose_rate_is_not_chosen_yet(tmp_path: Path) -> None:
    trial = trained(
        task_spec(variant="softmax", task="mnist", block="residual", num_layers=2, epochs=3, lr=1e-3, seed=1000, evaluate="validation")
    )
    text = shown([trial], tmp_path)
    assert "1 tuning trial and no rate chosen yet: task · mnist · residual · 2 layers · 3 epochs" in text
    assert "and cost" not in text


def test_the_terminal_survives_records_of_all_kinds(tmp_path: Path) -> None:
    records = [dataclasses.replace(r, machine="m", session="s") for r in (*site_records.hostile(), *site_records.all_failed())]
    assert "skipped" in shown(records, tmp_path)


def test_the_terminal_shows_one_machine_alone(tmp_path: Path) -> None:
    text = shown(site_records.usual(), tmp_path, Filter(machine="big-gpu"))
    assert "big-gpu" in text and "example" not in text and "mnist" not in text
    with pytest.raises(BadInput, match=r"unknown machine 'big-gp'.*did you mean 'big-gpu'"):
        shown([], tmp_path, Filter(machine="big-gp"))
