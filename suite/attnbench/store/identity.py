"""What tells this computer from all others: the number that systemd gave it, else the address of its network card."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from attnbench.store.probe import fact, text_of_file

FILES = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))
_CHOSEN_BITS = 0b11 << 40  # of an address: sent to many, or given by software, as uuid's random ones and those of containers are


@dataclass(frozen=True)
class Identity:
    """A text that stands for this computer, never published as it is. unique: whether no other computer has the same."""

    text: str
    unique: bool


@cache
def identity() -> Identity:
    """The identity of this computer."""
    return identity_from(FILES)


def identity_from(files: tuple[Path, ...]) -> Identity:
    """The first machine-id in `files` that is one; else the address of a network card; else what the first file holds, which is not unique.

    A machine-id is 32 hex digits (machine-id(5)). It is empty, or "uninitialized", in images of systems and containers that many computers
    start from. uuid makes an address up where it finds none.
    """
    said = [text_of_file(file) or "" for file in files]
    for text in said:
        digits = text.replace("-", "").lower()
        if re.fullmatch("[0-9a-f]{32}", digits) and len(set(digits)) > 1:
            return Identity(text, True)
    node = fact(uuid.getnode)
    return Identity(said[0], False) if not node or node & _CHOSEN_BITS else Identity(str(node), True)
