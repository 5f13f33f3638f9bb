"""Runs a command so that an error of the user's, of the system's or of attnbench's own is one line, and an exit code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.text import Text

from attnbench.errors import AttnbenchError, BadInput, text_of

err = Console(stderr=True, markup=False, emoji=False)  # a name in a record may look like markup


def guarded(command: Callable[[], Any]) -> int:
    """Run a command and return its exit code: its own, 130 for Ctrl-C; for bad input print one line and return 2, for other errors 1."""
    try:
        command()
    except BadInput as error:
        _tell("error:", str(error))
        return 2
    except AttnbenchError as error:
        _tell("error:", str(error))
        return 1
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except OSError as error:  # a full disk, a closed terminal: the system says what, and of which file
        _tell("error:", text_of(error))
        return 1
    except Exception as error:  # a bug in attnbench: one line that says so, and how to see where
        _tell("unexpected error:", f"{type(error).__name__}: {text_of(error)} (--debug shows where)")
        return 1
    return 0


def _tell(what: str, said: str) -> None:
    err.print(Text.assemble((what, "bold red"), " ", said), soft_wrap=True)
