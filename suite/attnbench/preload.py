"""Imported once by the process that forks cells: torch, the harness, and the profiler's first start. No parallel operation.

Nor anything of CUDA, which no process can use that was forked after its first use. The profiler, even of the CPU alone, asks CUDA for its
devices: where there may be any, it starts in the cells that need it.
"""

from __future__ import annotations

from attnbench import cell, check, hardware, memory, registry

if not hardware.has_nvidia_driver():
    memory.warm_profiler()
for _name in registry.builtin("variants"):
    registry.load("variants", _name)

__all__ = ["cell", "check"]
