"""Faults planted in a mechanism: its own file with a change, which a check of `attnbench check` has to find."""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from attnbench.measurement.checks import CORRECTNESS
from attnbench.measurement.checks.subject import Subject
from attnbench.measurement.checks.torch_threads import one_thread
from attnbench.spec.construct import load_variant
from attnbench.store.report import Finding


@cache
def _folder() -> Path:
    """The folder of all copies of this process, in the temporary folder that conftest.py gives it; pytest keeps those of three runs."""
    return Path(tempfile.mkdtemp(prefix="planted-"))


def plant(name: str, changes: Mapping[str, str]) -> str:
    """The path of a copy of a mechanism's file with some text replaced, each old text being there once."""
    file = importlib.import_module(f"attnbench.variants.{name}").__file__
    assert file is not None
    text = Path(file).read_text()
    for old, new in changes.items():
        assert text.count(old) == 1, f"{old!r} is {text.count(old)} times in {name}.py"
        text = text.replace(old, new)
    copy = Path(tempfile.mkdtemp(dir=_folder())) / f"planted_{name}.py"
    copy.write_text(text)
    return str(copy)


def finding(name: str, changes: Mapping[str, str], check: str) -> Finding:
    """What one correctness check finds of a mechanism with a planted fault. An error of the check is not caught, and fails the test."""
    source = plant(name, changes)
    variant = load_variant(source)
    with one_thread():
        return CORRECTNESS[check](Subject(source, variant, variant.params))
