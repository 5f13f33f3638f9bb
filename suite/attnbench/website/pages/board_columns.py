"""The leaderboard's further columns: growth, task rank, checks, utilisation, kernels, code, and the state of a stack before training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from urllib.parse import urlencode

from attnbench.analysis.marks import is_control
from attnbench.analysis.number_format import plain, rank_text, seconds, two_digit_percent
from attnbench.analysis.overall import Aggregate, lengths_text
from attnbench.analysis.samples import positive, single
from attnbench.analysis.standing import AveragePlace
from attnbench.store.record import Record
from attnbench.website.groups import BENCH_AXES, axes
from attnbench.website.results import Results
from attnbench.website.tables.checks import Checks
from attnbench.website.tables.costs import Extra
from attnbench.website.tables.table import EMPTY, Cell, Column, Value, bounds_data, common_lengths, exponent_cell
from attnbench.website.words import WORDS


def kernel_columns(results: Results, checks: Checks, records: Sequence[Record]) -> list[Extra]:
    """The further columns of a kernel table; those without a value in any row are left out."""
    found = [_kernels(records), _mfu(records), _task_rank(results, records), _growth(results, records), _code(records), checks_held(checks)]
    return [extra for extra in found if extra]


def checks_held(checks: Checks) -> Extra:
    """The column of how many checks held."""

    def data(record: Record) -> dict[str, Value]:
        report = checks.of(record)
        return {"checks_hold": report.ok if report else None}

    return Extra(Column("Checks", "held"), checks.cell, data)


def state(title: str, small: str, metric: str, falling: bool = False) -> Extra:
    """The column of one number of a stack's state before training."""

    def show(record: Record) -> Cell:
        value = single(record, metric)
        if value is None:
            return Cell("diverged", kind="number warn") if single(record, "diverged") else EMPTY
        return Cell("≥ 10¹⁵", "saturated") if metric.endswith("jacobian_condition") and value >= 1e15 else Cell(plain(value))

    return Extra(Column(title, small, key=metric, falling=falling), show, lambda record: {metric: single(record, metric)})


def _growth(results: Results, records: Sequence[Record]) -> Extra:
    growths = results.standings.growth("time", records[0])
    lengths = common_lengths(growths.values())

    def show(record: Record) -> Cell:
        return exponent_cell(growths.get(results.label(record)), lengths)

    def data(record: Record) -> dict[str, Value]:
        grown = growths.get(results.label(record))
        exponent = grown.exponent if grown else None
        return {**bounds_data("time_exponent", exponent), "claimed_time_exponent": grown.claimed if grown else None}

    return Extra(Column("Growth", f"{lengths} (claim)" if lengths else "(claim)", kind="number tight", key="time_exponent"), show, data)


def _task_rank(results: Results, records: Sequence[Record]) -> Extra | None:
    """The column of the average rank over the tasks of the same bench, with the range of places that the critical difference leaves.

    Its head says of which sequence lengths the tasks are, and a note beside it that of the times. None where most rows have no such rank.
    """
    over, places = results.standings.over_tasks(records[0]), results.standings.average_places(records[0])
    if over is None or 2 * sum(results.label(record) in places for record in records) <= len(records):
        return None
    lengths = lengths_text(over.tasks)

    def show(record: Record) -> Cell:
        return _rank_cell(record, over, places.get(results.label(record)))

    def data(record: Record) -> dict[str, Value]:
        place = places.get(results.label(record))
        return {"mean_task_rank": place.rank if place else None}

    note = f"Task ranks are of tasks at {lengths}; the times are at N {records[0].spec.seq_len:,}." if lengths else ""
    if not all(label in places or is_control(label) for label in map(results.label, records)):
        note += f" –: {over.seeds} seeds of too few tasks; attnbench run --preset standard --track task measures them."
    return Extra(Column("Task rank", f"at {lengths}" if lengths else "(range)", key="mean_task_rank"), show, data, note)


def _rank_cell(record: Record, over: Aggregate, place: AveragePlace | None) -> Cell:
    if place is None:
        return EMPTY
    told = f"average rank over {', '.join(over.tasks)}, residual models"
    bench = {axis.name: axis.value for axis in axes(record) if axis.name in BENCH_AXES}
    return Cell(f"{place.rank:.1f}", f"({rank_text(place.range)})", told, f"accuracy.html#{urlencode({**bench, 'to': 'over-tasks'})}")


def _mfu(records: Sequence[Record]) -> Extra | None:
    """The column of the model FLOPs utilisation."""
    column = Column("MFU", "of peak", key="mfu", falling=True, told=WORDS["MFU"])
    return _of_metric(records, lambda record: "mfu", two_digit_percent, column)


def _kernels(records: Sequence[Record]) -> Extra | None:
    """The column of the seconds of the GPU's kernels, beside those of the wall clock by which rows are ranked."""
    column = Column("Kernels", "of the GPU", key="kernel_s", told=WORDS["kernels"])
    return _of_metric(records, lambda record: f"{record.spec.mode}_kernel_s", seconds, column)


def _of_metric(records: Sequence[Record], name: Callable[[Record], str], show: Callable[[float], str], column: Column) -> Extra | None:
    """The column of the median of a metric; None where no record has it."""

    def value(record: Record) -> float | None:
        found = positive(record, name(record))
        return found.value if found else None

    def cell(record: Record) -> Cell:
        found = value(record)
        return EMPTY if found is None else Cell(show(found), kind="number quiet")

    if all(value(record) is None for record in records):
        return None
    return Extra(column, cell, lambda record: {column.key: value(record)})


def _code(records: Sequence[Record]) -> Extra | None:
    """The column of the mechanism's code on that device: tuned, compiled or a reference."""

    def word(record: Record) -> str:
        said = record.environment.get("implementation")
        return said if isinstance(said, str) else ""

    def show(record: Record) -> Cell:
        said = word(record)
        return Cell(said, kind="text", told=(WORDS[said],)) if said in WORDS else Cell(said or "–", kind="text")

    if not any(map(word, records)):
        return None
    return Extra(Column("Code", "here", kind="text", key="implementation"), show, lambda record: {"implementation": word(record) or None})
