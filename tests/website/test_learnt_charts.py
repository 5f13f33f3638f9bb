"""Charts of what was learnt: against costs, over training, and layer by layer inside the model."""

from __future__ import annotations

import dataclasses

import pytest

from attnbench.website.charts.curves import by_layer
from attnbench.website.charts.reference import Reference
from attnbench.website.charts.scales import ACCURACY, spaced
from attnbench.website.pages import accuracy
from attnbench.website.results import Results
from attnbench.website.view import Charts
from helpers.site_records import record, task_spec, trained
from helpers.site_sources import SOURCES

SPEC = task_spec(variant="softmax", task="mnist", block="residual", num_layers=2, epochs=3, lr=3e-3)


@pytest.mark.parametrize(("against", "best"), [("time", "softmax"), ("memory", "orthogonal, softmax")])
def test_the_direction_of_the_chart_of_costs_is_said(against: accuracy.Against, best: str, usual_results: Results) -> None:
    """softmax and orthogonal learn the same and most; softmax is one of the two fastest, and all need the same memory."""
    charts = {group.records[0].spec.task: accuracy.pareto(usual_results, group, against) for group in usual_results.groups("task")[:2]}
    for task, way in (("mnist", "up"), ("sotu_lm", "down")):
        chart = charts[task]
        assert chart
        assert list(chart.notes) == [f"Better is {way} and to the left.", f"On the frontier: {best}.", "Hollow: surely dominated."]


def test_what_knowing_nothing_gives_is_said_and_drawn_where_it_is_near(usual_results: Results) -> None:
    for group in usual_results.groups("task"):
        spec = group.records[0].spec
        chart = accuracy.seeds_chart(usual_results, group)
        assert chart
        assert "shapes" in chart.figure["layout"] if spec.num_layers == 12 else "shapes" not in chart.figure["layout"]
        given = "4.500 bits/byte" if spec.task == "sotu_lm" else "11.4\u2009%"
        assert chart.notes[0].endswith(f"is gives {given}.")
    on = spaced(ACCURACY, [0.5, 0.6])
    assert on
    assert Reference(0.55, "Guessing gives this.").told(on) == "Dashed line: guessing gives this."
    assert not Reference(0.1, "").shapes(on, "x")


def test_the_state_before_training_is_drawn_and_missing_matrices_are_not(usual_results: Results) -> None:
    view = next(view for view in accuracy.views(usual_results) if "skipless, 12 layers" in view.setting)
    (inside,) = [block for block in view.blocks if isinstance(block, Charts) and block.title == "Inside the model"]
    norm, rank, before, after, residual, *by_layer = inside.charts
    assert [trace["name"] for trace in norm.figure["data"]] == ["orthogonal", "polynomial", "softmax"]
    assert {trace["x"][0] for trace in norm.figure["data"]} == {0.0}
    assert "(before training)" in norm.figure["data"][0]["text"][0]
    by_name = {trace["name"]: trace for trace in after.figure["data"]}
    assert by_name["softmax"]["x"] == list(range(1, 13))
    assert by_name["softmax"]["y"][-1] == pytest.approx(rank.figure["data"][-1]["y"][-1])
    assert before.figure["layout"]["yaxis"]["range"] == after.figure["layout"]["yaxis"]["range"]
    assert [chart.title for chart in (residual, *by_layer)] == [
        "Residual of the tokens after the last layer, over training",
        "Residual of the tokens by layer, before training",
        "Residual of the tokens by layer, after training",
    ]
    assert {trace["name"]: trace["y"][-1] for trace in by_layer[1].figure["data"]}["softmax"] == pytest.approx(0.5**12)


def test_runs_of_before_the_residual_are_drawn_without_it() -> None:
    new = trained(SPEC)
    old = dataclasses.replace(new, curve={name: column for name, column in new.curve.items() if "dong_residual" not in name})
    assert len(old.curve) == len(new.curve) - 2
    (view,) = accuracy.views(Results([old], SOURCES.declared))
    inside = view.blocks[-1]
    assert isinstance(inside, Charts) and inside.title == "Inside the model"
    assert [chart.title.split(",")[0] for chart in inside.charts] == ["‖A‖ over training", "Effective rank after the last layer"]


def test_layers_are_in_their_order_and_columns_of_other_names_are_none() -> None:
    curve: dict[str, list[float | None]] = {f"effective_rank_layer_{layer}": [float(layer)] for layer in (10, 2, 1)}
    others = ("effective_rank_layer_0", "effective_rank_layer_x", "effective_rank", "a_layer_3")
    odd: dict[str, list[float | None]] = {name: [0.0] for name in others}
    assert list(by_layer(record(SPEC, curve=curve | odd), "effective_rank")) == [1, 2, 10]


def test_means_over_seeds_leave_out_what_diverged() -> None:
    spec = SPEC
    curve: dict[str, list[float | None]] = {"step": [0.0, 5.0], "wall_s": [0.0, 1.0], "train_loss": [None, 2.0]}
    broken: dict[str, list[float | None]] = {"step": [0.0, 5.0], "wall_s": [0.0, 3.0], "train_loss": [None, None]}
    huge: dict[str, list[float | None]] = {"step": [0.0, 5.0], "wall_s": [0.0, 3.0], "train_loss": [None, 1e308]}
    seeds = [dataclasses.replace(spec, seed=seed) for seed in range(3)]
    records = [record(s, curve=c, measurements={"accuracy": [0.5]}) for s, c in zip(seeds, (curve, broken, huge), strict=True)]
    (view,) = accuracy.views(Results(records, SOURCES.declared))
    (charts,) = [block for block in view.blocks if isinstance(block, Charts)]
    loss = next(chart for chart in charts.charts if chart.title.startswith("Training loss"))
    assert (loss.figure["data"][0]["x"], loss.figure["data"][0]["y"]) == ([1.0], [2.0])
