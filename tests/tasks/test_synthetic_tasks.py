"""The generated token tasks, held against solvers of their own; pathfinder is in test_pathfinder.py."""

from __future__ import annotations

import random
import statistics
from collections import Counter

import numpy as np
import pytest
import torch
from torch import Tensor

from attnbench.tasks import listops, mqar, selective_copy
from attnbench.tasks.loading.synthetic import Draws, generate
from attnbench.workload import IGNORED, Parts, Split
from helpers.task_data import declared, loaded, splits

RECALL = ["mqar", "selective_copy", "noisy_recall", "fuzzy_recall", "memorisation", "compression"]


@pytest.mark.parametrize(
    ("name", "fingerprint"),
    [
        ("mqar", "1dcd8658dbc1eabd"),
        ("selective_copy", "c92135886b9d2e71"),
        ("noisy_recall", "a86794531a4e612b"),
        ("fuzzy_recall", "bee9d4e44b319c51"),
        ("memorisation", "e34195517c73867d"),
        ("compression", "f7e4aecc6b9a2dde"),
        pytest.param("listops", "a2b8f281823be099", marks=pytest.mark.long),
        pytest.param("pathfinder", "d8807910cd7ae8ef", marks=pytest.mark.long),
    ],
)
def test_the_bits_are_these_on_every_machine(name: str, fingerprint: str) -> None:
    assert loaded(name).fingerprint() == fingerprint


def test_draws_are_pinned_and_keys_are_streams_of_their_own() -> None:
    assert Draws(1).below(10, 8).tolist() == [5, 9, 1, 9, 3, 4, 8, 4]
    assert Draws(1).below(10, 8).tolist() != Draws(2).below(10, 8).tolist() != Draws(1, 0).below(10, 8).tolist()


@pytest.mark.parametrize("bound", [2, 7, 1000])
def test_draws_are_uniform_below_their_bound(bound: int) -> None:
    draws, size = Draws(3), 20_000
    for sample in (draws.below(bound, size), np.array([draws.one(bound) for _ in range(size)])):
        assert sample.min() >= 0 and sample.max() < bound
        assert abs(sample.mean() - (bound - 1) / 2) < 4 * bound / np.sqrt(12 * size)
        assert len(np.unique(sample)) == bound


def test_distinct_draws_are_without_replacement_and_in_any_order() -> None:
    sample = Draws(4).distinct(5, 3_000, 3)
    assert sample.shape == (3_000, 3)
    assert all(len(set(row)) == 3 for row in sample.tolist())
    counts = Counter(map(tuple, sample.tolist()))
    assert len(counts) == 5 * 4 * 3 and min(counts.values()) > 20  # 50 are expected of each


def few(draws: Draws, rows: int) -> Split:
    inputs = torch.from_numpy(draws.below(8, rows, 1))
    return Split(inputs, inputs[:, 0] * 2, inputs > 3)


def test_a_row_that_is_already_there_is_drawn_again() -> None:
    parts = generate(few, 0, train=4, validation=2, test=2)
    rows = torch.cat([split.inputs[:, 0] for split in parts])
    assert sorted(rows.tolist()) == list(range(8))
    for split in parts:
        assert split.padding_mask is not None
        assert torch.equal(split.targets, split.inputs[:, 0] * 2) and torch.equal(split.padding_mask, split.inputs > 3)


def test_the_test_part_does_not_depend_on_the_size_of_the_others() -> None:
    one = generate(mqar.draw, 5, train=10, validation=3, test=20)
    two = generate(mqar.draw, 5, train=50, validation=8, test=20)
    assert torch.equal(one.test.inputs, two.test.inputs)
    other = generate(mqar.draw, 6, train=10, validation=3, test=20)
    assert not torch.equal(one.test.inputs, other.test.inputs)


@pytest.mark.parametrize("name", [*RECALL, "listops"])
def test_every_row_is_another(name: str) -> None:
    rows = torch.cat([split.inputs for split in loaded(name)])
    assert len({row.tobytes() for row in rows.numpy()}) == len(rows)


@pytest.mark.parametrize("name", RECALL)
def test_both_forms(name: str) -> None:
    assert declared(name).causal == (False, True)


@pytest.mark.parametrize("name", ["mqar", "selective_copy", "noisy_recall"])
def test_no_answer_behind_its_question(name: str) -> None:
    for split in splits(loaded(name)).values():
        asked = split.targets != IGNORED
        first = asked.int().argmax(1, keepdim=True)
        behind = torch.where(torch.arange(asked.shape[1]) >= first, split.inputs, -1)
        assert not (behind[:, :, None] == answers(split)[:, None, :]).any()


def answers(split: Split) -> Tensor:
    """What is asked, [rows, 8]."""
    return split.targets[split.targets != IGNORED].view(len(split), -1)


def shares(values: Tensor) -> Tensor:
    counts = values.flatten().bincount()
    return counts[counts > 0] / values.numel()


def test_multi_query_recall_is_a_look_up() -> None:
    for split in splits(loaded("mqar")).values():
        for row, targets in zip(split.inputs[:1_000].tolist(), split.targets[:1_000].tolist(), strict=True):
            pairs = dict(zip(row[0:16:2], row[1:16:2], strict=True))
            assert len(pairs) == len(set(pairs.values())) == 8
            assert set(pairs) <= set(mqar.keys_of(8)) and set(pairs.values()) <= set(mqar.values_of(8))
            assert targets == [IGNORED] * 16 + [pairs.get(token, IGNORED) for token in row[16:]]
            assert sorted(row[16:]) == [mqar.BLANK] * 8 + sorted(pairs)  # each key again, and blanks


def test_multi_query_recall_is_not_guessed() -> None:
    train = loaded("mqar").train
    assert shares(train.targets[train.targets != IGNORED]).max() < 0.04  # of 32 values
    asked = (train.targets != IGNORED)[:, 16:].float().mean(0)
    assert (asked - 0.5).abs().max() < 0.02  # every place of the second half is as good
    which = (answers(train)[:, :, None] == train.inputs[:, None, 1:16:2]).float().mean(0)
    assert (which - 1 / 8).abs().max() < 0.01  # and the order of the questions is not that of the pairs


def test_selective_copy_is_a_filter() -> None:
    for split in splits(loaded("selective_copy")).values():
        for row, targets in zip(split.inputs[:1_000].tolist(), split.targets[:1_000].tolist(), strict=True):
            data = [token for token in row if token not in (selective_copy.NOISE, selective_copy.MARKER)]
            assert targets == [IGNORED] * 40 + data and set(data) <= set(selective_copy.DATA)
            assert row[40:] == [selective_copy.MARKER] * 8 and selective_copy.MARKER not in row[:40]


def test_selective_copy_is_not_guessed() -> None:
    train = loaded("selective_copy").train
    assert shares(answers(train)).max() < 1 / 14 + 0.002
    places = (train.inputs[:, :40] != selective_copy.NOISE).float().mean(0)
    assert (places - 8 / 40).abs().max() < 0.01
    follows = (answers(train)[:, 1:] == answers(train)[:, :-1]).float().mean()
    assert abs(follows - 1 / 14) < 0.002  # no token tells the next


def solved(tokens: list[str]) -> tuple[int, int]:
    """Value of an expression and its levels, digits included, by a stack; checks the number of arguments."""
    rules = {"[MIN": min, "[MAX": max, "[MED": lambda values: int(statistics.median(values)), "[SM": lambda values: sum(values) % 10}
    stack: list[tuple[str, list[int], int]] = [("", [], 0)]
    for token in tokens:
        if token in rules:
            stack.append((token, [], 1))
        elif token == "]":
            operation, values, depth = stack.pop()
            assert 2 <= len(values) <= 10
            above, arguments, deepest = stack.pop()
            stack.append((above, [*arguments, rules[operation](values)], max(deepest, depth + 1)))
        else:
            stack[-1][1].append(int(token))
    ((_, (value,), depth),) = stack
    return value, depth


@pytest.mark.parametrize(
    ("expression", "value", "depth"),
    [
        ("[MAX 4 3 [MIN 2 3 ] 1 0 [MED 1 5 8 9 2 ] ]", 5, 3),
        ("[MED 1 2 ]", 1, 2),
        ("[MED 9 1 8 2 ]", 5, 2),
        ("[SM 9 [SM 5 6 ] [MIN 7 [MAX 3 4 ] ] ]", 4, 4),
    ],
)
def test_the_solver_of_lists_by_hand(expression: str, value: int, depth: int) -> None:
    assert solved(expression.split()) == (value, depth)


def words(row: Tensor) -> list[str]:
    return [listops.TOKENS[token] for token in row.tolist() if token != listops.PADDING]


def test_lists_have_the_values_and_the_shape_they_claim() -> None:
    for split in splits(loaded("listops")).values():
        for row, value in zip(split.inputs[:800], split.targets[:800].tolist(), strict=True):
            expression = words(row)
            assert 128 <= len(expression) <= 512 and expression[0] in listops.OPERATIONS and expression[-1] == "]"
            found, depth = solved(expression)
            assert found == value and depth <= 10


def plain_tree(rng: random.Random, depth: int, out: list[str]) -> None:
    """An expression by the recursion of Long Range Arena."""
    if depth < 10 and rng.random() <= 0.25:
        size, begin = rng.randint(2, 10), len(out)
        for _ in range(size):
            if len(out) > 512:
                return
            plain_tree(rng, depth + 1, out)
        out.insert(begin, rng.choice(listops.OPERATIONS))
        out.append("]")
    else:
        out.append(str(rng.randrange(10)))


def test_lists_are_distributed_as_those_of_a_plain_recursion() -> None:
    rng, theirs = random.Random(0), []
    while len(theirs) < 500:
        expression: list[str] = []
        plain_tree(rng, 1, expression)
        if 128 <= len(expression) <= 512:
            theirs.append(expression)
    ours = [words(row) for row in loaded("listops").train.inputs[:4_000]]
    for measure, tolerance in (
        (len, 20.0),  # four standard errors of each
        (lambda words: solved(words)[1], 0.25),
        (lambda words: words.count("]") / len(words), 0.004),
        (lambda words: words.count("[SM") / words.count("]"), 0.02),
        (lambda words: solved(words)[0] in (0, 9), 0.09),
    ):
        means = [statistics.fmean(measure(words) for words in sample) for sample in (ours, theirs)]
        assert abs(means[0] - means[1]) < tolerance, means


def test_lists_are_hardly_guessed_from_the_root_alone() -> None:
    """The best that the root's operation gives, which the target is above."""
    train, test = loaded("listops").train, loaded("listops").test
    best = {root: train.targets[train.inputs[:, 0] == root].mode().values for root in train.inputs[:, 0].unique().tolist()}
    guess = torch.stack([best[root] for root in test.inputs[:, 0].tolist()])
    share = (guess == test.targets).float().mean()
    assert 0.3 < share < declared("listops").target - 0.01


def test_lists_are_of_all_lengths() -> None:
    parts: Parts = loaded("listops")
    assert parts.train.padding_mask is not None
    lengths = (~parts.train.padding_mask).sum(1)
    assert lengths.min() == 128 and lengths.max() == 512
    assert all((lengths > cut).float().mean() > share for cut, share in ((200, 0.7), (300, 0.45), (400, 0.2)))
