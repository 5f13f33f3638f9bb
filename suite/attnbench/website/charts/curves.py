"""Charts of what changes over training: columns of the training curves and the state of the layers, as means over seeds."""

from __future__ import annotations

import re
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence

from attnbench.store.facts import LARGEST
from attnbench.store.record import Record
from attnbench.website.charts.chart import Chart, Line, Point, line_chart
from attnbench.website.charts.reference import Reference
from attnbench.website.charts.scales import FROBENIUS, LAYER, RANK, RESIDUAL, STEP, TRAINING_TIME, Kind, exact, spaced
from attnbench.website.groups import Group
from attnbench.website.results import Results, by_label

Values = Sequence[float | None]
NORM = "attention_frobenius"
# What is measured of the tokens that a layer gives: title, name in a curve, axis.
OF_TOKENS = (("Effective rank", "effective_rank", RANK), ("Residual of the tokens", "dong_residual", RESIDUAL))
LEAD = (
    "Measured before training and after each epoch, on a few rows of the validation part that are always the same. At an effective rank "
    "of 1 all tokens of a row are parallel, and at a residual (what is left of them without their mean) of 0 they are the same: what "
    "follows can no longer tell them apart. Mechanisms without a matrix have no ‖A‖."
)
_LAYER = re.compile(r"(.+)_layer_([1-9]\d{0,4})")


def curve_chart(
    results: Results, group: Group, column: str, title: str, kind: Kind, reference: Reference | None = None
) -> Chart | None:  # fmt: skip
    """The chart of one column of the curves against the seconds trained, or against steps where no step was timed."""
    along, axis = ("wall_s", TRAINING_TIME) if any("wall_s" in record.curve for record in group.records) else ("step", STEP)
    return _chart(results, group, lambda record: record.curve.get(column, ()), along, title, (axis, kind), reference)


def layer_charts(results: Results, group: Group) -> list[Chart]:
    """Charts of the attention matrix's norm and of the last layer's tokens over training; in deeper stacks also of tokens by layer."""
    found = [_chart(results, group, _mean_of_layers, "step", "‖A‖ over training, mean over layers", (STEP, FROBENIUS))]
    for title, name, kind in OF_TOKENS:
        found.append(_chart(results, group, _last_layer(name), "step", f"{title} after the last layer, over training", (STEP, kind)))
        if (group.records[0].spec.num_layers or 0) > 2:
            found += _by_layer(results, group, title, name, kind)
    return [chart for chart in found if chart]


def by_layer(record: Record, what: str) -> dict[int, Values]:
    """The columns WHAT_layer_1 ... of a record's curve, by layer."""
    matches = ((_LAYER.fullmatch(column), values) for column, values in record.curve.items())
    return dict(sorted((int(match[2]), values) for match, values in matches if match and match[1] == what))


def _mean_of_layers(record: Record) -> Values:
    found = [[x for x in entries if x is not None] for entries in zip(*by_layer(record, NORM).values(), strict=False)]
    return [statistics.fmean(entries) if entries and max(entries) < LARGEST else None for entries in found]


def _last_layer(name: str) -> Callable[[Record], Values]:
    def of(record: Record) -> Values:
        layers = by_layer(record, name)
        return layers[max(layers)] if layers else ()

    return of


def _chart(
    results: Results, group: Group, of: Callable[[Record], Values], along: str, title: str, kinds: tuple[Kind, Kind],
    reference: Reference | None = None,
) -> Chart | None:  # fmt: skip
    """The chart of one value per epoch, as the mean over seeds, against a column of the curves."""
    lines = [
        Line(label, results.styles[mine[0].spec.variant], points)
        for label, mine in by_label(results, group.records).items()
        if (points := _mean_curve(((record.curve.get(along, ()), of(record), record.curve.get("step", ())) for record in mine), kinds[0]))
    ]
    x = spaced(kinds[0], [p.x for line in lines for p in line.points])
    y = spaced(kinds[1], [p.y for line in lines for p in line.points], room=0.14)  # for labels above the highest line
    return line_chart(title, x, y, lines, caption=f"{title} · {group.title}", reference=reference) if x and y else None


def _mean_curve(seeds: Iterable[tuple[Values, Values, Values]], kind: Kind) -> list[Point]:
    """The means over seeds, entry by entry; a seed without a finite value in an entry is left out of its mean."""
    entries: dict[int, list[tuple[float, float]]] = {}
    steps: dict[int, float] = {}
    for xs, ys, at in seeds:
        for entry, (x, y) in enumerate(zip(xs, ys, strict=False)):
            if x is not None and y is not None and max(abs(x), abs(y)) < LARGEST and (x > 0 or not kind.log):
                entries.setdefault(entry, []).append((x, y))
        steps |= {entry: step for entry, step in enumerate(at) if step is not None and abs(step) < LARGEST}
    return [
        Point(statistics.fmean(x for x, _ in pairs), statistics.fmean(y for _, y in pairs), note=_when(steps.get(entry)))
        for entry, pairs in sorted(entries.items())
    ]


def _when(step: float | None) -> str:
    if step is None:
        return ""
    return f" (step {step:,.0f})" if step else " (before training)"


def _by_layer(results: Results, group: Group, title: str, name: str, kind: Kind) -> list[Chart | None]:
    """Charts of a measure of the tokens by layer, before training and after it, on one scale."""
    moments = {"before": 0, "after": -1}
    lines = {moment: _layer_lines(results, group, name, entry) for moment, entry in moments.items()}
    points = [p for found in lines.values() for line in found for p in line.points]
    x, y = exact(LAYER, [p.x for p in points]), spaced(kind, [p.y for p in points])
    if not x or not y:
        return []
    titles: Mapping[str, str] = {moment: f"{title} by layer, {moment} training" for moment in moments}
    return [line_chart(titles[m], x, y, found, caption=f"{titles[m]} · {group.title}") for m, found in lines.items() if found]


def _layer_lines(results: Results, group: Group, name: str, entry: int) -> list[Line]:
    lines = []
    for label, mine in by_label(results, group.records).items():
        found: dict[int, list[float]] = {}
        for record in mine:
            for layer, values in by_layer(record, name).items():
                value = values[entry] if values else None
                if value is not None and abs(value) < LARGEST:
                    found.setdefault(layer, []).append(value)
        points = [Point(float(layer), statistics.fmean(seeds)) for layer, seeds in sorted(found.items())]
        if points:
            lines.append(Line(label, results.styles[mine[0].spec.variant], points))
    return lines
