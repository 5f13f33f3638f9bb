"""Formats numbers for people: three significant digits, a thin space before the unit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

THIN = "\u2009"
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_TIMES = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))
_ROUNDS_TO_ONE = 0.9995  # the smallest number that is 1.00 in three digits
_SIZES = ((2.0**40, "TiB"), (2.0**30, "GiB"), (2.0**20, "MiB"), (2.0**10, "KiB"), (1.0, "B"))


@lru_cache(2**18)  # the same number is shown in a table, in a plot, in the plot's table and on its cell's page
def digits(x: float) -> str:
    """A number in three significant digits: plain between 0.0001 and a million, else with a power of ten; "–" if it is not finite.

    >>> digits(0.09123), digits(12.34), digits(9876.0), digits(0.0)
    ('0.0912', '12.3', '9,880', '0')
    """
    if not math.isfinite(x):
        return "–"
    if x == 0:
        return "0"
    rounded = f"{x:.2e}"
    mantissa, exponent = rounded.split("e")
    magnitude = int(exponent)
    if -4 <= magnitude < 6:
        return f"{float(rounded):,.{max(0, 2 - magnitude)}f}"
    return f"{mantissa}×10{superscript(magnitude)}"


def superscript(whole: int) -> str:
    """A whole number in raised digits."""
    return str(whole).translate(_SUPERSCRIPT)


def count(x: float) -> str:
    """A whole number with commas between the thousands."""
    return f"{round(x):,}" if math.isfinite(x) else "–"


def seconds(x: float) -> str:
    """A duration in the unit that leaves one to three digits before the point."""
    return _scaled(x, _TIMES, _ROUNDS_TO_ONE)


def size(x: float) -> str:
    """Bytes in binary units."""
    return _scaled(x, _SIZES, 1.0)


def _scaled(x: float, units: Sequence[tuple[float, str]], least: float) -> str:
    """x in the largest unit of which it is at least `least`; else in the smallest unit."""
    fitting = (pair for pair in units if abs(x) >= least * pair[0])
    factor, unit = next(fitting, units[-1])
    return f"{digits(x / factor)}{THIN}{unit}"


def ratio(x: float) -> str:
    """A multiple of the baseline."""
    return f"{digits(x)}×"


def percent(x: float) -> str:
    """A share as a percentage with one decimal: accuracies are read to a tenth of a point."""
    return f"{100 * x:.1f}{THIN}%" if math.isfinite(x) else "–"


def two_digit_percent(x: float) -> str:
    """A share as a percentage: two digits, and whole numbers from ten on.

    >>> two_digit_percent(0.00012), two_digit_percent(0.18), two_digit_percent(12.5)
    ('0.012\u2009%', '18\u2009%', '1,250\u2009%')
    """
    return f"{100 * x:,.0f}{THIN}%" if 100 * x >= 9.95 else f"{100 * x:.2g}{THIN}%"


def bits(x: float) -> str:
    """Bits per byte, to a thousandth."""
    return f"{x:.3f}" if math.isfinite(x) else "–"


def plain(x: float) -> str:
    """A pure number."""
    return digits(x)


def rank_text(rank: tuple[int, int] | None) -> str:
    """A rank, or the range of ranks that the intervals leave open."""
    if rank is None:
        return "–"
    return str(rank[0]) if rank[0] == rank[1] else f"{rank[0]}–{rank[1]}"


def power_text(exponent: float) -> str:
    """n to a claimed power, in plain text.

    >>> power_text(2.0), power_text(1.5)
    ('n²', 'n^1.5')
    """
    return {0.0: "constant", 1.0: "n", 2.0: "n²", 3.0: "n³"}.get(exponent, f"n^{exponent:g}")


def short_count(x: float) -> str:
    """A length as an axis shows it.

    >>> short_count(128), short_count(1024), short_count(1536), short_count(65536)
    ('128', '1k', '1,536', '64k')
    """
    whole = round(x)
    return f"{whole // 1024}k" if whole >= 1024 and whole % 1024 == 0 else f"{whole:,}"
