"""Hash of the sources that made a number: an edited mechanism is measured again, an unchanged one is not."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from attnbench import registry
from attnbench.spec.axes import Spec
from attnbench.store.environment import version_of

_PACKAGE = Path(__file__).parents[1]
# The anchor's source is among them: its samples are in every record.
_COMMON = (
    "attention.py", "measurement/anchor.py", "measurement/tracks/__init__.py", "measurement/value.py", "spec/construct.py",
    "measurement/guard.py", "runner/child.py", "measurement/clock.py", "measurement/memory.py", "variants/softmax.py",
)  # fmt: skip
_COST = (
    "measurement/cost.py", "measurement/timed.py", "measurement/flops.py", "runner/plausibility.py", "store/peaks.py",
    "measurement/inputs.py", "measurement/reference.py",
)  # fmt: skip
_BY_TRACK = {
    "kernel": (*_COST, "measurement/tracks/kernel.py", "measurement/tracks/call.py"),
    "depth": (*_COST, "measurement/tracks/depth.py", "training/diagnose.py", "training/model.py"),
    "task": (
        "measurement/tracks/task.py", "measurement/tracks/depth.py", "training/diagnose.py", "training/model.py", "training/train.py",
        "workload.py",
    ),
}  # fmt: skip
_CHECKED = ("attention.py", "spec/construct.py", "measurement/clock.py", "measurement/memory.py", "measurement/reference.py")


def fingerprint(spec: Spec, variant_source: str, task_source: str | None) -> str:
    """16 hex digits over the variant, the task if any, kernels, the parts of the harness that the track uses, and torch's version."""
    files = [_PACKAGE / name for name in (*_COMMON, *_BY_TRACK[spec.track])]
    files += sorted((_PACKAGE / "kernels").rglob("*.py"))
    files.append(registry.source("variants", variant_source))
    if spec.task is not None:
        files += sorted((_PACKAGE / "tasks" / "loading").glob("*.py"))
        files.append(registry.source("tasks", task_source or spec.task))
    return _digest(files, "")


def check_fingerprint(variant_source: str, params: Mapping[str, Any], device: str) -> str:
    """16 hex digits over what decides a check: the variant, its parameters, kernels, the checks, the device and torch's version."""
    files = [_PACKAGE / name for name in _CHECKED]
    files += [*sorted((_PACKAGE / "measurement" / "checks").glob("*.py")), *sorted((_PACKAGE / "kernels").rglob("*.py"))]
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
