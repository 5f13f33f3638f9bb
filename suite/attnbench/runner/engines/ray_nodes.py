"""The nodes of a Ray cluster: which there are, what each is, which are refused and why, and on which what is timed runs."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from attnbench.errors import AttnbenchError
from attnbench.runner.engines import Place
from attnbench.runner.engines import ray_worker as worker
from attnbench.runner.engines.local import most_jobs
from attnbench.runner.here import Machine

LOOK_S = 1.0  # between two looks at which nodes there are
PATIENCE_S = 120.0  # with nodes that do not answer, and with a cluster on which nothing can begin
DIGITS = 8  # of a node's id, in messages


@dataclass(eq=False)
class NodePlace(Place):
    """A node of the cluster, or one of its GPUs. cpus: of the node, for each place."""

    node: str = ""
    cpus: float = 1.0
    about: worker.About | None = None


class Nodes:
    """The nodes of a cluster that may run cells, as they come and go.

    ray: the module, connected. device: of the cells. say: called with what happens to nodes. jobs: how many cells that are not timed run
    side by side on a node or a GPU; if None, one for each core of a node that has the memory for it, and one on a GPU.

    Raises AttnbenchError where no node may run cells.
    """

    def __init__(self, ray: Any, device: str, say: Callable[[str], None], jobs: int | None) -> None:
        self._ray, self._device, self._say, self._jobs = ray, device, say, jobs
        self._ask = ray.remote(max_retries=0, num_cpus=0)(worker.about)
        self._mine = worker.sources()
        self._places: list[NodePlace] = []
        self._refused: set[str] = set()
        self._asked: dict[Any, dict[str, Any]] = {}  # nodes, by the reference to what each will say of itself
        self._looked = 0.0
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

    def places(self) -> Sequence[NodePlace]:
        """Where work can begin, and where some still runs, by a look that is not older than a second."""
        self._look()
        self._places = [place for place in self._places if len(place) or not place.closed]
        return self._places

    def has_places(self) -> bool:
        """Whether there was a place at the last look."""
        return bool(self._places)

    def asked(self) -> Sequence[Any]:
        """References to what nodes that came will say of themselves, each to be given to `answered` when it is ready."""
        return list(self._asked)

    def answered(self, reference: Any) -> None:
        """Take a node in that has said what it is, or refuse it."""
        node = self._asked.pop(reference)
        try:
            about: worker.About = self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            self.refuse(node["NodeID"], f"it cannot run attnbench: {error.cause}")
            return
        except self._ray.exceptions.RayError:  # it has gone again; if not, it is asked once more
            return
        why = self._why_refused(node, about)
        if why is not None:
            self.refuse(node["NodeID"], why)
            return
        cpus, gpus = _resource(node, "CPU"), int(_resource(node, "GPU")) if self._device == "cuda" else 0
        slots = self._jobs or (1 if gpus else most_jobs(about.machine, int(cpus)))
        places = max(1, gpus)
        for _ in range(places):
            place = NodePlace(min(slots, int(cpus)) or 1, node=node["NodeID"], cpus=cpus / places, about=about)
            place.timed = self._is_timed(place)
            self._places.append(place)

    def refuse(self, node: str, why: str) -> None:
        """Have nothing more run on a node."""
        if node not in self._refused:
            self._say(f"Ray: node {node[:DIGITS]} is refused: {why}")
        self._refused.add(node)
        self.close(node)

    def close(self, node: str) -> None:
        """Have nothing begin on a node until it has said again what it is."""
        for place in self._places:
            if place.node == node:
                place.closed = True
        self._looked = 0.0

    def _gather(self) -> None:
        """Wait until every node has said what it is, and choose the kind of machine that is timed."""
        began = time.monotonic()
        self._look()
        while self._asked or not self._places:
            if time.monotonic() - began > PATIENCE_S:
                break
            ready, _ = self._ray.wait([*self._asked], num_returns=1, timeout=LOOK_S) if self._asked else ([], [])
            for reference in ready:
                self.answered(reference)
            if not self._asked and not self._places and self._refused:
                break
            if not ready and not self._asked:
                time.sleep(LOOK_S)
            self._look()
        abouts = [place.about for place in self._places if place.about]
        if not abouts:
            raise AttnbenchError("the Ray cluster has no node that may run cells; see above why, and `ray status`")
        self._kind = min(abouts, key=lambda one: (-sum(map(one.is_like, abouts)), one.machine.name, one.hardware, one.memory))
        for place in self._places:
            place.timed = self._is_timed(place)
        others = {place.node for place in self._places if not place.timed}
        timed = {place.node for place in self._places if place.timed}
        more = f"; {len(others)} of another kind train and check" if others else ""
        self._say(f"Ray: {len(timed)} node{'' if len(timed) == 1 else 's'} of {self.machine.name} for what is timed{more}.")

    def _look(self) -> None:
        """Ask the nodes that came what they are, and close the places of those that went."""
        if time.monotonic() - self._looked < LOOK_S:
            return
        self._looked = time.monotonic()
        alive = {node["NodeID"]: node for node in self._ray.nodes() if node["Alive"]}
        known = {place.node for place in self._places if not place.closed}
        for gone in known - alive.keys():
            self.close(gone)
            self._say(f"Ray: node {gone[:DIGITS]} has gone; {len(known & alive.keys())} are left.")
        asked = {node["NodeID"] for node in self._asked.values()}
        for id, node in alive.items():
            if id not in known | asked | self._refused and _resource(node, "CPU") >= 1:
                self._asked[self._ask.options(scheduling_strategy=on_node(id)).remote(self._device)] = node

    def _is_timed(self, place: NodePlace) -> bool:
        return self._kind is None or (place.about is not None and place.about.is_like(self._kind))

    def _why_refused(self, node: dict[str, Any], about: worker.About) -> str | None:
        for name, mine in self._mine.items():
            if about.sources.get(name) != mine:
                return f"its {name} is {about.sources.get(name)}, and here it is {mine}; install the same on both"
        if self._device == "cuda" and not _resource(node, "GPU"):
            return "it has no GPU"
        if self._device == "cuda" and len(set(about.gpus)) > 1:
            return f"its GPUs differ ({', '.join(sorted(set(about.gpus)))}); start Ray with those of one kind in CUDA_VISIBLE_DEVICES"
        return None


def on_node(node: str) -> Any:
    """The option by which Ray runs a task on one node, and on no other."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return NodeAffinitySchedulingStrategy(node_id=node, soft=False)


def part_of(amount: float, parts: int) -> float:
    """One of so many equal parts of a resource. Ray rounds to four digits: rounded up, all of them would be more than there is.

    >>> part_of(1, 6), part_of(4, 4)
    (0.1666, 1.0)
    """
    return math.floor(1e4 * amount / parts) / 1e4


def _resource(node: dict[str, Any], name: str) -> float:
    return float(node["Resources"].get(name, 0.0))
