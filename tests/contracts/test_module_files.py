"""A module beside a variant's file is found for that file alone, and is part of its fingerprint."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import attnbench
from attnbench import registry
from attnbench.errors import BadInput, NotImportable
from attnbench.runner.cell import resolve
from attnbench.store import sources
from attnbench.store.store import Store
from helpers.command import cli, cli_here
from helpers.records import make_spec

TEMPLATE = (Path(attnbench.__file__).parent / "variants" / "_template.py").read_text(encoding="utf-8")
# A mechanism whose output is a constant that something beside it gives.
CONSTANT = '''"""A constant."""
import torch
from torch import nn
from attnbench.attention import Variant
{top}

class Constant(nn.Module):
    def forward(self, q, k, v, causal=False, padding_mask=None):
        {lazy}
        return torch.full_like(v, float({value}))

VARIANT = Variant(build=lambda shape: Constant(), citation="none", family="other", formula="c", causal=False, normalises_rows=False,
                  time_exponent=1.0, memory_exponent=1.0)
'''


def write(folder: Path, name: str = "mine", top: str = "", lazy: str = "", value: str = "0", **beside: str) -> str:
    """The path of such a mechanism, written beside modules with these texts; "__" in a name stands for a folder, "init" for `__init__`."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name}.py"
    file.write_text(CONSTANT.format(top=top, lazy=lazy, value=value))
    for place, text in beside.items():
        path = folder.joinpath(*place.split("__")).with_suffix(".py")
        path = path.with_name("__init__.py") if path.stem == "init" else path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return str(file)


def constant(source: str) -> float:
    v = torch.randn(1, 2, 3, 4)
    return float(attnbench.build(source, 2, 4)(v, v, v)[0, 0, 0, 0])


FORMS = {
    "import": {"top": "import helper", "value": "helper.C"},
    "from": {"top": "from helper import C", "value": "C"},
    "star": {"top": "from helper import *", "value": "C"},
    "in forward": {"lazy": "from helper import C", "value": "C"},
    "under a condition": {"top": "try:\n    import no_such_package\nexcept ImportError:\n    import helper as h", "value": "h.C"},
    "relative": {"top": "from .helper import C", "value": "C"},
    "relative module": {"top": "from . import helper", "value": "helper.C"},
    "__import__": {"top": "h = __import__('helper')", "value": "h.C"},
    "through another": {"top": "import other", "value": "other.C", "other": "from helper import C\n"},
    "package": {"top": "import pack.inner as p", "value": "p.C", "pack__init": "", "pack__inner": "from helper import C\n"},
    "package's part": {"top": "import pack.inner", "value": "pack.inner.C", "pack__init": "", "pack__inner": "from helper import C\n"},
    "from a package": {"top": "from pack import inner", "value": "inner.C", "pack__init": "", "pack__inner": "from ..helper import C\n"},
    "package's own": {"top": "from pack import C", "value": "C", "pack__init": "from helper import C\n"},
    "folder": {"top": "import pack.inner as p", "value": "p.C", "pack__inner": "from helper import C\n"},
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_what_stands_beside_a_file_is_found_and_counts(form: str, tmp_path: Path) -> None:
    prints = []
    for number in (1.0, 2.0):  # the same file in two folders, the last module different: one process holds both
        source = write(tmp_path / f"number {number}", helper=f"C = {number}\n", **FORMS[form])
        assert constant(source) == number
        prints.append(resolve(make_spec(variant="mine"), {"mine": source}).fingerprint)
    assert prints[0] != prints[1]
    assert not {"helper", "other", "pack"} & set(sys.modules)


def test_two_folders_with_helpers_of_one_name_keep_them_apart_whenever_they_are_asked_for(tmp_path: Path) -> None:
    files = [write(tmp_path / name, name, lazy="from helper import C", value="C", helper=f"C = {c}\n") for name, c in (("a", 1), ("b", 2))]
    modules = [attnbench.build(source, 2, 4) for source in files]
    v = torch.randn(1, 2, 3, 4)
    assert [float(module(v, v, v)[0, 0, 0, 0]) for module in modules + modules] == [1.0, 2.0, 1.0, 2.0]


def test_the_text_counts_and_not_a_compiled_copy(tmp_path: Path) -> None:
    """Two texts of one length and one time have one compiled copy, which Python would take for both."""
    source = write(tmp_path, top="import helper", value="helper.C", helper="C = 1\n")
    build = f"import attnbench, torch; v = torch.ones(1, 2, 3, 4); print(float(attnbench.build({source!r}, 2, 4)(v, v, v).mean()))"
    for number in (1, 2):
        (tmp_path / "helper.py").write_text(f"C = {number}\n")
        os.utime(tmp_path / "helper.py", (1e9, 1e9))
        done = subprocess.run([sys.executable, "-c", build], capture_output=True, text=True, check=True)
        assert float(done.stdout) == number


def test_a_module_of_the_standard_library_or_installed_is_never_replaced(tmp_path: Path) -> None:
    source = write(tmp_path / "a", top="import random, statistics", value="hasattr(random, 'gauss')", random="raise RuntimeError\n")
    assert constant(source) == 1.0
    assert {sources.place(file) for file in sources.closure([Path(source)])} & {"random.py"} == set()
    source = write(tmp_path / "b", top="import numpy", numpy="raise RuntimeError\n")
    with pytest.raises(
        BadInput, match=r"'numpy' is the name of numpy\.py, beside a file that imports it, and of an installed package; rename"
    ):
        constant(source)
    source = write(tmp_path / "c", top="import numpy", value="hasattr(numpy, 'ndarray')", numpy__notes="")  # a folder is no package
    assert constant(source) == 1.0


def test_the_folder_on_the_path_as_it_was_needed_before_is_the_same_helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write(tmp_path, top="import helper_on_path", value="helper_on_path.C", helper_on_path="C = 3\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert constant(source) == 3.0


def test_a_file_inside_a_package_finds_its_relatives(tmp_path: Path) -> None:
    folder = tmp_path / "plug" / "attention"
    source = write(
        folder, top="from .near import A\nfrom ..far import B\nfrom plug.tools import D", value="A + B + D", init="", near="A = 1\n"
    )
    for name, text in (("__init__", ""), ("far", "B = 10\n"), ("tools", "D = 100\n")):
        (tmp_path / "plug" / f"{name}.py").write_text(text)
    assert constant(source) == 111.0
    assert {"plug/far.py", "plug/tools.py", "plug/attention/near.py"} <= {sources.place(file) for file in sources.closure([Path(source)])}


def test_a_helper_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotImportable, match="variant 'mine' cannot be imported: ModuleNotFoundError: No module named 'helper'"):
        constant(write(tmp_path, top="import helper"))


def test_a_file_that_failed_is_read_anew(tmp_path: Path) -> None:
    file = Path(write(tmp_path, top="raise OSError('no disk')", value="5"))
    with pytest.raises(NotImportable, match="no disk"):
        constant(str(file))
    write(tmp_path, value="5")
    assert constant(str(file)) == 5.0


def test_names_that_are_no_identifiers_are_files_too(tmp_path: Path) -> None:
    sources_of = [write(tmp_path / "a b", name, value=str(c)) for c, name in enumerate(("my-idea", "my idea.v2", "class", "2"), start=1)]
    assert [constant(source) for source in sources_of] == [1.0, 2.0, 3.0, 4.0]


@pytest.mark.long
def test_a_mechanism_with_a_helper_is_checked_measured_and_due_again_when_the_helper_is_edited(tmp_path: Path, results: Path) -> None:
    """The case of the issue: the checks and the cell, each in a process of its own; the last command in a new one, which reads it anew."""
    body = TEMPLATE.replace("import math\n", "import math\nfrom mine_kernel import one\n", 1).replace("(v,) =", "v = v * one(); (v,) =", 1)
    (tmp_path / "mine.py").write_text(body)
    (tmp_path / "mine_kernel.py").write_text("def one():\n    return 1.0\n")
    cell = '{"track":"kernel","variant":"mine","seq_len":16,"mode":"forward"}'
    command = ("run", "--variant", str(tmp_path / "mine.py"), "--cell", cell, "--results", str(results))
    for records in (1, 1):
        done = cli_here(*command)
        assert done.returncode == 0 and "of another source" not in done.stdout, done.stdout + done.stderr
        assert len(list(Store(results).read())) == records
    (tmp_path / "mine_kernel.py").write_text("def one():\n    return 2.0 / 2.0\n")
    done = cli(*command)
    assert done.returncode == 0 and [record.status for record in Store(results).read()] == ["ok", "ok"], done.stdout + done.stderr
    assert "1 record of mine on this machine is of another source" in done.stdout


def test_a_task_and_a_variant_of_one_name_are_two_things(tmp_path: Path) -> None:
    task = (Path(attnbench.__file__).parent / "tasks" / "mnist.py").read_text(encoding="utf-8")
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "mine.py").write_text(task)
    variant = write(tmp_path / "variants")
    spec = make_spec(
        track="task", task="mine", variant="mine", block="residual", num_layers=1, epochs=1, lr=0.1, seq_len=None, mode="training"
    )
    cell = resolve(spec, {"mine": variant}, {"mine": str(tmp_path / "tasks" / "mine.py")})
    assert (cell.variant_source, cell.task_source) == (variant, str(tmp_path / "tasks" / "mine.py"))
    assert registry.load("tasks", str(cell.task_source)).kind == "vision"
