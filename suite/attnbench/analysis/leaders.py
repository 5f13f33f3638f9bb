"""Than which mechanisms nothing is surely faster, over the sizes of a setting."""

from __future__ import annotations

from collections.abc import Mapping

from attnbench.analysis.standing import Standing

Range = tuple[frozenset[str], int, int]  # labels, and the smallest and the largest size at which they may be first


def fastest_by_size(places: Mapping[int, Mapping[str, Standing]], controls: frozenset[str] = frozenset()) -> list[Range]:
    """The labels than which nothing is surely faster, in ranges of sizes, shortest range first.

    places: of every mechanism by label, by size. controls: labels to be left aside. Sizes at which less than half as many mechanisms are
    ranked as where most are do not count.
    """
    most = max(map(_ranked_count, places.values()), default=0)
    return _ranges({size: leaders(of, controls) for size, of in places.items() if 2 * _ranked_count(of) >= most})


def _ranked_count(places: Mapping[str, Standing]) -> int:
    return sum(place.rank is not None for place in places.values())


def leaders(places: Mapping[str, Standing], controls: frozenset[str] = frozenset()) -> frozenset[str]:
    """The mechanisms, controls aside, than which no other one is surely faster."""
    ranked = {label: place for label, place in places.items() if place.rank and label not in controls}

    def is_first(label: str, place: Standing) -> bool:
        tied = {label, *place.ties}
        return not any(other not in tied and its.ahead_of(place) for other, its in ranked.items())

    return frozenset(label for label, place in ranked.items() if is_first(label, place))


def _ranges(first: Mapping[int, frozenset[str]]) -> list[tuple[frozenset[str], int, int]]:
    """Ranges of lengths within which the same mechanisms may be first: these, the shortest and the longest length, shortest range first.

    The ranges are made from the longest length down, each as long as it can be, so that the last says from where on something holds.
    """
    found: list[tuple[frozenset[str], int, int]] = []
    for seq_len in sorted(first, reverse=True):
        names, longest = first[seq_len], seq_len
        if found and (common := found[-1][0] & names):
            _, _, longest = found.pop()
            names = common
        found.append((names, seq_len, longest))
    return found[::-1]
