"""Cells on the nodes of a Ray cluster: the same as on one machine, whoever is killed meanwhile."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path

import pytest
from rich.console import Console

import attnbench
from attnbench.cli.run import Choice, Where, sweep
from attnbench.errors import AttnbenchError, BadInput
from attnbench.runner import load
from attnbench.runner.cell import resolve
from attnbench.runner.engines import ray_worker
from attnbench.runner.here import Machine
from attnbench.runner.session import Session
from attnbench.spec.axes import Spec
from attnbench.store.record import Record
from helpers.killed_runs import TRAININGS, marked, running, stored
from helpers.misbehaving import PATIENCE_S, wait_for
from helpers.ray_cluster import CPUS, cluster
from helpers.records import know_machine, make_spec

TEMPLATE = Path(attnbench.__file__).parent / "variants" / "_template.py"
# Decoding, stacks, trainings and steps of them, of two mechanisms.
EVERY_KIND = """
from attnbench.spec.presets import _DECODE, _DEPTH
two = ("softmax", "orthogonal")
small = {"block": "residual", "num_layers": 1, "num_heads": 2, "head_dim": 8, "batch_size": 64, "epochs": 2, "lr": 3e-3}
grids = (
    Grid("kernel", two, {"seq_len": (64,)}, {**_KERNEL, **_DECODE}),
    Grid("depth", two, {"block": ("residual",), "num_layers": (1,)}, _DEPTH),
    TaskGrid(("digits",), two, seeds=2, fixed=small),
)
PRESETS["quick"] = Preset("every kind", grids)
main()
grid = None
"""
NUMBERS = ("accuracy", "validation_accuracy", "steps", "parameters", "peak_memory_bytes")  # what depends on no clock


def finish(results: Path, *arguments: str, grid: str = TRAININGS) -> str:
    """Run until the end; gives what was printed."""
    with running(results, *arguments, grid=grid) as (process, mark):
        printed, complained = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0, (printed[-2000:], complained[-2000:])
        wait_for(lambda: not marked(mark))
    return printed


def outcome(record: Record) -> tuple[object, ...]:
    numbers = {name: record.measurements.get(name) for name in NUMBERS} if record.spec.track == "task" else {}
    return record.status, record.reason, numbers


@pytest.mark.long
@pytest.mark.alone
def test_two_nodes_give_the_same_cells_statuses_and_accuracies_as_this_machine(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    know_machine(here)  # what it can do at most; there the nodes find that out, and the driver stores it
    finish(here, grid=EVERY_KIND)
    with cluster(2) as nodes:
        printed = finish(there, "--engine", "ray", "--address", nodes.address, grid=EVERY_KIND)
    assert "Ray: 2 nodes of " in printed
    local, spread = ({record.id: record for record in stored(results)} for results in (here, there))
    assert len(local) == 10 and {id: outcome(record) for id, record in local.items()} == {
        id: outcome(record) for id, record in spread.items()
    }
    # Times are compared within a session, and each node has its own.
    assert len({record.session for record in local.values()}) == 1 < len({record.session for record in spread.values()}) <= 2
    for record in spread.values():
        assert record.environment["threads"] == (1 if record.spec.track == "task" else local[record.id].environment["threads"])
        assert ("beside" in record.environment) == (record.spec.track == "task")
    assert [file.name for file in (there / "machines").iterdir()] == [file.name for file in (here / "machines").iterdir()]


@pytest.mark.long
@pytest.mark.alone
def test_nodes_and_the_driver_are_killed_and_every_cell_is_recorded_once(results: Path) -> None:
    with cluster(3) as nodes:
        on_ray = ("--engine", "ray", "--address", nodes.address)
        with running(results, *on_ray, grid=TRAININGS) as (process, _):
            assert process.stdout is not None
            for number in range(1, 4):
                next(line for line in process.stdout if line.startswith(f"[{number}/"))
                nodes.remove_node(next(iter(nodes.worker_nodes)), allow_graceful=False)  # SIGKILL
                nodes.add_node(num_cpus=CPUS)
            next(line for line in process.stdout if "lost its worker" in line)
            wait_for(lambda: bool(stored(results)))
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
        kept = stored(results)
        assert 0 < len(kept) < 8
        with running(results, *on_ray, grid=TRAININGS) as (process, _):
            assert process.stdout is not None
            next(line for line in process.stdout if "at once" in line)
            os.kill(process.pid, signal.SIGINT)
            printed, _ = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 130 and "the same command goes on with the other" in printed
        finish(results, *on_ray)
    records = stored(results)
    assert len(records) == 8 and {record.status for record in records} == {"ok"}
    assert {record.id: record for record in kept}.items() <= {record.id: record for record in records}.items()


@pytest.mark.long
@pytest.mark.alone
def test_a_node_with_other_sources_is_refused_and_said_to_be(results: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(Path(attnbench.__file__).parent, copy / "attnbench", ignore=shutil.ignore_patterns("__pycache__"))
    with cluster(0) as nodes:
        nodes.add_node(num_cpus=CPUS, env_vars={"PYTHONPATH": str(copy)})
        with running(results, "--engine", "ray", "--address", nodes.address) as (process, _):
            printed, complained = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1
    assert "is refused: its commit is None, and here it is " in printed
    assert "has no node that may run cells" in complained


def about(name: str = "node", memory: int = 126 * 2**30, clock: str = "345 MHz", **facts: object) -> ray_worker.About:
    """What a node with two GPUs says of itself."""
    card = {"name": "H100", "memory.total": "81559 MiB", "power.limit": "700 W", "clocks.sm": clock}
    given = {"cpu": "a processor", "cores": 16, "memory_bytes": memory, "gpus": [card, card], **facts}
    return ray_worker.about_of(Machine(name, "cuda", given, False), {}, 16.0)


def test_nodes_are_alike_by_what_does_not_change_from_one_minute_to_the_next() -> None:
    one = about()
    assert one.gpus == ("H100", "H100")
    for alike in (about(), about(clock="1980 MHz"), about(memory=126 * 2**30 - 1), about(memory=int(1.02 * 126 * 2**30))):
        assert one.is_like(alike) and alike.is_like(one)
    for other in (about("another"), about(memory=64 * 2**30), about(cores=8), about(gpus=[{"name": "H200"}]), about(gpus=None)):
        assert not one.is_like(other) and not other.is_like(one)
    assert about(memory_bytes=None).memory == 0 and about(memory_bytes=None).is_like(about(memory_bytes=None))


def test_without_ray_it_says_what_to_install(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(BadInput, match=r"pip install 'attnbench\[ray\]'"):
        sweep(Choice(), results, 60.0, rerun=False, dry_run=False, console=Console(), where=Where("ray"))


@pytest.mark.parametrize(
    ("where", "said"),
    [(Where("dask"), "unknown engine 'dask'"), (Where("local", address="auto"), "--address auto is of a Ray cluster; give --engine ray")],
)
def test_an_engine_that_there_is_not_and_an_address_without_one_are_refused(where: Where, said: str, results: Path) -> None:
    with pytest.raises(BadInput, match=said):
        sweep(Choice(), results, 60.0, rerun=False, dry_run=False, console=Console(), where=where)


@pytest.fixture
def _own_family(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a worker takes for its own processes stays as it is for other tests."""
    monkeypatch.setattr(load, "_heads", [])


@pytest.mark.usefixtures("_own_family")
def test_a_file_that_a_node_does_not_have_goes_with_its_cell(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_bytes(TEMPLATE.read_bytes())
    axes = {"block": "residual", "num_layers": 1, "num_heads": 1, "head_dim": 8, "batch_size": 64, "epochs": 1, "lr": 3e-3}
    cell = resolve(Spec(track="task", task="digits", variant="mine", **axes), {"mine": str(file)})
    files = {source: Path(source).read_bytes() for source in ray_worker.files_of(cell)}
    assert list(files) == [str(file)]
    file.unlink()
    answer = ray_worker.run(ray_worker.Task(cell, files, cell.fingerprint, Session("session")))
    assert answer.record is not None and answer.record.status == "ok", answer
    assert "--variant mine.py" in answer.record.command


@pytest.mark.usefixtures("_own_family")
def test_checkpoints_are_where_the_drivers_mark_is_seen_and_a_gpu_has_a_session_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark, work = tmp_path / "session.run", resolve(make_spec(seq_len=16))
    task = ray_worker.Task(work, {}, work.fingerprint, Session("session", checkpoints=tmp_path), mark=mark)
    assert ray_worker.session_of(task, "cpu").checkpoints is None, "a folder of the same name on a node of its own"
    mark.touch()
    assert ray_worker.session_of(task, "cpu").checkpoints == tmp_path
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    names = [ray_worker.session_of(task, device).name for device in ("cpu", "cuda")]
    assert names == ["session", "session-gpu-3"] and ray_worker.session_of(task, "cuda").gpu == "3"


@pytest.mark.usefixtures("_own_family")
def test_a_cell_of_other_sources_is_not_run() -> None:
    cell = resolve(make_spec(seq_len=16))
    for work in (cell, cell.check_request):
        with pytest.raises(AttnbenchError, match=r"the sources of .* are others there than here"):
            ray_worker.run(ray_worker.Task(work, {}, "0" * 16, Session("session")))
