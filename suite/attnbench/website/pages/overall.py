"""Average ranks over tasks with Nemenyi's critical difference, one view for each bench, form (causal or not) and protocol."""

from __future__ import annotations

from attnbench.analysis.labels import clip
from attnbench.analysis.number_format import rank_text
from attnbench.analysis.overall import Aggregate, lengths_text
from attnbench.stats import Interval, rank_ranges, ties
from attnbench.website.charts.dots import dot_chart
from attnbench.website.charts.scales import AVERAGE_RANK, spaced
from attnbench.website.groups import Axis, Group
from attnbench.website.results import Results
from attnbench.website.tables.table import Cell, Column, Table, Value
from attnbench.website.view import Charts, View

HOW = (
    "A bar reaches half the critical difference to either side: mechanisms whose bars overlap cannot be told apart (Friedman and Nemenyi, "
    "95 %). Residual models; 1 is best."
)


def views(results: Results) -> list[View]:
    """One view per bench, form and protocol, with its average ranks, or with the reason why it has none."""
    found: dict[tuple[Axis, ...], View] = {}
    for group in results.groups("task"):
        over, axes = results.standings.over_tasks(group.records[0]), _axes(group)
        if over and axes not in found:
            found[axes] = _view(results, axes, over)
    return list(found.values())


def _axes(group: Group) -> tuple[Axis, ...]:
    """The axes of an average: the bench, the form and the protocol."""
    return (*group.device, *(axis for axis in group.axes if axis.name in ("causal", "protocol")))


def _view(results: Results, axes: tuple[Axis, ...], over: Aggregate) -> View:
    title = f"Average rank over tasks · {', '.join(axis.label for axis in axes)}"
    left = tuple(f"Left out: {reason}." for reason in over.left_out)
    if over.found is None:
        few = f"An average needs two mechanisms with {over.seeds} seeds on the same two tasks."
        return View(axes, [Table(title, [Column("Variant", kind="text")], [], (few, *left))], title, "overall")
    half, styles = over.found.critical_difference / 2, results.style_of_label
    places, tied = rank_ranges(over.found.beats), ties(over.labels, over.found.beats)
    bars = [Interval(rank, rank - half, rank + half, 0.95) for rank in over.ranks]
    rows = [(label, styles[label], bar, ()) for label, bar in zip(over.labels, bars, strict=True)]
    columns = [
        Column("Place", key="place"), Column("Variant", kind="text", key="name"), Column("Average rank", key="average_rank"),
        Column("Cannot be told from", kind="text wide"),
    ]  # fmt: skip
    cells, data = [], list[dict[str, Value]]()
    for label, rank, place, others in zip(over.labels, over.ranks, places, tied, strict=True):
        name = Cell(clip(label, 60), kind="variant", style=styles[label])
        cells.append([Cell(rank_text(place)), name, Cell(f"{rank:.2f}"), Cell(", ".join(others) or "–", kind="text wide")])
        data.append({"name": label, "place": sum(place) / 2, "average_rank": rank})
    tasks = f"{', '.join(over.tasks)} ({lengths})" if (lengths := lengths_text(over.tasks)) else ", ".join(over.tasks)
    told = f"Over {tasks}. Critical difference {2 * half:.2f}; Friedman's p {over.found.friedman_p:.2g}."
    x = spaced(AVERAGE_RANK, [bound for bar in bars for bound in (bar.low, bar.high)])
    charts = (
        [
            Charts(
                [
                    dot_chart(
                        "Average rank, and half the critical difference",
                        x,
                        rows,
                        title,
                        notes=(HOW,),
                        columns=("average rank", "half the difference"),
                    )
                ]
            )
        ]
        if x
        else []
    )
    return View(axes, [Table(title, columns, cells, (told, *left), data), *charts], title, "overall")
