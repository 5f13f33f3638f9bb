"""The budget of every task: how many epochs a run has, as the pilot, softmax alone, chose it.

`attnbench run --preset pilot` prints what belongs here, by the rule of the protocol (stats/budget.py). A task that is not named has the
epochs that it declares. It has to stand before anything else of the protocol is measured for a table or a claim.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

# Epochs by task, see key_of, of the small sizes.
CHOSEN: Mapping[str, int] = MappingProxyType(
    {
        "mnist": 8,
        "fashion_mnist": 12,
        "sotu_era": 3,
        "sotu_mlm": 24,
        "sotu_lm": 24,
        "mqar": 8,
        "mqar, other form": 8,
        "mqar, pairs 16": 8,
        "mqar, pairs 16, other form": 8,
        "selective_copy": 44,
        "selective_copy, other form": 11,
        "noisy_recall": 16,
        "noisy_recall, other form": 16,
        "memorisation": 8,
        "memorisation, other form": 8,
        "compression": 16,
        "compression, other form": 16,
        "mnist, patch 2": 16,
        "fashion_mnist, patch 2": 12,
    }
)


def key_of(task: str, params: Mapping[str, Any] | None, other_form: bool = False) -> str:
    """How a task at a difficulty is named in CHOSEN.

    other_form: whether it is run in the form, causal or not, that the task names second.

    >>> key_of("mqar", {"pairs": 16}, other_form=True)
    'mqar, pairs 16, other form'
    """
    return key_at(task, ", ".join(f"{name} {value}" for name, value in sorted((params or {}).items())), other_form)


def key_at(task: str, difficulty: str, other_form: bool = False) -> str:
    """The same of a difficulty in words, as Spec.difficulty gives it; empty where all parameters are the task's defaults."""
    return ", ".join(filter(None, [task, difficulty, "other form" if other_form else ""]))


def epochs_of(key: str, size: str, declared: int) -> int:
    """The epochs of a run of a task: those that the pilot chose for its small size, else those it declares."""
    return CHOSEN.get(key, declared) if size == "small" else declared
