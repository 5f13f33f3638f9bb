"""Finds what must not be published: paths, e-mail addresses, and the names of this machine's host and user."""

from __future__ import annotations

import getpass
import platform
import re
from collections.abc import Iterator
from functools import cache, lru_cache

from attnbench.store.probe import fact

# Names of accounts and hosts that are so common that they identify nobody.
_EVERYBODY = {"root", "localhost", "runner", "user", "users", "admin", "ubuntu", "debian", "docker", "container"}
_SHORTEST = 3  # shorter names occur in too many other words

_PATH = r"""
    /(?:home|Users)/\w[^\s"']*          # somebody's folder, wherever it stands
  | (?<![\w.:/~)])/(?:[\w.+-]+/)+[\w.+-]*   # /two/segments, neither a fraction (3/4) nor a part of an address (https://...)
  | ~/\w[^\s"']*
  | \b[A-Za-z]:\\\w[^\s"']*
"""
# A domain ends in two small letters or a common word; a call after it makes it a product of matrices: scores@v.to(dtype).
# It begins where a word does: tried at every letter, it takes minutes for a text of a hundred thousand.
_ADDRESS = r"(?<![\w.+-])[\w.+-]+@(?:[\w-]+\.)+(?:[a-z]{2}|com|org|net|edu|gov|info|dev|app)\b(?!\s*[(\[]|\.\w)"


@lru_cache(maxsize=10_000)  # the records of a session repeat the same texts
def private(text: str) -> str | None:
    """The first private thing in a text, in words; None if there is none.

    >>> private('File "/srv/alice/x.py", line 3'), private("3/4 of https://pytorch.org/docs")
    ("the path '/srv/alice/x.py'", None)
    """
    found = _here().search(text)
    return None if found is None else f"{_WORDS[found.lastgroup or '']} {found[0]!r}"


def texts(value: object, place: str = "") -> Iterator[tuple[str, str]]:
    """Yield every text inside plain JSON values, keys too, each with its place, such as "environment.gpus[0].name"."""
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield place, key
            if not isinstance(inner, float | int | None):
                yield from texts(inner, f"{place}.{key}" if place else key)
    elif isinstance(value, list) and value and not isinstance(value[0], float):  # samples hold no texts
        for number, inner in enumerate(value):
            yield from texts(inner, f"{place}[{number}]")


_WORDS = {"path": "the path", "address": "the e-mail address", "host": "this machine's host name", "user": "this machine's user name"}


@cache
def pattern(host: str, user: str) -> re.Pattern[str]:
    """The pattern that finds everything private on a machine with these names; one pattern, because a store holds millions of texts."""
    names = {"host": {host, host.partition(".")[0]}, "user": {user}}
    parts = [f"(?P<path>{_PATH})", f"(?P<address>{_ADDRESS})"]
    for kind, own in names.items():
        telling = [re.escape(name) for name in sorted(own) if len(name) >= _SHORTEST and not name.isdigit() and name not in _EVERYBODY]
        if telling:
            parts.append(rf"(?P<{kind}>(?<![\w-])(?:{'|'.join(telling)})(?![\w-]))")
    return re.compile("|".join(parts), re.VERBOSE)


@cache
def _here() -> re.Pattern[str]:
    return pattern(platform.node(), fact(_user) or fact(getpass.getuser) or "")


def _user() -> str:
    import psutil

    name: str = psutil.Process().username()
    return name.rpartition("\\")[2]  # on Windows it follows that of the domain
