"""Tokens that are asked: how frequent each answer is near the tokens at which it is asked; used by controls.py.

A text that goes on: by the n tokens before. A text of which tokens are hidden: by those on both sides, as far as these are not hidden. A
task that is generated: by the last tokens, the one at the place among them, which both its forms may look at.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from _back_off import LARGEST_CODE, BackOff, Places
from _kneser_ney import Floats

LONGEST_N_GRAM = 6
TOKENS_A_SIDE = 3  # of what is hidden
TOKENS_BEFORE = 4  # the one at the place among them, in a task that is generated


def fit(task: Any, parts: Any, say: Callable[[str], None]) -> tuple[str, str, Floats, Floats]:
    """The model in words, what was chosen, and the score of every answer of the validation and of the test part.

    A score is the bits of an answer, or 1 where it is right and 0 where it is not.
    """
    hidden = hidden_token(task, parts)
    others = places(parts.validation, hidden), places(parts.test, hidden)
    if hidden is None:
        longest = LONGEST_N_GRAM - 1 if task.kind == "language" else TOKENS_BEFORE
        sides = [(size, 0) for size in range(longest + 1)]
    else:
        sides = [(size, size) for size in range(TOKENS_A_SIDE + 1)]
    sides = [of for of in sides if task.vocabulary ** sum(of) * task.num_classes < LARGEST_CODE]
    training = places(parts.train, hidden) if hidden is None else filled(parts.train, task.num_classes)
    model = BackOff(training, sides[-1], task.vocabulary, task.num_classes)
    bits = {of: float(-np.log2(model.probability(others[0], of)).mean()) for of in sides}
    for of in sides:
        say(f"{_tokens(sum(of))}: {bits[of]:.4f} bits on the validation part")
    best = min(sides, key=bits.__getitem__)
    if hidden is not None:
        words = "tokens on both sides, Kneser-Ney", f"{_tokens(best[0])} a side, of 0 to {sides[-1][0]}"
    elif task.kind == "language":
        words = "n-gram, Kneser-Ney", f"n = {best[0] + 1}, of 1 to {sides[-1][0] + 1}"
    else:
        words = "frequency after the last tokens, Kneser-Ney", f"{_tokens(best[0])}, of 0 to {sides[-1][0]}"
    one, other = (
        -np.log2(model.probability(of, best)) if task.metric == "bits_per_byte" else 1.0 * (model.best(of, best) == of.answer)
        for of in others
    )
    return *words, one, other


def _tokens(count: int) -> str:
    return "1 token" if count == 1 else f"{count} tokens"


def hidden_token(task: Any, parts: Any) -> int | None:
    """The token that stands wherever an answer is asked, in place of a part of a text; None where it is not so."""
    from attnbench.workload import IGNORED

    asked = parts.train.inputs[parts.train.targets != IGNORED].unique()
    return int(asked) if task.kind == "language" and task.causal == (False,) and len(asked) == 1 else None


def places(split: Any, hidden: int | None) -> Places:
    """Where a split asks for an answer, in the order of rows and positions."""
    from attnbench.workload import IGNORED

    tokens, targets = split.inputs.numpy(), split.targets.numpy()
    known = tokens != (-1 if hidden is None else hidden)
    if split.padding_mask is not None:
        known &= ~split.padding_mask.numpy()
    row, column = (targets != IGNORED).nonzero()
    return Places(tokens, known, row, column, targets[row, column], own=hidden is None)


def filled(split: Any, answers: int) -> Places:
    """Every position of a split that could be asked, its answers put where they were hidden."""
    from attnbench.workload import IGNORED

    tokens = split.inputs.where(split.targets == IGNORED, split.targets).numpy()
    known = tokens >= 0 if split.padding_mask is None else ~split.padding_mask.numpy()
    row, column = (known & (tokens < answers)).nonzero()
    return Places(tokens, known, row, column, tokens[row, column], own=False)
