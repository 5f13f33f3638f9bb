"""The tables of tasks in the terminal: ranks, what a table can show, trials, rates, and who is still learning."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from attnbench.cli.filters import Filter
from attnbench.spec.protocol import NEWEST
from attnbench.store.controls import store_control
from helpers.controls import make_control
from helpers.records import learnt
from helpers.site_records import stored, task_spec, trained
from helpers.terminal import row, shown


def test_the_terminal_says_how_many_seeds_diverged_and_whose_rate_is_at_an_edge(tmp_path: Path) -> None:
    """One seed of five that has no number, for its bits are those of knowing nothing."""
    axes = {"task": "sotu_lm", "block": "residual", "num_layers": 2, "epochs": 3, "protocol": NEWEST.name, "lr_grid": "0.003 0.01 0.03"}
    records, rates = [], [3e-3, 1e-2, 3e-2, 1e-1]
    for variant, lr in (("softmax", 1e-2), ("orthogonal", 1e-1)):
        for seed in range(5):
            record = trained(task_spec(variant=variant, seed=seed, lr=lr, **axes), rates_tried=rates)
            lost = (variant, seed) == ("orthogonal", 2)
            scored = {"diverged": [1.0]} if lost else {"bits_per_byte": [2.6 + 0.01 * seed], "diverged": [0.0]}
            kept = {name: of for name, of in record.measurements.items() if name != "bits_per_byte"}
            records.append(dataclasses.replace(record, measurements={**kept, "unigram_bits": [2.65], **scored}))
    text = shown(records, tmp_path)
    assert "each at its own lr" in text and "tuned" not in text.replace("Chosen, not tuned", "")
    assert re.search(r"1–2 +orthogonal +2\.626 ± 0\.\d{3} +5 +1 of 5 +0\.1 \(edge\)", text)
    assert re.search(r"1–2 +softmax +2\.620 ± 0\.\d{3} +5 +0 +0\.01 ", text)
    assert "of those that were tried, of orthogonal.\nA seed that diverged is a result: it counts as knowing nothing." in text


def test_the_terminal_counts_trials_whose_rate_is_not_chosen_yet(tmp_path: Path) -> None:
    trial = trained(
        task_spec(variant="softmax", task="mnist", block="residual", num_layers=2, epochs=3, lr=1e-3, seed=1000, evaluate="validation")
    )
    text = shown([trial], tmp_path)
    assert "1 tuning trial and no rate chosen yet: task · mnist · residual · 2 layers · 3 epochs" in text
    assert "and cost" not in text


def test_the_terminal_says_who_is_still_learning(tmp_path: Path) -> None:
    one = trained(task_spec(variant="softmax", task="mnist", block="residual", num_layers=2, epochs=4, lr=1e-3, protocol=NEWEST.name))
    learns, rests = (
        dataclasses.replace(
            one,
            spec=dataclasses.replace(one.spec, variant=variant),
            curve={"step": [0.0, 1.0, 2.0, 3.0, 4.0], "validation_accuracy": [0.1, 0.5, 0.6, 0.7, end]},
        )
        for variant, end in (("softmax", 0.75), ("sigmoid", 0.705))
    )
    text = shown([learns, rests], tmp_path / "both")
    assert "gained more than the margin of the protocol: softmax 5.0 percentage points." in text
    assert "Still learning" not in shown([rests], tmp_path / "rests")


def test_below_a_task_stands_what_its_table_can_show_and_what_it_says_nothing_of(tmp_path: Path) -> None:
    of = {"softmax": (0.9, 0.89, 0.88), "uniform": (0.89, 0.9, 0.88), "orthogonal": (0.5, 0.51, 0.52)}
    records = [learnt(name, seed, mean) for name, means in of.items() for seed, mean in enumerate(means)]
    control = make_control(task="mnist", data="embedded:00000000", value=0.98, by_block=(0.98, 0.98, None), model="logistic regression")
    store_control(tmp_path, control)
    below = [
        r"Resolution: two equal .* seeds differ by up to 3\.5 percentage points in 95 % of cases, as softmax's own seeds show\.",
        r"Without attention: logistic regression reaches 98\.0 %, trained on the whole training part\.",
        r"This task says nothing about attention: uniform cannot be told from softmax here, and it takes no part in average ranks\.",
        r"Read it with care: softmax does not reach what a model without attention does\.",
    ]
    assert re.search(r"\n *3  orthogonal .*\n" + r"\n".join(below) + r"\n\n", shown(records, tmp_path))
    alone = shown([], tmp_path, Filter(variant="orthogonal"))
    assert re.search(r"\n *1  orthogonal .*\n" + r"\n".join(below) + r"\n\n", alone), "it is said of all, whichever are shown"


def test_a_task_that_some_solve_is_not_said_to_be_solved_by_all_where_those_alone_are_shown(tmp_path: Path) -> None:
    of = {"softmax": 1.0, "orthogonal": 1.0, "uniform": 0.03, "polynomial": 0.5}
    records = [learnt(name, seed, mean) for name, mean in of.items() for seed in range(3)]
    solved = "Here all mechanisms, controls aside, are above 0.999: the task orders nothing"
    assert solved not in shown(records, tmp_path / "some") and solved not in shown([], tmp_path / "some", Filter(variant="softmax"))
    assert solved in shown(records[:9], tmp_path / "all")


def test_a_control_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    stored(tmp_path, [learnt("softmax", 0, 0.9)])
    (tmp_path / "controls").mkdir()
    (tmp_path / "controls" / "mnist.json").write_text("{")
    text = shown([], tmp_path)
    assert "mnist.json: it is no control" in " ".join(text.split()) and "Without attention" not in text


def test_results_have_ranks_with_ties(tmp_path: Path) -> None:
    means = {"softmax": 0.9, "orthogonal": 0.899, "polynomial": 0.5}
    records = [
        learnt(name, seed, mean + 0.01 * (seed - 1) * (1 + (name == "softmax"))) for name, mean in means.items() for seed in range(3)
    ]
    text = shown([*records, learnt("gated", 0, 0.7)], tmp_path)
    assert {name: row(text, name).split()[0] for name in (*means, "gated")} == {
        "softmax": "1–3", "orthogonal": "1–3", "polynomial": "3–4", "gated": "1–4",
    }  # fmt: skip


def test_seeds_of_which_some_learned_are_shown_one_by_one(tmp_path: Path) -> None:
    of = {"softmax": (0.9, 0.89, 0.88), "orthogonal": (0.9, 0.11, 0.88)}
    records = [learnt(name, seed, mean, task="mnist") for name, means in of.items() for seed, mean in enumerate(means)]
    records = [dataclasses.replace(r, measurements={**r.measurements, "majority_share": [0.1]}) for r in records]
    text = shown(records, tmp_path)
    assert "11.0 %, 88.0 %, 90.0 %" in row(text, "orthogonal") and "±" not in row(text, "orthogonal")
    assert "89.0 % ±" in row(text, "softmax")
    assert "some learned and some did not: their values are shown, and no mean" in " ".join(text.split())


def test_average_ranks_over_tasks_name_what_they_leave_out(tmp_path: Path) -> None:
    means = {"softmax": 0.9, "orthogonal": 0.8, "polynomial": 0.7}
    records = [learnt(name, seed, mean, task=f"task{n}") for name, mean in means.items() for n in range(3) for seed in range(3)]
    text = shown([*records, learnt("gated", 0, 0.5, task="task0"), learnt("softmax", 0, 0.5, task="alone")], tmp_path)
    assert "average rank over 3 tasks, bidirectional, residual, protocol 2026-11" in text and "beyond 1.91 ranks" in text
    assert "left out: gated: 3 seeds of 0 of 3 tasks" in text and "left out: alone (embedded:00000000): no mechanism has 3 seeds" in text
    averages = text[text.index("average rank  variant") :].splitlines()[1:4]
    assert [line.split()[:2] for line in averages] == [["1.00", "softmax"], ["2.00", "orthogonal"], ["3.00", "polynomial"]]
    assert [" ".join(line.split()[2:]) for line in averages] == ["orthogonal", "any", "orthogonal"]
