"""Embedded and generated data need no cache, no home folder and no network: every local task, where none of these can be had."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from attnbench.errors import BadInput
from attnbench.store.store import Store
from attnbench.tasks.loading.embedded import data_fingerprint, embedded
from helpers.command import cli
from helpers.task_data import LOCAL, declared, loaded

CODE = """
import sys
from attnbench import registry
for name in sys.argv[1:]:
    task = registry.load("tasks", name)
    print(name, task.parts(task.sources[0]).fingerprint())
print(*[name for name in ("datasets", "huggingface_hub") if name in sys.modules])
"""
CELL = (
    '{"track":"task","variant":"softmax","task":"digits","block":"residual","num_layers":2,"num_heads":2,"head_dim":8,'
    '"batch_size":32,"epochs":1,"lr":0.003}'
)


def homeless(tmp_path: Path, kind: str) -> dict[str, str]:
    """The variables by which programs find a home and caches, all of something that is no folder."""
    (tmp_path / "a file").touch()
    place = "/proc/nonexistent" if kind == "nowhere" else str(tmp_path / "a file")
    return dict.fromkeys(("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "HF_HOME", "HF_DATASETS_CACHE", "HF_HUB_CACHE"), place)


EMBEDDED = [name for name in LOCAL if declared(name).files]


@pytest.mark.long
@pytest.mark.parametrize(("kind", "names"), [("nowhere", LOCAL), ("a file", EMBEDDED)])
def test_local_data_are_loaded_without_a_home(kind: str, names: list[str], tmp_path: Path) -> None:
    """In one process, whose current folder cannot be written either."""
    command = [sys.executable, "-c", CODE, *names]
    environment = {**os.environ, **homeless(tmp_path, kind)}
    done = subprocess.run(command, env=environment, cwd="/proc", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    *lines, imported = done.stdout.splitlines()
    assert lines == [f"{name} {loaded(name).fingerprint()}" for name in names]
    assert imported == ""  # neither of them, which look for caches


@pytest.mark.long
def test_a_cell_of_embedded_data_runs_without_a_home(results: Path, tmp_path: Path) -> None:
    done = cli("run", "--cell", CELL, "--results", str(results), **homeless(tmp_path, "nowhere"))
    (record,) = Store(results).read()
    assert record.status == "ok", f"{record.reason}\n{done.stdout}{done.stderr}"


@pytest.mark.parametrize("name", EMBEDDED)
def test_embedded_files_are_never_copied(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    for file in declared(name).files:
        assert embedded(file).num_rows > 0
    assert list(tmp_path.iterdir()) == []


def test_an_embedded_file_that_is_not_there_is_named() -> None:
    for read in (lambda: embedded("cats.parquet"), lambda: data_fingerprint(("cats.parquet",))):
        with pytest.raises(BadInput, match=r"no embedded file is called 'cats\.parquet'; there are digits\.parquet, "):
            read()
