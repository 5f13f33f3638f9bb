"""The settings of a process that one file could change for everybody: torch's, the processor's, Python's. Read, put back, and named.

One list, for three uses: `kept` holds them while a file is imported and while its mechanism is built, each check puts them back with
`undone`, and the guard compares them before and after measuring. torch is not imported here: its settings are looked at where it is loaded
already.
"""

from __future__ import annotations

import gc
import locale
import os
import random
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from attnbench.errors import BadInput

# Variables that decide how fast, how exactly or where code runs, by how their names begin; and those that packages set to work at all.
_VARIABLES = (
    "ATEN_", "ATTNBENCH_", "CUBLAS", "CUDA_", "DNNL_", "GOMP_", "KMP_", "MALLOC_", "MKL_", "NVIDIA_TF32", "OMP_", "ONEDNN_", "OPENBLAS_",
    "PYTORCH_", "TORCH_ALLOW_",
)  # fmt: skip
_HARMLESS = ("CUDA_CACHE_", "CUDA_HOME", "CUDA_MODULE_LOADING", "CUDA_PATH", "KMP_DUPLICATE_LIB_OK", "KMP_INIT_AT_FORK")
_GENERATORS = ("random", "numpy.random", "torch's generator", "torch's generators on CUDA")
_MISSING = "not set"
_SHOWN = 3  # changes that a message names
_ROUNDS = 3  # of putting back: some of torch's settings change others, also when they are put back


@dataclass(frozen=True)
class Setting:
    """A setting. read: gives its value. write: puts a value back; None where nothing can."""

    read: Callable[[], Any]
    write: Callable[[Any], object] | None = None


Values = Mapping[str, Any]


def values() -> Values:
    """The value of every setting by name, as it is now, with the environment's variables that count."""
    found = {name: _read(setting) for name, setting in _settings().items()}
    return found | {f"os.environ[{name!r}]": value for name, value in os.environ.items() if _counts(name)}


def changes(before: Values) -> list[str]:
    """What has changed since, in words, one text for each setting; empty if nothing has."""
    return [f"{name} from {_shown(old)} to {_shown(new)}" for name, (old, new) in _changed(before).items()]


@contextmanager
def kept(what: str, importing: bool = False) -> Iterator[None]:
    """Context manager: puts every setting back at the end, and raises BadInput if one was changed.

    what: who may change none, in words that begin the message. importing: put back also what may be used, but not left so: the states of
    random generators, for example, which decide what the next file draws.
    """
    quiet = [(setting, _read(setting)) for setting in _quiet().values()] if importing else []
    try:
        with undone() as told:
            yield
    finally:
        for setting, value in quiet:
            _write(setting, value)
    if told:
        raise BadInput(f"{what} {refusal(told)}")


@contextmanager
def undone() -> Iterator[list[str]]:
    """Context manager: puts every setting back at the end. Gives a list that names then, in words, what had been changed."""
    told: list[str] = []
    before = values()
    try:
        yield told
    finally:
        told += changes(before)
        for _ in range(_ROUNDS):
            changed = _changed(before)
            if not changed:
                break
            for name, (old, _new) in changed.items():
                _put_back(name, old)


def refusal(told: Sequence[str]) -> str:
    """What is said of changes that were put back, as `undone` names them, and what to do."""
    more = f" and {len(told) - _SHOWN} more" if len(told) > _SHOWN else ""
    return (
        f"changes what the whole process shares: {', '.join(told[:_SHOWN])}{more}; it was put back. Leave it as it is: "
        "give dtype= and device= where tensors are made, or set it inside forward in a context manager that restores it"
    )


def random_states() -> Callable[[], None]:
    """A function that puts the random generators where they are now: Python's, numpy's and torch's, of those that are loaded."""
    now = [(setting, _read(setting)) for name, setting in _quiet().items() if name in _GENERATORS]

    def restore() -> None:
        for setting, state in now:
            _write(setting, state)

    return restore


def _changed(before: Values) -> dict[str, tuple[Any, Any]]:
    now = values()
    return {
        name: (before.get(name, _MISSING), now.get(name, _MISSING))
        for name in {**before, **now}
        if before.get(name, _MISSING) != now.get(name, _MISSING) and not _is_first_seen(name, before)
    }


def _is_first_seen(name: str, before: Values) -> bool:
    """Whether a setting of torch was not there before because torch was not loaded."""
    return name not in before and not name.startswith("os.environ[")


def _put_back(name: str, old: Any) -> None:
    if name.startswith("os.environ["):
        variable = name.removeprefix("os.environ['").removesuffix("']")
        if old is _MISSING:
            os.environ.pop(variable, None)
        else:
            os.environ[variable] = old
    else:
        _write(_settings()[name], old)


def _read(setting: Setting) -> Any:
    try:
        return setting.read()
    except Exception as error:  # torch refuses to read some flags that were set by two interfaces
        return f"unreadable ({type(error).__name__})"


def _write(setting: Setting, value: Any) -> None:
    if setting.write is not None:
        with suppress(Exception):  # what cannot be put back is named all the same
            setting.write(value)


def _shown(value: Any) -> str:
    return str(value) if len(str(value)) <= 60 else f"{str(value)[:57]}..."


def _counts(variable: str) -> bool:
    return variable.startswith(_VARIABLES) and not variable.startswith(_HARMLESS)


def _settings() -> dict[str, Setting]:
    """What nobody may change, by name."""
    found = {
        "the garbage collector": Setting(gc.isenabled, lambda on: gc.enable() if on else gc.disable()),
        "gc.get_threshold()": Setting(gc.get_threshold, lambda limits: gc.set_threshold(*limits)),
        "sys.getswitchinterval()": Setting(sys.getswitchinterval, sys.setswitchinterval),
        "flush_denormal": Setting(lambda: sys.float_info.min * _HALF == 0.0, _flush_denormal),
    }
    if hasattr(os, "sched_getaffinity"):
        found["the processors it may use"] = Setting(lambda: sorted(os.sched_getaffinity(0)), partial(os.sched_setaffinity, 0))
    if "torch" in sys.modules and hasattr(sys.modules["torch"], "compile"):  # not one that is only half imported
        from attnbench.registry import torch_settings

        found |= {name: Setting(*pair) for name, pair in torch_settings.found().items()}
    return found


_HALF = 0.5


def _flush_denormal(on: bool) -> None:
    sys.modules["torch"].set_flush_denormal(on)


def _quiet() -> dict[str, Setting]:
    """What an import may use, and is put back without a word: nobody's numbers are changed then."""
    found = {
        "working folder": Setting(os.getcwd, os.chdir),
        "random": Setting(random.getstate, random.setstate),
        "recursion limit": Setting(sys.getrecursionlimit, sys.setrecursionlimit),
        "locale": Setting(partial(locale.setlocale, locale.LC_ALL), partial(locale.setlocale, locale.LC_ALL)),
    }
    if threading.current_thread() is threading.main_thread():
        found["Ctrl-C"] = Setting(partial(signal.getsignal, signal.SIGINT), partial(signal.signal, signal.SIGINT))
    if "numpy" in sys.modules:
        import numpy as np

        found["numpy.random"] = Setting(np.random.get_state, np.random.set_state)
        found["numpy.seterr"] = Setting(np.geterr, lambda how: np.seterr(**how))
    if "torch" in sys.modules:
        import torch

        found["torch's generator"] = Setting(torch.get_rng_state, torch.set_rng_state)
        if torch.cuda.is_initialized():
            found["torch's generators on CUDA"] = Setting(torch.cuda.get_rng_state_all, torch.cuda.set_rng_state_all)
        else:  # a seed that was given waits until CUDA is first used: the old one is given after it
            found["seed of CUDA"] = Setting(torch.initial_seed, torch.cuda.manual_seed_all)
    return found
