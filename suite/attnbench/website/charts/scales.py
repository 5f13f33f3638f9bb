"""Axes of plots: their ranges and tick labels (128, 1k, 4k; 1 ms; 10 MiB), chosen here so that they are the same everywhere."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from attnbench.analysis.number_format import bits, count, digits, percent, plain, ratio, seconds, short_count, size, superscript

MOST_TICKS = 7
LARGEST_POWER = 305.0  # of ten, that is shown: a float holds no number beyond 308


@dataclass(frozen=True)
class Kind:
    """A kind of axis: its title, the format of a value, whether it is logarithmic, and the unit in which ticks are round numbers."""

    title: str
    show: Callable[[float], str]
    log: bool = True
    unit: float = 1.0


@dataclass(frozen=True)
class Scale:
    """A kind with its range (in decades when logarithmic) and its ticks."""

    kind: Kind
    low: float
    high: float
    ticks: tuple[float, ...]

    def place(self, x: float) -> float:
        """The position of a value, in the units of low and high."""
        return math.log10(x) if self.kind.log else x

    def axis(self) -> dict[str, Any]:
        """The axis in plotly's form."""
        return {
            "type": "log" if self.kind.log else "linear",
            "range": [round(self.low, 6), round(self.high, 6)],
            "tickvals": list(self.ticks),
            "ticktext": [_trim(self.kind.show(t)) for t in self.ticks],
            "title": {"text": self.kind.title, "standoff": 8},
        }


def _power_of_ten(x: float) -> str:
    exponent = math.log10(x) if x > 0 else 0.0
    return digits(x) if -2 <= exponent <= 4 or exponent % 1 else f"10{superscript(round(exponent))}"


SEQ_LEN = Kind("seq_len", short_count)
LAYERS = Kind("num_layers", short_count)
TIME = Kind("time", seconds)
RATIO = Kind("time over that of softmax", ratio)
THROUGHPUT = Kind("tokens per second", _power_of_ten)
TARGET_TIME = Kind("training time to target", seconds)
TRAINING_TIME = Kind("training time", seconds)
MEMORY = Kind("peak memory", size, unit=2.0**20)
CONDITION = Kind("condition number", _power_of_ten)
GRADIENT = Kind("gradient norm", _power_of_ten)
FROBENIUS = Kind("‖A‖ (Frobenius)", _power_of_ten)
RANK = Kind("effective rank", plain, log=False)
RESIDUAL = Kind("residual", _power_of_ten)
ACCURACY = Kind("test accuracy", percent, log=False)
VALIDATION = Kind("validation accuracy", percent, log=False)
BITS = Kind("test bits per byte", bits, log=False)
VALIDATION_BITS = Kind("validation bits per byte", bits, log=False)
# The axes of results on a task's test and validation parts, by the name of the metric; "" where no run has a result.
TEST_RESULTS = {"accuracy": ACCURACY, "bits_per_byte": BITS, "": Kind("test result", plain)}
VALIDATION_RESULTS = {"accuracy": VALIDATION, "bits_per_byte": VALIDATION_BITS, "": Kind("validation result", plain)}
AVERAGE_RANK = Kind("average rank", plain, log=False)
LOSS = Kind("training loss", plain)
STEP = Kind("training step", count, log=False)
CELL = Kind("cell of the session", count, log=False)
EPOCHS = Kind("epochs", count)
LAYER = Kind("layer", count, log=False)
RATE = Kind("learning rate", lambda rate: f"{rate:g}")


def spaced(kind: Kind, values: Iterable[float], room: float = 0.06) -> Scale | None:
    """A scale that holds all values, with round ticks; None if no value can be shown."""
    shown = [x for x in values if math.isfinite(x) and (x > 0 or not kind.log)]
    if not shown:
        return None
    places = [math.log10(x) if kind.log else x for x in shown]
    low, high = min(places), max(places)
    least = 0.3 if kind.log else 0.02 * max(abs(high), 1e-9)
    if high - low < least:
        middle = (low + high) / 2
        low, high = middle - least / 2, middle + least / 2
    low, high = low - room * (high - low), high + room * (high - low)
    return Scale(kind, low, high, _log_ticks(low, high, kind.unit) if kind.log else _linear_ticks(low, high))


def exact(kind: Kind, values: Iterable[float], room: float = 0.04) -> Scale | None:
    """A scale whose ticks are the values themselves (lengths, depths); only every second one where there are many."""
    shown = sorted({x for x in values if x > 0})
    scale = spaced(kind, shown, room)
    if scale is None:
        return None
    step = -(-len(shown) // MOST_TICKS)
    return Scale(kind, scale.low, scale.high, tuple(shown[::-1][::step][::-1]))


def _log_ticks(low: float, high: float, unit: float) -> tuple[float, ...]:
    offset = math.log10(unit)
    low, high = max(low, -LARGEST_POWER), min(high, LARGEST_POWER)  # an axis may go on beyond what a float holds
    if high - low > MOST_TICKS:
        whole = 3 if unit != 1.0 else 1  # from unit to unit: KiB, MiB, GiB
        step = whole * math.ceil((high - low) / (whole * MOST_TICKS))
        candidates = [10.0**k for k in range(math.floor(low - offset) - 1, math.ceil(high - offset) + 1) if k % step == 0]
        return tuple(t for c in candidates if low <= math.log10(t := _in_unit(c, unit)) <= high)
    for mantissas in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 7)):
        candidates = [m * 10.0**k for k in range(math.floor(low - offset) - 1, math.ceil(high - offset) + 1) for m in mantissas]
        ticks = tuple(t for c in candidates if low <= math.log10(t := _in_unit(c, unit)) <= high)
        if len(ticks) >= 3:
            break
    return ticks


def _in_unit(x: float, unit: float) -> float:
    """x times the unit, rounded so that its text is short; with binary units 1,000 MiB becomes 1 GiB, and 0.1 MiB 100 KiB.

    >>> _in_unit(3.0, 1.0), _in_unit(1000.0, 2.0**20) == 2.0**30
    (3.0, True)
    """
    thousands = math.floor(math.log10(x * 1.000001) / 3)
    return float(f"{x * 1.024**thousands * unit:.12g}") if unit != 1.0 else float(f"{x:.12g}")


def _linear_ticks(low: float, high: float) -> tuple[float, ...]:
    raw = (high - low) / 5
    magnitude = 10.0 ** math.floor(math.log10(raw))
    step = next(m * magnitude for m in (1, 2, 5, 10) if m * magnitude >= raw)
    first = math.ceil(low / step)
    return tuple(float(f"{k * step:.12g}") for k in range(first, math.floor(high / step) + 1))


def _trim(text: str) -> str:
    """The text of a tick without trailing zeros: 1.00 ms is 1 ms."""
    number, gap, unit = text.partition("\u2009")
    times = "×" if number.endswith("×") else ""
    number = number.removesuffix("×")
    if "." in number and "×" not in number:
        number = number.rstrip("0").rstrip(".")
    return number + times + gap + unit
