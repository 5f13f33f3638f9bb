"""What `attnbench run` says of the records that are there: which cells are tried again, which records are of another source, and errors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping

from rich.console import Console

from attnbench.analysis.drift import Drifts
from attnbench.registry import is_path
from attnbench.runner.cell import Cell, Key
from attnbench.runner.finished import Finished
from attnbench.runner.own_softmax import without_softmax
from attnbench.runner.plan import Choice, Plan
from attnbench.runner.retry import newest_by_id
from attnbench.spec.own_cells import BASELINE
from attnbench.store.record import Record

_OTHER = "of another source (another file of that name, another text of it, another attnbench or torch)"


def announce(plan: Plan, known: Finished, finished: Mapping[Key, Record], console: Console) -> None:
    """Say how many cells are tried again after an error, and of files, which records and new ones take each other's place in the tables."""
    again = sum(known.retries(cell) for cell in plan.todo)
    if again:
        them, are = ("it", "is") if again == 1 else ("them", "are")
        _say(console, f"{_count(again, 'cell')} ended in an error whose cause may lie outside {them}, and {are} tried again.")
    newest = newest_by_id(finished.values())
    behind: Counter[str] = Counter()  # records that new ones will take the place of, by the name of a file
    for cell in plan.todo:
        found = newest.get(cell.spec.key())
        if found is not None and found.fingerprint != cell.fingerprint:
            behind.update(_names_of_files(cell))
    for name, count in behind.items():
        are = "is" if count == 1 else "are"
        _say(console, f"{_count(count, 'record')} of {name} on this machine {are} {_OTHER}: the new ones take their place in the tables.")
    shown = (cell for cell in plan.finished if newest[cell.spec.key()].fingerprint == cell.fingerprint)
    hidden = Counter(name for cell in plan.finished for name in _names_of_files(cell))
    hidden.subtract(name for cell in shown for name in _names_of_files(cell))
    for name, count in (+hidden).items():
        what = f"{_count(count, 'finished cell')} of {name}"
        _say(console, f"The tables show {what} by newer records {_OTHER}; --rerun measures anew what is asked for here.")


def tell_of_softmax(choice: Choice, plan: Plan, again: Collection[Key], records: Iterable[Record], console: Console) -> None:
    """Say how many cells of softmax are measured beside those that were asked for, or that such cells are of other sessions alone.

    again: those that were finished. records: of this machine.
    """
    asked_for = not choice.axes or not choice.variants or BASELINE in choice.variants
    added = 0 if asked_for else sum(cell.spec.variant == BASELINE for cell in plan.todo)
    for number, which in ((added - len(again), "too"), (len(again), "again")):
        if number > 0:
            are = "is" if number == 1 else "are"
            _say(console, f"{_count(number, 'cell')} of {BASELINE} in the same shape {are} measured {which}: ratios are over those.")
    if lacking := without_softmax(plan.todo, records):
        theirs = "its setting is" if len(lacking) == 1 else "their settings are"
        with_it = f"--variant {BASELINE} --rerun" if choice.variants else f"--variant NAME --variant {BASELINE} --rerun"
        _say(
            console,
            f"{_count(len(lacking), 'cell')} will rank by the ratios of the rounds, for {BASELINE}'s own of {theirs} of other sessions; "
            f"with {with_it} both are measured in one.",
        )


def tell_of_errors(errors: int, console: Console) -> None:
    """Say how many cells ended in an error, and how to measure those again."""
    if errors:
        _say(console, f"{_count(errors, 'cell')} ended in an error: `--retry errors` measures those again, and no others.")


def tell_of_disturbed(due: int, console: Console) -> None:
    """Say how many cells other programs disturbed, and what becomes of them."""
    if due:
        are = "was" if due == 1 else "were"
        _say(console, f"{_count(due, 'cell')} {are} disturbed by other programs and will not rank; the same command measures them again.")


def tell_of_drift(drifts: Drifts, console: Console) -> None:
    """Say of how many cells the seconds do not count because the machine's speed changed."""
    drifted = sum(why is not None for why in drifts.speeds().why)
    if drifted:
        _say(console, f"The seconds of {_count(drifted, 'cell')} do not count, because the machine's speed changed; ratios to softmax do.")


def _names_of_files(cell: Cell) -> list[str]:
    """The names of a cell's variant and task, as far as they come from files that are given by their paths."""
    named = ((cell.spec.variant, cell.variant_source), (str(cell.spec.task), cell.task_source))
    return [name for name, source in named if source is not None and is_path(source)]


def _say(console: Console, text: str) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
