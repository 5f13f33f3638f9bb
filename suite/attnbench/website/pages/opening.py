"""The setting that the front page opens on, and the sentence that says what is known there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from urllib.parse import urlencode

from markupsafe import Markup

from attnbench.analysis.labels import clip
from attnbench.analysis.leaders import fastest_by_size
from attnbench.analysis.number_format import digits
from attnbench.analysis.samples import BASELINE
from attnbench.analysis.standing import Standing
from attnbench.store.record import Record
from attnbench.website.groups import MODES, Group
from attnbench.website.links import machine_href, variant_file
from attnbench.website.results import Results

Setting = tuple[Group, str, int]  # of kernel cells: mode and seq_len
MOST = 3  # mechanisms that the sentence names together; where more may be first it names none


def opening(results: Results) -> Setting | None:
    """The longest setting in which every row is ranked; None where there is none.

    Those of the machine that comes first count alone, and of these the old timing only where there is no other. A setting counts that holds
    at least half as many mechanisms as the one with most. Decoding comes after all passes over whole sequences: a step computes one token,
    however many it looks back on.
    """
    whole = [(setting, len(records)) for setting, records in _ranked(results)]
    most, modes = max((rows for _, rows in whole), default=0), list(MODES)
    return max((of for of, rows in whole if 2 * rows >= most), key=lambda of: (of[1] != "decode", of[2], -modes.index(of[1])), default=None)


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
    """What is known today in one sentence with links: than what nothing is faster up to which length, and on which hardware.

    Empty where nothing is. Lengths at which less than half of the mechanisms are ranked do not count. Controls, which read no queries and
    keys, are left aside.
    """
    chosen = opening(results)
    if chosen is None:
        return Markup("")
    group, mode, _ = chosen
    places = {of: results.standings.places("time", records[0]) for (m, of), records in _by_size(group).items() if m == mode}
    controls = _controls(results, group)
    ranges = fastest_by_size(places, controls)
    parts = [_part(results, group, mode, *found) for found in ranges if len(found[0]) <= MOST]
    if not parts:
        return Markup("")
    names, last = ranges[-1][0], ranges[-1][2]
    told = ", ".join(axis.label for axis in group.device if axis.name in ("device", "threads"))
    where = Markup('<a href="{}">{}</a> ({})').format(machine_href(group.machine), clip(group.machine, 40), told)
    timing = ", by the old timing" if group.is_history else ""
    ratio = _ratio_text(places[last][min(names)], last) if len(names) == 1 and BASELINE not in names else ""
    aside = "controls aside, " if controls else ""
    leaders = Markup(", nor than ").join(parts)
    return Markup("On {}{}, {}: {}nothing is faster than {}{}.").format(where, timing, mode, aside, leaders, ratio)


def _controls(results: Results, group: Group) -> frozenset[str]:
    """The labels of a group's controls."""
    declared = ((record, results.declared.get(record.spec.variant)) for record in group.records)
    return frozenset(results.label(record) for record, variant in declared if variant is not None and not variant.reads_qk)


def _part(results: Results, group: Group, mode: str, names: frozenset[str], shortest: int, longest: int) -> Markup:
    """Mechanisms with the lengths at which nothing is faster: "orthogonal from 1,024 to 16,384"."""
    who = Markup(" and ").join(_variant(results, group, name) for name in sorted(names))
    first, last = (_length(group, mode, seq_len) for seq_len in (shortest, longest))
    return Markup("{} at {}").format(who, last) if shortest == longest else Markup("{} from {} to {}").format(who, first, last)


def _ratio_text(place: Standing, seq_len: int) -> str:
    """A ratio to softmax at a length as the end of the sentence; "" where the ranks are of seconds."""
    if place.interval is None or not place.metric.endswith("_ratio"):
        return ""
    of = place.interval
    return f", which takes {digits(of.value)} [{digits(of.low)}, {digits(of.high)}] of {BASELINE}’s time at {seq_len:,}"


def _variant(results: Results, group: Group, label: str) -> Markup:
    variant = next(record.spec.variant for record in group.records if results.label(record) == label)
    return Markup('<a href="{}">{}</a>').format(variant_file(variant), clip(label, 40))


def _length(group: Group, mode: str, seq_len: int) -> Markup:
    """A length, linked to its table."""
    chosen = {"track": "kernel", **{axis.name: axis.value for axis in group.axes}, "mode": mode, "seq_len": str(seq_len)}
    return Markup('<a href="index.html#{}">{:,}</a>').format(urlencode(chosen), seq_len)
