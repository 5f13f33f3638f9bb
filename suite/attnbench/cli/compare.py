"""`attnbench compare`: prints a comparison as tables or as JSON."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from attnbench.analysis.compare import Comparison, Pair, compare
from attnbench.analysis.frame import load
from attnbench.analysis.labels import setting_text
from attnbench.analysis.number_format import bits, percent, ratio, seconds, size
from attnbench.analysis.ranking import What
from attnbench.analysis.settings import as_texts
from attnbench.cli.filters import Filter, filtered
from attnbench.cli.output import print_json
from attnbench.cli.terminal import new_table, print_problems, print_table
from attnbench.store.metrics import higher_is_better
from attnbench.store.metrics import metric as metric_of
from attnbench.store.store import Problem

TITLES: dict[What, str] = {"time": "Time", "memory": "Peak memory", "result": "Test result"}
TOLD: dict[What, str] = {
    "time": "Faster or slower: by more than {}, at a false discovery rate of 5 % over all cells. Intervals: 95 %, of each cell.",
    "memory": "Smaller or larger: by more than 1 %, in all seeds.",
    "result": "Better or worse: by Welch's test over seeds and test rows (of machines and commits by a test paired by seed), at a false "
    "discovery rate of 5 % over all cells. Intervals: 95 %, of each cell.",
}
STYLES = {"better": "green", "worse": "red", "failed": "red", "undecided": "dim", "not compared": "yellow"}
SHOWN: dict[str, Callable[[float], str]] = {"s": seconds, "B": size, "bit/B": bits}  # by unit


def show_comparison(results: Path, a: str, b: str, wanted: Filter, margin: float, as_json: bool, out: Console, err: Console) -> int:
    """Print the comparison, and return the exit code: 1 when the second is surely worse somewhere, or failed.

    Raises BadInput as `compare` does, and when there is nothing to compare.
    """
    problems: list[Problem] = []
    table = filtered(load(results, problems), results, wanted)
    print_problems(err, problems)
    found = compare(table, a, b, margin)
    if as_json:
        print_json(_as_json(found))
    else:
        _print(found, margin, out)
    return int(bool(found.regressions))


def _print(found: Comparison, margin: float, out: Console) -> None:
    a, b = (name[:12] if found.kind == "commit" else name for name in (found.a, found.b))
    for what, title in TITLES.items():
        pairs = [pair for pair in found.pairs if pair.what == what]
        if not pairs:
            continue
        shared = _shared(pairs)
        table = new_table("cell", a, b, f"{b} less {a}" if what == "result" else f"{b} / {a}", "interval", "", left=("cell", ""))
        for pair in pairs:
            table.add_row(*_row(pair, shared))
        counts = Counter(_word(pair) for pair in pairs)
        out.print(title, style="bold", markup=False, highlight=False)
        if shared:
            out.print(setting_text(shared), style="dim", markup=False, highlight=False)
        print_table(out, table)
        out.print(f"{b}: {', '.join(f'{counts[word]} {word}' for word in sorted(counts))}\n", markup=False, highlight=False)
    for pair in found.pairs:
        if pair.why:
            out.print(f"{pair.difference}: {_cell(pair, {})}: {pair.why}", style=STYLES[pair.difference], markup=False, highlight=False)
    for name, count in ((a, found.only_a), (b, found.only_b)):
        if count:
            out.print(f"{count} cells that only {name} has are not compared", style="dim", markup=False, highlight=False)
    for what, told in TOLD.items():
        if any(pair.what == what for pair in found.pairs):
            least = "the tables resolve" + (f", and {margin:g} times" if margin > 1 else "")
            out.print(told.format(least), style="dim", markup=False, highlight=False)


def _shared(pairs: list[Pair]) -> dict[str, Any]:
    """The parts of a setting that all pairs have in common; they are printed once, above the table."""
    if len(pairs) < 2:
        return {}
    first, *others = pairs
    return {
        name: value
        for name, value in first.setting.items()
        if all(as_texts([pair.setting.get(name)]) == as_texts([value]) for pair in others)
    }


def _row(pair: Pair, shared: dict[str, Any]) -> list[Text | str]:
    metric = metric_of(pair.metric)
    show = percent if metric.in_percent else SHOWN.get(metric.unit, ratio)
    change, interval = "", ""
    if pair.change is not None:
        told = _signed(show) if pair.what == "result" else ratio
        change = told(pair.change.value)
        exact = pair.change.confidence == 0 or pair.change.low == pair.change.high
        interval = "" if exact else f"[{told(pair.change.low)}, {told(pair.change.high)}]"
    values = ["" if value is None else show(value) for value in (pair.a, pair.b)]
    return [_cell(pair, shared), *values, change, interval, Text(_word(pair), style=STYLES[pair.difference])]


def _word(pair: Pair) -> str:
    if pair.difference not in ("better", "worse"):
        return pair.difference
    words = {"time": ("faster", "slower"), "memory": ("smaller", "larger"), "result": ("better", "worse")}[pair.what]
    return words[pair.difference == "worse"]


def _cell(pair: Pair, shared: dict[str, Any]) -> str:
    own = setting_text({name: value for name, value in pair.setting.items() if name not in shared})
    return " · ".join(part for part in (pair.label, own) if part) or pair.track


def _signed(show: Callable[[float], str]) -> Callable[[float], str]:
    return lambda value: f"{'+' if value >= 0 else '-'}{show(abs(value))}"


def _fields(pair: Pair) -> dict[str, Any]:
    """The fields of a pair by their names in the JSON output."""
    # `difference` is called "verdict" there: that was the name in the first version, and other people's programs read it.
    return {"verdict" if name == "difference" else name: value for name, value in asdict(pair).items()}


def _as_json(found: Comparison) -> dict[str, Any]:
    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(of) for key, of in value.items()}
        value = value.item() if hasattr(value, "item") else value
        return None if isinstance(value, float) and not math.isfinite(value) else value

    pairs = [plain({**_fields(pair), "higher_is_better": pair.what == "result" and higher_is_better(pair.metric)}) for pair in found.pairs]
    heads = {"kind": found.kind, "a": found.a, "b": found.b, "regressions": len(found.regressions)}
    return {**heads, "only_a": found.only_a, "only_b": found.only_b, "pairs": pairs}
