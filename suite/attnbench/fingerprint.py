"""Hash of the sources that made a number: an edited mechanism is measured again, an unchanged one is not."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from attnbench import registry
from attnbench.environment import version_of
from attnbench.spec import Spec

_PACKAGE = Path(__file__).parent
# The anchor's source is among them: its samples are in every record.
_COMMON = (
    "attention.py", "anchor.py", "cell.py", "cells/measurement.py", "construct.py", "guard.py", "inside.py", "measure.py",
    "memory.py", "variants/softmax.py",
)  # fmt: skip
_COST = ("cells/cost.py", "cells/trial.py", "flops.py", "judge.py", "peaks.py", "rolled.py", "verify.py")
_BY_TRACK = {
    "kernel": (*_COST, "cells/kernel.py", "cells/mechanism.py"),
    "depth": (*_COST, "cells/stack.py", "diagnose.py", "model.py"),
    "task": ("cells/task.py", "cells/stack.py", "diagnose.py", "model.py", "train.py", "workload.py"),
}
_CHECKED = ("attention.py", "construct.py", "measure.py", "memory.py", "verify.py", "check.py")


def fingerprint(spec: Spec, variant_source: str, task_source: str | None) -> str:
    """16 hex digits over the variant, the task if any, kernels, the parts of the harness that the track uses, and torch's version."""
    files = [_PACKAGE / name for name in (*_COMMON, *_BY_TRACK[spec.track])]
    files += sorted((_PACKAGE / "kernels").glob("*.py"))
    files.append(registry.source("variants", variant_source))
    if spec.task is not None:
        files += sorted((_PACKAGE / "loading").glob("*.py"))
        files.append(registry.source("tasks", task_source or spec.task))
    return _digest(files, "")


def check_fingerprint(variant_source: str, params: Mapping[str, Any], device: str) -> str:
    """16 hex digits over what decides a check: the variant, its parameters, kernels, the checks, the device and torch's version."""
    files = [_PACKAGE / name for name in _CHECKED]
    files += [*sorted((_PACKAGE / "checks").glob("*.py")), *sorted((_PACKAGE / "kernels").glob("*.py"))]
    files.append(registry.source("variants", variant_source))
    return _digest(files, json.dumps([dict(params), device], sort_keys=True))


def _digest(files: Iterable[Path], more: str) -> str:
    digest = hashlib.sha256((version_of("torch") or "").encode())
    for file in files:
        digest.update(file.name.encode())
        digest.update(_content(file))
    digest.update(more.encode())
    return digest.hexdigest()[:16]


@cache
def _content(file: Path) -> bytes:
    return file.read_bytes()
