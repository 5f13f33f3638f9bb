"""The fields of a variant, and its parameters: what one may be, and that others are refused by name."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

import attnbench
from attnbench import registry
from attnbench.attention import Variant
from attnbench.errors import BadInput
from attnbench.runner.cell import resolve
from attnbench.spec.construct import load_variant
from attnbench.store.record import decode, encode
from helpers.mean_variant import MINE
from helpers.records import make_record, make_spec


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


FLAGS = tuple(field.name for field in dataclasses.fields(Variant) if field.type == "bool")
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


def test_every_field_has_values_that_are_refused() -> None:
    """A new field is not forgotten; the parameters have tests of their own."""
    assert {field for field, _, _ in CASES} == {field.name for field in dataclasses.fields(Variant)} - {"params"}


@pytest.mark.parametrize(("field", "value", "allowed"), CASES)
def test_a_field_that_a_variant_cannot_have_is_refused_by_its_name(tmp_path: Path, field: str, value: str, allowed: str) -> None:
    file = tmp_path / "odd.py"
    file.write_text(SET.format(MINE, field, value))
    registry._from_file.cache_clear()
    with pytest.raises(BadInput, match=f"^{field} of odd is .*, a [a-zA-Z]+; {allowed}"):
        load_variant(str(file))


NAMED = f"{SET}object.__setattr__(VARIANT, 'params', {{3}})\n"


def test_orthogonal_unless_names_parameters_that_there_are(tmp_path: Path) -> None:
    file = tmp_path / "odd.py"
    file.write_text(NAMED.format(MINE, "orthogonal_unless", "('damping',)", "{'dumping': 1}"))
    registry._from_file.cache_clear()
    with pytest.raises(BadInput, match="unknown param in orthogonal_unless of odd 'damping'; did you mean 'dumping'"):
        load_variant(str(file))


def test_orthogonal_unless_may_be_a_list_and_is_kept_as_a_tuple(tmp_path: Path) -> None:
    file = tmp_path / "odd.py"
    file.write_text(NAMED.format(MINE, "orthogonal_unless", "['damping']", "{'damping': 1}"))
    registry._from_file.cache_clear()
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
