"""Labels of mechanisms: the name, and the parameters that differ from the defaults."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

from attnbench import registry
from attnbench.analysis.edge import MARK, at_edge
from attnbench.spec.axes import Spec
from attnbench.spec.protocol import FIRST
from attnbench.store.record import Record

Params = Mapping[str, Any]
# Axes with a value that goes without saying: that which every cell had before there was the axis.
USUAL: Params = {
    f.name: f.default
    for f in fields(Spec)
    if f.name in ("num_kv_heads", "padded", "token_shift", "init_norm", "positions", "weight_decay", "test_seq_len", "tuned_epochs")
}


class Labels:
    """Makes the labels of all recorded mechanisms.

    recorded: names with parameters; declared: the default parameters of the registered variants. A variant that is not registered is shown
    without parameters if it was recorded with one set of them only.
    """

    def __init__(self, recorded: Iterable[tuple[str, Params]], declared: Mapping[str, Params]) -> None:
        seen: dict[str, dict[str, Params]] = {}
        for name, params in recorded:
            seen.setdefault(name, {})[canonical(params)] = params
        alone: dict[str, Params] = {name: next(iter(sets.values())) if len(sets) == 1 else {} for name, sets in seen.items()}
        self._usual = {**alone, **declared}

    def label(self, name: str, params: Params) -> str:
        """The name, followed in brackets by the parameters that differ from the defaults.

        >>> Labels([], {"power": {"degree": 2}}).label("power", {"degree": 4})
        'power(degree=4)'
        """
        unusual = unusual_params(params, self._usual.get(name, {}))
        return f"{name}({unusual})" if unusual else name


def unusual_params(params: Params, usual: Params) -> str:
    """The parameters that differ from the usual ones, as text: "degree=4"; "" where none does."""
    return ", ".join(f"{k}={_shown(v)}" for k, v in sorted(params.items()) if k not in usual or canonical(usual[k]) != canonical(v))


def canonical(value: object) -> str:
    """A value as JSON text, the same text for equal values."""
    return json.dumps(value, sort_keys=True, default=list)


def _shown(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else json.dumps(value, default=list)


def clip(text: str, length: int) -> str:
    """The text, cut to a length."""
    text = " ".join(text.split())
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


def epochs_text(spec: Spec) -> str:
    """How long a model was trained, as text: "10 epochs"."""
    return f"{spec.epochs} epoch{'' if spec.epochs == 1 else 's'}"


def cell_text(spec: Spec) -> str:
    """A cell's label, with what two cells of a preset may differ in besides: parameters that are not the variant's defaults, and epochs.

    >>> cell_text(Spec(track="kernel", variant="polynomial", mode="forward", seq_len=256, params={"degree": 2, "scale": "sqrt"}))
    'kernel · polynomial · seq_len 256 · forward · degree=2'
    """
    declared = registry.field("variants", spec.variant, "params", {}) if spec.variant in registry.builtin("variants") else {}
    epochs = epochs_text(spec) if spec.track == "task" and spec.protocol != FIRST.name else ""
    return " · ".join(filter(None, (spec.label(), unusual_params(spec.params, declared), epochs)))


def rate_text(spec: Spec) -> str:
    """The learning rate as text; if it was chosen by trials, from which rates each mechanism's own was chosen, or that its protocol did."""
    if spec.lr_grid is None:
        return f"lr {spec.lr:g}"
    chosen = f"lr chosen from {', '.join(spec.lr_grid.split())}" if spec.protocol == FIRST.name else "each at its own lr"
    return chosen if spec.tuned_epochs is None else f"{chosen}, by trials at {spec.tuned_epochs} epochs"


def rates_text(records: Iterable[Record]) -> str:
    """The learning rates of the records as text, smallest first, with a mark at the edge of what was tried; "–" if they have none.

    >>> rates_text([])
    '–'
    """
    rates = sorted({(r.spec.lr, bool(at_edge(r))) for r in records if r.spec.lr is not None})
    return ", ".join(f"{lr:g}{MARK if edge else ''}" for lr, edge in rates) or "–"


def threads_text(threads: float | str | None) -> str:
    """A number of threads as text: "2 threads", "0.5 of a thread"; "" where it is not known."""
    if threads in (None, ""):
        return ""
    number = float(threads)
    return f"{number:g} of a thread" if number < 1 else f"{number:g} thread{'' if number == 1 else 's'}"


def setting_text(setting: Mapping[str, Any]) -> str:
    """A setting as text: numbers with their names, other values as they are; missing values, and what goes without saying, are left out.

    >>> setting_text({"mode": "forward", "causal": True, "seq_len": 4096.0, "block": None})
    'forward, causal, seq_len 4,096'
    """
    return ", ".join(filter(None, (_part(name, value) for name, value in setting.items())))


def _part(name: str, value: Any) -> str:
    if value is None or value != value or (name in USUAL and USUAL[name] == value):
        return ""
    if isinstance(value, bool) or type(value).__name__ == "bool":
        return name if value else ""
    if isinstance(value, str):
        return f"{name} {value}" if name in ("torch", "rate", "protocol", "positions") else value
    number = int(value) if float(value).is_integer() else value
    return f"{name} {number:,}"
