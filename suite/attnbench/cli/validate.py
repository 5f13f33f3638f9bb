"""`attnbench validate`: prints the faults of a results folder, one line each as they are found, and a summary."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from rich.console import Console

from attnbench.cli.output import print_json
from attnbench.store.validate import Fault, validate

STYLES = {"error": "red", "warning": "yellow"}


def validate_results(results: Path, as_json: bool, out: Console) -> int:
    """Print the faults of a results folder, and return the exit code: 1 if one of them is an error, else 0.

    Raises BadInput when the folder does not exist.
    """
    seen: Counter[str] = Counter()
    levels: Counter[str] = Counter()
    found: list[dict[str, object]] = []
    for fault in validate(results, seen):
        levels[fault.level] += 1
        if as_json:
            found.append(_as_json(fault))
        else:
            out.print(str(fault), style=STYLES[fault.level], markup=False, highlight=False, soft_wrap=True)
    counts = {"records": seen["records"], "errors": levels["error"], "warnings": levels["warning"]}
    if as_json:
        print_json({"results": str(results), **counts, "faults": found})
    else:
        out.print(
            f"{results}: {', '.join(_counted(number, what) for what, number in counts.items())}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
    return int(levels["error"] > 0)


def _as_json(fault: Fault) -> dict[str, object]:
    return {"file": str(fault.file), "line": fault.line, "level": fault.level, "what": fault.what}


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what.removesuffix('s') if number == 1 else what}"
