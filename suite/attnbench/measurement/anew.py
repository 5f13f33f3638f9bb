"""Builds a mechanism anew from its file: its definition in float64 shares nothing with the module that is measured.

A copy would not do: a table that a module made in the dtype of its first call would be copied with it, and a module that holds a lock, or a
tensor with a history, cannot be copied.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from attnbench import registry
from attnbench.attention import Shape, Variant
from attnbench.errors import text_of
from attnbench.registry import fresh, module_files
from attnbench.spec.construct import construct, load_variant
from attnbench.store.environment import anonymous
from attnbench.store.sources import PACKAGE, closure

SUFFIX = "_anew"
LONGEST_REASON = 200  # characters


@dataclass(frozen=True)
class Blueprint:
    """What a module is built from. source: the name or path of the variant; params: all of them."""

    source: str
    shape: Shape
    params: Mapping[str, Any]

    def build(self) -> nn.Module:
        """A module in float32, in eval mode. Raises Unavailable when the mechanism needs what is not here."""
        context = {key: value for key, value in vars(self.shape).items() if key not in ("num_heads", "head_dim")}
        return _evaluating(construct(self.source, self.shape.num_heads, self.shape.head_dim, context, self.params))

    def build_by(self, variant: Variant) -> nn.Module:
        """The same by another execution of the file."""
        return _evaluating(variant.build(self.shape, **{**variant.params, **self.params}))


class Original:
    """A module that is measured, on its device and in its dtype, and what it takes to build it anew."""

    def __init__(self, blueprint: Blueprint, device: str, dtype: torch.dtype) -> None:
        registry.load("variants", blueprint.source)  # before the random state is noted: a file may draw when it is imported
        self._blueprint, self._device, self._random = blueprint, device, _random_state()
        self.module = blueprint.build().to(device, dtype)
        self._state = state_of(self.module)
        self.shared: str | None = None  # see Execution; known when `definition` was asked for

    def definition(self, dtype: torch.dtype = torch.float64, execution: Execution | None = None) -> tuple[Variant, nn.Module]:
        """The variant by another execution of its file, and a module that has never been called: in float64 it defines what is right.

        Parameters and persistent buffers are those of the measured module as it was built, rounded to its dtype. All else is as the file
        makes it, drawn from the same random state: what a module rounds, or makes in its first call, is an error of its own.

        execution: that of the file, where several modules come from one.
        """
        execution = execution or load_anew(self._blueprint.source)
        variant, self.shared = execution.variant, execution.shared
        with _random_state_of(self._random):
            module = self._blueprint.build_by(variant)
        module = module.to(self._device, dtype)
        module.load_state_dict(self._state)
        return variant, module


def state_of(module: nn.Module) -> dict[str, Any]:
    """A copy of the parameters and persistent buffers of a module; to be made before any call, for it may add to them."""
    return {name: x.detach().clone() if isinstance(x, Tensor) else x for name, x in module.state_dict().items()}


def _evaluating(built: object) -> nn.Module:
    """What a build gave, in eval mode. Raises TypeError for what is no module."""
    if not isinstance(built, nn.Module):
        raise TypeError(f"build gives a {type(built).__name__}; an nn.Module is asked for")
    return built.eval()


@dataclass(frozen=True)
class Execution:
    """A variant by an execution of its file. shared: why it is the first execution after all, and what that means; None where it is not."""

    variant: Variant
    shared: str | None = None


def load_anew(source: str) -> Execution:
    """The variant that a file declares, from another execution of it and of the modules beside it that it imports.

    A table at the top of the file, or in a cache of functools, is then made again. What is drawn there is drawn from the same random state,
    and tensors that stood there after the first import are as they were then, whatever was called since.

    Where a file cannot be executed twice, as one that registers an operator of torch, the variant is that of the first execution, and
    `shared` says so.
    """
    known = load_variant(source)
    file = registry.source("variants", source).resolve()
    first = next((module for module in list(sys.modules.values()) if _file_of(module) == file and fresh.of(module) is not None), None)
    noted = None if first is None else fresh.of(first)
    if first is None or noted is None:
        return Execution(known, _shared("it was not imported from its file"))

    def again() -> ModuleType:
        noted.restore_random()
        return module_files.load(file, anew=True) if registry.is_path(source) else _execute(first, file)

    try:
        module = registry.imported("variants", registry.stem(source), again)
    except (Exception, SystemExit) as error:  # whatever a third party's file raises the second time
        return Execution(known, _shared(f"{type(error).__name__}: {text_of(error)}"))
    for name, tensor in noted.tensors.items():
        other = vars(module).get(name)
        if isinstance(other, Tensor) and other.shape == tensor.shape and other.dtype == tensor.dtype:
            setattr(module, name, tensor.clone())
    variant = getattr(module, "VARIANT", None)
    if not isinstance(variant, Variant):
        return Execution(known, _shared("it declares no VARIANT then"))
    return Execution(replace(known, build=variant.build, reference=variant.reference, reference_rows=variant.reference_rows))


def _shared(why: str) -> str:
    """What a record and a check say of a file that is executed once only."""
    told = anonymous(" ".join(why.split()))[:LONGEST_REASON]
    return f"the file cannot be executed a second time ({told}): a table that it keeps outside its modules is the same in every dtype"


def _execute(first: ModuleType, file: Path) -> ModuleType:
    """Another execution of the file of a registered variant, and of the modules of its own package that it imports."""
    name = first.__name__ + SUFFIX
    folders = getattr(first, "__path__", None)
    found = importlib.util.spec_from_file_location(name, file, submodule_search_locations=None if folders is None else list(folders))
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module  # for dataclasses and the like, which look up where they are defined
    try:
        with _without_neighbours(file):
            found.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module


@contextmanager
def _without_neighbours(file: Path) -> Iterator[None]:
    """Context manager: the modules that a file imports from its own folder are imported anew, and the first ones come back afterwards."""
    beside = {path for path in closure([file]) if not path.is_relative_to(PACKAGE)} - {file}
    held = {name: module for name, module in list(sys.modules.items()) if _file_of(module) in beside}
    for name in held:
        del sys.modules[name]
    try:
        yield
    finally:
        sys.modules.update(held)


def _file_of(module: ModuleType) -> Path | None:
    file = getattr(module, "__file__", None)
    return _resolved(file) if isinstance(file, str) else None


@cache
def _resolved(file: str) -> Path:
    """Remembered, for thousands are asked for at each verification."""
    return Path(file).resolve()


def _random_state() -> list[Tensor]:
    """The state of torch's global generators, the processor's first, from which a mechanism may draw when it is built."""
    return [torch.get_rng_state(), *(torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [])]


def _set_random_state(state: list[Tensor]) -> None:
    torch.set_rng_state(state[0])
    if state[1:]:
        torch.cuda.set_rng_state_all(state[1:])


@contextmanager
def _random_state_of(state: list[Tensor]) -> Iterator[None]:
    """Context manager: the global generators are as they were then, and afterwards as they were before."""
    before = _random_state()
    _set_random_state(state)
    try:
        yield
    finally:
        _set_random_state(before)
