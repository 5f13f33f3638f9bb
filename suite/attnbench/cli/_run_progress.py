"""The progress of a run, in a terminal or a log: what begins, how much is done, and about how long the rest takes."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from attnbench.analysis.drift import Drifts
from attnbench.analysis.labels import cell_text
from attnbench.runner.cell import Cell
from attnbench.runner.engines import Capacity
from attnbench.runner.estimate import Estimate, duration_text, time_left
from attnbench.runner.finished import is_disturbed
from attnbench.store.record import Record

BAD = ("error", "incorrect")
OTHER_STAGES = ("start", "build", "load data", "end")  # stages of a cell in which nothing is measured or trained


class Tally:
    """What a run has done so far, of which the records themselves are no part: there may be any number of them."""

    def __init__(self) -> None:
        self.statuses: Counter[str] = Counter()
        self.disturbed = 0
        self.working_s = 0.0
        self.drifts = Drifts()

    def add(self, record: Record) -> None:
        """Take note of a record."""
        self.statuses[record.status] += 1
        self.disturbed += is_disturbed(record)
        self.working_s += sum(seconds for stage, seconds in record.stages_s.items() if stage not in OTHER_STAGES)
        if record.status == "ok" and record.spec.is_timed:
            self.drifts.see(record)

    def __len__(self) -> int:
        return self.statuses.total()

    def has_bad(self) -> bool:
        """Whether a cell ended in an error or is incorrect."""
        return any(self.statuses[status] for status in BAD)


class Sweep:
    """Context manager: shows a bar in a terminal and prints a line a cell to a log; both tell the time left, by how long cells took.

    todo: the cells to run. estimate: of their seconds.
    """

    def __init__(self, todo: Sequence[Cell], estimate: Estimate, console: Console) -> None:
        self.tally = Tally()
        self._estimate, self._console, self._cells = estimate, console, len(todo)
        self._left_s = {True: 0.0, False: 0.0}  # as estimated, of what is timed and what is not
        for cell in todo:
            self._left_s[cell.spec.is_timed] += estimate.seconds(cell.spec)
        self._total_s = sum(self._left_s.values())
        self._spent_s = self._done_s = 0.0  # of what is done: the seconds without waits, and as they were estimated
        self._began = 0
        self._capacity = Capacity(1, 1)
        columns = (BarColumn(bar_width=24), TextColumn("{task.fields[status]}", markup=False))
        self._bar = Progress(*columns, console=console, disable=not console.is_terminal)
        self._task = self._bar.add_task("", total=self._total_s, status="starting")

    def __enter__(self) -> Sweep:
        self._bar.start()
        self._began_s = time.monotonic()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.took_s = time.monotonic() - self._began_s
        self._bar.stop()

    def more(self, cells: Sequence[Cell]) -> None:
        """Take note of cells that are to be run beside the others."""
        self._cells += len(cells)
        seconds = sum(self._estimate.seconds(cell.spec) for cell in cells)
        self._left_s[False] += seconds
        self._total_s += seconds
        self._bar.update(self._task, total=self._total_s)

    @property
    def left(self) -> int:
        """How many cells are not done yet."""
        return self._cells - len(self.tally)

    def starts(self, cell: Cell, running: int, capacity: Capacity) -> None:
        """Say that a cell begins: how many run then, and how many could."""
        self._began = min(self._cells, self._began + 1)  # one whose worker was lost begins again
        self._capacity = capacity
        beside = f" · {running} at once" if running > 1 else ""
        line = f"[{self._began}/{self._cells}] about {duration_text(self._left())} left{beside} · {cell_text(cell.spec)}"
        self._bar.update(self._task, completed=self._done_s, status=line)
        if not self._console.is_terminal:
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def ended(self, record: Record) -> None:
        """Take note of a record, and print what went wrong."""
        estimated_s = self._estimate.seconds(record.spec)
        self.tally.add(record)
        self._spent_s += record.duration_s
        self._done_s += estimated_s
        self._left_s[record.spec.is_timed] = max(0.0, self._left_s[record.spec.is_timed] - estimated_s)
        if record.status != "ok":
            reason = (record.reason or "").splitlines()[:1]
            self._console.print(f"{record.status}: {cell_text(record.spec)}: {' '.join(reason)}", markup=False, highlight=False)

    def _left(self) -> float:
        """The seconds left, where what is timed has its places and the rest has its own."""
        left_s = self._left_s[True] / self._capacity.alone + self._left_s[False] / self._capacity.beside
        return time_left(self._spent_s, self._done_s, left_s)
