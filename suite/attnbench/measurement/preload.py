"""Imported once by the process that forks cells: torch, the harness, and the profiler's first start. No parallel operation.

Nor anything of CUDA, which no process can use that was forked after its first use. The profiler, even of the CPU alone, asks CUDA for its
devices: where there may be any, it starts in the cells that need it.
"""

from __future__ import annotations

import importlib

from attnbench import registry
from attnbench.measurement import memory
from attnbench.store import hardware

# What torch imports when something is first differentiated or counted, for seconds: symbolic shapes, and the compiler.
_TORCH = ("torch.fx.experimental.symbolic_shapes", "torch._dynamo")
_TRACKS = ("kernel", "depth", "task")
_HARNESS = ("attnbench.measurement.checks", *(f"attnbench.measurement.tracks.{track}" for track in _TRACKS))
for _name in (*_TORCH, *_HARNESS):
    importlib.import_module(_name)
if not hardware.has_nvidia_driver():
    memory.warm_profiler()
for _name in registry.builtin("variants"):
    registry.load("variants", _name)
