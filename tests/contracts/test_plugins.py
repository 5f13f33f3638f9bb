"""One installed plug-in that is broken is named, and takes nothing else down."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

import attnbench
from attnbench import registry
from attnbench.errors import BadInput, NotImportable, Unavailable
from attnbench.spec.construct import load_variant
from attnbench.store.store import Store
from helpers.command import cli, cli_here
from helpers.installed import found, install

MEAN = '''"""A mean of the values."""
from torch import nn
from attnbench.attention import Variant
VARIANT = Variant(build=lambda shape: nn.Identity(), citation="none", family="other", formula="mean(V)", causal=False, normalises_rows=True,
                  time_exponent=1.0, memory_exponent=1.0)
'''
# By the name of the plug-in: the text of its module, the status of its cells, and what they say.
BROKEN = {
    "lacks": ("import a_package_that_is_not_there\n", "unavailable", "No module named 'a_package_that_is_not_there'"),
    "linked": ("raise ImportError('libcuda.so.1: cannot open shared object file')\n", "unavailable", "libcuda"),
    "raises": ("raise RuntimeError('boom')\n", "error", "RuntimeError: boom"),
    "ends": ("import sys\nsys.exit(0)\n", "error", "SystemExit: 0"),
    "odd": ("class Odd(BaseException): pass\nraise Odd('odd')\n", "error", "Odd: odd"),
    "torn": ("def f(:\n", "error", "SyntaxError"),
    "empty": ("x = 1\n", "error", "declares no VARIANT"),
    "number": ("VARIANT = 3\n", "error", "VARIANT of number is a int"),
    "sets": ("import torch\ntorch.set_default_dtype(torch.float64)\nVARIANT = 3\n", "error", "torch's default dtype"),
    "says": ("print('la la la')\nraise OSError('no such disk')\n", "error", "OSError: no such disk"),
}  # fmt: skip


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """A folder with all of them installed, a package each."""
    folder = tmp_path / "installed"
    for name, (text, _, _) in BROKEN.items():
        install(folder, f"package-{name}", {name: f"module_{name}:VARIANT"}, **{f"module_{name}": text})
    return folder


@pytest.mark.long
def test_cells_of_a_broken_plug_in_are_recorded_and_the_others_measured(broken: Path, results: Path) -> None:
    cell = '{"track":"kernel","variant":"%s","seq_len":16,"mode":"forward"}'
    with found(broken):
        assert set(BROKEN) < set(attnbench.names("variants"))
        done = cli_here("run", "--dry-run", "--preset", "standard", "--track", "kernel", "--results", str(results))
        assert (done.returncode, "softmax" in done.stdout, "raises" in done.stdout) == (0, True, True), done.stderr
        for name, (_, status, said) in BROKEN.items():
            done = cli_here("run", "--cell", cell % name, "--results", str(results))
            assert done.returncode == int(status == "error"), done.stderr
            assert f"{status}: kernel · {name}" in done.stdout and "la la la" not in done.stdout
            record = list(Store(results).read())[-1]
            assert (record.spec.variant, record.status, record.stage) == (name, status, "not tried")
            assert said in (record.reason or "")
        assert cli_here("run", "--cell", cell % "softmax", "--results", str(results)).returncode == 0
        for command in ("show", "validate", "claims"):
            arguments = (command, str(results)) if command == "validate" else (command, "--results", str(results))
            assert cli_here(*arguments).returncode == 0
        assert cli_here("site", "--results", str(results), "--out", str(results.parent / "site")).returncode == 0


def test_what_cannot_be_loaded_once_cannot_be_loaded_twice(broken: Path) -> None:
    """The second import of a module that failed half way would find what it imported, and its settings put back."""
    with found(broken):
        for name in BROKEN:
            for _ in range(2):
                with pytest.raises(BadInput):
                    load_variant(name)


@pytest.mark.long
def test_a_check_of_several_goes_on_after_one_that_cannot_be_loaded(broken: Path) -> None:
    path = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), str(broken)]))
    done = cli("check", *BROKEN, "--json", PYTHONPATH=path)
    reports = {report["variant"]: report["checks"] for report in json.loads(done.stdout)}
    assert done.returncode == 1 and list(reports) == list(BROKEN)
    for name, (_, status, said) in BROKEN.items():
        (finding,) = reports[name]
        assert (finding["name"], finding["status"]) == ("load", "failed")
        assert finding["detail"].startswith(f"{status}: ") and said in finding["detail"]


def test_a_clash_with_a_built_in_is_named_and_never_an_override(tmp_path: Path) -> None:
    install(tmp_path, "theirs", {"softmax": "theirs:VARIANT"}, theirs=MEAN)
    built_in = load_variant("softmax")
    with found(tmp_path):
        assert attnbench.names("variants").count("softmax") == 1
        assert load_variant("softmax") is not None and load_variant("softmax").citation == built_in.citation
        done = cli_here("list", "variants", "--json")
        assert json.loads(done.stdout)
        assert "'softmax' of the installed entry point 'theirs:VARIANT' has the name of a built-in" in done.stderr


def test_two_packages_that_offer_one_name_are_told_and_neither_is_taken(tmp_path: Path) -> None:
    for package in ("one", "other"):
        install(tmp_path, package, {"mine": f"{package}:VARIANT"}, **{package: MEAN})
    with found(tmp_path):
        assert "mine" in attnbench.names("variants")
        with pytest.raises(NotImportable, match=r"two installed packages offer a variant 'mine', as '(one|other):VARIANT' and as"):
            registry.load("variants", "mine")
        assert registry.declared("variants", "softmax")["family"] == "softmax"


@pytest.mark.parametrize(("name", "value"), [("mine", "!!"), ("mine", ""), ("mine", "one two")])
def test_an_entry_point_that_names_no_module_is_an_error_of_its_own(name: str, value: str, tmp_path: Path) -> None:
    install(tmp_path, "theirs", {name: value})
    with found(tmp_path):
        with pytest.raises(BadInput, match="mine"):
            registry.load("variants", "mine")
        assert registry.declared("variants", "mine") == {}
        assert attnbench.build("softmax", 4, 16) is not None


@pytest.mark.parametrize("name", ["a/b", "mine.py", "two words"])
def test_a_name_that_would_be_taken_for_a_path_is_left_out(name: str, tmp_path: Path) -> None:
    install(tmp_path, "theirs", {name: "theirs:VARIANT"}, theirs=MEAN)
    with found(tmp_path):
        assert name not in attnbench.names("variants")
        assert any(repr(name) in problem for problem in registry.problems("variants"))


def test_damaged_metadata_of_one_package_leaves_the_others(tmp_path: Path) -> None:
    install(tmp_path, "torn", {})
    (tmp_path / "torn-0.1.dist-info" / "entry_points.txt").write_bytes(b"[attnbench.variants]\nmine\xff = theirs:VARIANT\n")
    install(tmp_path, "theirs", {"mean": "theirs:VARIANT"}, theirs=MEAN)
    with found(tmp_path):
        assert "mean" in attnbench.names("variants")
        assert any("entry points of torn cannot be read" in problem for problem in registry.problems("variants"))


def test_a_broken_claim_is_left_out_by_name_and_the_others_are_judged(tmp_path: Path, results: Path) -> None:
    install(
        tmp_path,
        "theirs",
        {"ends": "ends", "empty": "empty", "raises": "raises"},
        "claims",
        ends="raise SystemExit(3)",
        empty="",
        raises="1/0",
    )
    (results / "records").mkdir()
    with found(tmp_path):
        done = cli_here("claims", "--json", "--results", str(results))
        assert done.returncode == 0 and len(json.loads(done.stdout)) == len(registry.builtin("claims"))
        for said in ("'ends' cannot be imported: SystemExit: 3", "empty declares no CLAIM", "ZeroDivisionError"):
            assert said in done.stderr
        assert cli_here("claims", "ends", "--results", str(results)).returncode == 2


def test_a_broken_task_whose_sizes_are_plain_gives_cells_that_say_so(tmp_path: Path, results: Path) -> None:
    text = (Path(attnbench.__file__).parent / "tasks" / "mnist.py").read_text(encoding="utf-8")
    install(
        tmp_path,
        "theirs",
        {"theirs": "task_of_theirs:TASK"},
        "tasks",
        task_of_theirs=text.replace("annotations\n", "annotations\nimport a_package_that_is_not_there\n", 1),
    )
    with found(tmp_path):
        done = cli_here("run", "--task", "theirs", "--variant", "softmax", "--results", str(results))
    records = list(Store(results).read())
    assert done.returncode == 0 and {record.spec.track for record in records} == {"task", "step"}
    for record in records:
        assert (record.status, record.spec.task) == ("unavailable", "theirs"), record.reason
        assert "a_package_that_is_not_there" in (record.reason or "")


@pytest.mark.parametrize(
    "needs", ["('no_such_package.ops',)", "('json.no_such_module',)", "('broken_parent.ops',)", "('ending_parent.ops',)"]
)
def test_what_is_needed_may_be_a_module_of_a_package_that_is_not_here(needs: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_parent.py").write_text("raise RuntimeError('no driver')\n")
    (tmp_path / "ending_parent.py").write_text("raise SystemExit\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    file = tmp_path / "needy.py"
    file.write_text(MEAN.replace("Variant(build", f"Variant(needs={needs}, build"))
    with pytest.raises(Unavailable, match="needy needs"):
        attnbench.build(str(file), 4, 16)


@pytest.mark.parametrize("needs", ["'triton'", "3", "(3,)", "('',)", "None"])
def test_needs_of_another_form_are_refused(needs: str, tmp_path: Path) -> None:
    file = tmp_path / "needy.py"
    file.write_text(f"{MEAN}object.__setattr__(VARIANT, 'needs', {needs})\n")  # past the types that are checked in tests alone
    with pytest.raises(BadInput, match=r"needs of needy is .*; give a tuple of import names"):
        attnbench.build(str(file), 4, 16)


def test_a_package_that_build_imports_and_that_is_not_here_is_unavailable(tmp_path: Path) -> None:
    file = tmp_path / "lazy.py"
    file.write_text(MEAN.replace("lambda shape: nn.Identity()", "lambda shape: __import__('no_such_package')"))
    with pytest.raises(Unavailable, match="lazy imports what is not here: No module named 'no_such_package'"):
        attnbench.build(str(file), 4, 16)


@pytest.mark.parametrize("command", [("list", "variants"), ("run", "--dry-run")], ids=["list", "run"])
@pytest.mark.long
def test_entry_points_that_are_no_text_end_no_command(command: tuple[str, ...], tmp_path: Path) -> None:
    """torch itself reads the entry points of every package when it is imported, and would end with an error."""
    install(tmp_path, "odd", {})
    (tmp_path / "odd-0.1.dist-info" / "entry_points.txt").write_bytes(b"[attnbench.variants]\n\xff\xfe = x\n")
    store = ("--results", str(tmp_path / "results")) if command[0] == "run" else ()
    path = os.pathsep.join(filter(None, (str(tmp_path), os.environ.get("PYTHONPATH"))))
    done = cli(*command, *store, PYTHONPATH=path)
    assert done.returncode == 0, done.stderr
    assert "the entry points of odd cannot be read" in done.stderr
