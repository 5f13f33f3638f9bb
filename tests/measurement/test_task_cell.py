"""A cell of the task track: what it records, that tuning never reads the test part, and that mechanisms get the same model."""

from __future__ import annotations

import dataclasses
import importlib
import math
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
import torch

import attnbench
from attnbench import registry
from attnbench.errors import BadInput
from attnbench.measurement.cell_result import Measurement, Stage
from attnbench.measurement.tracks import task as track
from attnbench.measurement.tracks.architecture import architecture
from attnbench.spec.axes import Spec
from attnbench.spec.protocol import NEWEST
from attnbench.training import checkpoint
from attnbench.training.model import count_mechanism_parameters, count_parameters, for_task
from attnbench.workload import IGNORED, Parts, Size, Split, Task

TOLERANCE = 0.025  # of a model's parameters, that a mechanism may bring of its own in the sizes of two cores
# Projections along the sequence, a gate of rank 16 for each key dimension, and features that are learned: these are their methods.
BRINGS_MORE = {"linformer", "gla", "hedgehog"}
SIZE = Size(num_layers=2, num_heads=2, head_dim=8, batch_size=16, epochs=2, lr=1e-2)
SEQ_LEN, CLASSES = 8, 4


class Forbidden(Split):
    """A part that must not be touched: every look at its data is an error."""

    def __init__(self) -> None:
        pass

    def __getattribute__(self, name: str) -> Any:
        raise AssertionError(f"the test part was read: {name}")


def split(rows: int, seed: int, per_token: bool) -> Split:
    """Tokens; the answer is the first of them, for the row or for its odd positions."""
    tokens = torch.randint(0, CLASSES, (rows, SEQ_LEN), generator=torch.Generator().manual_seed(seed))
    if not per_token:
        return Split(tokens, tokens[:, 0])
    targets = tokens[:, :1].repeat(1, SEQ_LEN)
    targets[:, ::2] = IGNORED
    return Split(tokens, targets)


def make_task(per_token: bool = False, test: Split | None = None, **fields: Any) -> Task:
    def load() -> Parts:
        return Parts(split(200, 0, per_token), split(40, 1, per_token), split(60, 2, per_token) if test is None else test)

    given = {
        "kind": "synthetic", "metric": "bits_per_byte" if per_token else "accuracy", "target": 1.0 if per_token else 0.5,
        "num_classes": CLASSES, "seq_len": SEQ_LEN, "citation": "here", "licence": "none", "small": SIZE, "large": SIZE, "load": load,
        "per_token": per_token, "vocabulary": CLASSES, "causal": (False, True),
    }  # fmt: skip
    return Task(**{**given, **fields})


def measure(
    monkeypatch: pytest.MonkeyPatch, task: Task, file: Path | None = None, stage: Stage = lambda name: None, **axes: Any
) -> Measurement:
    whole = registry.load
    monkeypatch.setattr(registry, "load", lambda group, name: task if name == "mine" else whole(group, name))
    given = {"variant": "softmax", "block": "residual", "num_layers": 2, "num_heads": 2, "head_dim": 8, "batch_size": 16, "epochs": 2}
    spec = Spec(track="task", task="mine", **{**given, "lr": 1e-2, **axes})
    return track.measure(spec, spec.variant, "mine", stage, file)


def test_tuning_never_reads_the_test_part(monkeypatch: pytest.MonkeyPatch) -> None:
    task = make_task(test=Forbidden())
    found = measure(monkeypatch, task, evaluate="validation", seed=1000).samples
    assert "validation_accuracy" in found and "accuracy" not in found and "majority_share" not in found
    with pytest.raises(AssertionError, match="the test part was read"):
        measure(monkeypatch, task)


def test_nothing_trains_on_a_class_out_of_range(monkeypatch: pytest.MonkeyPatch) -> None:
    stages: list[str] = []
    with pytest.raises(BadInput, match=r"train part, row \d+: class \d; expected 0 to 1"):
        measure(monkeypatch, make_task(num_classes=2), stage=stages.append)
    assert stages == ["load data"]


@pytest.mark.parametrize("per_token", [False, True])
def test_it_records_what_was_learnt_and_what_it_cost(monkeypatch: pytest.MonkeyPatch, per_token: bool) -> None:
    result = measure(monkeypatch, make_task(per_token))
    metric, nothing = ("bits_per_byte", "unigram_bits") if per_token else ("accuracy", "majority_share")
    expected = {
        metric, f"validation_{metric}", f"target_{metric}", nothing, f"validation_{nothing}", "steps", "training_tokens", "row_tokens",
        "peak_memory_bytes", "parameters", "mechanism_parameters", "diverged", "resumptions", "validation_loss", "test_loss",
        f"{metric}_by_block", "asked_by_block",
    }  # fmt: skip
    assert expected <= result.samples.keys() <= expected | {"steps_to_target"}
    assert all(math.isfinite(x) for samples in result.samples.values() for x in samples)
    assert result.samples["diverged"] == [0.0] and result.samples["mechanism_parameters"] == [0.0]
    assert result.samples["asked_by_block"] == [4.0 if per_token else 1.0] * 60
    assert fmean(result.samples[f"{metric}_by_block"]) == pytest.approx(result.samples[metric][0])
    measures = ("attention_frobenius", "largest_frobenius", "orthogonality_error", "effective_rank", "dong_residual")
    layers = {f"{what}_layer_{layer}" for what in measures for layer in (1, 2)}
    assert result.curve.keys() == {"step", "wall_s", "train_loss", "validation_loss", f"validation_{metric}"} | layers
    assert {len(column) for column in result.curve.values()} == {3}
    assert result.curve[f"validation_{metric}"][-1] == result.samples[f"validation_{metric}"][0]
    assert result.facts == {"data_fingerprint": make_task(per_token).parts("generated").fingerprint()}


def twice(factor: int) -> Split:
    """A test part of longer sequences, in which the answer is still the first token."""
    tokens = torch.randint(0, CLASSES, (50, factor * SEQ_LEN), generator=torch.Generator().manual_seed(9))
    return Split(tokens, tokens[:, 0])


@pytest.mark.parametrize("positions", ["none", "rotary"])
def test_a_model_is_tested_on_longer_sequences_than_it_was_trained_on(monkeypatch: pytest.MonkeyPatch, positions: str) -> None:
    task = make_task(longer=twice)
    axes = {"positions": positions, "head_dim": 8}
    own, double, most = (measure(monkeypatch, task, **axes, test_seq_len=n).samples for n in (None, 16, 32))
    assert "accuracy_at_2x" not in own and "accuracy_at_4x" not in double
    assert most["accuracy_at_2x"] == double["accuracy_at_2x"] and most["accuracy_at_4x"]
    assert own["accuracy"] == double["accuracy"] == most["accuracy"]
    made_for_one = measure(monkeypatch, task, variant="linformer", **axes, test_seq_len=16).samples
    assert made_for_one["accuracy"] and "accuracy_at_2x" not in made_for_one  # its projections are as long as the sequence


def test_what_is_to_be_recalled_is_scored_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    def last(parts: Parts) -> torch.Tensor:
        return torch.arange(SEQ_LEN).expand(len(parts.test), -1) == SEQ_LEN - 1

    found = measure(monkeypatch, make_task(per_token=True, recalled=last)).samples
    assert found["retrieval_answers"] == [60.0] and 0.0 <= found["retrieval_accuracy"][0] <= 1.0
    assert "retrieval_accuracy" not in measure(monkeypatch, make_task(per_token=True)).samples


def test_weight_decay_is_an_axis_and_the_rest_of_the_recipe_the_protocols(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = Spec(
        track="task",
        task="mine",
        variant="softmax",
        block="residual",
        num_layers=1,
        epochs=2,
        lr=1e-2,
        weight_decay=0.0,
        protocol=NEWEST.name,
    )
    recipe = track.recipe_of(spec, make_task())
    assert (recipe.weight_decay, recipe.warmup_share, recipe.clip_norm) == (0.0, NEWEST.warmup_share, NEWEST.clip_norm)
    with pytest.raises(BadInput, match="unknown protocol 'x'"):
        track.recipe_of(dataclasses.replace(spec, protocol="x"), make_task())


def test_a_cell_that_was_cut_goes_on_from_its_checkpoint(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(checkpoint, "EVERY_S", 0.0)
    whole, file = measure(monkeypatch, make_task(), epochs=4), tmp_path / "state.pt"

    def cut(stage: str) -> None:
        if stage == "train, epoch 2 of 4":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure(monkeypatch, make_task(), file, cut, epochs=4)
    stages: list[str] = []
    resumed = measure(monkeypatch, make_task(), file, stages.append, epochs=4)
    assert [stage for stage in stages if stage.startswith("train")] == ["train, epoch 3 of 4", "train, epoch 4 of 4"]
    assert resumed.samples["accuracy"] == whole.samples["accuracy"]
    assert (whole.samples["resumptions"], resumed.samples["resumptions"]) == ([0.0], [1.0])
    assert {**resumed.curve, "wall_s": []} == {**whole.curve, "wall_s": []}


def test_a_run_that_diverges_is_a_result_at_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    result = measure(monkeypatch, make_task(), variant="polynomial", block="skipless", lr=1e30)
    assert result.samples["diverged"] == [1.0]
    assert result.samples["accuracy"] == [1 / CLASSES]
    assert "steps_to_target" not in result.samples
    assert all(math.isfinite(x) for samples in result.samples.values() for x in samples)


def test_causal_and_mixed_precision_are_axes_of_a_task(monkeypatch: pytest.MonkeyPatch) -> None:
    losses = [
        measure(monkeypatch, make_task(per_token=True), **axes).curve["train_loss"]
        for axes in ({}, {"causal": True}, {"dtype": "bfloat16"})
    ]  # fmt: skip
    assert losses[0] != losses[1] and losses[0] != losses[2]


@pytest.mark.parametrize("which", ["small", pytest.param("large", marks=pytest.mark.long)])
@pytest.mark.parametrize("name", attnbench.names("tasks"))
def test_every_mechanism_gets_the_same_model_around_it(name: str, which: str) -> None:
    """All but the mechanism's own parameters are equal in number, and those are few, or said to be many."""
    task: Task = importlib.import_module(f"attnbench.tasks.{name}").TASK
    size: Size = getattr(task, which)
    around = set()
    for variant in attnbench.names("variants"):
        axes = dataclasses.asdict(size)
        spec = Spec(track="task", task=name, variant=variant, block="residual", **axes)
        with torch.device("meta"):
            model = for_task(task, architecture(spec, variant, task.seq_len))
        own, total = count_mechanism_parameters(model), count_parameters(model)
        around.add(total - own)
        assert own <= TOLERANCE * total or variant in BRINGS_MORE, f"{variant} brings {own} of {total}"
    assert len(around) == 1
