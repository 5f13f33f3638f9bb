"""What a declaration says is read from its file, without importing it, wherever it is written out."""

from __future__ import annotations

import dataclasses
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from attnbench import registry
from attnbench.errors import BadInput
from helpers.mean_variant import MINE

DECLARATIONS = [(group, name) for group in ("variants", "tasks") for name in registry.builtin(group)]


def as_plain(value: object) -> object:
    return dataclasses.asdict(value) if dataclasses.is_dataclass(value) and not isinstance(value, type) else value


@pytest.mark.parametrize(("group", "name"), DECLARATIONS)
def test_what_is_read_of_a_declaration_is_what_importing_it_gives(group: str, name: str) -> None:
    imported = registry.load(group, name)
    read = registry.declared(group, name)
    assert {field: as_plain(getattr(imported, field)) for field in read} == dict(read)
    for field in dataclasses.fields(imported):
        if field.name not in read:
            default = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
            assert registry.field(group, name, field.name, default=default) == getattr(imported, field.name)


@pytest.mark.parametrize(("group", "name"), DECLARATIONS)
def test_what_reading_results_needs_of_a_declaration_needs_no_import(group: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(group: str, name: str) -> None:
        raise AssertionError(f"{name} is imported")

    imported = registry.load(group, name)
    monkeypatch.setattr(registry, "load", refuse)
    needed: dict[str, dict[str, Any]] = {
        "variants": {"family": ..., "time_exponent": ..., "memory_exponent": ..., "params": {}, "implementation": {}},
        "tasks": {"small": ..., "large": ..., "causal": (False,)},
    }
    for field, default in needed[group].items():
        assert registry.field(group, name, field, default) == as_plain(getattr(imported, field)), field


PLAIN = """
from attnbench.attention import Variant

HALF, WHOLE = 0.5, 1.0
SCALES: tuple[float, ...] = (HALF, -WHOLE)
LIST = ["cuda"]
LIST.append("triton")
TWICE = 1
TWICE = 2

VARIANT = Variant(build=lambda shape: None, citation="none", family="other", formula="mean(V)", causal=True, normalises_rows=bool(1),
                  time_exponent=2 * WHOLE + 1, memory_exponent=-HALF, params={"scales": SCALES, "size": dict(a=2 * 4)}, needs=tuple(LIST),
                  head_group=TWICE)
"""


def imported_as(stem: str) -> list[Any]:
    """The modules of files of that stem which were imported."""
    return [module for name, module in sys.modules.items() if name.startswith("attnbench_file_") and name.endswith(f".{stem}")]


def test_plain_fields_are_read_from_a_file_and_computed_ones_are_left_to_importing_it(tmp_path: Path) -> None:
    file = tmp_path / "plain.py"
    file.write_text(PLAIN)
    name = str(file)
    read = registry.declared("variants", name)
    assert read == {
        "citation": "none", "family": "other", "formula": "mean(V)", "causal": True, "time_exponent": 3.0, "memory_exponent": -0.5,
        "params": {"scales": (0.5, -1.0), "size": {"a": 8}},
    }  # fmt: skip
    assert registry.field("variants", name, "equivariant", default=False) is False
    assert not imported_as("plain")
    assert registry.field("variants", name, "needs") == ("cuda", "triton")
    assert registry.field("variants", name, "head_group", default=1) == 2
    assert registry.field("variants", name, "normalises_rows") is True
    (module,) = imported_as("plain")
    assert module.VARIANT.params == read["params"]


@pytest.mark.parametrize(
    "ending",
    [
        "VARIANT = Variant(**FIELDS)",
        "VARIANT = dataclasses.replace(Variant(**FIELDS), family='linear')",
        "VARIANT = Variant(**{**FIELDS, 'family': 'softmax'})\nVARIANT = Variant(**FIELDS)",
        "def made():\n    return Variant(**FIELDS)\nVARIANT = made()",
    ],
)
def test_a_declaration_that_is_made_otherwise_is_imported(tmp_path: Path, ending: str) -> None:
    head, _, fields = MINE.partition("VARIANT = Variant")
    file = tmp_path / f"made_{abs(hash(ending))}.py"
    file.write_text(f"{head.replace('import nn', 'import nn; import dataclasses')}FIELDS = dict{fields}{ending}\n")
    expected = "linear" if "replace(" in ending else "other"
    assert registry.declared("variants", str(file)) == {}
    assert registry.field("variants", str(file), "family", default="polynomial") == expected


def test_reading_a_declaration_says_what_loading_it_says(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="unknown variant 'softmx'; did you mean 'softmax"):
        registry.declared("variants", "softmx")
    with pytest.raises(BadInput, match=r"no file 'gone\.py'"):
        registry.declared("tasks", str(tmp_path / "gone.py"))
    (tmp_path / "softmax.py").write_text(MINE)
    with pytest.raises(BadInput, match="rename the file"):
        registry.declared("variants", str(tmp_path / "softmax.py"))
    (tmp_path / "torn.py").write_text("def f(:\n")
    assert registry.declared("variants", str(tmp_path / "torn.py")) == {}
    with pytest.raises(BadInput, match="variant 'torn' cannot be imported: SyntaxError"):
        registry.field("variants", str(tmp_path / "torn.py"), "family", default="other")
    (tmp_path / "bare.py").write_text("x = 1\n")
    with pytest.raises(BadInput, match="declares no VARIANT"):
        registry.field("variants", str(tmp_path / "bare.py"), "family", default="other")


@pytest.mark.parametrize(
    ("module", "path"), [("met_{}.inner.mine", "inner/mine.py"), ("met_{}.inner", "inner/__init__.py"), ("met_{}", ".py")]
)
def test_an_installed_declaration_is_read_without_importing_its_package(
    module: str, path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = f"met_{len(path)}"  # of its own, for what was imported stays
    file = tmp_path / (f"{package}.py" if path == ".py" else f"{package}/{path}")
    file.parent.mkdir(parents=True, exist_ok=True)
    for folder in {file.parent, file.parent.parent} - {tmp_path, tmp_path.parent}:
        (folder / "__init__.py").write_text("raise RuntimeError('it is imported')\n")
    file.write_text(MINE)
    monkeypatch.syspath_prepend(str(tmp_path))
    point = EntryPoint("theirs", module.format(len(path)), "attnbench.variants")
    monkeypatch.setattr(registry, "_external", lambda group: {"theirs": point} if group == "variants" else {})
    assert registry.declared("variants", "theirs")["family"] == "other"
    assert registry.field("variants", "theirs", "params", default={}) == {}
    assert package not in sys.modules


def test_an_installed_declaration_whose_file_is_not_found_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_external", lambda group: {"theirs": EntryPoint("theirs", "no_such_package.mine", "attnbench.variants")})
    assert registry.declared("variants", "theirs") == {}
    with pytest.raises(BadInput, match="variant 'theirs' cannot be imported: ModuleNotFoundError"):
        registry.field("variants", "theirs", "family", default="other")
