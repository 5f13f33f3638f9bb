"""The kernel track: one attention call by seq_len, forward, training, prefill or decode."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from attnbench.measurement import backend, memory
from attnbench.measurement.cell_result import Measurement, Stage
from attnbench.measurement.clock import ANCHOR_PATIENCE_S
from attnbench.measurement.cost import cost
from attnbench.measurement.drift_anchor import ANCHOR, SEQ_LEN
from attnbench.measurement.guard import Guard
from attnbench.measurement.tracks.call import KernelTrial
from attnbench.measurement.tracks.decode import DecodeTrial, PrefillTrial
from attnbench.spec.axes import Spec

TRAINING_FACTOR = 3.5  # a training step of softmax attention, in forward passes


def measure(spec: Spec, variant_source: str, task_source: str | None, stage: Stage, checkpoint: Path | None) -> Measurement:
    """Time, memory, FLOPs and error of a call; of a forward pass also the norms of its attention matrix.

    task_source and checkpoint are for the task track.

    Raises Unsupported for a mechanism without the form, Incorrect for one that computes something else.
    """
    softmax_kernel = backend.hold(spec)
    guard = Guard()
    trial = trial_of(spec, variant_source)

    def make_anchor(drift_s: float) -> KernelTrial | DecodeTrial | PrefillTrial | None:
        return trial_of(softmax_of(spec), ANCHOR) if _anchor_s(spec, drift_s) <= ANCHOR_PATIENCE_S else None

    result = cost(trial, spec.mode, make_anchor, spec.device, guard, stage)
    result.facts |= backend.facts(spec, softmax_kernel, trial.mechanism.variant)
    shared = trial.mechanism.original.shared
    if shared is not None and "error" in result.samples:
        result.facts["definition"] = shared
    if isinstance(trial, KernelTrial):
        result.samples["theory_bytes"] = [trial.theory_bytes()]
        if spec.mode == "forward":
            stage("norms")
            result.samples |= trial.matrix_norms()
    else:
        result.samples["state_bytes"] = [memory.held_bytes(lambda _: trial.fresh_state(), spec.device)]
    return result


def softmax_of(spec: Spec) -> Spec:
    """The same cell of the anchor."""
    return dataclasses.replace(spec, variant=ANCHOR, params={})


def trial_of(spec: Spec, source: str) -> KernelTrial | DecodeTrial | PrefillTrial:
    """The computation of a cell, by its mode."""
    if spec.mode == "prefill":
        return PrefillTrial(spec, source)
    return DecodeTrial(spec, source) if spec.mode == "decode" else KernelTrial(spec, source)


def _anchor_s(spec: Spec, drift_s: float) -> float:
    """About how many seconds a call of softmax takes, so that a very long one is not even tried; 0 where trying is quick."""
    if spec.device == "cuda" or spec.mode == "decode":
        return 0.0
    assert spec.seq_len is not None
    rows = spec.batch_size * spec.d_model / 256
    return drift_s * rows * (spec.seq_len / SEQ_LEN) ** 2 * (TRAINING_FACTOR if spec.mode == "training" else 1.0)
