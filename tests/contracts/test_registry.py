"""The folder is the registry; names that nobody knows get the nearest one that somebody does."""

from __future__ import annotations

import dataclasses
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import attnbench
from attnbench import registry
from attnbench.errors import BadInput, Unavailable
from attnbench.runner.cell import resolve
from attnbench.spec.construct import load_variant
from attnbench.store.record import decode, encode
from helpers.records import make_record, make_spec

MINE = '''"""A mean of the values, whatever the scores."""
from torch import nn
from attnbench.attention import Variant

class Mean(nn.Module):
    def forward(self, q, k, v, causal=False, padding_mask=None):
        return v.mean(-2, keepdim=True).expand_as(v)

VARIANT = Variant(build=lambda shape: Mean(), citation="none", family="other", formula="mean(V)", causal=False,
                  normalises_rows=True, time_exponent=1.0, memory_exponent=1.0)
'''


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


def test_a_parameter_that_no_record_can_hold_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "holding.py"
    file.write_text(MINE.replace("Variant(build", "Variant(params={'activation': nn.ReLU()}, build"))
    with pytest.raises(BadInput, match=r"parameter 'activation' of holding is .*; give a number, text"):
        attnbench.build(str(file), 4, 16)


@pytest.mark.parametrize(
    ("declared", "kept"),
    [
        ("(0.5, 0.25)", [0.5, 0.25]), ("[1.0, 2, 'a', None, True]", [1.0, 2, "a", None, True]), ("np.float32(0.1)", float(np.float32(0.1))),
        ("np.int64(3)", 3), ("np.bool_(True)", True), ("(np.int8(1), np.float64(2))", [1, 2.0]), ("np.str_('x')", "x"),
    ],
)  # fmt: skip
def test_a_parameter_is_kept_as_a_record_gives_it_back(tmp_path: Path, declared: str, kept: object) -> None:
    """A tuple as a list, numpy's numbers as Python's: the mechanism that is measured is built from what its record says."""
    file = tmp_path / "holding.py"
    file.write_text(
        "import numpy as np\n" + MINE.replace("build=lambda shape:", f"params={{'sizes': {declared}}}, build=lambda shape, sizes:")
    )
    registry._from_file.cache_clear()
    assert repr(load_variant(str(file)).params) == repr({"sizes": kept})
    cell = resolve(make_spec(variant="holding"), {"holding": str(file)})
    again = decode(encode(make_record(cell.spec))).spec
    assert repr(again.params) == repr({"sizes": kept}) and again.key() == cell.spec.key()


@pytest.mark.parametrize(
    "declared",
    ["math.inf", "[math.nan]", "2**63", "{'a': 1}", "b'x'", "1j", "[[1]]", "Fraction(1, 3)", "'\\ud800'", "np.zeros(2)", "Kind.A"],
)
def test_a_parameter_that_json_cannot_hold_exactly_is_refused(tmp_path: Path, declared: str) -> None:
    file = tmp_path / "holding.py"
    start = "import enum, math\nimport numpy as np\nfrom fractions import Fraction\nclass Kind(enum.IntEnum):\n    A = 1\n"
    file.write_text(start + MINE.replace("Variant(build", f"Variant(params={{'sizes': {declared}}}, build"))
    registry._from_file.cache_clear()
    with pytest.raises(BadInput, match=r"parameter 'sizes' of holding is .*; give a number, text"):
        load_variant(str(file))


FLAGS = ("normalises_rows", "equivariant", "orthogonal", "training", "needs_hidden", "grouped", "reads_qk")
WRONG_FIELDS = {  # what is allowed, and the fields and values that are not so
    "give a number from 0 to 100": (
        ("time_exponent", "memory_exponent"), ("None", "'2'", "math.nan", "math.inf", "-1.0", "True", "10**400", "2j")
    ),
    'give True, False or "only"': (("causal",), ("'no'", "0", "None", "'Only'")),
    "give True or False": (FLAGS, ("'no'", "0", "None")),
    "give a whole number of at least 1": (("head_group",), ("0", "-1", "2.5", "'2'", "True", "None")),
    "give a text": (("citation", "family", "formula"), ("None", "3", "b'x'", "['softmax']")),
    "give a function of the shape": (("build",), ("None", "'softmax'")),
    "give a function of module": (("reference", "reference_rows"), ("'exact'", "3")),
    "give one of tuned, compiled, reference for each of cpu, cuda": (
        ("implementation",), ("None", "'tuned'", "('cpu', 'tuned')", "{'cpu': 'fast'}", "{'tpu': 'tuned'}", "{'cpu': ['tuned']}")
    ),
    "give a tuple of import names": (("needs",), ("'triton'", "('',)", "None", "(3,)")),
    "give a tuple of names of params": (("orthogonal_unless",), ("'damping'", "('',)", "None", "(3,)")),
}  # fmt: skip
CASES = [(field, value, allowed) for allowed, (fields, values) in WRONG_FIELDS.items() for field in fields for value in values]
# Not by the constructor, whose types are checked in tests alone.
SET = "import math\nimport numpy as np\n{0}\nobject.__setattr__(VARIANT, {1!r}, {2})\n"


@pytest.mark.parametrize(("field", "value", "allowed"), CASES)
def test_a_field_that_a_variant_cannot_have_is_refused_by_its_name(tmp_path: Path, field: str, value: str, allowed: str) -> None:
    file = tmp_path / "odd.py"
    file.write_text(SET.format(MINE, field, value))
    registry._from_file.cache_clear()
    with pytest.raises(BadInput, match=f"^{field} of odd is .*, a [a-zA-Z]+; {allowed}"):
        load_variant(str(file))


def test_orthogonal_unless_names_parameters_that_there_are(tmp_path: Path) -> None:
    file = tmp_path / "odd.py"
    for names, params in (("('damping',)", "{'dumping': 1}"), ("['damping']", "{'damping': 1}")):
        file.write_text(SET.format(MINE, "orthogonal_unless", names) + f"object.__setattr__(VARIANT, 'params', {params})\n")
        registry._from_file.cache_clear()
        if "dumping" in params:
            with pytest.raises(BadInput, match="unknown param in orthogonal_unless of odd 'damping'; did you mean 'dumping'"):
                load_variant(str(file))
        else:
            assert load_variant(str(file)).orthogonal_unless == ("damping",)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("time_exponent", "0"),
        ("memory_exponent", "np.float64(1.5)"),
        ("head_group", "3"),
        ("needs", "['triton']"),
        ("implementation", "{'cuda': 'compiled'}"),
    ],
)
def test_a_field_that_a_variant_can_have_is_taken(tmp_path: Path, field: str, value: str) -> None:
    file = tmp_path / "odd.py"
    file.write_text(SET.format(MINE, field, value))
    registry._from_file.cache_clear()
    load_variant(str(file))


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
