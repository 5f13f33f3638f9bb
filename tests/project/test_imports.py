"""Reading results needs no torch: what reads them can be installed, and started, without it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from attnbench.cli.list import KINDS
from attnbench.store.store import Store
from helpers.records import make_record, make_spec

HEAVY = ("torch", "triton", "ray")
COUNT = f"""
import sys
found = sorted(name for name in sys.modules if name.partition(".")[0] in {HEAVY!r})
print(f"heavy: {{len(found)}} {{found[:3]}}", file=sys.stderr)
"""
LOAD = "import attnbench; assert len(attnbench.load({results!r}, curves=True)) > 4\n"
RUN = """
from attnbench.cli import app
try:
    app({arguments!r}, standalone_mode=False)
except SystemExit as stop:
    assert not stop.code, stop.code
"""
ROOMS = """
import importlib, pkgutil
import attnbench
for room in ("analysis", "claims", "stats", "store"):
    for module in pkgutil.iter_modules([f"{attnbench.__path__[0]}/{room}"]):
        importlib.import_module(f"attnbench.{room}.{module.name}")
"""
# "show" joins them when it no longer reaches the website.
COMMANDS = [
    "export table.csv", "export table.json", "export table.parquet", "validate", "schema", *(f"list {kind}" for kind in KINDS),
    "claims", "compare orthogonal mine",
]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with results of a kernel cell and a task cell of mechanisms that are registered, and of a file."""
    records = [make_record(make_spec(variant=variant, seq_len=size)) for variant in ("orthogonal", "mine") for size in (256, 512)]
    task = {"task": "mnist", "data": "embedded:1a2b3c4d", "block": "residual", "num_layers": 2, "epochs": 1, "lr": 0.1}
    for variant in ("softmax", "polynomial"):
        spec = make_spec(track="task", seq_len=None, mode="training", variant=variant, params={"degree": 3}, **task)
        measured = {"accuracy": [0.9], "train_s": [3.0], "peak_memory_bytes": [4096.0]}
        curve = {"step": [0.0, 1.0], "wall_s": [0.0, 1.0], "validation_accuracy": [0.1, 0.9]}
        records.append(make_record(spec, measurements=measured, curve=curve))
    for record in records:
        Store(tmp_path / "results").append(record)
    return tmp_path


def heavy(script: str, folder: Path) -> str:
    """How many modules of HEAVY a script has imported when it is done, and the first of them."""
    done = subprocess.run([sys.executable, "-c", script + COUNT], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stderr.rpartition("heavy: ")[2].strip()


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_that_reads_imports_no_torch(command: str, folder: Path) -> None:
    assert heavy(RUN.format(arguments=command.split()), folder) == "0 []"


def test_the_lengths_of_tasks_are_read_without_an_import(folder: Path) -> None:
    script = "from attnbench import registry; print(*[registry.field('tasks', name, 'seq_len') for name in registry.names('tasks')])\n"
    assert heavy(script, folder) == "0 []"


def test_loading_a_table_imports_no_torch(folder: Path) -> None:
    assert heavy(LOAD.format(results=str(folder / "results")), folder) == "0 []"


def test_no_room_that_reads_imports_torch(folder: Path) -> None:
    assert heavy(ROOMS, folder) == "0 []"


def test_a_heavy_import_would_be_seen(folder: Path) -> None:
    assert heavy("import attnbench.attention\n", folder) != "0 []"
