"""Grids of cells: the products of some axes, with the rest fixed."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from attnbench import registry
from attnbench.spec import tuning
from attnbench.spec.axes import Spec
from attnbench.spec.axis_values import OF_TRAINING
from attnbench.spec.budgets import epochs_of, key_of
from attnbench.spec.protocol import NEWEST, Protocol

ALL_VARIANTS: tuple[str, ...] = ()  # an empty choice stands for every registered variant


@dataclass(frozen=True)
class Grid:
    """The product of some axes of the kernel or depth track, with the rest fixed. processes: how often each cell is measured, by seed."""

    track: str
    variants: tuple[str, ...]
    axes: Mapping[str, Sequence[Any]]
    fixed: Mapping[str, Any] = field(default_factory=dict)
    processes: int = 1

    def specs(self, device: str, variants: tuple[str, ...] = ()) -> Iterator[Spec]:
        """Every spec, the processes varying slowest and then the last axis, so that cheap lengths and depths of all variants come first.

        With `variants` given, those take the place of the grid's own.
        """
        reverse = [("seed", range(self.processes)), *list(self.axes.items())[::-1]]
        for values in itertools.product(*(choices for _, choices in reverse)):
            chosen = dict(zip((name for name, _ in reverse), values, strict=True))
            for variant in variants or self.variants or registry.names("variants"):
                yield Spec(track=self.track, variant=variant, device=device, **self.fixed, **chosen)


@dataclass(frozen=True)
class Arm:
    """A mechanism with parameters of its own, and axes of its own such as init_norm, in place of the mechanism as it is registered."""

    variant: str
    params: Mapping[str, Any] = field(default_factory=dict)
    axes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Posed:
    """A task at a difficulty that is not its default."""

    task: str
    params: Mapping[str, Any]


@dataclass(frozen=True)
class TaskGrid:
    """Training on tasks, each in the sizes that it declares; and the time of a training step of every such model, alone.

    tasks:   by name, or with parameters of their difficulty.
    arms:    mechanisms, by name or with parameters and axes; none for every registered one.
    processes: how often each step is timed; 0 for not at all.
    size:    "small", for two cores, or "large", for a GPU: which of a task's sizes.
    tuned:   whether each arm's learning rate is chosen, among the protocol's rates around the one that the task declares, or is that one.
    layers:  depths; none to take the task's own.
    budgets: shares of the task's budget, each a run of its own with the rate that is tuned at the whole.
    both_forms: whether a task that is causal or not is run in both forms; else in the one that it names first.
    fixed:   axes that take the place of the task's.
    """

    tasks: tuple[str | Posed, ...]
    arms: tuple[str | Arm, ...]
    seeds: int
    processes: int = 1
    size: str = "small"
    tuned: bool = False
    layers: tuple[int, ...] = ()
    budgets: tuple[float, ...] = (1.0,)
    both_forms: bool = False
    fixed: Mapping[str, Any] = field(default_factory=dict)

    @property
    def names(self) -> set[str]:
        """The names of its tasks."""
        return {task.task if isinstance(task, Posed) else task for task in self.tasks}

    def specs(self, device: str, variants: tuple[str, ...], tasks: Mapping[str, str], protocol: Protocol = NEWEST) -> Iterator[Spec]:
        """Every spec, of one task all variants with one seed after the other, so that what is compared is there early and in pairs.

        tasks: names or paths of files by the names that take the place of the grid's own. variants: likewise of its arms; of those that
        it holds, with its parameters.
        """
        own = [task if isinstance(task, Posed) else Posed(task, {}) for task in self.tasks]
        posed = [task for task in own if task.task in tasks] + [Posed(name, {}) for name in tasks if name not in self.names]
        arms = self._arms(variants)
        for task in posed:
            source = tasks[task.task]
            forms: tuple[bool, ...] = registry.field("tasks", source, "causal", default=(False,))
            for causal in forms if self.both_forms else forms[:1]:
                yield from self._specs(task, source, (causal, forms[0]), device, arms, protocol)

    def _arms(self, variants: tuple[str, ...]) -> list[Arm]:
        arms = [arm if isinstance(arm, Arm) else Arm(arm) for arm in self.arms or registry.names("variants")]
        if not variants:
            return arms
        held = {arm.variant for arm in arms}
        return [arm for arm in arms if arm.variant in variants] + [Arm(name) for name in variants if name not in held]

    def _specs(
        self, task: Posed, source: str, form: tuple[bool, bool], device: str, arms: Sequence[Arm], protocol: Protocol
    ) -> Iterator[Spec]:
        """The specs of a task in one form: training runs, then the steps of their models. form: causal or not, and the task's first."""
        causal, default = form
        size = registry.field("tasks", source, self.size)
        axes: dict[str, Any] = {
            **(size if isinstance(size, dict) else vars(size)),
            "causal": causal,
            "protocol": protocol.name,
            **self.fixed,
        }
        axes["task_params"] = dict(task.params) or None
        if "epochs" not in self.fixed:
            axes["epochs"] = epochs_of(key_of(task.task, task.params, causal is not default), self.size, axes["epochs"])
        if self.tuned:
            axes |= {"lr": None, "lr_grid": tuning.grid(protocol.base_rates(axes["lr"]))}
        for share, layers, seed in itertools.product(self.budgets, self.layers or (axes["num_layers"],), range(self.seeds)):
            budget = _share(axes["epochs"], share, self.tuned)
            for arm in arms:
                yield Spec(task=task.task, device=device, **_of_arm("task", arm, {**axes, **budget, "num_layers": layers, "seed": seed}))
        of_model = {axis: value for axis, value in axes.items() if axis not in OF_TRAINING}
        for layers, seed in itertools.product(self.layers or (axes["num_layers"],), range(self.processes)):
            for arm in arms:
                own = {axis: value for axis, value in arm.axes.items() if axis not in OF_TRAINING}
                step = _of_arm("step", Arm(arm.variant, arm.params, own), {**of_model, "num_layers": layers, "seed": seed})
                yield Spec(task=task.task, device=device, **step)


def _share(epochs: int, share: float, tuned: bool) -> dict[str, int]:
    """The axes of a share of a budget: at least one epoch, and how many those have that tune the rate."""
    return {"epochs": max(1, round(share * epochs)), **({"tuned_epochs": epochs} if tuned else {})}


def _of_arm(track: str, arm: Arm, axes: Mapping[str, Any]) -> dict[str, Any]:
    return {"track": track, "variant": arm.variant, "params": dict(arm.params), **axes, **arm.axes}
