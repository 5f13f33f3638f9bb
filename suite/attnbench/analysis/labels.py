"""What a mechanism is called beside others: its name, and the parameters that differ from its defaults."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from attnbench.spec.axes import Spec
from attnbench.store.record import Record

Params = Mapping[str, Any]


class Labels:
    """Labels of all that was recorded.

    recorded: names with parameters; declared: the defaults of the variants that are known here. Of one that is not known, parameters need
    no mention where it was recorded with one set only.
    """

    def __init__(self, recorded: Iterable[tuple[str, Params]], declared: Mapping[str, Params]) -> None:
        seen: dict[str, dict[str, Params]] = {}
        for name, params in recorded:
            seen.setdefault(name, {})[canonical(params)] = params
        alone: dict[str, Params] = {name: next(iter(sets.values())) if len(sets) == 1 else {} for name, sets in seen.items()}
        self._usual = {**alone, **declared}

    def label(self, name: str, params: Params) -> str:
        """The name, and in brackets what is unusual.

        >>> Labels([], {"power": {"degree": 2}}).label("power", {"degree": 4})
        'power(degree=4)'
        """
        usual = self._usual.get(name, {})
        unusual = {k: v for k, v in params.items() if k not in usual or canonical(usual[k]) != canonical(v)}
        return name + (f"({', '.join(f'{k}={_shown(v)}' for k, v in sorted(unusual.items()))})" if unusual else "")


def canonical(value: object) -> str:
    """A value as JSON that is the same for equal ones."""
    return json.dumps(value, sort_keys=True, default=list)


def _shown(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else json.dumps(value, default=list)


def epochs_text(spec: Spec) -> str:
    """How long a model was trained."""
    return f"{spec.epochs} epoch{'' if spec.epochs == 1 else 's'}"


def rate_text(spec: Spec) -> str:
    """The learning rate; where it was chosen the rates that it was chosen from, for every mechanism by itself."""
    return f"lr {spec.lr:g}" if spec.lr_grid is None else f"lr tuned of {', '.join(spec.lr_grid.split())}"


def rates_text(records: Iterable[Record]) -> str:
    """The rates that some records were trained at, smallest first; none where none could be tried."""
    return ", ".join(f"{lr:g}" for lr in sorted({r.spec.lr for r in records if r.spec.lr is not None})) or "–"


def setting_text(setting: Mapping[str, Any]) -> str:
    """A setting in words: numbers with their names, other values as they are, what is missing not at all.

    >>> setting_text({"mode": "forward", "causal": True, "seq_len": 4096.0, "block": None})
    'forward, causal, seq_len 4,096'
    """
    return ", ".join(filter(None, (_part(name, value) for name, value in setting.items())))


def _part(name: str, value: Any) -> str:
    if value is None or value != value:
        return ""
    if isinstance(value, bool) or type(value).__name__ == "bool":
        return name if value else ""
    if isinstance(value, str):
        return f"{name} {value}" if name in ("torch", "rate") else value
    number = int(value) if float(value).is_integer() else value
    return f"{name} {number:,}"
