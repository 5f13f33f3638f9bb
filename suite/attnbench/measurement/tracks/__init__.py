"""The tracks, a file each, and what they share: what a cell does, inside its own process."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Protocol

import torch

from attnbench.attention import Variant
from attnbench.errors import Unavailable, Unsupported
from attnbench.measurement import compiler
from attnbench.measurement.allocator import keep_freed_memory
from attnbench.measurement.cell_result import Measurement, Stage
from attnbench.spec.axes import Spec


class Measure(Protocol):
    """The function `measure` of a track's file."""

    def __call__(self, spec: Spec, variant_source: str, task_source: str | None, stage: Stage, checkpoint: Path | None) -> Measurement: ...


def require_backward(variant: Variant) -> None:
    """Raise Unsupported for a mechanism that declares that it has no backward pass."""
    if not variant.training:
        raise Unsupported("the mechanism declares training=False: it has no backward pass")


def measure_cell(spec: Spec, variant_source: str, task_source: str | None, stage: Stage, checkpoint: Path | None = None) -> Measurement:
    """Measure everything that a spec asks for.

    variant_source, task_source: names, or paths of files. stage: called with the name of what begins, so that it is known where a
    cell was that is killed. checkpoint: the file that keeps the state of a training run, if any does.

    Raises Unsupported, Unavailable, Incorrect, torch's out-of-memory errors, or whatever the mechanism raises.
    """
    stage("build")
    compiler.prepare()
    if spec.device == "cuda" and not torch.cuda.is_available():
        raise Unavailable("torch sees no CUDA device here; run with --device cpu, or install a CUDA build of torch")
    keep_freed_memory()
    torch.manual_seed(spec.seed)
    # By name: a cell runs the file of its own track, and an edit of another makes nothing due again.
    measure: Measure = importlib.import_module(f"{__name__}.{spec.track}").measure
    # Of several that which CUDA_VISIBLE_DEVICES and CUDA's order choose; asked now, when there is nothing to lose and no mechanism to lie.
    gpu = {"gpu": torch.cuda.get_device_name()} if spec.device == "cuda" else {}
    try:
        measured = measure(spec, variant_source, task_source, stage, checkpoint)
    except Exception as error:  # whatever a third party's mechanism raises
        absent = compiler.absence(error)
        if absent is None:
            raise
        raise Unavailable(absent) from error
    measured.facts |= gpu
    return measured
