"""The task track: a model trained on a task, and its accuracy on the test part."""

from __future__ import annotations

import copy
from dataclasses import asdict

import torch
from torch import nn

from attnbench import memory, registry
from attnbench.anchor import drift_anchor
from attnbench.cells.cost import DRIFT_CALLS
from attnbench.cells.measurement import Measurement
from attnbench.cells.stack import architecture, count_parameters
from attnbench.guard import Guard
from attnbench.job import Stage
from attnbench.measure import seconds, warm_up
from attnbench.model import Classifier, Patches
from attnbench.spec import Spec
from attnbench.train import Recipe, step, train
from attnbench.workload import Parts, Split, Task, majority_share


def measure_task(spec: Spec, source: str, task_source: str, stage: Stage) -> Measurement:
    """Train, read the test part once, and count what it cost."""
    assert spec.epochs is not None and spec.lr is not None
    stage("load data")
    task: Task = registry.load("tasks", task_source)
    parts = _to_device(task.load(), spec.device)
    stage("build")
    guard = Guard()
    torch.manual_seed(spec.seed)
    embedding = Patches(task.patch, spec.d_model) if task.patch else nn.Embedding(task.vocabulary or 256, spec.d_model)
    model = Classifier(architecture(spec, source, task.seq_len), embedding, task.seq_len, task.num_classes).to(spec.device)
    recipe = Recipe(epochs=spec.epochs, lr=spec.lr, batch_size=spec.batch_size, seed=spec.seed)
    rows = torch.arange(min(spec.batch_size, len(parts.train)), device=spec.device)
    stage("warm up")
    drift = drift_anchor(spec.device)
    drift_s: list[float] = []
    warm_up(drift, spec.device)
    step(copy.deepcopy(model), parts.train, rows)

    def on_epoch(done: int) -> None:
        drift_s.extend(seconds(drift, spec.device) for _ in range(DRIFT_CALLS))
        stage(f"train, epoch {done} of {recipe.epochs}")

    on_epoch(0)
    outcome = train(model, parts, task.seq_len, recipe, on_epoch)
    guard.check_idle()
    stage("memory")
    model.zero_grad(set_to_none=True)
    peak = memory.peak_memory_bytes(lambda _: step(model, parts.train, rows), spec.device)
    guard.check_seal()
    samples = {
        task.metric: [outcome.accuracy],
        f"validation_{task.metric}": [outcome.validation_accuracy],
        "majority_share": [majority_share(parts.test.targets)],
        "train_s": [outcome.train_s],
        "training_tokens_per_s": [outcome.training_tokens_per_s],
        "inference_tokens_per_s": [outcome.inference_tokens_per_s],
        "peak_memory_bytes": [peak],
        "parameters": [float(count_parameters(model))],
        "diverged": [float(outcome.diverged)],
        "drift_anchor_s": drift_s,
    }
    return Measurement(samples, asdict(outcome.curve), {"train_s": "wall", "drift_anchor_s": "wall"})


def _to_device(parts: Parts, device: str) -> Parts:
    def move(split: Split) -> Split:
        mask = None if split.padding_mask is None else split.padding_mask.to(device)
        return Split(split.inputs.to(device), split.targets.to(device), mask, split.groups)

    return Parts(move(parts.train), move(parts.validation), move(parts.test))
