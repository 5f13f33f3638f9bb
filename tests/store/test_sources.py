"""Which files count as the sources of a number, and what of their text."""

from __future__ import annotations

from pathlib import Path

import pytest

import attnbench
from attnbench.store.sources import PACKAGE, closure, content, place

CODE = "def f(x):\n    return x + 1\n"


def text_of(folder: Path, text: str) -> str:
    file = folder / f"{abs(hash(text))}.py"
    file.write_text(text, encoding="utf-8")
    return content(file)


@pytest.mark.parametrize(
    "same",
    [
        "# why\n\ndef f(x):\n    # why\n\n    return x + 1  # because\n",
        '"""A module."""\n\ndef f(x):\n    """A function.\n\n    Of two paragraphs.\n    """\n    return x + 1',
        "def f(x):   \n    return x + 1\t\n\n\n",
        '"""é\u2028\x0c"""\n' + CODE,
    ],
)
def test_comments_docstrings_and_blank_lines_do_not_count(same: str, tmp_path: Path) -> None:
    assert text_of(tmp_path, same) == text_of(tmp_path, CODE) == CODE


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (CODE, CODE.replace("1", "2")),
        ('x = """a\n\nb"""\n', 'x = """a\nb"""\n'),
        ('x = """a # b"""\n', 'x = """a"""\n'),
        ("x = '# a'\n", "x = '# b'\n"),
        ('x = """a  \n"""\n', 'x = """a\n"""\n'),
        ('def f(): "a"; return 1\n', 'def f(): "a"; return 2\n'),
        ('def f():\n    x = 1\n    "a"\n', 'def f():\n    x = 1\n    "b"\n'),
        ("if x:\n    y()\nz()\n", "if x:\n    y()\n    z()\n"),
        ("no Python (\n", "no Python [\n"),
    ],
)
def test_everything_else_counts(one: str, other: str, tmp_path: Path) -> None:
    assert text_of(tmp_path, one) != text_of(tmp_path, other)


def files_of(folder: Path, files: dict[str, str]) -> dict[str, Path]:
    for name, text in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return {name: folder / name for name in files}


def test_a_file_beside_counts_with_what_it_imports(tmp_path: Path) -> None:
    """Wherever the import stands; not what is for type checkers, nor what is not imported."""
    there = files_of(
        tmp_path,
        {
            "mine.py": "import math\nfrom typing import TYPE_CHECKING\nimport helper\nif TYPE_CHECKING:\n    import types_of_mine\n",
            "helper.py": "def f():\n    from deeper.inner import g\n    import mine\n    return g\n",
            "deeper/__init__.py": "",
            "deeper/inner.py": "from . import other\nfrom ..helper import f\n",
            "deeper/other.py": "",
            "deeper/unused.py": "",
            "types_of_mine.py": "",
            "unused.py": "",
        },
    )
    used = {"mine.py", "helper.py", "deeper/__init__.py", "deeper/inner.py", "deeper/other.py"}
    assert closure([there["mine.py"]]) == {there[name] for name in used}


def test_modules_of_an_installed_package_find_each_other(tmp_path: Path) -> None:
    there = files_of(
        tmp_path,
        {
            "plug/__init__.py": "from plug.all import everything\n",
            "plug/attention/__init__.py": "",
            "plug/attention/mine.py": "from plug.tools import f\nfrom .near import g\nfrom .. import far\n",
            "plug/attention/near.py": "",
            "plug/far.py": "",
            "plug/tools.py": "import torch\n",
            "plug/all.py": "",
        },
    )
    mine = there["plug/attention/mine.py"]
    used = {"plug/attention/mine.py", "plug/attention/near.py", "plug/far.py", "plug/tools.py"}
    assert closure([mine]) == {there[name] for name in used}
    assert place(mine) == "plug/attention/mine.py" and place(tmp_path / "mine.py") == "mine.py"


@pytest.mark.parametrize("name", attnbench.names("variants"))
def test_a_mechanism_is_made_of_its_file_the_contract_and_kernels(name: str) -> None:
    found = {place(file) for file in closure([PACKAGE / "variants" / f"{name}.py"])}
    assert {f"attnbench/variants/{name}.py", "attnbench/attention.py", "attnbench/errors.py"} <= found
    assert all(other.startswith("attnbench/kernels/") for other in found if other.count("/") > 1 and f"/{name}.py" not in other)


def test_the_front_door_of_the_package_is_not_followed(tmp_path: Path) -> None:
    there = files_of(tmp_path, {"mine.py": "import attnbench\n"})
    assert {place(file) for file in closure([there["mine.py"]])} == {"mine.py", "attnbench/__init__.py"}


def test_files_that_are_compiled_count_where_they_are_named(tmp_path: Path) -> None:
    """As torch.utils.cpp_extension.load takes them."""
    mine = "from pathlib import Path\nSOURCES = [str(Path(__file__).parent / name) for name in ('csrc/kernel.cu', 'gone.cpp')]\n"
    mine += f"LONG, TEXT = '{'x' * 5000}.cpp', 'of several\\nlines.h'\n"
    there = files_of(tmp_path, {"mine.py": mine, "csrc/kernel.cu": "__global__ void f() {}\n", "csrc/unused.cu": "", "gone.h": ""})
    assert closure([there["mine.py"]]) == {there["mine.py"], there["csrc/kernel.cu"]}
    assert content(there["csrc/kernel.cu"]) == "__global__ void f() {}\n"


def test_what_is_imported_by_name_at_run_time_counts(tmp_path: Path) -> None:
    there = files_of(
        tmp_path,
        {
            "mine.py": "import importlib\nh = importlib.import_module('helper')\ng = importlib.import_module('.near', __package__)\n",
            "helper.py": "",
            "near.py": "",
            "unused.py": "",
        },
    )
    assert closure([there["mine.py"]]) == {there[name] for name in ("mine.py", "helper.py", "near.py")}


def test_what_is_installed_beside_a_plug_in_is_not_its_source(tmp_path: Path) -> None:
    there = files_of(
        tmp_path / "site-packages",
        {
            "plug/__init__.py": "",
            "plug/mine.py": "import torch\nfrom plug import near\n",
            "plug/near.py": "",
            "torch.py": "",
            "single.py": "import torch\n",
        },
    )
    assert closure([there["plug/mine.py"]]) == {there["plug/mine.py"], there["plug/near.py"]}
    assert closure([there["single.py"]]) == {there["single.py"]}


def test_a_module_of_the_standard_library_is_none_that_stands_beside(tmp_path: Path) -> None:
    there = files_of(tmp_path, {"mine.py": "import random\nfrom . import statistics\n", "random.py": "", "statistics.py": ""})
    assert closure([there["mine.py"]]) == {there["mine.py"], there["statistics.py"]}
