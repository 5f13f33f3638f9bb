"""Hash of the sources that made a number: an edited mechanism is measured again, an unchanged one is not."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from attnbench import registry
from attnbench.environment import version_of
from attnbench.spec import Spec

_PACKAGE = Path(__file__).parent
_COMMON = ("attention.py", "cell.py", "construct.py", "measure.py", "child.py", "verify.py")
_BY_TRACK = {
    "kernel": (),
    "depth": ("model.py", "diagnose.py"),
    "task": ("model.py", "train.py", "workload.py"),
}


def fingerprint(spec: Spec, variant_source: str, task_source: str | None) -> str:
    """16 hex digits over the variant, the task if any, kernels, the parts of the harness that the track uses, and torch's version."""
    files = [_PACKAGE / name for name in (*_COMMON, *_BY_TRACK[spec.track])]
    files += sorted((_PACKAGE / "kernels").glob("*.py"))
    files.append(registry.source("variants", variant_source))
    if spec.task is not None:
        files.append(registry.source("tasks", task_source or spec.task))
    digest = hashlib.sha256((version_of("torch") or "").encode())
    for file in files:
        digest.update(file.name.encode())
        digest.update(_content(file))
    return digest.hexdigest()[:16]


@cache
def _content(file: Path) -> bytes:
    return file.read_bytes()
