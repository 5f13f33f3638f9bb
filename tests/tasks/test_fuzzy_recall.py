"""Fuzzy recall, held against a solver of its own."""

from __future__ import annotations

from collections import Counter
from functools import partial
from itertools import pairwise

import pytest
import torch

from attnbench.tasks import fuzzy_recall
from attnbench.tasks.loading.synthetic import generate
from attnbench.workload import IGNORED, Parts
from helpers.task_data import declared, loaded, splits

Motif = tuple[int, ...]
sizes = pytest.mark.parametrize("tokens", [1, 2, 3])


def few(tokens: int) -> Parts:
    """Some rows with keys and values of up to so many tokens."""
    return generate(partial(fuzzy_recall.draw, tokens=tokens), fuzzy_recall.SEED, train=400, validation=400, test=400)


def read(row: list[int]) -> list[tuple[Motif, Motif, int]]:
    """Keys, the tokens of values behind them, and the place of the last of both, from the left. Blanks are left out."""
    found: list[tuple[Motif, Motif, int]] = []
    key: Motif = ()
    value: Motif = ()
    for place, token in enumerate([*row, 0]):
        if key and ((token in fuzzy_recall.KEYS and value) or token == 0):
            found.append((key, value, place - 1))
            key, value = (), ()
        if token in fuzzy_recall.KEYS:
            key += (token,)
        elif token != 0:
            value += (token,)
    return found


@sizes
def test_it_is_a_look_up_of_whole_keys(tokens: int) -> None:
    for split in splits(few(tokens)).values():
        for row, targets in zip(split.inputs.tolist(), split.targets.tolist(), strict=True):
            told = 6 * (tokens + 1)
            pairs = {key: value for key, value, _ in read(row[:told])}
            asked: dict[int, int] = {}
            questions = [(key, value, place) for key, value, place in read([0] * told + row[told:])]
            for key, shown, place in questions:
                assert pairs[key][: len(shown)] == shown
                asked[place] = pairs[key][len(shown)]
            assert targets == [asked.get(place, IGNORED) for place in range(len(row))]
            assert sorted(key for key, _, _ in questions) == sorted(pairs) and len(pairs) == 6


@sizes
def test_keys_and_values_are_of_as_many_tokens_as_the_parameter_says(tokens: int) -> None:
    even = [length for length in range(1, tokens + 1) for _ in range(6 // tokens)]
    for row in few(tokens).test.inputs.tolist():
        pairs = read(row[: 6 * (tokens + 1)])
        assert sorted(len(key) for key, _, _ in pairs) == sorted(len(value) for _, value, _ in pairs) == even
        assert all(len(set(motif)) == len(motif) for key, value, _ in pairs for motif in (key, value))


def test_no_question_shows_what_another_hides() -> None:
    """The next token after what is shown is a blank, and each key is asked once."""
    for split in splits(loaded("fuzzy_recall")).values():
        asked = split.targets != IGNORED
        assert (asked.sum(1) == 6).all() and not asked[:, -1].any()
        assert (split.inputs[:, 1:][asked[:, :-1]] == fuzzy_recall.BLANK).all()


def test_the_last_token_of_a_key_is_not_enough() -> None:
    """Whoever knows what follows a token in the row, and no more, is right in 0.83 of cases; a target of less would say nothing."""
    right, asked = 0.0, 0
    test = loaded("fuzzy_recall").test
    for row, targets in zip(test.inputs[:1_000].tolist(), test.targets[:1_000].tolist(), strict=True):
        follows = list(pairwise(row[:18]))
        for token, target in zip(row, targets, strict=True):
            if target != IGNORED:
                after = Counter(second for first, second in follows if first == token and second in fuzzy_recall.VALUES)
                best = [second for second, count in after.items() if count == max(after.values())]
                right, asked = right + (target in best) / len(best), asked + 1
    assert 0.8 < right / asked < 0.86 < declared("fuzzy_recall").target - 0.05


def test_it_is_not_guessed() -> None:
    train = loaded("fuzzy_recall").train
    answers = train.targets[train.targets != IGNORED]
    assert answers.bincount().max() / len(answers) < 1 / 16 + 0.002
    places = (train.targets != IGNORED).float().mean(0)[18:-1]
    assert places[:-1].max() < 0.55  # where a question stands differs from row to row; the last but one token often asks
    assert torch.isclose(places.sum(), torch.tensor(6.0))
