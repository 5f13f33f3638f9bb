"""The Ray engine: runs cells and checks on the nodes of a Ray cluster. What they give is stored by this process alone.

What is timed runs on the nodes of one kind of machine, of which there are most, and has a whole node or a whole GPU to itself; training
runs and checks share any node that has the same build of torch and the same architecture.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from attnbench.errors import AttnbenchError, BadInput
from attnbench.runner.cell import Cell
from attnbench.runner.engines import Done, Place, Work
from attnbench.runner.engines import ray_worker as worker
from attnbench.runner.here import Machine
from attnbench.runner.parent import Start
from attnbench.runner.quiet import Quiet
from attnbench.runner.session import Session
from attnbench.store.peaks import known_peaks, store_peaks
from attnbench.store.store import Store

LOOK_S = 1.0  # between two looks at which nodes there are
PATIENCE_S = 120.0  # with nodes that do not answer, and with a cluster on which nothing can begin
DIGITS = 8  # of a node's id, in messages

Tell = Callable[[str], None]


@dataclass(eq=False)
class _NodePlace(Place):
    """A node of the cluster, or one of its GPUs. cpus: of the node, for each place."""

    node: str = ""
    cpus: float = 1.0
    about: worker.About | None = None


class Ray:
    """An engine of a Ray cluster.

    address: as ray.init takes it: "auto" for the cluster that runs on this machine, HOST:PORT, or "local" for one that ends with this
    process. device: of the cells. jobs: how many cells that are not timed run side by side on a node or a GPU; if None, one for each core
    of a node, and one on a GPU. say: called with what happens to nodes.

    Raises BadInput where Ray is not installed, AttnbenchError where there is no cluster at the address or no node that may run cells.
    """

    def __init__(self, address: str, device: str, say: Tell, jobs: int | None = None) -> None:
        self._ray = _imported()
        try:
            self._ray.init(address=address, namespace="attnbench", log_to_driver=False, configure_logging=False, include_dashboard=False)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise AttnbenchError(
                f"there is no Ray cluster at {address!r} ({(str(error).splitlines() or ['no reason given'])[0]}); start one with "
                "`ray start --head`, or give --address HOST:PORT of one that runs, or --address local"
            ) from error
        self._device, self._jobs, self._say = device, jobs, say
        self._mine = worker.sources()
        self._session: Session | None = None
        self._store: Store | None = None
        self._places: list[_NodePlace] = []
        self._refused: set[str] = set()
        self._asked: dict[Any, dict[str, Any]] = {}  # nodes, by the reference to what each will say of itself
        self._running: dict[Any, tuple[Work, _NodePlace]] = {}  # by the reference to what it will give
        self._files: dict[str, bytes] = {}
        self._looked = 0.0
        self._idle_since: float | None = None
        self._ask = self._ray.remote(max_retries=0, num_cpus=0)(worker.about)
        self._run = self._ray.remote(max_retries=0)(worker.run)
        self._kind: worker.About | None = None
        self._gather()

    @property
    def machine(self) -> Machine:
        """One of those that are alike, on which what is timed runs."""
        assert self._kind is not None
        return self._kind.machine

    @property
    def slots(self) -> int:
        """How many cells that are not timed run side by side in one place of the machine."""
        return max((place.slots for place in self._places if place.timed), default=1)

    def begin(self, session: Session, results: Path) -> None:
        """Make ready to run cells. results: where the peaks of machines are stored."""
        # What speaks to the terminal stays here. A GPU of its own is known to a new process, and not to one that a fork server forks.
        start: Start = "spawn" if self._device == "cuda" else session.start
        self._session = replace(session, start=start, roof=None, quiet=Quiet(session.quiet.patience_s))
        self._store = Store(results)

    def places(self) -> Sequence[Place]:
        self._look()
        self._places = [place for place in self._places if len(place) or not place.closed]
        return self._places

    def submit(self, work: Work, place: Place) -> None:
        assert isinstance(place, _NodePlace) and place.about is not None and self._session is not None and self._store is not None
        alone = isinstance(work, Cell) and work.is_timed
        share = 1 if alone else 1 / place.slots
        gpu = self._device == "cuda"
        options = {
            "num_cpus": share * place.cpus if alone or gpu else 1,
            "num_gpus": share if gpu else 0,
            "scheduling_strategy": self._on(place.node),
        }
        session = self._session if alone else replace(self._session, limits=self._session.limits.shared_by(place.slots))
        mine = work.fingerprint if isinstance(work, Cell) else work.fingerprint()
        task = worker.Task(work, self._files_of(work), mine, session, self._peaks(place.about) if alone else None)
        self._running[self._run.options(**options).remote(task)] = work, place

    def wait(self) -> Sequence[Done]:
        self._be_patient()
        waited = [*self._running, *self._asked]
        if not waited:
            time.sleep(LOOK_S)
            return []
        ready, _ = self._ray.wait(waited, num_returns=1, timeout=LOOK_S)
        if ready:
            ready, _ = self._ray.wait(waited, num_returns=len(waited), timeout=0)
        for reference in ready:
            if reference in self._asked:
                self._answered(reference)
        return [self._done(reference) for reference in ready if reference in self._running]

    def stop(self) -> None:
        for reference in self._running:
            self._ray.cancel(reference, force=True)
        self._ray.shutdown()

    def _gather(self) -> None:
        """Wait until every node has said what it is, and choose the kind of machine that is timed."""
        began = time.monotonic()
        self._look()
        while self._asked or not self._places:
            if time.monotonic() - began > PATIENCE_S:
                break
            ready, _ = self._ray.wait([*self._asked], num_returns=1, timeout=LOOK_S) if self._asked else ([], [])
            for reference in ready:
                self._answered(reference)
            if not self._asked and not self._places and self._refused:
                break
            if not ready and not self._asked:
                time.sleep(LOOK_S)
            self._look()
        kinds = Counter(place.about.kind for place in self._places if place.about)
        if not kinds:
            self._ray.shutdown()
            raise AttnbenchError("the Ray cluster has no node that may run cells; see above why, and `ray status`")
        kind = min(kinds, key=lambda one: (-kinds[one], one))
        self._kind = next(place.about for place in self._places if place.about and place.about.kind == kind)
        for place in self._places:
            place.timed = self._is_timed(place)
        others = {place.node for place in self._places if not place.timed}
        timed = {place.node for place in self._places if place.timed}
        more = f"; {len(others)} of another kind train and check" if others else ""
        self._say(f"Ray: {len(timed)} node{'' if len(timed) == 1 else 's'} of {self.machine.name} for what is timed{more}.")

    def _is_timed(self, place: _NodePlace) -> bool:
        return self._kind is None or (place.about is not None and place.about.kind == self._kind.kind)

    def _be_patient(self) -> None:
        """Raise AttnbenchError where nothing has run for long, although something is to run."""
        if self._running:
            self._idle_since = None
            return
        self._idle_since = self._idle_since or time.monotonic()
        if time.monotonic() - self._idle_since > PATIENCE_S:
            lacking = "no node" if not self._places else f"no node of {self.machine.name}, on which what is timed began,"
            raise AttnbenchError(f"the Ray cluster has {lacking} that may run cells; the same command goes on from here when it has")

    def _done(self, reference: Any) -> Done:
        work, place = self._running.pop(reference)
        try:
            answer: worker.Answer = self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            if not isinstance(error.cause, (AttnbenchError, OSError)):
                raise
            self._refuse(place.node, str(error.cause))
            return Done(work, place)
        except self._ray.exceptions.RayError as error:  # its worker, its node or what it gave was lost
            self._say(
                f"Ray: {worker.label(work)} lost its worker on node {place.node[:DIGITS]} ({type(error).__name__}), and is run again."
            )
            self._close(place.node)  # a node that is still there will say so
            return Done(work, place)
        if answer.peaks is not None and self._store is not None and place.about is not None:
            try:
                store_peaks(self._store.folder, place.about.machine.name, answer.peaks)
            except AttnbenchError as error:
                self._say(str(error))
        return Done(work, place, record=answer.record, found=answer.found)

    def _look(self) -> None:
        """Ask the nodes that came what they are, and close the places of those that went."""
        if time.monotonic() - self._looked < LOOK_S:
            return
        self._looked = time.monotonic()
        alive = {node["NodeID"]: node for node in self._ray.nodes() if node["Alive"]}
        known = {place.node for place in self._places if not place.closed}
        for gone in known - alive.keys():
            self._close(gone)
            self._say(f"Ray: node {gone[:DIGITS]} has gone; {len(known & alive.keys())} are left.")
        asked = {node["NodeID"] for node in self._asked.values()}
        for id, node in alive.items():
            if id not in known | asked | self._refused and _resource(node, "CPU") >= 1:
                self._asked[self._ask.options(scheduling_strategy=self._on(id)).remote(self._device)] = node

    def _answered(self, reference: Any) -> None:
        """Take a node in that has said what it is, or refuse it."""
        node = self._asked.pop(reference)
        try:
            about: worker.About = self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            self._refuse(node["NodeID"], f"it cannot run attnbench: {error.cause}")
            return
        except self._ray.exceptions.RayError:  # it has gone again; if not, it is asked once more
            return
        why = self._why_refused(node, about)
        if why is not None:
            self._refuse(node["NodeID"], why)
            return
        cpus, gpus = _resource(node, "CPU"), int(_resource(node, "GPU")) if self._device == "cuda" else 0
        slots = self._jobs or (1 if gpus else int(cpus))
        places = max(1, gpus)
        for _ in range(places):
            place = _NodePlace(min(slots, int(cpus)) or 1, node=node["NodeID"], cpus=cpus / places, about=about)
            place.timed = self._is_timed(place)
            self._places.append(place)

    def _why_refused(self, node: dict[str, Any], about: worker.About) -> str | None:
        for name, mine in self._mine.items():
            if about.sources.get(name) != mine:
                return f"its {name} is {about.sources.get(name)}, and here it is {mine}; install the same on both"
        if self._device == "cuda" and not _resource(node, "GPU"):
            return "it has no GPU"
        return None

    def _refuse(self, node: str, why: str) -> None:
        if node not in self._refused:
            self._say(f"Ray: node {node[:DIGITS]} is refused: {why}")
        self._refused.add(node)
        self._close(node)

    def _close(self, node: str) -> None:
        for place in self._places:
            if place.node == node:
                place.closed = True
        self._looked = 0.0

    def _files_of(self, work: Work) -> dict[str, bytes]:
        """The contents of the files of a variant and a task, as they were first: an edit while the run goes on is the next run's."""
        files = worker.files_of(work)
        for source in files:
            if source not in self._files:
                self._files[source] = Path(source).read_bytes()
        return {source: self._files[source] for source in files}

    def _peaks(self, about: worker.About) -> Any:
        assert self._store is not None
        machine = about.machine
        return known_peaks(self._store.folder, machine.name, self._device, about.threads, machine.part.gpu or None)

    def _on(self, node: str) -> Any:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        return NodeAffinitySchedulingStrategy(node_id=node, soft=False)


def _imported() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a cluster of this process would report to its makers
    try:
        import ray
    except ImportError as error:
        raise BadInput(f"--engine ray needs Ray, which cannot be imported ({error}); pip install 'attnbench[ray]'") from error
    return ray


def _resource(node: dict[str, Any], name: str) -> float:
    return float(node["Resources"].get(name, 0.0))
