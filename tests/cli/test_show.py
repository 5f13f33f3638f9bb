"""The tables in the terminal: both metrics of tasks, rates that were tuned, trials that are no results, failures."""

from __future__ import annotations

import dataclasses
import io
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from attnbench.cli.filters import Filter
from attnbench.cli.show import show_results
from attnbench.errors import BadInput
from attnbench.store.store import Store
from helpers import site_records
from helpers.records import learnt, timed
from helpers.terminal import row, shown


def test_the_terminal_shows_metrics_rates_and_trials(tmp_path: Path) -> None:
    text = shown([r for r in site_records.usual() if r.spec.track == "task"], tmp_path)
    assert re.search(
        r"mnist · residual · 2 layers · 3 epochs · accuracy and cost\nlr chosen from 0\.001, 0\.003, .*\n.*11\.4 %\.\n10 tuning", text
    )
    assert re.search(r"sotu_lm · causal .* bits per byte and cost", text)
    assert re.search(r"softmax +2\.\d{3} ± 0\.\d{3} +3 +0\.003 \(edge\) +[\d.]+ s +[\d.]+ s \(2/3\)", text)
    assert re.search(r"my_file +85\.4 % ± 1\.0 +3 +0\.003 \(edge\) +[\d.]+ s +never", text)
    assert "skipped: task · softmax_math · mnist · skipless · 6 layers · seed 0: no rate could be tried" in text
    assert text.count("tuning trials.\n") == 4


def test_grouped_cells_have_tables_of_their_own_that_say_so(tmp_path: Path) -> None:
    records = [timed("softmax", 1.0, num_kv_heads=n) for n in (None, 2)]
    text = shown(records, tmp_path)
    assert text.count("wall clock by seq_len") == 2
    for heads in ("4 heads, head_dim", "4 heads, 2 key-value heads, head_dim"):
        assert text.count(f"batch 1, {heads} 64") == 2  # of time and of memory


@pytest.mark.parametrize(("option", "told"), [({"token_shift": True}, "token_shift"), ({"init_norm": 0.5}, "init_norm 0.5")])
def test_models_with_an_option_have_tables_of_their_own_that_say_so(option: dict[str, object], told: str, tmp_path: Path) -> None:
    text = shown([learnt("softmax", seed, 0.5, **of) for seed in range(3) for of in ({}, option)], tmp_path)
    assert re.findall(r"task · mnist · (.*) · 1 epoch", text) == ["residual · 2 layers", f"residual · 2 layers · {told}"]


def test_the_terminal_survives_records_of_all_kinds(tmp_path: Path) -> None:
    records = [dataclasses.replace(r, machine="m", session="s") for r in (*site_records.hostile(), *site_records.all_failed())]
    assert "skipped" in shown(records, tmp_path)


def test_the_terminal_shows_one_machine_alone(tmp_path: Path) -> None:
    text = shown(site_records.usual(), tmp_path, Filter(machine="big-gpu"))
    assert "big-gpu" in text and "example" not in text and "mnist" not in text
    with pytest.raises(BadInput, match=r"unknown machine 'big-gp'.*did you mean 'big-gpu'"):
        shown([], tmp_path, Filter(machine="big-gp"))


def test_costs_have_ranks_with_ties_ratios_with_intervals_and_crossovers(tmp_path: Path) -> None:
    lengths = (256, 512, 1024, 2048, 4096)
    records = [timed("softmax", n / 1024, seq_len=n) for n in lengths]
    records += [timed("orthogonal", 1.0, seq_len=n) for n in lengths]
    records += [timed("polynomial", n / 4096, seq_len=n) for n in lengths]
    text = shown(records, tmp_path)
    assert "wall clock by seq_len; ranks and ratios at seq_len 4,096" in text
    timed_row = r" 1–2  orthogonal +0\.25\d×  \[0\.2\d+, 0\.2\d+\] .* n\^-?0\.0\d ± 0\.0\d +n +from 1,0\d\d \[9\d\d, 1,0\d\d\]"
    assert re.match(timed_row, row(text, "orthogonal"))
    assert row(text, "polynomial").startswith(" 1–2") and row(text, "polynomial").endswith("always")
    assert re.match(r" +3  softmax +1× +baseline", row(text, "softmax"))


def test_seeds_of_a_cost_are_one_row_and_unusual_parameters_another(tmp_path: Path) -> None:
    usual, other = {"degree": 3, "scale": "sqrt"}, {"degree": 3, "scale": 1.0}
    records = [timed("polynomial", 1.0, params=usual, seed=seed) for seed in range(3)] + [timed("polynomial", 2.0, params=other)]
    text = shown(records, tmp_path)
    assert len(re.findall(r"polynomial  ", text)) == 2 and len(re.findall(r"polynomial\(scale=1\)  ", text)) == 2  # time and memory


def test_nothing_is_cut_off_in_a_narrow_window(tmp_path: Path) -> None:
    for each in site_records.usual():
        Store(tmp_path).append(each)
    wide, narrow = io.StringIO(), io.StringIO()
    for out, width in ((wide, 300), (narrow, 40)):
        show_results(tmp_path, Filter(track="kernel"), Console(file=out, width=width), Console(file=out))
    assert row(narrow.getvalue(), "softmax") == row(wide.getvalue(), "softmax")
    assert "…" not in narrow.getvalue()


def test_a_mechanism_one_of_whose_seeds_failed_has_a_status_and_no_rank(tmp_path: Path) -> None:
    broken = dataclasses.replace(timed("orthogonal", 0.1, seed=1), status="timeout", reason="too long", measurements={})
    text = shown([timed("softmax", 1.0), timed("orthogonal", 0.1), broken], tmp_path)
    assert row(text, "softmax").split()[0] == "1"
    assert row(text, "orthogonal").split()[0] == "–" and "timeout" in row(text, "orthogonal")


def test_only_disturbed_cells_lose_their_rank(tmp_path: Path) -> None:
    records = [timed(name, cost, seq_len=n) for n in (256, 512) for name, cost in (("softmax", 1.0), ("orthogonal", 3.0))]
    busy = {"torch": "2.13.0", "other_load": 0.6}
    records += [timed("polynomial", 0.1, seq_len=n, environment=busy if n == 512 else {"torch": "2.13.0"}) for n in (256, 512)]
    text = shown(records, tmp_path)
    assert [row(text, name).split()[0] for name in ("softmax", "orthogonal", "polynomial")] == ["1", "2", "flagged"]
    assert "disturbed: kernel · polynomial · seq_len 512 · forward: other processes used 0.60 of a core" in text


def test_a_cell_that_was_not_compared_has_no_rank_and_no_ratio(tmp_path: Path) -> None:
    facts = {"torch": "2.13.0", "timing": "settled"}
    records = [timed("softmax", 1.0, environment=facts), timed("orthogonal", 0.1, environment={**facts, "not_compared": "too large"})]
    text = shown(records, tmp_path)
    assert re.match(r" +–  orthogonal +(100|99\.\d) ms", row(text, "orthogonal"))
    assert "not verified: kernel · orthogonal · seq_len 1,024 · forward: its output was not compared with its definition: too large" in text


def test_a_cell_in_which_the_speed_changed_ranks_by_its_turns_and_its_seconds_are_marked(tmp_path: Path) -> None:
    changed = {"drift_anchor_s": [1e-3] * 3 + [2e-3] * 3}
    text = shown([timed("softmax", 1.0), timed("orthogonal", 3.0, more=changed)], tmp_path)
    assert re.match(r" +2  orthogonal +[23]\.\d+× .* [23]\.\d+ s \(drift\)", row(text, "orthogonal"))
    assert "orthogonal: ranked by its ratio to softmax in the same rounds: the machine's speed changed 2.00-fold" in text
    assert "its seconds do not rank: kernel · orthogonal" in text


def test_what_a_table_can_show_stands_below_it(tmp_path: Path) -> None:
    one = shown([timed("softmax", 1.0), timed("orthogonal", 3.0, session="b", environment={"torch": "2.13.0"})], tmp_path / "one")
    assert re.search(
        r"resolution [45]\.\d %: rows that are closer have no order \(softmax against itself in another process [45]\.\d %\)", one
    )
    assert "first look: every time is of one process" in one and "softmax: of session 2026" in one
    assert "growth" not in one, "one size says nothing of it"
    two = shown([timed("softmax", x, seq_len=n) for n, x in ((512, 1.0), (1024, 3.0))], tmp_path / "two")
    assert "no growth: 2 of the 5 sizes that an exponent needs" in two
    three = [timed(name, 1.0, seed=seed) for name in ("softmax", "orthogonal") for seed in range(3)]
    assert "first look" not in shown(three, tmp_path / "three")


def test_versions_of_torch_share_no_table(tmp_path: Path) -> None:
    records = [timed("softmax", 1.0), timed("orthogonal", 3.0, session="b", environment={"torch": "2.14.0"})]
    assert shown(records, tmp_path).count("wall clock by seq_len") == 2


def test_show_is_ready_without_the_site_and_without_torch() -> None:
    body = "import sys, attnbench.cli.show; print([m for m in sys.modules if m == 'torch' or m.startswith('attnbench.website')])"
    done = subprocess.run([sys.executable, "-c", body], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
