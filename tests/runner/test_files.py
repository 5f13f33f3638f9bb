"""Files that are given by their paths: two of one name, one in another's place, and one that cannot be imported beside others that can."""

from __future__ import annotations

from pathlib import Path

import pytest

import attnbench
from attnbench.errors import BadInput
from attnbench.runner.cell import resolve
from attnbench.store import environment
from attnbench.store.store import Store
from helpers.command import cli_here
from helpers.records import make_record, make_spec

TEMPLATE = (Path(attnbench.__file__).parent / "variants" / "_template.py").read_text(encoding="utf-8")
CELL = '{"track":"kernel","variant":"mine","seq_len":32,"mode":"forward"}'


def test_a_file_that_needs_a_package_at_the_top_leaves_the_others_in_the_command(tmp_path: Path, results: Path) -> None:
    missing, broken = tmp_path / "missing.py", tmp_path / "broken.py"
    missing.write_text(TEMPLATE.replace("import math\n", "import math\nimport flash_attn_that_is_not_here\n", 1))
    broken.write_text("1 / 0\n")
    know = ("run", "--preset", "quick", "--track", "depth", "--results", str(results))
    done = cli_here(*know, "--variant", str(missing), "--variant", "softmax", "--dry-run")
    assert done.returncode == 0 and " softmax " in done.stdout and " missing " in done.stdout
    done = cli_here(*know, "--variant", str(missing))
    assert done.returncode == 0, done.stdout + done.stderr
    records = list(Store(results).read())
    assert {record.status for record in records} == {"unavailable"}
    assert all("flash_attn_that_is_not_here" in (record.reason or "") for record in records)
    done = cli_here(*know, "--variant", str(broken))
    assert done.returncode == 1 and "ZeroDivisionError" in done.stdout
    for name in ("gone.py", "softmx"):
        assert cli_here(*know, "--variant", name, "--variant", "softmax").returncode == 2


def test_two_files_of_one_name_are_refused_and_one_file_given_twice_is_one(tmp_path: Path, results: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.py").write_text(TEMPLATE)
    (tmp_path / "link").symlink_to(tmp_path / "a")
    for arguments in (("run", "--dry-run", "--variant", "a/mine.py", "--variant"), ("check", "a/mine.py")):
        done = cli_here(*arguments, "b/mine.py", cwd=tmp_path)
        assert done.returncode == 2
        assert "a/mine.py and b/mine.py would both be recorded as the variant 'mine'" in done.stderr
    twice = ("--variant", "./a/mine.py", "--variant", "a/../a/mine.py", "--variant", str(tmp_path / "link" / "mine.py"))
    assert "8 cells to run" in cli_here("run", "--dry-run", "--track", "depth", *twice, cwd=tmp_path).stdout
    (tmp_path / "softmax.py").symlink_to(tmp_path / "a" / "mine.py")
    with pytest.raises(BadInput, match=r"softmax\.py has the name of a registered variant"):
        resolve(make_spec(variant="softmax"), {"softmax": str(tmp_path / "softmax.py")})


@pytest.mark.parametrize("group", ["tasks", "claims"])
def test_two_tasks_or_claims_of_one_name_are_refused(group: str, tmp_path: Path, results: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.py").write_text("")
    arguments = {"tasks": ("run", "--task", "a/mine.py", "--task", "b/mine.py"), "claims": ("claims", "a/mine.py", "b/mine.py")}
    done = cli_here(*arguments[group], "--results", str(results), cwd=tmp_path)
    assert done.returncode == 2 and f"would both be recorded as the {group[:-1]} 'mine'" in done.stderr


def test_a_file_that_takes_the_place_of_another_says_so_before_measuring(tmp_path: Path, results: Path) -> None:
    for folder, text in (("a", TEMPLATE), ("b", f"{TEMPLATE}OTHER = True\n")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.py").write_text(text)
    cell = resolve(make_spec(variant="mine", seq_len=32), {"mine": str(tmp_path / "a" / "mine.py")})
    Store(results).append(make_record(cell.spec, fingerprint=cell.fingerprint, machine=environment.machine_name()))
    for folder, told in (("a", False), ("b", True)):
        command = ("run", "--variant", str(tmp_path / folder / "mine.py"), "--cell", CELL, "--results", str(results))
        done = cli_here(*command, "--dry-run")
        assert ("1 record of mine on this machine is of another source" in done.stdout) == told, done.stdout


def test_finished_records_behind_newer_ones_of_another_file_are_told(tmp_path: Path, results: Path) -> None:
    """a, then b, then a again: there is nothing to do, and the tables show b."""
    for number, (folder, text) in enumerate((("a", TEMPLATE), ("b", f"{TEMPLATE}OTHER = True\n"))):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.py").write_text(text)
        cell = resolve(make_spec(variant="mine", seq_len=32), {"mine": str(tmp_path / folder / "mine.py")})
        began = f"2026-11-2{number}T00:00:00Z"
        Store(results).append(make_record(cell.spec, fingerprint=cell.fingerprint, machine=environment.machine_name(), started_at=began))
    for folder, told in (("a", True), ("b", False)):
        done = cli_here("run", "--variant", str(tmp_path / folder / "mine.py"), "--cell", CELL, "--results", str(results))
        assert done.returncode == 0 and "Nothing to do" in done.stdout
        assert ("The tables show 1 finished cell of mine by newer records of another source" in done.stdout) == told, done.stdout
