"""The version is said once, and a fingerprint covers what a cell depends on."""

from __future__ import annotations

import re
from pathlib import Path

import attnbench
from attnbench.store.fingerprint import fingerprint
from helpers.factory import make_spec
from helpers.paths import REPO


def test_version_is_said_once() -> None:
    declared = re.search(r'^version = "(.+)"$', (REPO / "pyproject.toml").read_text(), re.M)
    assert declared is not None
    assert declared[1] == attnbench.__version__


def test_an_edited_mechanism_has_another_fingerprint(tmp_path: Path) -> None:
    text = (Path(attnbench.__file__).parent / "variants" / "softmax_math.py").read_text()
    prints = set()
    for name, content in {"a/mine.py": text, "b/mine.py": text, "c/mine.py": text + "# edited\n"}.items():
        file = tmp_path / name
        file.parent.mkdir()
        file.write_text(content)
        prints.add(fingerprint(make_spec(variant="mine"), str(file), None))
    assert len(prints) == 2


def test_tracks_depend_on_the_parts_they_use() -> None:
    task = make_spec(track="task", seq_len=None, mode="training", task="mnist", block="residual", num_layers=1, epochs=1, lr=0.1)
    assert fingerprint(task, "softmax", None) != fingerprint(make_spec(), "softmax", None)
    assert fingerprint(make_spec(), "softmax", None) != fingerprint(make_spec(), "softmax_math", None)
