"""The errors a user may see: each says what came, what is allowed and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_OUT_OF_MEMORY = ("can't allocate memory", "CUDA out of memory", "CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED")


class AttnbenchError(Exception):
    """Base of every error that is shown to the user without a traceback."""


class BadInput(AttnbenchError):
    """The request cannot be carried out as it stands (exit code 2)."""


class Unsupported(AttnbenchError):
    """The mechanism has no such form, for example no causal one; recorded as `skipped`."""


class Unavailable(AttnbenchError):
    """Something the cell needs is not here: a device, a package, a data set."""


def unknown_name(kind: str, name: str, allowed: Iterable[str], see: str) -> BadInput:
    """The error for an unknown name; it suggests the nearest allowed one.

    >>> print(unknown_name("variant", "linaer_elu", ["linear_elu", "softmax"], "attnbench list variants"))
    unknown variant 'linaer_elu'; did you mean 'linear_elu'? (attnbench list variants)
    """
    choices = sorted(allowed)
    close = difflib.get_close_matches(name, choices, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"allowed: {', '.join(choices)}"
    return BadInput(f"unknown {kind} {name!r}; {hint} ({see})")


def text_of(error: BaseException) -> str:
    """The message of an error, as Unicode that any file can hold, even if its __str__ fails or gives half a surrogate pair."""
    try:
        text = str(error)
    except BaseException as worse:
        text = f"(its text cannot be had: {type(worse).__name__})"
    return text.encode("utf-8", "backslashreplace").decode()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out: a class of its own on CUDA, a plain RuntimeError on the CPU."""
    text = text_of(error)
    return type(error).__name__ == "OutOfMemoryError" or isinstance(error, MemoryError) or any(sign in text for sign in _OUT_OF_MEMORY)


class Incorrect(AttnbenchError):
    """The mechanism's output is not what it should be: its times mean nothing."""


class NotImportable(BadInput):
    """The file, or the installed plug-in, of a name cannot be imported.

    status: of a record that says so: "unavailable" where a package that it imports is not here, else "error".
    """

    def __init__(self, message: str, status: str = "error") -> None:
        super().__init__(message)
        self.status = status
