"""What runs on a node of a Ray cluster: it says what the node is, and runs a cell or a check that it is sent."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from attnbench import registry
from attnbench.errors import AttnbenchError
from attnbench.runner import here, load
from attnbench.runner.cell import Cell, CheckRequest
from attnbench.runner.gate import check
from attnbench.runner.here import Machine, this_machine
from attnbench.runner.jobs import Result
from attnbench.runner.quiet import Quiet
from attnbench.runner.roofline import Roof
from attnbench.runner.session import Session
from attnbench.runner.session import run as run_cell
from attnbench.store import environment
from attnbench.store.fingerprint import fingerprint
from attnbench.store.peaks import Peaks, store_peaks
from attnbench.store.probe import fact
from attnbench.store.record import Record

SOURCES = ("commit", "attnbench", "torch", "architecture")  # facts in which a node must agree with the driver
HARDWARE = ("cpu", "cores", "logical_cores", "threads", "processor_quota")
OF_GPU = ("name", "memory.total", "power.limit", "mig.mode.current")  # what does not change from one minute to the next
AS_MUCH = 1.05  # times the memory of another machine: two of one kind differ by a little


@dataclass(frozen=True)
class About:
    """What a node is: its machine, what its times depend on, and what its numbers depend on.

    threads: as here.threads gives them. memory: in bytes, 0 where unknown. gpus: the names of its GPUs.
    """

    machine: Machine
    hardware: str
    sources: dict[str, str]
    threads: float
    memory: int
    gpus: tuple[str, ...]

    def is_like(self, other: About) -> bool:
        """Whether times of the two may stand in one table: their machines have one name, and are alike."""
        less, more = sorted((self.memory, other.memory))
        return (self.machine.name, self.hardware) == (other.machine.name, other.hardware) and more <= AS_MUCH * less


@dataclass(frozen=True)
class Task:
    """A cell or a check as it is sent to a node.

    files: the contents of those that it is loaded from. fingerprint: of its sources. peaks: of the node, if they are known. mark: a file
    that the driver keeps beside checkpoints while it runs, by which a node sees that it has the same file system.
    """

    work: Cell | CheckRequest
    files: dict[str, bytes]
    fingerprint: str
    session: Session
    peaks: Peaks | None = None
    mark: Path | None = None


@dataclass(frozen=True)
class Answer:
    """A cell's record or the result of a check; with the peaks of the node, if they were measured anew."""

    record: Record | None = None
    found: Result | None = None
    peaks: Peaks | None = None


class OtherSources(AttnbenchError):
    """Raised where the files of a cell are not those of the driver."""


def sources() -> dict[str, str]:
    """What must be the same on a node and where the records are stored."""
    facts = environment.describe()
    return {name: str(facts.get(name)) for name in SOURCES}


def about(device: str) -> About:
    """What the node of this process is."""
    return about_of(this_machine(device), sources(), here.threads())


def about_of(machine: Machine, sources: dict[str, str], threads: float) -> About:
    """What a node is, by what is known of its machine."""
    gpus = [card for card in machine.facts.get("gpus") or [] if isinstance(card, dict)]
    alike = [str(machine.facts.get(name)) for name in HARDWARE] + [str([card.get(name) for name in OF_GPU]) for card in gpus]
    hardware = hashlib.sha256("\n".join(alike).encode()).hexdigest()[:8]
    names = tuple(str(card.get("name")) for card in gpus)
    return About(machine, hardware, sources, threads, machine.facts.get("memory_bytes") or 0, names)


def files_of(work: Cell | CheckRequest) -> list[str]:
    """The files of a variant and a task that are given by their paths, which a node may not have."""
    given = [work.variant_source, work.task_source] if isinstance(work, Cell) else [work.source]
    return [source for source in given if source is not None and registry.is_path(source)]


def fingerprint_of(work: Cell | CheckRequest) -> str:
    """The hash of the sources of a cell or a check, as they are where this process runs."""
    return work.fingerprint() if isinstance(work, CheckRequest) else fingerprint(work.spec, work.variant_source, work.task_source)


def label(work: Cell | CheckRequest) -> str:
    """A cell or a check in words."""
    return work.spec.label() if isinstance(work, Cell) else f"the check of {registry.stem(work.source)}"


def run(task: Task) -> Answer:
    """Run a cell or a check on the node of this process.

    Raises OtherSources where it would not be what the driver asked for, and whatever keeps a machine from measuring at all.
    """
    load.family_of(os.getppid())  # the node's other workers are no strangers to what runs here
    here.gpu.cache_clear()  # Ray gives each task a GPU of its own
    here.torch_says.cache_clear()
    with tempfile.TemporaryDirectory(prefix="attnbench-") as name:
        folder = Path(name)
        work = _placed(task, folder)
        session = session_of(task, work.device if isinstance(work, CheckRequest) else work.spec.device)
        if fingerprint_of(work) != task.fingerprint:
            raise OtherSources(f"the sources of {label(work)} are others there than here; install the same on both, without changes")
        if isinstance(work, CheckRequest):
            return Answer(found=check(work, session.start, session.limits, session.gpu))
        if not work.is_timed:
            return Answer(record=run_cell(work, session))
        machine, device = environment.machine_name(), work.spec.device
        if task.peaks is not None:
            store_peaks(folder, machine, task.peaks)
        roof = Roof(folder, session.start, gpu=session.gpu)
        record = run_cell(work, replace(session, roof=roof))
        peaks = roof.of(device)
        return Answer(record=record, peaks=None if peaks == task.peaks else peaks)


_quiets: dict[str, Quiet] = {}  # by session: a process runs many cells, and need not look at its machine before each


def session_of(task: Task, device: str) -> Session:
    """The session, as it is on this node; on each GPU it has a name of its own, for within a session times are compared with each other."""
    given, gpu = task.session, os.environ.get("CUDA_VISIBLE_DEVICES", "") if device == "cuda" else None
    name = given.name if gpu is None else f"{given.name}-gpu-{re.sub('[^A-Za-z0-9]', '-', gpu)}"
    # To look whether a machine is quiet takes all of it, which nobody has on whose other GPUs cells run.
    quiet = Quiet() if gpu is not None else _quiets.setdefault(given.name, Quiet(given.quiet.patience_s))
    checkpoints = given.checkpoints if task.mark is not None and fact(task.mark.exists) else None
    return replace(given, name=name, quiet=quiet, checkpoints=checkpoints, gpu=gpu)


def _placed(task: Task, folder: Path) -> Cell | CheckRequest:
    """The work, with those of its files in a folder of this node that it does not have, as it has where nodes share a file system."""
    places: dict[str | None, str] = {}
    for number, (source, content) in enumerate(task.files.items()):
        if fact(Path(source).read_bytes) == content:  # with the modules beside it
            continue
        file = folder / str(number) / Path(source).name
        file.parent.mkdir()
        file.write_bytes(content)
        places[source] = str(file)
    work = task.work
    if isinstance(work, CheckRequest):
        return replace(work, source=places.get(work.source, work.source))
    task_source = None if work.task_source is None else places.get(work.task_source, work.task_source)
    return replace(work, variant_source=places.get(work.variant_source, work.variant_source), task_source=task_source)
