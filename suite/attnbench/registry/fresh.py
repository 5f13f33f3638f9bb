"""What a module was when it had just been imported, so that another execution of its file can be the same, whatever was called since."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import ModuleType
from typing import Any
from weakref import WeakKeyDictionary

from attnbench.registry import process_settings

_known: WeakKeyDictionary[ModuleType, Fresh] = WeakKeyDictionary()


@dataclass(frozen=True)
class Fresh:
    """restore_random: puts the random generators where they were before the import. tensors: copies of those at the top of the file."""

    restore_random: Callable[[], None]
    tensors: Mapping[str, Any]


def imported(load: Callable[[], ModuleType]) -> ModuleType:
    """The module that `load` gives, of which is noted what it is now. One that was noted before, as what it was then."""
    restore = process_settings.random_states()
    module = load()
    if isinstance(module, ModuleType) and module not in _known:  # not what took its place in sys.modules
        _known[module] = Fresh(restore, _tensors(module))
    return module


def of(module: ModuleType) -> Fresh | None:
    """What was noted of a module; None for one that the registry did not import."""
    return _known.get(module)


def _tensors(module: ModuleType) -> dict[str, Any]:
    torch: Any = sys.modules.get("torch")
    found = {}
    for name, value in vars(module).items() if torch is not None else ():
        if isinstance(value, torch.Tensor):
            with suppress(Exception):  # one without values yet, such as a lazy parameter: every execution makes its own
                found[name] = value.detach().clone()
    return found
