"""The task track: a model trained on a task with one thread, and what it learned. What a step of it takes is the step track's."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import torch

from attnbench import registry
from attnbench.attention import Unsupported
from attnbench.errors import BadInput
from attnbench.measurement import memory
from attnbench.measurement.cell_result import Measurement, Stage
from attnbench.measurement.guard import Guard
from attnbench.measurement.tracks import require_backward
from attnbench.measurement.tracks.architecture import architecture
from attnbench.spec import protocol
from attnbench.spec.axes import Spec
from attnbench.spec.tasks import task_of
from attnbench.training import diagnose
from attnbench.training.checkpoint import FileCheckpoint
from attnbench.training.evaluate import evaluate
from attnbench.training.model import Transformer, count_mechanism_parameters, count_parameters, for_task
from attnbench.training.recipe import Recipe
from attnbench.training.train import Callbacks, step, steps_to_target, train
from attnbench.workload import IGNORED, LONGER, Parts, Split, Task, asked_by_block, block_of_rows, majority_share, unigram_bits

PROBED_ROWS = 8  # of the validation part, always the same, whose attention is looked at after every epoch


def measure(spec: Spec, variant_source: str, task_source: str | None, stage: Stage, checkpoint: Path | None) -> Measurement:
    """Train, measure the part that the spec asks for once, and count what it took but time, for others may train beside it."""
    stage("load data")
    task = task_of(spec, task_source)
    parts = task.parts((spec.data or task.sources[0]).partition(":")[0], test=spec.evaluate == "test")
    stage("build")
    guard = Guard()
    training, validation = parts.train.to(spec.device), parts.validation.to(spec.device)
    torch.manual_seed(spec.seed)
    model = build_model(spec, task, variant_source)
    recipe = recipe_of(spec, task)
    rows = torch.arange(min(spec.batch_size, len(training)), device=spec.device)
    stage("warm up")
    with torch.random.fork_rng(devices=[torch.cuda.current_device()] if spec.device == "cuda" else []):
        step(build_model(spec, task, variant_source), training, rows, recipe)  # another: what it learns, or holds, must not stay

    def on_epoch(done: int) -> None:
        stage(f"train, epoch {done} of {recipe.epochs}")

    callbacks = Callbacks(on_epoch, _probe(validation, recipe), FileCheckpoint(checkpoint) if checkpoint else None)
    trained = train(model, training, validation, recipe, callbacks)
    guard.check_idle()
    samples: dict[str, list[float]] = {}
    facts: dict[str, object] = {}
    if spec.evaluate == "test":
        stage("test")
        samples |= _tested(model, parts, recipe, task, spec)
        facts["data_fingerprint"] = parts.fingerprint()
    stage("memory")
    model.zero_grad(set_to_none=True)
    model.train()
    samples["peak_memory_bytes"] = [memory.peak_memory_bytes(lambda _: step(model, training, rows, recipe), spec.device)]
    guard.check_seal()
    last, loss = trained.curve[f"validation_{task.metric}"][-1], trained.curve["validation_loss"][-1]
    reached = steps_to_target(trained.curve, task.metric, task.target)
    samples |= {
        f"validation_{task.metric}": [] if last is None else [last],
        "validation_loss": [] if loss is None else [loss],
        **{f"validation_{name}": of for name, of in _knowing_nothing(parts.validation, task).items()},
        "steps": [trained.curve["step"][-1] or 0.0],
        "training_tokens": [float(trained.rows * task.seq_len)],
        "row_tokens": [float(task.seq_len)],
        f"target_{task.metric}": [task.target],
        "steps_to_target": [] if reached is None else [reached],
        "parameters": [float(count_parameters(model))],
        "mechanism_parameters": [float(count_mechanism_parameters(model))],
        "diverged": [float(trained.diverged)],
        "resumptions": [float(trained.resumptions)],
    }
    return Measurement({name: values for name, values in samples.items() if values}, trained.curve, facts=facts)


def build_model(spec: Spec, task: Task, variant_source: str) -> Transformer:
    """The model of a spec, untrained. Raises Unsupported for a mechanism without a backward pass."""
    require_backward(registry.load("variants", variant_source))
    return for_task(task, architecture(spec, variant_source, task.seq_len)).to(spec.device)


def recipe_of(spec: Spec, task: Task) -> Recipe:
    """How a spec trains a task, by its protocol. Its lr must have been chosen."""
    assert spec.epochs is not None and spec.lr is not None
    rules = protocol.load(spec.protocol)
    return Recipe(
        epochs=spec.epochs,
        lr=spec.lr,
        batch_size=spec.batch_size,
        seed=spec.seed,
        metric=task.metric,
        causal=spec.causal,
        epoch_rows=task.epoch_rows,
        mixed_precision=spec.dtype == "bfloat16",
        weight_decay=spec.weight_decay,
        warmup_share=rules.warmup_share,
        clip_norm=rules.clip_norm,
    )


def _tested(model: Transformer, parts: Parts, recipe: Recipe, task: Task, spec: Spec) -> dict[str, list[float]]:
    """The metric on the test part, in all and by blocks of rows, and beside it that of a model that knows only how frequent each answer is.

    With it the metric on longer sequences, if the spec asks for them, and the share of what was right where the task tells which answers
    stand in the sequence already.
    """
    test = parts.test.to(spec.device)
    found, blocks = evaluate(model, test, recipe), block_of_rows(parts.test)
    asked = asked_by_block(parts.test, blocks).tolist()
    samples = {
        task.metric: [found.value],
        "test_loss": [found.loss] if math.isfinite(found.loss) else [],
        f"{task.metric}_by_block": [score for score, count in zip(found.by_block(blocks), asked, strict=True) if count],
        "asked_by_block": [count for count in asked if count],
        **_knowing_nothing(parts.test, task),
    }
    for factor in LONGER:
        if task.longer is not None and task.seq_len * factor <= (spec.test_seq_len or 0):
            samples[f"{task.metric}_at_{factor}x"] = _longer(model, task.longer(factor).to(spec.device), recipe)
    if task.recalled is not None:
        recalled = test.targets.masked_fill(~task.recalled(parts).to(spec.device), IGNORED)
        recalling = evaluate(model, replace(test, targets=recalled), replace(recipe, metric="accuracy"))
        samples |= {"retrieval_accuracy": [recalling.value], "retrieval_answers": [float(recalling.asked.sum())]}
    return samples


def _knowing_nothing(part: Split, task: Task) -> dict[str, list[float]]:
    """What a model scores on a part that knows only how frequent each answer is."""
    return (
        {"majority_share": [majority_share(part.targets)]} if task.metric == "accuracy" else {"unigram_bits": [unigram_bits(part.targets)]}
    )


def _longer(model: Transformer, test: Split, recipe: Recipe) -> list[float]:
    """The metric on longer sequences than those of training; none of a mechanism that is made for one length."""
    try:
        return [evaluate(model, test, recipe).value]
    except (Unsupported, BadInput):
        return []


def _probe(validation: Split, recipe: Recipe) -> diagnose.Probe:
    """Norms of the attention and rank of the tokens, layer by layer, on a few rows of the validation part."""
    inputs = validation.inputs[:PROBED_ROWS]
    mask = None if validation.padding_mask is None else validation.padding_mask[:PROBED_ROWS]

    def probe(model: torch.nn.Module) -> dict[str, float]:
        assert isinstance(model, Transformer)
        with torch.no_grad():
            return diagnose.by_layer(model.stack, model.embed(inputs), recipe.causal, mask)

    return probe
