"""The scaling page: time, its ratio to softmax, memory and throughput against seq_len; measured and claimed exponents; crossovers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attnbench.analysis.labels import clip
from attnbench.analysis.samples import BASELINE, positive, status_word
from attnbench.stats import Interval
from attnbench.store.record import Record
from attnbench.website.charts.chart import Chart, Failure, Line, Point, line_chart
from attnbench.website.charts.reference import Reference
from attnbench.website.charts.scales import LAYERS, MEMORY, RATIO, SEQ_LEN, THROUGHPUT, TIME, Kind, exact, spaced
from attnbench.website.groups import MODES, Group, mode_axis
from attnbench.website.results import Results, by_label
from attnbench.website.tables.growth import growth_table
from attnbench.website.tables.rows import cost_rows
from attnbench.website.tables.table import Table, failures_table
from attnbench.website.times import by_rounds, call_seconds, over_softmax
from attnbench.website.view import Charts, View

LISTED = ("skipped", "unavailable")
CROSSED = f"{BASELINE} itself is the line at 1. A ring on it is where a mechanism becomes cheaper, with its 95 % interval."
Measure = Callable[[Record], Interval | None]


def views(results: Results) -> list[View]:
    """One view per setting and mode."""
    found = []
    for group in results.groups("kernel"):
        modes = [mode for mode in MODES if any(r.spec.mode == mode for r in group.records)]
        for mode in modes:
            charts = [c for c in (size_chart(results, group, mode, what) for what in ("time", "ratio", "memory", "throughput")) if c]
            records = [r for r in group.records if r.spec.mode == mode]
            setting = f"{mode} · {group.title}"
            blocks: list[Table | Charts] = [failures_table(results, records, f"No cell gave a number · {setting}")]
            if charts:
                blocks = [Charts(charts), growth_table(results, records, setting)]
            found.append(View((*group.axes, mode_axis(mode)), blocks, setting, group.name, rows=cost_rows(results, records)))
    return found


def size_chart(results: Results, group: Group, mode: str, what: str) -> Chart | None:
    """The chart of one cost of one mode against seq_len; None where there is nothing to draw.

    what: "time", "ratio", "memory" or "throughput". The leaderboard shows time and memory too; these charts are made once and kept.
    """
    if what not in ("time", "memory"):
        return _size_chart(results, group, mode, what)
    key = group.axes, mode, what
    if key not in results.charts:
        results.charts[key] = _size_chart(results, group, mode, what)
    return results.charts[key]


def _size_chart(results: Results, group: Group, mode: str, what: str) -> Chart | None:
    records = [r for r in group.records if r.spec.mode == mode]
    title, kind = {
        "time": ("Time", TIME), "ratio": (f"Time over that of {BASELINE}", RATIO), "memory": ("Peak memory", MEMORY),
        "throughput": ("Tokens per second", THROUGHPUT),
    }[what]  # fmt: skip
    time = call_time(results)
    of = {"time": time, "ratio": _ratio(results, records), "memory": peak_memory, "throughput": _throughput(time)}[what]
    caption = f"{title}, {mode} · {group.title}"
    if what != "ratio":
        return cost_chart(results, records, f"{title}, {mode}", kind, of, caption, _seq_len, SEQ_LEN)
    crossings = _crossings(results, records)
    reference = Reference(1.0, CROSSED if crossings else f"{BASELINE} itself is the line at 1.")
    others = [r for r in records if results.label(r) != BASELINE]

    def said(record: Record) -> str:
        return f", {told}" if (told := by_rounds(results, record)) else ""

    return cost_chart(
        results, others, f"{title}, {mode}", kind, of, caption, _seq_len, SEQ_LEN, reference=reference, marks=crossings, said=said
    )


def _seq_len(record: Record) -> int | None:
    return record.spec.seq_len


def call_time(results: Results) -> Measure:
    return lambda record: call_seconds(results, record)


def peak_memory(record: Record) -> Interval | None:
    return positive(record, "peak_memory_bytes")


def _throughput(seconds: Measure) -> Measure:
    """Tokens per second over the whole batch; a decoding step counts one token for each row of the batch."""

    def of(record: Record) -> Interval | None:
        time, s = seconds(record), record.spec
        tokens = s.batch_size * (1 if s.mode == "decode" else s.seq_len or 1)
        return Interval(tokens / time.value, tokens / time.high, tokens / time.low, time.confidence) if time else None

    return of


def _ratio(results: Results, records: Sequence[Record]) -> Measure:
    bases = {r.spec.seq_len: call_seconds(results, r) for r in records if results.label(r) == BASELINE}
    return lambda record: over_softmax(results, record, bases.get(record.spec.seq_len))


def _crossings(results: Results, records: Sequence[Record]) -> list[Line]:
    """The sizes at which mechanisms become cheaper than softmax, as points on the line at 1."""
    found = []
    for label, mine in by_label(results, records).items():
        crossing = results.standings.crossings("time", mine[0]).get(label, {}).get(BASELINE)
        if crossing and crossing.found == "crosses":
            size = crossing.size
            note = f" from seq_len {size.value:,.0f} on, 95 % interval [{size.low:,.0f}, {size.high:,.0f}]"
            found.append(Line(label, results.styles[mine[0].spec.variant], [Point(size.value, 1.0, size.low, size.high, note)]))
    return found


def cost_chart(
    results: Results, records: Sequence[Record], title: str, kind: Kind, measure: Measure, caption: str,
    of: Callable[[Record], int | None], sizes: Kind = LAYERS, beside: Sequence[Record] = (), reference: Reference | None = None,
    marks: Sequence[Line] = (), said: Callable[[Record], str] = lambda _: "",
) -> Chart | None:  # fmt: skip
    """The chart of a positive metric against a size: medians with intervals, and the first size at which each mechanism failed.

    beside: records of another chart, which the y axis has room for too, so that the charts can be compared. marks: points of interest in x.
    said: what a pointer shows of a record beside its number.
    """
    lines, failures, notes = [], [], []
    bounds: list[float] = []
    for label, mine in by_label(results, records).items():
        style = results.styles[mine[0].spec.variant]
        points = [Point(float(of(r) or 0), i.value, i.low, i.high, said(r)) for r in mine if (i := measure(r))]
        bounds += [bound for p in points for bound in (p.low or p.y, p.high or p.y)]
        if points:
            lines.append(Line(label, style, points))
        failed = [r for r in mine if r.status != "ok"]
        drawn = next((r for r in failed if r.status not in LISTED), None)
        if drawn:
            text = f"{status_word(drawn)} at {sizes.title} {of(drawn):,}"
            failures.append(Failure(label, style, float(of(drawn) or 0), drawn.status, text))
        listed = next((r for r in failed if r.status in LISTED), None)
        if listed and not drawn:
            notes.append(f"{clip(label, 60)}: {listed.status}" + (f", {clip(listed.reason, 160)}" if listed.reason else ""))
    x = exact(sizes, [float(of(r) or 0) for r in records])
    bounds += [bound for r in beside if (i := measure(r)) for bound in (i.low, i.high)]
    y = spaced(kind, [*bounds, reference.value] if reference and bounds else bounds)
    return line_chart(title, x, y, lines, failures, caption, notes, reference, marks) if x and y else None
