"""The Ray engine: runs cells and checks on the nodes of a Ray cluster. What they give is stored by this process alone.

What is timed runs on the nodes of one kind of machine, of which there are most, and has a whole node or a whole GPU to itself; training
runs and checks share any node that has the same build of torch and the same architecture.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from attnbench.errors import AttnbenchError, BadInput
from attnbench.runner.cell import Cell
from attnbench.runner.engines import Done, Place, Work
from attnbench.runner.engines import ray_worker as worker
from attnbench.runner.engines.ray_nodes import DIGITS, LOOK_S, PATIENCE_S, NodePlace, Nodes, on_node, part_of
from attnbench.runner.here import Machine
from attnbench.runner.parent import Start
from attnbench.runner.quiet import Quiet
from attnbench.runner.session import Session
from attnbench.store.peaks import Peaks, best_of, known_peaks, store_peaks
from attnbench.store.store import Store


class Ray:
    """An engine of a Ray cluster.

    address: as ray.init takes it: "auto" for the cluster that runs on this machine, HOST:PORT, or "local" for one that ends with this
    process. device: of the cells. jobs: how many cells that are not timed run side by side on a node or a GPU; if None, one for each core
    of a node that has the memory for it, and one on a GPU. say: called with what happens to nodes.

    Raises BadInput where Ray is not installed, AttnbenchError where there is no cluster at the address or no node that may run cells.
    """

    def __init__(self, address: str, device: str, say: Callable[[str], None], jobs: int | None = None) -> None:
        self._ray = _imported()
        try:
            self._ray.init(address=address, namespace="attnbench", log_to_driver=False, configure_logging=False, include_dashboard=False)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise AttnbenchError(
                f"there is no Ray cluster at {address!r} ({(str(error).splitlines() or ['no reason given'])[0]}); start one with "
                "`ray start --head`, or give --address HOST:PORT of one that runs, or --address local"
            ) from error
        self._device, self._say = device, say
        self._session: Session | None = None
        self._store: Store | None = None
        self._running: dict[Any, tuple[Work, NodePlace]] = {}  # by the reference to what it will give
        self._files: dict[str, bytes] = {}
        self._mark: Path | None = None
        self._idle_since: float | None = None
        self._run = self._ray.remote(max_retries=0)(worker.run)
        try:
            self._nodes = Nodes(self._ray, device, say, jobs)
        except BaseException:
            self._ray.shutdown()
            raise

    @property
    def machine(self) -> Machine:
        """One of those that are alike, on which what is timed runs."""
        return self._nodes.machine

    @property
    def slots(self) -> int:
        """How many cells that are not timed run side by side in one place of the machine."""
        return self._nodes.slots

    def begin(self, session: Session, results: Path, cells: Iterable[Cell]) -> None:
        """Make ready to run some cells, of files as they are now: an edit while the run goes on is the next run's.

        results: where the peaks of machines are stored.
        """
        # What speaks to the terminal stays here. A GPU of its own is known to a new process, and not to one that a fork server forks.
        start: Start = "spawn" if self._device == "cuda" else session.start
        quiet, checkpoints = Quiet(session.quiet.patience_s), session.checkpoints and session.checkpoints.resolve()
        self._session = replace(session, start=start, roof=None, quiet=quiet, checkpoints=checkpoints)
        self._store = Store(results)
        self._files = {source: Path(source).read_bytes() for source in {source for cell in cells for source in worker.files_of(cell)}}
        if checkpoints is not None:
            checkpoints.mkdir(parents=True, exist_ok=True)
            self._mark = checkpoints / f"{session.name}.run"
            self._mark.touch()

    def places(self) -> Sequence[Place]:
        return self._nodes.places()

    def submit(self, work: Work, place: Place) -> None:
        assert isinstance(place, NodePlace) and place.about is not None and self._session is not None
        alone = isinstance(work, Cell) and work.is_timed
        parts = 1 if alone else place.slots  # by which Ray counts, the work of other commands on the cluster as well
        options = {
            "num_cpus": part_of(place.cpus, parts),
            "num_gpus": part_of(1, parts) if self._device == "cuda" else 0,
            "scheduling_strategy": on_node(place.node),
        }
        limits = self._session.limits if alone else self._session.limits.shared_by(place.slots)
        session = replace(self._session, limits=limits, name=f"{self._session.name}-{place.node[:DIGITS]}")  # times of two nodes do not mix
        mine = work.fingerprint if isinstance(work, Cell) else work.fingerprint()
        peaks = self._peaks(place.about) if alone else None
        task = worker.Task(work, {source: self._files[source] for source in worker.files_of(work)}, mine, session, peaks, self._mark)
        self._running[self._run.options(**options).remote(task)] = work, place

    def wait(self) -> Iterator[Done]:
        self._be_patient()
        asked = self._nodes.asked()
        waited = [*self._running, *asked]
        if not waited:
            time.sleep(LOOK_S)
            return
        ready, _ = self._ray.wait(waited, num_returns=1, timeout=LOOK_S)
        if ready:
            ready, _ = self._ray.wait(waited, num_returns=len(waited), timeout=0)
        for reference in ready:
            if reference in asked:
                self._nodes.answered(reference)
        for reference in ready:
            if reference in self._running:
                yield self._done(reference)

    def stop(self) -> None:
        for reference in self._running:
            self._ray.cancel(reference, force=True)
        self._ray.shutdown()
        if self._mark is not None:
            with suppress(OSError):  # as the folder is where checkpoints are left in it
                self._mark.unlink()
                self._mark.parent.rmdir()

    def _be_patient(self) -> None:
        """Raise AttnbenchError where nothing has run for long, although something is to run."""
        if self._running:
            self._idle_since = None
            return
        self._idle_since = self._idle_since or time.monotonic()
        if time.monotonic() - self._idle_since > PATIENCE_S:
            lacking = f"no node of {self.machine.name}, on which what is timed began," if self._nodes.has_places() else "no node"
            raise AttnbenchError(f"the Ray cluster has {lacking} that may run cells; the same command goes on from here when it has")

    def _done(self, reference: Any) -> Done:
        work, place = self._running.pop(reference)
        try:
            answer: worker.Answer = self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            if not isinstance(error.cause, (AttnbenchError, OSError)):
                raise
            self._nodes.refuse(place.node, str(error.cause))
            return Done(work, place)
        except self._ray.exceptions.RayError as error:  # its worker, its node or what it gave was lost
            self._say(
                f"Ray: {worker.label(work)} lost its worker on node {place.node[:DIGITS]} ({type(error).__name__}), and is run again."
            )
            self._nodes.close(place.node)  # a node that is still there will say so
            return Done(work, place)
        if answer.peaks is not None and self._store is not None and place.about is not None:
            known = self._peaks(place.about)  # by now, from another node
            try:
                store_peaks(self._store.folder, place.about.machine.name, best_of(known, answer.peaks) if known else answer.peaks)
            except AttnbenchError as error:
                self._say(str(error))
        return Done(work, place, record=answer.record, found=answer.found)

    def _peaks(self, about: worker.About) -> Peaks | None:
        assert self._store is not None
        machine = about.machine
        return known_peaks(self._store.folder, machine.name, self._device, about.threads, machine.part.gpu or None)


def _imported() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a cluster of this process would report to its makers
    try:
        import ray
    except ImportError as error:
        raise BadInput(
            f"--engine ray needs Ray, which cannot be imported ({error}); pip install 'attnbench[ray]' in attnbench's own environment, or "
            "pip install -e '.[ray]' in a clone"
        ) from error
    return ray
