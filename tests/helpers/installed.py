"""Plug-ins as if they were installed: a package's metadata with its entry points, in a folder on the path."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from attnbench import registry
from attnbench.registry import plugins

Points = dict[str, str]  # the value of each entry point by its name


def install(folder: Path, package: str, points: Points, group: str = "variants", **modules: str) -> None:
    """Write a package that offers these, and the texts of its modules by their names."""
    metadata = folder / f"{package}-0.1.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 0.1\n")
    lines = "".join(f"{name} = {value}\n" for name, value in points.items())
    (metadata / "entry_points.txt").write_text(f"[attnbench.{group}]\n{lines}")
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(text)


@contextmanager
def found(folder: Path) -> Iterator[None]:
    """Context manager: what is installed in a folder is found, in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        _forget()
        yield
    _forget()


def _forget() -> None:
    for cached in (plugins.installed, registry._registered):
        cached.cache_clear()
    registry._failed.clear()
