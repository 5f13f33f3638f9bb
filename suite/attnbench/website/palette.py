"""Assigns a colour, marker and dash to each variant, by family, the same on every page and in every build."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from attnbench.store.names import is_reserved

# (light, dark): every colour has a contrast of at least 4.5 with the page, because text is coloured too.
FAMILIES: dict[str, tuple[tuple[str, str], ...]] = {
    "softmax": (
        ("#33383d", "#e2e5e9"), ("#6a7078", "#a4abb4"), ("#4f5862", "#c3c9d0"), ("#7a6f66", "#b8ada3"), ("#5a6b6b", "#9fb5b5"),
    ),
    "orthogonal": (
        ("#0b62b8", "#6db3ff"), ("#4a4fb8", "#a6a8ff"), ("#00718f", "#4cc3e8"), ("#1a3f8f", "#8fb5ff"), ("#4c6a94", "#9dbbe0"),
    ),
    "polynomial": (
        ("#b5500b", "#ff9d4d"), ("#8f5f00", "#f0b429"), ("#8f3208", "#ffb59a"), ("#c02f1d", "#ff8575"), ("#7d5a2e", "#e0b070"),
    ),
    "linear": (
        ("#1b7f3b", "#5fd38a"), ("#00756a", "#3fd0bf"), ("#4d7500", "#a3d14f"), ("#2f6b4f", "#8fd0ae"), ("#667000", "#c9cf52"),
        ("#0d5c2e", "#79e6a0"), ("#3d7a6e", "#7fc4b8"), ("#5c7a3a", "#b9d98f"),
    ),
    "other": (
        ("#7b3fa0", "#cf9bf0"), ("#8a4b2d", "#d9a27c"), ("#a0306b", "#f08cc0"), ("#5f4b8b", "#b8a4f0"), ("#6d5a3a", "#c9b48a"),
        ("#94386f", "#e6a0c4"), ("#6b3fc0", "#bfa2ff"), ("#7a5560", "#d0aab5"),
    ),
}  # fmt: skip

# Name of a plotly marker, and the same shape as an SVG path in a box of 12 x 12.
MARKERS = {
    "circle": "M6 1.6a4.4 4.4 0 1 0 0 8.8a4.4 4.4 0 1 0 0-8.8z",
    "square": "M2.2 2.2h7.6v7.6h-7.6z",
    "diamond": "M6 .8 11.2 6 6 11.2.8 6z",
    "triangle-up": "M6 1 11.2 10.4H.8z",
    "triangle-down": "M6 11 11.2 1.6H.8z",
    "pentagon": "M6 .9 11.1 4.6 9.2 10.7H2.8L.9 4.6z",
    "star": "M6 .6 7.6 4.2 11.5 4.6 8.6 7.2 9.4 11 6 9 2.6 11 3.4 7.2.5 4.6 4.4 4.2z",
    "hexagon": "M6 .8 10.6 3.4V8.6L6 11.2 1.4 8.6V3.4z",
}
DASHES = ("solid", "dash", "dot", "dashdot", "longdash")

# These variants always come first in their family.
PINNED = {"softmax": 0, "softmax_math": 1, "orthogonal": 0, "polynomial": 0}

CORE = tuple(PINNED)  # drawn strong among many lines until the reader selects others

_SLUG = re.compile(r"[a-z0-9]+(?:[_-][a-z0-9]+)*_?")


@dataclass(frozen=True)
class Style:
    """How a variant looks: a colour for light and for dark pages, a marker and a dash."""

    slug: str
    light: str
    dark: str
    marker: str
    dash: str

    @property
    def colour(self) -> str:
        """The CSS variable that holds the colour; scripts resolve it for plots."""
        return f"var(--v-{self.slug})"

    @property
    def path(self) -> str:
        """The marker as an SVG path in a box of 12 x 12."""
        return MARKERS[self.marker]


NEUTRAL = Style("-neutral", "#6a7078", "#a4abb4", "circle", "solid")  # for what belongs to no variant; no slug begins with "-"


@lru_cache(4096)
def slug(name: str) -> str:
    """A variant's name for files, anchors and CSS variables: the name itself where it is safe, else a cleaned name with a hash.

    A safe name has small letters, so that no two differ in case alone, and is none that Windows keeps for a device.

    >>> slug("softmax_math"), slug("con")
    ('softmax_math', 'x--con--1143da2b')
    """
    if len(name) <= 60 and _SLUG.fullmatch(name) and not is_reserved(name):
        return name
    cleaned = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40]
    return f"x--{cleaned}--{_digest(name)}"


def assign(families: Mapping[str, str], first: Iterable[str] = ()) -> dict[str, Style]:
    """The style of every variant, given its family.

    Pinned names keep their place; then come the names in `first` (those shipped with attnbench), then all others, each group in
    the order of its hashes: a new third-party variant never changes the colour of a shipped one.
    """
    shipped = set(first)
    taken: dict[str, set[int]] = {family: set() for family in FAMILIES}
    styles = {}
    for name in sorted(families, key=lambda n: (n not in PINNED, n not in shipped, _digest(n))):
        family = families[name] if families[name] in FAMILIES else "other"
        wanted = PINNED.get(name, int(_digest(name), 16) % (len(FAMILIES[family]) * len(MARKERS)))
        place = _free(wanted, taken[family], len(FAMILIES[family]))
        taken[family].add(place)
        styles[name] = _style(name, family, place)
    return styles


def css(styles: Iterable[Style]) -> str:
    """The colours of all variants as CSS variables."""
    lines = [f"  --v-{s.slug}: light-dark({s.light}, {s.dark});" for s in sorted([*styles, NEUTRAL], key=lambda s: s.slug)]
    return "\n".join([":root {", *lines, "}", ""])


def _free(wanted: int, taken: set[int], colours: int) -> int:
    """The wanted place, or the next one whose colour is free; if all colours are taken, a place with another marker."""
    free_colours = set(range(colours)) - {place % colours for place in taken}
    if free_colours:
        return min(free_colours, key=lambda colour: (colour - wanted) % colours)
    while wanted in taken:
        wanted += 1
    return wanted


def _style(name: str, family: str, place: int) -> Style:
    colours = FAMILIES[family]
    light, dark = colours[place % len(colours)]
    # Each colour has every marker once before one comes again.
    turn = place % len(colours) + place // len(colours) + 2 * list(FAMILIES).index(family)
    return Style(slug(name), light, dark, list(MARKERS)[turn % len(MARKERS)], DASHES[place % len(DASHES)])


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
