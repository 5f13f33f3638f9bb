"""results/machines/MACHINE.json: what a machine can do at most, measured once in a process of its own and kept."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from attnbench.errors import AttnbenchError, Unavailable
from attnbench.runner import here
from attnbench.runner.jobs import Limits, PeaksJob
from attnbench.runner.lock import measurement_lock
from attnbench.runner.parent import Start, run_in_child
from attnbench.store import environment, hardware
from attnbench.store.peaks import Peaks, best_of, known_peaks, store_peaks

TIMEOUT_S = 180.0  # of a measurement that takes about 15 s
BUSY_PERCENT = 20.0  # of all processors

Tell = Callable[[str], None]


def measure_peaks(device: str, start: Start, watch: Tell = lambda stage: None) -> Peaks:
    """Measure in a child process. `watch` is called with every stage. The caller holds `measurement_lock`.

    Raises Unavailable when there is no such device, AttnbenchError when the child fails.
    """
    job = PeaksJob(device, environment.physical_cores(), Limits(timeout_s=TIMEOUT_S))
    result = run_in_child(job, "spawn" if device == "cuda" else start, watch)
    if result.status == "unavailable":
        raise Unavailable(result.reason)
    if not isinstance(result.value, Peaks):
        raise AttnbenchError(
            f"the peaks of this machine could not be measured: {result.status} at {result.stage!r}, {result.reason}; "
            "free its memory and processors, and try attnbench doctor --peaks"
        )
    return dataclasses.replace(result.value, threads=here.threads())


def busy() -> str | None:
    """A warning that other programs are computing now, or None; peaks would come out too low. Looks for half a second."""
    percent = hardware.busy_percent()
    if percent is None or percent < BUSY_PERCENT:
        return None
    return f"other programs use {percent:.0f} % of the processors: the peaks will come out too low; measure again when this machine is idle"


def peaks_of_this_machine(results: Path, device: str, start: Start, announce: Tell, gpu: str | None = None) -> Peaks:
    """The stored peaks of this machine; without any they are measured, which takes about 15 s, and stored.

    announce: called with a message about that, and about what goes wrong; peaks that cannot be stored are returned all the same.
    gpu: the GPU that it is to have to itself; None for the whole machine. Takes `measurement_lock`, which the caller must not hold.

    Raises Unavailable when there is no such device, AttnbenchError when measuring fails.
    """
    machine, threads = environment.machine_name(), here.threads()
    named = here.gpu() if device == "cuda" else None
    known = known_peaks(results, machine, device, threads, named)
    if known is not None:
        return known
    with measurement_lock(gpu=gpu):
        known = known_peaks(results, machine, device, threads, named)  # another process may have been at it
        if known is not None:
            return known
        announce(f"measuring what this machine's {device} can do at most: about 15 s, once for a results folder")
        warning = busy()
        if warning is not None:
            announce(warning)
        peaks = measure_peaks(device, start)
        try:
            store_peaks(results, machine, peaks)
        except AttnbenchError as error:
            announce(str(error))
        return peaks


@dataclass
class Roof:
    """A machine's peaks, with which a run compares its times: looked up or measured when they are first asked for.

    announce: called with messages about that. A run goes on without peaks where they cannot be measured. gpu: the GPU that the run has to
    itself; None for the whole machine.
    """

    results: Path
    start: Start
    announce: Tell = lambda said: None
    gpu: str | None = None
    _found: dict[str, Peaks | None] = field(default_factory=dict)
    _measured_again: set[str] = field(default_factory=set)

    def of(self, device: str) -> Peaks | None:
        """The peaks of a device; None when there is no such device, or it cannot be measured now."""
        if device not in self._found:
            self._found[device] = None
            try:
                self._found[device] = peaks_of_this_machine(self.results, device, self.start, self.announce, self.gpu)
            except Unavailable:  # as every cell of the device will say
                pass
            except (AttnbenchError, OSError) as error:  # the second of temporary files: no reason to measure nothing
                self.announce(f"{error}; times are not compared with the roofline")
        return self._found[device]

    def measure_again(self, device: str) -> Peaks | None:
        """Measure once more, and store and give the better of old and new peaks; None the second time, or where that fails.

        Peaks that were measured beside other programs are too low, and make honest times look impossible.
        """
        known = self._found.get(device)
        if known is None or device in self._measured_again:
            return None
        self._measured_again.add(device)
        self.announce(f"a time looks impossible: measuring what this machine's {device} can do once more")
        try:
            with measurement_lock(gpu=self.gpu):
                better = best_of(known, measure_peaks(device, self.start))
                store_peaks(self.results, environment.machine_name(), better)
        except (AttnbenchError, OSError) as error:
            self.announce(str(error))
            return None
        self._found[device] = better
        return better
