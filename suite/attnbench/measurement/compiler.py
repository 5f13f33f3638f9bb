"""What torch.compile needs inside a mechanism: workers that do not disturb the clock, a folder that can be written, a C++ compiler."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from attnbench.errors import text_of

THREADS, CACHE = "TORCHINDUCTOR_COMPILE_THREADS", "TORCHINDUCTOR_CACHE_DIR"
MANY = 1000  # compiled forms of one function: a check calls it in every dtype, length and mode, and beyond torch's eight it is an error
# By the names of the errors' classes, or words of theirs: what is not here, and whom it is said by.
_ABSENT = {
    "InvalidCxxCompiler": "torch.compile found no C++ compiler that works; install g++ or clang++, or name one in the variable CXX",
    "Failed to find C compiler": "Triton found no C compiler; install gcc or clang, or name one in the variable CC",
    "Python.h: No such file": "torch.compile found no Python.h; install the header files of this Python (python3-dev)",
}


def prepare() -> None:
    """Have torch compile in the thread that calls, and keep what it compiled where this user can write.

    A pool of workers would start while the first calls are timed, and take their processors. Compiling is part of the first call.
    """
    os.environ[THREADS] = "1"
    config = sys.modules.get("torch._inductor.config")
    if config is not None:
        config.compile_threads = 1  # type: ignore[attr-defined]
    given = os.environ.get(CACHE)
    if given is not None and not _is_writable(Path(given)):
        own = f"attnbench_inductor_{os.getuid() if hasattr(os, 'getuid') else ''}"
        os.environ[CACHE] = str(Path(tempfile.gettempdir()) / own)


def allow_many_forms() -> None:
    """Let torch compile a function anew for as many dtypes, lengths and modes as the checks call it in."""
    import torch._dynamo.config as config

    config.recompile_limit = config.accumulated_recompile_limit = MANY


def absence(error: BaseException) -> str | None:
    """What an error of the compiler says is not on this machine, and what to do; None for any other error."""
    for one in _chain(error):
        text = f"{type(one).__name__}: {text_of(one)}"
        for sign, said in _ABSENT.items():
            if sign in text and type(one).__module__.partition(".")[0] in ("torch", "triton", "builtins"):
                return said
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error and those that it came from."""
    waiting: list[BaseException | None] = [error]
    seen: set[int] = set()
    while waiting:
        one = waiting.pop()
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            yield one
            waiting += [one.__cause__, one.__context__, getattr(one, "inner_exception", None)]


def _is_writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False
