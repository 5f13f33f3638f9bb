"""Hashes the sources that a measurement depends on, so that an edited mechanism is measured again and an unchanged one is not.

The sources are the files that a cell or a check runs, and every file that these import from this package or from their own folder; they are
found by following imports. Comments, docstrings and blank lines do not count.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from attnbench import registry
from attnbench.errors import NotImportable
from attnbench.spec.axes import Spec
from attnbench.store.environment import version_of
from attnbench.store.sources import PACKAGE, closure, content, place

ANCHOR = "softmax"  # it is timed in every cell whose times count


def fingerprint(spec: Spec, variant_source: str, task_source: str | None) -> str:
    """The hash, 16 hex digits, of the sources of a cell: track, variant, task if any, their imports, and torch's version.

    Those of the anchor are among them where it is timed beside the cell.

    variant_source, task_source: names, or paths of files.
    """
    tracks = PACKAGE / "measurement" / "tracks"
    files = [tracks / "__init__.py", tracks / f"{spec.track}.py"]
    files += [*(_source("variants", ANCHOR) if spec.is_timed else ()), *_source("variants", variant_source)]
    if spec.task is not None:
        files += _source("tasks", task_source or spec.task)
    return _hash(files, "")


def check_fingerprint(variant_source: str, params: Mapping[str, Any], device: str) -> str:
    """The hash, 16 hex digits, of a check: the sources of all checks and the variant, their imports, params, device, torch's version."""
    checks = PACKAGE / "measurement" / "checks" / "__init__.py"
    return _hash([checks, *_source("variants", variant_source)], json.dumps([dict(params), device], sort_keys=True))


def _source(group: str, name: str) -> list[Path]:
    """The file of a variant or task; none for a plug-in that cannot be imported, and whose file nothing else finds."""
    try:
        return [registry.source(group, name)]
    except NotImportable:
        return []


def _hash(files: Iterable[Path], more: str) -> str:
    digest = hashlib.sha256((version_of("torch") or "").encode())
    digest.update(_of_sources(tuple(files)))
    digest.update(more.encode())
    return digest.hexdigest()[:16]


@cache
def _of_sources(files: tuple[Path, ...]) -> bytes:
    """The hash of files and all that they import; made once in a process, which reads each of them once too."""
    digest = hashlib.sha256()
    for name, text in sorted((place(file), content(file)) for file in closure(files)):
        digest.update(f"{name}\0{text}\0".encode("utf-8", "surrogatepass"))
    return digest.digest()
