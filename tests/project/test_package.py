"""The version is said once, and a fingerprint covers what a cell depends on."""

from __future__ import annotations

import re
import tomllib

import attnbench
from attnbench.store.fingerprint import fingerprint
from helpers.paths import REPO
from helpers.records import make_spec


def test_the_version_is_that_of_the_package() -> None:
    """pyproject.toml takes it from there, and holds none of its own."""
    declared = tomllib.loads((REPO / "pyproject.toml").read_text())
    assert declared["project"]["dynamic"] == ["version"] and "version" not in declared["project"]
    text = (REPO / declared["tool"]["hatch"]["version"]["path"]).read_text()
    assert re.findall(r'^__version__ = "(.+)"$', text, re.M) == [attnbench.__version__]


def test_tracks_depend_on_the_parts_they_use() -> None:
    task = make_spec(track="task", seq_len=None, mode="training", task="mnist", block="residual", num_layers=1, epochs=1, lr=0.1)
    assert fingerprint(task, "softmax", None) != fingerprint(make_spec(), "softmax", None)
    assert fingerprint(make_spec(), "softmax", None) != fingerprint(make_spec(), "softmax_math", None)
