"""What pages are made of: colours, names of files, numbers, ticks and labels."""

from __future__ import annotations

import re

from attnbench.analysis.number_format import digits, percent, seconds, short_count, size
from attnbench.website import palette
from attnbench.website.charts.scales import MEMORY, SEQ_LEN, exact, spaced
from attnbench.website.publish import load_sources


def test_colours_do_not_depend_on_who_else_is_there() -> None:
    families = {name: declared.family for name, declared in load_sources().declared.items()}
    alone = palette.assign(families, families)
    crowded = palette.assign({**families, **{f"stranger{i}": "other" for i in range(20)}, "a_softmax": "softmax"}, families)
    assert {name: crowded[name] for name in families} == alone
    assert len({(s.light, s.marker) for s in crowded.values()}) == len(crowded)


def test_colours_can_be_read_on_light_and_dark() -> None:
    for shades in palette.FAMILIES.values():
        for light, dark in shades:
            assert _contrast(light, "#ffffff") >= 4.5, light
            assert _contrast(dark, "#14161a") >= 4.5, dark


def test_names_become_safe_and_distinct_slugs() -> None:
    assert palette.slug("softmax_math") == "softmax_math"
    names = ["A", "a", "../a", "a/b", "a b", "", "x--a--11", "é", "con\0", "a" * 200, "\ud800"]
    slugs = [palette.slug(name) for name in names]
    assert len(set(slugs)) == len(names)
    assert all(re.fullmatch(r"[a-z0-9_-]{1,80}", slug) for slug in slugs)


def test_numbers_have_three_digits() -> None:
    shown = {0.09123: "0.0912", 1.0: "1.00", 999.6: "1,000", 123456.0: "123,000", 1.5e15: "1.50×10¹⁵", -2.5: "-2.50", 0.0: "0"}
    assert {x: digits(x) for x in shown} == shown
    assert [seconds(x) for x in (0.0009996, 0.00123, 61.0)] == ["1.00\u2009ms", "1.23\u2009ms", "61.0\u2009s"]
    assert [size(x) for x in (0.0, 512.0, 2.0**20, 1.4e9)] == ["0\u2009B", "512\u2009B", "1.00\u2009MiB", "1.30\u2009GiB"]
    assert percent(0.9185) == "91.8\u2009%"
    assert [short_count(x) for x in (128, 1024, 65536, 1500)] == ["128", "1k", "64k", "1,500"]


def test_axes_have_round_ticks() -> None:
    lengths, memory = exact(SEQ_LEN, [128, 1024, 4096]), spaced(MEMORY, [1e5, 1.4e9])
    assert lengths and lengths.axis()["ticktext"] == ["128", "1k", "4k"]
    assert memory and memory.axis()["ticktext"] == ["100\u2009KiB", "1\u2009MiB", "10\u2009MiB", "100\u2009MiB", "1\u2009GiB"]
    assert spaced(MEMORY, []) is None


def _contrast(one: str, other: str) -> float:
    def luminance(colour: str) -> float:
        channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)
