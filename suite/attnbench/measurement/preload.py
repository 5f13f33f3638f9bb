"""Imported once by the process that forks cells: imports torch and the harness, and starts the profiler for the first time.

It runs no parallel operation, and nothing of CUDA: a process that was forked after the first use of CUDA cannot use it. The profiler, even
of the CPU alone, asks CUDA for its devices: where there may be any, it starts in the cells that need it.
"""

from __future__ import annotations

import importlib

from attnbench import registry
from attnbench.measurement import memory
from attnbench.spec.axis_values import TRACKS
from attnbench.store import hardware

# What torch imports at the first gradient or FLOP count, which takes seconds: symbolic shapes, and the compiler.
_TORCH = ("torch.fx.experimental.symbolic_shapes", "torch._dynamo")
_HARNESS = ("attnbench.measurement.checks", *(f"attnbench.measurement.tracks.{track}" for track in TRACKS))
for _name in (*_TORCH, *_HARNESS):
    importlib.import_module(_name)
if not hardware.has_gpu_driver():
    memory.warm_profiler()
for _name in registry.builtin("variants"):
    registry.load("variants", _name)
