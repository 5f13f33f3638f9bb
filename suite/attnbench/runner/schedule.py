"""Which cells of a plan may run now, which have to wait, and for what: for trials, for a smaller size, or for their variant's check."""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

from attnbench.runner.cell import Cell, CheckRequest, Key, Refusal
from attnbench.runner.gate import Gate
from attnbench.runner.jobs import Result
from attnbench.runner.larger_sizes import RanOut, smaller_sizes
from attnbench.runner.plan import Plan
from attnbench.spec import tuning
from attnbench.store.record import Record

MOST_LOST = 10  # times that a cell or a check loses its worker: it may be what brings them down

Order = Callable[[Cell], float]
OnMore = Callable[[Sequence[Cell]], None]


class Schedule:
    """Hands out the cells of a plan, and the checks that the gate demands before them, each as soon as what it rests on is done.

    What is timed comes first, in the order of the plan, and then what is not. A cell waits for the trials by which its rate is chosen,
    and for smaller sizes before it in the plan, since it is not tried where one of these runs out.

    order: gives cells that are not timed another order, the smallest number first. on_more: called with trials that are to be made beside
    the plan's, since those that were made do not decide a rate.
    """

    def __init__(self, plan: Plan, gate: Gate, ran_out: RanOut, order: Order | None = None, on_more: OnMore = lambda cells: None) -> None:
        self._plan, self._gate, self._ran_out = plan, gate, ran_out
        self._cells = list(plan.todo)
        self._order, self._on_more = order, on_more
        self._ready: dict[bool, list[tuple[float, int]]] = {True: [], False: []}  # heaps of priority and place in the plan, by is_timed
        self._waiting: dict[int, int] = {}  # for how many cells, by place
        self._rests: dict[Key, list[int]] = defaultdict(list)  # the places of those that wait for a cell
        self._parked: dict[str, list[int]] = {}  # the places of those that wait for a check, by its fingerprint
        self._timed_parked = 0  # how many of them are timed
        self._handed_out: dict[Key, int] = {}  # the places of the cells that run
        self._lost: Counter[int | str] = Counter()  # how often a worker was lost, by a cell's place in the plan or a check's fingerprint
        self._checks_again: list[CheckRequest] = []
        self._pending = {cell.key for cell in self._cells}
        needed = smaller_sizes(self._cells)
        for place, cell in enumerate(self._cells):
            trials = [cell.trial(spec).key for spec in tuning.trials(cell.spec)] if tuning.is_open(cell.spec) else []
            self._wait(place, self._pending.intersection(trials) | needed.get(cell.key, set()))

    def take(self, alone: bool, timed: bool = True) -> Cell | CheckRequest | None:
        """What may begin now: a cell, or a check that a cell needs; None while there is nothing before something that runs has ended.

        alone: whether nothing runs where it is to begin, as what is timed demands. timed: whether what is timed may run there at all.
        """
        if self._checks_again:
            return self._checks_again.pop()
        for is_timed in (True, False) if timed else (False,):
            ready = self._ready[is_timed]
            while ready:
                place = ready[0][1]
                cell = self._looked_at(place)
                if cell is None:
                    heapq.heappop(ready)
                    self._set_free(self._cells[place].key)
                elif isinstance(cell, list):
                    heapq.heappop(ready)
                    self._wait_for_trials(place, cell)
                elif isinstance(cell, CheckRequest):
                    heapq.heappop(ready)
                    if self._park(place, cell):
                        return cell
                elif cell.is_timed and not alone:
                    return None
                else:
                    heapq.heappop(ready)
                    self._handed_out[cell.key] = place
                    return cell
            if is_timed and self._timed_parked:
                return None
        return None

    def _looked_at(self, place: int) -> Cell | CheckRequest | list[Cell] | None:
        """A cell whose turn has come, with its rate, or refused; the check or the trials that it lacks; None if it turns out finished."""
        cell = self._plan.chosen(self._cells[place])
        if cell is None or isinstance(cell, list) or cell.refused:
            return cell
        if refusal := self._ran_out.why_not(cell.spec, cell.fingerprint):
            return cell.with_refusal(refusal)
        if reason := self._why_lost(place):
            return cell.with_refusal(Refusal("unavailable", reason))
        if not self._gate.is_settled(cell.check_request):
            return cell.check_request
        refusal = self._gate.refusal(cell.check_request)
        return cell if refusal is None else cell.with_refusal(refusal)

    def _wait_for_trials(self, place: int, trials: list[Cell]) -> None:
        """Have a cell wait for trials, those that are not in the schedule yet included."""
        more = [trial for trial in trials if trial.key not in self._pending]
        self._wait(place, {trial.key for trial in trials})
        for trial in more:
            self._pending.add(trial.key)
            self._cells.append(trial)
            self._push(len(self._cells) - 1)
        if more:
            self._on_more(more)

    def _wait(self, place: int, keys: set[Key]) -> None:
        """Have a cell wait for others; it may begin at once where there are none."""
        for key in keys:
            self._rests[key].append(place)
        if keys:
            self._waiting[place] = len(keys)
        else:
            self._push(place)

    def add(self, record: Record) -> None:
        """Take note of a cell's record: what waited for it may begin."""
        self._plan.add(record)
        self._ran_out.add(record)
        place = self._handed_out.pop((record.id, record.fingerprint))
        self._set_free(self._cells[place].key)

    def checked(self, request: CheckRequest) -> None:
        """Take note that the gate has the outcome of a check."""
        for place in self._parked.pop(request.fingerprint(), ()):
            self._timed_parked -= self._cells[place].is_timed
            self._push(place)

    def again(self, work: Cell | CheckRequest) -> None:
        """Take back what was handed out and came to no end, since where it ran was lost; it is handed out again, but not for ever."""
        if isinstance(work, Cell):
            place = self._handed_out.pop(work.key)
            self._lost[place] += 1
            self._push(place)
            return
        fingerprint = work.fingerprint()
        self._lost[fingerprint] += 1
        if (reason := self._why_lost(fingerprint)) is None:
            self._checks_again.append(work)
        else:
            self._gate.add(work, Result("unavailable", "run", reason))
            self.checked(work)

    def is_over(self) -> bool:
        """Whether nothing is left that could begin, now or later."""
        return not (any(self._ready.values()) or self._waiting or self._parked or self._checks_again)

    def _why_lost(self, what: int | str) -> str | None:
        lost = self._lost[what]
        return f"its worker was lost {lost} times while it ran" if lost >= MOST_LOST else None

    def _push(self, place: int) -> None:
        cell = self._cells[place]
        priority = 0.0 if cell.is_timed or self._order is None else self._order(cell)
        heapq.heappush(self._ready[cell.is_timed], (priority, place))

    def _park(self, place: int, request: CheckRequest) -> bool:
        """Have a cell wait for a check; whether that has yet to begin."""
        fingerprint = request.fingerprint()
        is_new = fingerprint not in self._parked
        self._parked.setdefault(fingerprint, []).append(place)
        self._timed_parked += self._cells[place].is_timed
        return is_new

    def _set_free(self, key: Key) -> None:
        self._pending.discard(key)
        for place in self._rests.pop(key, ()):
            self._waiting[place] -= 1
            if not self._waiting[place]:
                del self._waiting[place]
                self._push(place)
