"""Imported once by the process that forks cells: torch, the harness, and the profiler's first start. No parallel operation."""

from __future__ import annotations

from attnbench import cell, check, memory, registry

memory.warm_profiler()
for _name in registry.builtin("variants"):
    registry.load("variants", _name)

__all__ = ["cell", "check"]
