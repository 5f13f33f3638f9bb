"""`attnbench new`: what it writes holds every check, and it overwrites nothing."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from attnbench.cli.new import write_variant
from attnbench.errors import BadInput
from attnbench.measurement.checks import check
from attnbench.registry import load


def quiet() -> Console:
    return Console(file=io.StringIO())


def test_a_new_variant_holds_and_bears_its_name(tmp_path: Path) -> None:
    out = io.StringIO()
    file = write_variant("my_Idea2", tmp_path, Console(file=out, width=200))
    assert file == tmp_path / "my_Idea2.py"
    text = file.read_text()
    assert text.startswith('"""My idea2: ')
    assert text.split("\n", 1)[0].endswith(".")
    assert "class MyIdea2Attention(nn.Module):" in text and "MyAttention" not in text
    assert "attnbench check my_Idea2.py" in out.getvalue()
    assert "attnbench run --variant my_Idea2.py" in out.getvalue()
    report = check(str(file), {}, "cpu", full=False)
    assert report.ok and report.variant == "my_Idea2"
    assert load("variants", str(file)).citation


@pytest.mark.parametrize("name", ["", "2fast", "a-b", "a b", "a/b", "../a", "ä", "_hidden", "a.py", "a\n"])
def test_a_name_that_names_no_variant_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="letters, digits and underscores"):
        write_variant(name, tmp_path, quiet())
    assert not any(tmp_path.iterdir())


def test_a_registered_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="'orthogonal' is the name of a registered variant"):
        write_variant("orthogonal", tmp_path, quiet())
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["none", "variant", "heads", "my_attention"])
def test_its_class_hides_no_other_name(name: str, tmp_path: Path) -> None:
    file = write_variant(name, tmp_path, Console(file=io.StringIO()))
    load("variants", str(file)).build(None)


@pytest.mark.parametrize("name", ["con", "AUX", "Nul", "prn", "com1", "LPT9"])
def test_a_name_that_windows_keeps_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="Windows keeps"):
        write_variant(name, tmp_path, quiet())
    assert not any(tmp_path.iterdir())


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("mine")
    with pytest.raises(BadInput, match=r"mine\.py is there already"):
        write_variant("mine", tmp_path, quiet())
    assert file.read_text() == "mine"
    with pytest.raises(BadInput, match="cannot be written here"):
        write_variant("mine", tmp_path / "gone", quiet())
