"""Half of a piece of work in a forked process, which sees all that this one has read without reading it again."""

from __future__ import annotations

import multiprocessing
import signal
import traceback
import warnings
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, Self

from attnbench.errors import AttnbenchError


class Beside:
    """Runs a function beside the caller, or when it is waited for if `forked` is false. Its result must be picklable.

    The function must not start threads, nor count on those that this process has. Leaving the `with` block ends what still runs.
    """

    def __init__(self, work: Callable[[], list[str]], forked: bool) -> None:
        self._work, self._process = work, None
        if forked:
            context = multiprocessing.get_context("fork")
            self._receiving, sending = context.Pipe(duplex=False)
            self._process = context.Process(target=_run, args=(work, sending), daemon=True)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of threads, of which the work needs none
                self._process.start()
            sending.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.join()
            self._receiving.close()

    def wait(self) -> list[str]:
        """The result. Raises what the function raised, or AttnbenchError when its process died."""
        if self._process is None:
            return self._work()
        try:
            found = self._receiving.recv()
        except EOFError as error:
            self._process.join()
            raise AttnbenchError(f"the process that wrote half of the site died ({self._process.exitcode}); is memory short?") from error
        self._process.join()
        if isinstance(found, BaseException):
            raise found
        return list(found)


def _run(work: Callable[[], list[str]], sending: Connection[Any, Any]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to both; the other ends this one
    try:
        sending.send(work())
    except (AttnbenchError, OSError) as error:  # they are raised again where they are waited for
        sending.send(error)
    except Exception:  # whose class may not survive the way
        sending.send(RuntimeError(f"in the process beside this one:\n{traceback.format_exc()}"))
