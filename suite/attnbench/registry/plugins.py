"""Finds the variants, tasks and claims that installed packages offer by entry points, without importing any of them."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import Distribution, EntryPoint, distributions
from pathlib import Path

from attnbench.errors import text_of

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(?<!\.py)")  # anything else would be taken for a path, or name no page


@dataclass(frozen=True)
class Installed:
    """The plug-ins of a group.

    points: the entry points by name. doubtful: why a name cannot be used, for names that two packages offer. problems: a line for each
    thing that is left out, or cannot be used.
    """

    points: dict[str, EntryPoint]
    doubtful: dict[str, str]
    problems: tuple[str, ...]


@cache
def installed(group: str) -> Installed:
    """The plug-ins of "variants", "tasks" or "claims". What is wrong with one package leaves the others as they are."""
    problems: list[str] = []
    points: dict[str, EntryPoint] = {}
    doubtful: dict[str, str] = {}
    kind = group[:-1]
    for owner, point in _entry_points(f"attnbench.{group}", problems):
        known = points.setdefault(point.name, point)
        if not _NAME.fullmatch(point.name):
            del points[point.name]
            problems.append(f"{owner} offers a {kind} of the name {point.name!r}, which is left out; use letters, digits, '_', '.' and '-'")
        elif known.value != point.value:
            doubtful[point.name] = (
                f"two installed packages offer a {kind} {point.name!r}, as {known.value!r} and as {point.value!r}; uninstall one of them"
            )
    return Installed(points, doubtful, (*problems, *doubtful.values()))


def _entry_points(group: str, problems: list[str]) -> Iterator[tuple[str, EntryPoint]]:
    """Yield the entry points of a group, each with the name of its package; packages whose entry points are damaged become problems."""
    seen: set[str] = set()
    for package in distributions():
        owner = "an installed package"
        try:
            owner = _name(package)
            points = [point for point in package.entry_points if point.group == group]
        except Exception as error:  # whatever the files of an installed package hold
            problems.append(f"the entry points of {owner} cannot be read: {type(error).__name__}: {text_of(error)}; install it anew")
            continue
        if owner not in seen:  # the first on the path is the one that is imported
            seen.add(owner)
            yield from ((owner, point) for point in points)


def _name(package: Distribution) -> str:
    name = package.metadata["Name"]
    return str(name) if name else "an installed package"


def module_of(point: EntryPoint) -> str | None:
    """The module that an entry point names; None where its value names none."""
    try:
        return point.module
    except (AttributeError, ValueError):  # the value does not look like one: older and newer Pythons
        return None


def file_of(module: str) -> Path | None:
    """The file of a module of an installed package, found without importing it; None if there is none."""
    top, *inner = module.split(".")
    try:
        found = importlib.util.find_spec(top)
    except (ImportError, ValueError, AttributeError):
        return None
    if found is None or not inner:
        return Path(found.origin) if found and found.origin and found.origin.endswith(".py") else None
    places = (Path(folder, *inner) for folder in found.submodule_search_locations or ())
    return next((file for place in places for file in (place / "__init__.py", Path(f"{place}.py")) if file.is_file()), None)
