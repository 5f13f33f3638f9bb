"""What other processes use of the processors while a cell is timed, by two counts of Linux, neither of which suffices alone.

The run times of processes are exact, but those of other users or containers may be hidden. The ticks of the processors in /proc/stat hold
everything, but are samples, 100 a second and processor, each of which counts whole for whoever runs at its moment; over half a second they
are off by a tenth of a processor now and then. So what is known of processes counts, as far as the ticks, within their noise, agree.
"""

from __future__ import annotations

import math
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from attnbench.store.probe import fact

PROC = Path("/proc")
SURE = 3.0  # standard deviations of the ticks: honest cells may not be flagged by noise of counting
SEEN = 0.5  # least share of what processes used that ticks see: a fifth of a cell's work, in a rhythm of its own, fell between them
TIMED = ("time", "train")  # how the names of the stages begin in which times are taken

_SWITCHES = re.compile(rb"^nonvoluntary_ctxt_switches:\s*(\d+)", re.M)

Process = tuple[int, int]  # its id, and when it started, for an id may be given again


@dataclass(frozen=True)
class Usage:
    """Ticks of processor time that a process has used since it started, and its children which it has outlived. parent: its id."""

    parent: int
    own: int
    children: int


@dataclass(frozen=True)
class Snapshot:
    """All processes and the processors that this one may use, at one moment. busy, stolen: ticks of these processors since the start.

    switches: how often a thread of what this process started lost its processor to another one, all threads together.
    """

    at_s: float
    processes: Mapping[Process, Usage]
    processors: int
    busy: int
    stolen: int
    switches: int

    @cached_property
    def own(self) -> frozenset[Process]:
        """This process, and all that it started and they started; or those of another one, see family_of."""
        return frozenset(key for key in self.processes if key[0] in _family(self.processes, _head()))


@dataclass(frozen=True)
class Load:
    """What was used of the processors in a window of time. other: by other processes, steal: by a hypervisor, both in processors."""

    other: float
    steal: float
    switches: int


_heads: list[int] = []


def family_of(pid: int) -> None:
    """Have the processes that another one started counted as this process's own: of a cluster's node, what it runs beside this one."""
    _heads[:] = [pid]


def _head() -> int:
    return _heads[0] if _heads else os.getpid()


def snapshot(proc: Path = PROC) -> Snapshot | None:
    """The present state; None where the system does not say."""
    return fact(lambda: _snapshot(proc))


def between(before: Snapshot | None, after: Snapshot | None) -> Load | None:
    """The load between two moments; None where the system does not say, or counts what cannot be."""
    if before is None or after is None or not after.at_s > before.at_s:
        return None
    hertz = os.sysconf("SC_CLK_TCK")
    seconds = after.at_s - before.at_s
    own = before.own | after.own
    ours, others = _used(before, after, own), _used(before, after, (before.processes.keys() | after.processes.keys()) - own)
    busy, possible = after.busy - before.busy, after.processors * seconds * hertz
    noise = SURE * math.sqrt(max(1.0, busy * (1 - busy / possible)))
    if busy + noise < SEEN * ours:  # ticks of another system
        return None
    by_ticks = max(0, busy - ours)
    used = max(0.0, min(max(others, by_ticks - noise), by_ticks + noise))
    return Load(used / hertz / seconds, (after.stolen - before.stolen) / hertz / seconds, max(0, after.switches - before.switches))


def look(seconds: float) -> Load | None:
    """The load of the next seconds, in which this process sleeps."""
    before = snapshot()
    if before is None:
        return None
    time.sleep(seconds)
    return between(before, snapshot())


class Window:
    """The load while a cell is in the stages in which times are taken. `watch` is to be called with every stage that begins."""

    def __init__(self) -> None:
        self._began: Snapshot | None = None
        self._ended: Snapshot | None = None

    def watch(self, stage: str) -> None:
        """Look at the processors where timing begins or ends."""
        timed = stage.startswith(TIMED)
        if timed and self._began is None:
            self._began = snapshot()
        elif not timed and self._began is not None and self._ended is None:
            self._ended = snapshot()

    def facts(self) -> dict[str, object]:
        """The facts of a record; none where nothing was timed, or the system does not say. A cell that was killed timed until now."""
        load = between(self._began, self._ended or snapshot()) if self._began else None
        if load is None:
            return {}
        return {"other_load": round(load.other, 3), "steal": round(load.steal, 3), "involuntary_switches": load.switches}


def _used(before: Snapshot, after: Snapshot, among: frozenset[Process] | set[Process]) -> float:
    """Ticks that some processes used between two moments, with those that started or ended meanwhile.

    What a process has used in all passes to its parent when it ends, so what ended ones used before the window is taken off again.
    """
    stayed = [(before.processes[key], after.processes[key]) for key in among if key in before.processes and key in after.processes]
    started = [usage for key, usage in after.processes.items() if key in among and key not in before.processes]
    ended = [usage for key, usage in before.processes.items() if key in among and key not in after.processes]
    by_ended = sum(now.children - then.children for then, now in stayed) - sum(usage.own + usage.children for usage in ended)
    return sum(now.own - then.own for then, now in stayed) + sum(usage.own + usage.children for usage in started) + max(0, by_ended)


def _snapshot(proc: Path) -> Snapshot:
    """As `snapshot`; raises OSError, ValueError or IndexError where a file is not there or reads otherwise."""
    allowed = os.sched_getaffinity(0)
    busy = stolen = processors = 0
    for line in (proc / "stat").read_text(encoding="utf-8").splitlines():
        name, *counts = line.split()
        if name.startswith("cpu") and name[3:].isdigit() and int(name[3:]) in allowed:  # the line without a number is of all of them
            user, nice, system, _idle, _wait, interrupts, soft_interrupts, steal = map(int, counts[:8])
            busy, stolen = busy + user + nice + system + interrupts + soft_interrupts, stolen + steal
            processors += 1
    if not processors:
        raise ValueError("no processor that this process may use is in /proc/stat")
    processes = dict(filter(None, (_process(proc, int(folder.name)) for folder in proc.iterdir() if folder.name.isdigit())))
    switches = sum(_switches(proc, pid) for pid in _family(processes, os.getpid()) - {os.getpid()})
    return Snapshot(time.monotonic(), processes, processors, busy, stolen, switches)


def _process(proc: Path, pid: int) -> tuple[Process, Usage] | None:
    """A process; None where it has just ended."""
    try:
        text = (proc / str(pid) / "stat").read_bytes()
    except OSError:
        return None
    fields = text.rpartition(b")")[2].split()  # the name before it, in brackets, may hold anything
    user, system, children_user, children_system = map(int, fields[11:15])
    return (pid, int(fields[19])), Usage(int(fields[1]), user + system, children_user + children_system)


def _family(processes: Mapping[Process, Usage], root: int) -> set[int]:
    """The ids of a process and of all its descendants."""
    children: dict[int, list[int]] = {}
    for (pid, _), usage in processes.items():
        children.setdefault(usage.parent, []).append(pid)
    family, new = {root}, [root]
    while new:
        new = [child for parent in new for child in children.get(parent, ()) if child not in family]
        family.update(new)
    return family


def _switches(proc: Path, pid: int) -> int:
    """How often another thread was given the processor of one of a process's threads; 0 where it has just ended."""
    total = 0
    for status in (proc / str(pid) / "task").glob("*/status"):
        found = _SWITCHES.search(fact(status.read_bytes) or b"")
        total += int(found[1]) if found else 0
    return total
