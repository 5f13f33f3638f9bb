"""What a cell does, inside its own process."""

from __future__ import annotations

from pathlib import Path

import torch

from attnbench.errors import Unavailable
from attnbench.measurement.tracks.depth import measure_depth
from attnbench.measurement.tracks.kernel import measure_kernel
from attnbench.measurement.tracks.task import measure_task
from attnbench.measurement.value import Measurement, Stage
from attnbench.spec.axes import Spec


def measure_cell(spec: Spec, variant_source: str, task_source: str | None, stage: Stage, checkpoint: Path | None = None) -> Measurement:
    """Everything a spec asks for. `stage` is told what is going on, so that a killed cell can say where it was.

    checkpoint: the file that keeps a training run's state, if any does.

    Raises Unsupported, Unavailable, Incorrect, torch's out-of-memory errors, or whatever the mechanism raises.
    """
    stage("build")
    if spec.device == "cuda" and not torch.cuda.is_available():
        raise Unavailable("torch sees no CUDA device here; run with --device cpu, or install a CUDA build of torch")
    torch.manual_seed(spec.seed)
    if spec.track == "kernel":
        return measure_kernel(spec, variant_source, stage)
    if spec.track == "depth":
        return measure_depth(spec, variant_source, stage)
    return measure_task(spec, variant_source, task_source or str(spec.task), stage, checkpoint)
