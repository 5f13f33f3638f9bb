"""The setting that the front page opens on, and the sentence that says what is known there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from urllib.parse import urlencode

from markupsafe import Markup

from attnbench.analysis.number_format import digits
from attnbench.analysis.samples import BASELINE
from attnbench.analysis.standings import Standing
from attnbench.store.record import Record
from attnbench.website.groups import MODES, Group
from attnbench.website.links import machine_href, variant_file
from attnbench.website.results import Results
from attnbench.website.tables.table import clip

Setting = tuple[Group, str, int]  # of kernel cells: mode and seq_len
MOST = 3  # mechanisms that the sentence names together; where more are tied for the first rank it names none


def opening(results: Results) -> Setting | None:
    """The longest setting in which every row is ranked; None where there is none.

    Those of the machine that comes first count alone, and of these the old timing only where there is no other. A setting counts that holds
    at least half as many mechanisms as the one with most.
    """
    whole = [(setting, len(records)) for setting, records in _ranked(results)]
    most, modes = max((rows for _, rows in whole), default=0), list(MODES)
    return max((of for of, rows in whole if 2 * rows >= most), key=lambda of: (of[2], -modes.index(of[1])), default=None)


def _ranked(results: Results) -> Iterator[tuple[Setting, Sequence[Record]]]:
    """Yield the settings of the first machine in which every row is ranked, with their records."""
    groups = results.groups("kernel")
    for group in groups:
        if group.machine != groups[0].machine or group.is_history != groups[0].is_history:
            continue
        for (mode, seq_len), records in _by_size(group).items():
            places = results.standings.places("time", records[0])
            if len(records) > 1 and all((place := places.get(results.label(r))) and place.rank for r in records):
                yield (group, mode, seq_len), records


def _by_size(group: Group) -> dict[tuple[str, int], list[Record]]:
    """The records of a group by mode and seq_len, shortest first."""
    found: dict[tuple[str, int], list[Record]] = {}
    for record in sorted(group.records, key=lambda r: r.spec.seq_len or 0):
        found.setdefault((record.spec.mode, record.spec.seq_len or 0), []).append(record)
    return found


def known_sentence(results: Results) -> Markup:
    """What is known today in one sentence with links: who is fastest up to which length, on which hardware; empty where nothing is."""
    chosen = opening(results)
    if chosen is None:
        return Markup("")
    group, mode, _ = chosen
    sizes = {seq_len: records for (of_mode, seq_len), records in _by_size(group).items() if of_mode == mode}
    places = {seq_len: results.standings.places("time", records[0]) for seq_len, records in sizes.items()}
    leaders = {seq_len: _leaders(of) for seq_len, of in places.items()}
    parts = [
        _part(results, group, mode, names, [seq_len for seq_len, _ in run], places)
        for names, run in groupby(leaders.items(), key=lambda pair: pair[1])
        if names
    ]
    if not parts:
        return Markup("")
    told = ", ".join(axis.label for axis in group.device if axis.name in ("device", "threads"))
    where = Markup('<a href="{}">{}</a> ({})').format(machine_href(group.machine), clip(group.machine, 40), told)
    timing = ", by the old timing" if group.is_history else ""
    return Markup("On {}{}, {} is fastest {}.").format(where, timing, mode, Markup("; ").join(parts))


def _leaders(places: Mapping[str, Standing]) -> tuple[str, ...]:
    """The mechanisms that may have the first rank; none where too many may, or only one is ranked."""
    ranked = {label: place.rank for label, place in places.items() if place.rank}
    first = tuple(sorted(label for label, rank in ranked.items() if rank[0] == 1))
    return first if len(ranked) > 1 and len(first) <= MOST else ()


def _part(
    results: Results, group: Group, mode: str, names: Sequence[str], run: Sequence[int], places: Mapping[int, Mapping[str, Standing]]
) -> Markup:
    """Who is fastest over a run of lengths: "with softmax at 256", "with orthogonal from 1,024 to 16,384 (there 0.02× ...)"."""
    who = Markup(" or ").join(_variant(results, group, name) for name in names)
    last = _length(group, mode, run[-1])
    at = Markup("at {}").format(last) if len(run) == 1 else Markup("from {} to {}").format(_length(group, mode, run[0]), last)
    tied = " (which cannot be told apart)" if len(names) > 1 else ""
    found = places[run[-1]][names[0]]
    ratio = ""
    if not tied and names[0] != BASELINE and found.interval and found.metric.endswith("_ratio"):
        of = found.interval
        ratio = f" ({'there ' if len(run) > 1 else ''}{digits(of.value)} [{digits(of.low)}, {digits(of.high)}] of {BASELINE}’s time)"
    return Markup("with {} {}{}{}").format(who, at, tied, ratio)


def _variant(results: Results, group: Group, label: str) -> Markup:
    variant = next(record.spec.variant for record in group.records if results.label(record) == label)
    return Markup('<a href="{}">{}</a>').format(variant_file(variant), clip(label, 40))


def _length(group: Group, mode: str, seq_len: int) -> Markup:
    """A length, linked to its table."""
    chosen = {"track": "kernel", **{axis.name: axis.value for axis in group.axes}, "mode": mode, "seq_len": str(seq_len)}
    return Markup('<a href="index.html#{}">{:,}</a>').format(urlencode(chosen), seq_len)
