"""The folder is the registry; names that nobody knows get the nearest one that somebody does."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import attnbench
from attnbench import registry
from attnbench.errors import BadInput, Unavailable
from helpers.mean_variant import MINE


@pytest.mark.parametrize("group", registry.GROUPS)
def test_names_are_the_files(group: str) -> None:
    folder = Path(attnbench.__file__).parent / group
    assert attnbench.names(group) == sorted(p.stem for p in folder.glob("[!_]*.py"))
    assert all(registry.summary(group, name).endswith((".", "?")) for name in attnbench.names(group))


def test_near_misses_are_suggested() -> None:
    with pytest.raises(BadInput, match=r"did you mean 'orthogonal'\? \(attnbench list variants\)"):
        attnbench.build("ortogonal", 4, 16)
    with pytest.raises(BadInput, match="unknown parameter of polynomial 'degre'; did you mean 'degree'"):
        attnbench.build("polynomial", 4, 16, degre=2)
    with pytest.raises(BadInput, match="variants"):
        attnbench.names("variant")


@pytest.mark.parametrize(("heads", "dim"), [(0, 16), (4, 0), (-1, 16)])
def test_bad_sizes_are_refused(heads: int, dim: int) -> None:
    with pytest.raises(BadInput, match="at least 1"):
        attnbench.build("softmax", heads, dim)


def test_a_path_is_a_variant(tmp_path: Path) -> None:
    file = tmp_path / "mean.py"
    file.write_text(MINE)
    v = torch.randn(2, 4, 5, 3)
    assert attnbench.build(str(file), 4, 3)(v, v, v).shape == v.shape
    assert registry.stem(str(file)) == "mean"
    assert registry.source("variants", str(file)) == file


def test_a_file_may_not_take_a_registered_name(tmp_path: Path) -> None:
    file = tmp_path / "softmax.py"
    file.write_text(MINE)
    with pytest.raises(BadInput, match="rename the file"):
        attnbench.build(str(file), 4, 16)


def test_a_file_without_a_declaration_says_what_it_lacks(tmp_path: Path) -> None:
    file = tmp_path / "empty.py"
    file.write_text("x = 1\n")
    with pytest.raises(BadInput, match="declares no VARIANT"):
        attnbench.build(str(file), 4, 16)
    file.write_text("VARIANT = 3\n")
    registry._from_file.cache_clear()
    with pytest.raises(BadInput, match="VARIANT of empty is a int"):
        attnbench.build(str(file), 4, 16)
    with pytest.raises(BadInput, match=r"no file 'gone\.py'"):
        attnbench.build(str(tmp_path / "gone.py"), 4, 16)


def test_a_file_that_cannot_be_imported_is_named(tmp_path: Path) -> None:
    file = tmp_path / "broken.py"
    file.write_text("def f(:\n")
    with pytest.raises(BadInput, match="variant 'broken' cannot be imported: SyntaxError"):
        attnbench.build(str(file), 4, 16)


def test_what_a_mechanism_needs_is_asked_before_it_is_built(tmp_path: Path) -> None:
    file = tmp_path / "needy.py"
    file.write_text(MINE.replace("Variant(build", "Variant(needs=('no_such_package',), build"))
    with pytest.raises(Unavailable, match="needy needs no_such_package"):
        attnbench.build(str(file), 4, 16)
