"""The claims page: each claim with its verdict, its rule, the paper, and the evidence as small plots and a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from attnbench.analysis.labels import clip, setting_text
from attnbench.analysis.number_format import digits, plain, seconds, size
from attnbench.claim import Claim, verdict_text
from attnbench.claims._history import file_of
from attnbench.claims._judge import Judgement, judged
from attnbench.claims._untested import UNTESTED
from attnbench.stats import Interval
from attnbench.website.charts.chart import Chart, Line, Point, line_chart
from attnbench.website.charts.dots import dot_chart
from attnbench.website.charts.scales import LAYERS, MEMORY, SEQ_LEN, TIME, Kind, exact, spaced
from attnbench.website.palette import DASHES, MARKERS, NEUTRAL, Style
from attnbench.website.results import Results
from attnbench.website.tables.table import Cell, Column, Table
from attnbench.website.words import WORDS

ROWS = 300  # of evidence on the page; the command prints all
CHARTS = 4
_SIZES = {"seq_len": SEQ_LEN, "num_layers": LAYERS}
_SHOW = {"s": seconds, "B": size}
Row = Mapping[str, Any]


@dataclass(frozen=True)
class JudgedClaim:
    """A claim with its judgement, as the page shows them."""

    name: str
    claim: Claim
    judgement: Judgement
    charts: Sequence[Chart]
    evidence: Table
    word: str

    @property
    def kind(self) -> str:
        return self.judgement.verdict.replace(" ", "-")


def judged_claims(results: Results, claims: Mapping[str, Claim]) -> list[JudgedClaim]:
    """Every claim, judged by all results."""
    found = []
    for name, claim in sorted(claims.items()):
        judgement = judged(claim, results.table, file_of(name))
        charts, table = _charts(results, judgement.evidence), _table(judgement.evidence)
        found.append(JudgedClaim(name, claim, judgement, charts, table, verdict_text(judgement.verdict).capitalize()))
    return found


def untested_table() -> Table:
    """The claims of the papers that are not tested here."""
    columns = [Column("Claim", kind="text wide"), Column("Paper", kind="text wide"), Column("Why it is not tested", kind="text wide")]
    rows = [[Cell(each.what, kind="head wide"), *(Cell(text, kind="text wide") for text in (each.paper, each.why))] for each in UNTESTED]
    return Table("What the papers claim and these results do not test", columns, rows)


def summary_table(found: Sequence[JudgedClaim]) -> Table:
    """The table of all claims with their verdicts."""
    columns = [
        Column("Claim", kind="text wide"),
        Column("Verdict", kind="text"),
        Column("Standing", kind="text"),
        Column("Source", kind="text wide"),
    ]
    rows = [
        [
            Cell(each.claim.statement, href=f"#claim-{each.name}", kind="head wide"),
            Cell(each.word, kind=f"verdict {each.kind}"),
            Cell(each.judgement.standing, kind="text", told=(WORDS[each.judgement.standing], each.judgement.standing_why)),
            Cell(("Our question, from " if each.claim.question else "") + each.claim.paper, kind="text wide"),
        ]
        for each in found
    ]
    return Table("What the papers claim, and what these results say", columns, rows)


def _charts(results: Results, evidence: Sequence[Row]) -> list[Chart]:
    """A chart for each bench and unit of the evidence, the first few."""
    panels: dict[tuple[str, str, str], list[Row]] = {}
    for row in evidence:
        panels.setdefault((setting_text(row["bench"]), row["axis"], _unit(row)), []).append(row)
    found = []
    for (bench, axis, unit), rows in list(panels.items())[:CHARTS]:
        drawn = _by_size(results, rows, axis, unit, bench) if axis in _SIZES else _by_place(results, rows, unit, bench)
        if drawn:
            found.append(drawn)
    return found


def _by_size(results: Results, rows: Sequence[Row], axis: str, unit: str, bench: str) -> Chart | None:
    kind = _kind(unit, [row["low"] for row in rows], [row["high"] for row in rows])
    arms: dict[str, list[Row]] = {}
    for row in rows:
        arms.setdefault(row["arm"], []).append(row)
    lines = [
        Line(arm, style, [Point(float(row["at"]), row["value"], row["low"], row["high"]) for row in own])
        for (arm, own), style in zip(arms.items(), _styles(results, list(arms)), strict=True)
    ]
    x = exact(_SIZES[axis], [float(row["at"]) for row in rows])
    y = spaced(kind, [x for row in rows for x in (row["low"], row["high"])], room=0.1)
    return line_chart(_title(unit), x, y, lines, caption=f"{kind.title} · {bench}", notes=(_setting(bench),)) if x and y else None


def _by_place(results: Results, rows: Sequence[Row], unit: str, bench: str) -> Chart | None:
    kind = replace(_kind(unit, [0.0], [1.0]), log=False)
    x = spaced(kind, [x for row in rows for x in (row["low"], row["high"])], room=0.1)
    styles = _styles(results, [row["arm"] for row in rows])
    one = len({row["arm"] for row in rows}) == 1
    shown = [
        (str(row["at"]) if one else f"{row['at']}: {row['arm']}", style, Interval(row["value"], row["low"], row["high"], 1.0), ())
        for row, style in zip(rows, styles, strict=True)
    ]
    return (
        dot_chart(_title(unit), x, shown, f"{kind.title} · {bench}", notes=(_setting(bench),), columns=("median", "least, most"))
        if x
        else None
    )


def _unit(row: Row) -> str:
    """The unit of a row's axis. Evidence in units of a margin has the size of its margin as unit; all sizes share the axis "margin"."""
    unit = str(row["unit"])
    return "margin" if unit.replace(".", "", 1).isdigit() and unit != "1" else unit


def _kind(unit: str, lows: Sequence[float], highs: Sequence[float]) -> Kind:
    known = {"s": TIME, "B": MEMORY, "margin": Kind("ahead (+) or behind (−), in margins", digits, log=False)}
    if unit in known:
        return known[unit]
    wide = min(lows) > 0 and max(highs) / min(lows) > 20
    return Kind("value" if unit == "1" else unit, plain, log=wide)


def _title(unit: str) -> str:
    return {"s": "Time", "B": "Peak memory", "margin": "Difference to softmax, in margins"}.get(unit, "Evidence")


def _setting(bench: str) -> str:
    return f"Medians over seeds, with their range. {bench}."


def _styles(results: Results, arms: Sequence[str]) -> list[Style]:
    """The style of each arm: that of its mechanism; several arms of one mechanism differ in marker and dash."""
    taken: dict[str, int] = {}
    found = []
    for arm in arms:
        name = next((name for name in sorted(results.styles, key=len, reverse=True) if arm.startswith(name)), "")
        style, turn = results.styles.get(name, NEUTRAL), taken.get(name, 0)
        taken[name] = turn + 1
        marker = list(MARKERS)[(list(MARKERS).index(style.marker) + turn) % len(MARKERS)]
        found.append(replace(style, marker=marker, dash=DASHES[(DASHES.index(style.dash) + turn) % len(DASHES)]))
    return found


def _table(evidence: Sequence[Row]) -> Table:
    columns = [
        Column("What", kind="text"), Column("At", kind="text"), Column("Seeds"), Column("Median"), Column("Least"), Column("Most"),
        Column("Counted", kind="text"), Column("Bench", kind="text wide"),
    ]  # fmt: skip
    rows = []
    for row in evidence[:ROWS]:
        show = _SHOW.get(row["unit"], plain)
        numbers = [Cell(show(row[name])) for name in ("value", "low", "high")]
        at = f"{row['axis']} {row['at']}"
        rows.append(
            [Cell(clip(str(row["arm"]), 80), kind="head"), Cell(clip(at, 80), kind="text"), Cell(str(row["seeds"])), *numbers,
             Cell("yes" if row["counted"] else "no", kind="text"), Cell(clip(setting_text(row["bench"]), 200), kind="text wide")]
        )  # fmt: skip
    more = (f"The first {ROWS} of {len(evidence)} rows; attnbench claims --json prints all.",) if len(evidence) > ROWS else ()
    return Table("Evidence", columns, rows, more)
