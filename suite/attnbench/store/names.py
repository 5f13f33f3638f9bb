"""Which names can name a file or folder on every system: a store and a site are copied, zipped and cloned to others."""

from __future__ import annotations

import re

SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")  # names of machines and sessions, which are names of files in a store
_DEVICES = re.compile(r"(con|prn|aux|nul|(com|lpt)[0-9¹²³])\s*(\..*)?", re.IGNORECASE | re.DOTALL)


def is_reserved(name: str) -> bool:
    """Whether Windows keeps this name for a device, with whatever ending: no file there can have it.

    >>> is_reserved("con"), is_reserved("NUL.txt"), is_reserved("context")
    (True, True, False)
    """
    return _DEVICES.fullmatch(name) is not None


def refusal(name: str) -> str | None:
    """Why nothing new may have this name in a store, and what to do; None if it may. What is stored already is read whatever its name.

    >>> refusal("my-desk"), refusal("aux")
    (None, 'Windows keeps it for a device; choose another')
    """
    if not SAFE_NAME.fullmatch(name):
        return "use letters, digits, '.', '_' and '-', 100 at most"
    if is_reserved(name):
        return "Windows keeps it for a device; choose another"
    return "Windows drops a dot at the end; leave it out" if name.endswith(".") else None
