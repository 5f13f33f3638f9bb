"""A cell counts as finished only for as many threads, and on the GPU, as it would have now; results of others stand apart."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from attnbench.runner import here
from attnbench.runner.finished import is_settled
from attnbench.runner.jobs import Limits
from attnbench.runner.limits import memory_budget_bytes
from attnbench.spec.axes import Spec
from attnbench.store import environment, hardware
from attnbench.store.facts import APART
from attnbench.store.peaks import store_peaks
from attnbench.store.record import Record
from attnbench.store.store import Store
from helpers.command import cli, cli_here
from helpers.records import know_machine, make_peaks, make_record, make_spec

H100, A100 = {"name": "NVIDIA H100"}, {"name": "NVIDIA A100"}
SPEC = make_spec(seq_len=16)


def with_environment(**facts: object) -> Record:
    return make_record(SPEC, environment=facts)


def on_gpu(**facts: object) -> Record:
    return make_record(make_spec(device="cuda"), environment={"threads": environment.physical_cores(), **facts})


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> object:
    """Sets the machine's GPUs, and what torch says of the one in use."""

    def put(cards: list[dict[str, str]], named: str | None) -> None:
        monkeypatch.setattr(hardware, "gpus", lambda: cards)
        monkeypatch.setattr(here, "torch_says", lambda: here.TorchSays(gpu=named))
        here.gpu.cache_clear()

    yield put
    monkeypatch.undo()
    here.gpu.cache_clear()


def test_the_newest_record_of_as_many_threads_counts(results: Path) -> None:
    mine, store = environment.physical_cores(), Store(results)
    ours = dataclasses.replace(with_environment(threads=mine), session="a")
    store.append(ours)
    store.append(dataclasses.replace(ours, session="b", started_at="2027-01-01T00:00:00Z", environment={"threads": mine + 1}))
    assert list(store.finished("desk", ran_here=here.this_machine("cpu").measured).values()) == [ours]
    assert [record.session for record in store.finished("desk").values()] == ["b"]


def test_a_record_of_another_quota_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a processor computes with one thread, and half as fast."""
    monkeypatch.setattr(here, "_facts", lambda device, threads: {"threads": 1, "processor_quota": 0.5})
    counts = here.this_machine("cpu").measured
    assert counts(with_environment(threads=1, processor_quota=0.5))
    assert not counts(with_environment(threads=1)) and not counts(with_environment(threads=1, processor_quota=0.25))


def test_a_record_of_another_gpu_does_not_count(gpus: object) -> None:
    gpus([H100, A100], "NVIDIA A100")
    counts = here.this_machine("cuda").measured
    assert counts(on_gpu(gpu="NVIDIA A100", gpus=[H100, A100]))
    assert counts(on_gpu(gpus=[A100]))  # an older record, of a machine with one kind
    assert not counts(on_gpu(gpu="NVIDIA H100", gpus=[H100, A100]))
    assert not counts(on_gpu(gpus=[H100, A100]))  # an older record that does not say which
    assert counts(with_environment(threads=environment.physical_cores()))  # the CPU's


def test_one_kind_of_gpu_needs_no_torch_to_name_it(gpus: object, monkeypatch: pytest.MonkeyPatch) -> None:
    gpus([H100, H100], None)
    assert here.gpu() == "NVIDIA H100" and here.facts(make_spec(device="cuda"))["gpu"] == "NVIDIA H100"
    assert here.this_machine("cuda").measured(on_gpu(gpus=[H100])) and "gpu" not in here.facts(SPEC)


def test_without_a_gpu_what_a_gpu_gave_stays_finished(gpus: object) -> None:
    gpus([], None)
    assert here.gpu() is None and here.this_machine("cuda").measured(on_gpu(gpu="NVIDIA H100"))


def test_torch_names_its_devices_in_a_process_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    found = here.torch_says.__wrapped__()
    assert found == here.TorchSays(None, None, torch.version.hip, torch.version.cuda) or torch.cuda.is_available()
    monkeypatch.setattr(here, "ASK_TORCH", "print('no answer')")
    assert here.torch_says.__wrapped__() is None


def test_what_ran_out_of_memory_is_due_where_there_is_more() -> None:
    limits = Limits()
    budget = memory_budget_bytes(limits)
    assert budget is not None

    def ran_out(**facts: object) -> Record:
        return dataclasses.replace(with_environment(memory_share=limits.memory_share, **facts), status="oom", reason="too large")

    assert is_settled(ran_out(memory_budget_bytes=budget), limits)
    assert is_settled(ran_out(memory_budget_bytes=budget - 1), limits)  # a system's own part differs from start to start
    assert not is_settled(ran_out(memory_budget_bytes=budget // 4), limits)  # in a smaller container
    assert not is_settled(ran_out(memory_budget_bytes=budget), limits, 4 * (hardware.memory_bytes() or 0))  # of a cluster's nodes
    assert is_settled(ran_out(memory_budget_bytes=budget // 4), limits, (hardware.memory_bytes() or 0) // 4)
    assert is_settled(ran_out(), limits)  # an older record
    assert is_settled(ran_out(memory_budget_bytes="much"), limits)


@pytest.mark.long
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2 or environment.physical_cores() < 2, reason="one processor has no fewer")
def test_a_cell_of_one_thread_is_not_finished_for_two(results: Path) -> None:
    """And the two stand in tables of their own."""
    know_machine(results)
    run = ("run", "--results", str(results), "--cell")
    assert cli(*run, SPEC.compact()).returncode == 0
    one = {"threads": 1, "flops_per_s": {"float32": 1e18}, "bandwidth": ((2**20, 1e18),)}
    store_peaks(results, environment.machine_name(), make_peaks(**one))
    processor = min(os.sched_getaffinity(0))
    assert "1 ok" in cli(*run, SPEC.compact(), processors={processor}).stdout
    assert "Nothing to do" in cli(*run, SPEC.compact(), processors={processor}).stdout
    threads = [record.environment["threads"] for record in Store(results).read()]
    assert threads == [environment.physical_cores(), 1]
    shown = cli_here("show", "--results", str(results)).stdout
    assert shown.count("wall clock by seq_len") == 2 and "1 thread\n" in shown and f"{threads[0]} threads\n" in shown


TRAINED = Spec(track="task", variant="softmax", task="digits", block="residual", num_layers=1, epochs=1, lr=1e-3)


def trained(**facts: object) -> Record:
    """A training run of another machine, by the protocol unless the facts say otherwise."""
    theirs = {name: environment.describe()[name] for name in ("torch", "architecture")} | {"threads": 1, "timing": APART}
    return make_record(TRAINED, machine="elsewhere", measurements={"accuracy": [0.9]}, environment={**theirs, **facts})


@pytest.mark.parametrize(
    "other",
    [
        trained(timing="settled"),
        trained(torch="1.0"),
        trained(architecture="another"),
        dataclasses.replace(trained(), status="oom", reason="no memory"),
        dataclasses.replace(trained(), spec=SPEC),
    ],
    ids=["older", "torch", "architecture", "failed", "timed"],
)
def test_a_training_run_serves_every_machine_of_its_architecture_and_nothing_else_does(other: Record, results: Path) -> None:
    machine, store = here.this_machine("cpu"), Store(results)
    assert machine.can_use(trained()) and not machine.can_use(other)
    for record in (trained(), dataclasses.replace(other, session="b", started_at="2027-01-01T00:00:00Z")):
        store.append(record)
    assert store.finished("desk", "", machine.measured) == {}
    assert list(store.finished("desk", "", machine.measured, machine.can_use).values()) == [trained()]


def test_an_older_training_run_of_this_machine_is_due_again(results: Path) -> None:
    machine = here.this_machine("cpu")
    assert machine.measured(trained())
    assert not machine.measured(dataclasses.replace(trained(), environment={}))


ALONE = ["unshare", "-rm", "sh", "-c"]  # with mounts of its own


def may_mount() -> bool:
    return shutil.which("unshare") is not None and subprocess.run([*ALONE, "mount --bind /dev/null /proc/stat"]).returncode == 0


@pytest.mark.long
@pytest.mark.skipif(not may_mount(), reason="this user may not lay a file over another, even for one process")
def test_a_system_whose_own_files_are_garbage_loses_no_cell(results: Path, tmp_path: Path) -> None:
    """As in sandboxes that imitate Linux: neither processor nor memory, neither load nor start are known."""
    know_machine(results)
    (tmp_path / "garbage").write_bytes(b"cpu MHz : unknown\nmodel name : \xff\nphysical id : x\nMemTotal: much\n")
    files = " ".join(f"/proc/{name}" for name in ("cpuinfo", "meminfo", "stat", "loadavg"))
    before = f"for file in {files}; do mount --bind {tmp_path / 'garbage'} $file; done"
    command = [sys.executable, "-m", "attnbench", "run", "--results", str(results), "--cell", SPEC.compact()]
    variables = {**os.environ, "ATTNBENCH_MACHINE": environment.machine_name(), "LC_ALL": "C", "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run([*ALONE, f'{before} && exec "$@"', "sh", *command], capture_output=True, check=False, env=variables)
    assert done.returncode == 0, done.stdout + done.stderr
    (record,) = Store(results).read()
    assert record.status == "ok" and record.environment["cpu"] == "\ufffd" and record.environment["memory_bytes"] is None


@pytest.mark.long
@pytest.mark.parametrize("script", [r"printf '\377\376\200'", "sleep 600"], ids=["bytes", "hang"])
def test_an_nvidia_smi_that_is_of_no_help_loses_no_cell(script: str, results: Path, tmp_path: Path) -> None:
    """Nor a git and a uname of that kind, which describe the machine as well."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("nvidia-smi", "git", "uname"):
        (programs / name).write_text(f"#!/bin/sh\n{script if name == 'nvidia-smi' else 'printf hello; exit 3'}\n")
        (programs / name).chmod(0o755)
    know_machine(results)
    variables = {"PATH": f"{programs}:{os.environ['PATH']}", "ATTNBENCH_MACHINE": environment.machine_name()}
    done = cli("run", "--results", str(results), "--cell", SPEC.compact(), **variables)
    assert done.returncode == 0, done.stdout + done.stderr
    (record,) = Store(results).read()
    assert record.status == "ok" and record.environment["gpus"] == []
    assert json.loads(cli("doctor", "--json", "--results", str(results), **{**variables, "PATH": os.environ["PATH"]}).stdout)["threads"]
