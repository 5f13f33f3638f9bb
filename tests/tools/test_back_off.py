"""Kneser-Ney by hand, with windows on one side and on both; tools/controls.py makes controls with it."""

from __future__ import annotations

import numpy as np
import pytest

import _asked_tokens
from _back_off import BackOff, Places, every
from _kneser_ney import FALLBACK, Table, _discounts


def places(tokens: list[list[int]], answers: list[list[int]], own: bool = True, hidden: int = -1) -> Places:
    """A place for every answer that is not negative."""
    inputs, targets = np.array(tokens), np.array(answers)
    row, column = np.nonzero(targets >= 0)
    return Places(inputs, inputs != hidden, row, column, targets[row, column], own)


def drawn(seed: int, own: bool, rows: int = 23) -> Places:
    """Rows of 11 tokens of a vocabulary of 5, of which 4 is hidden, with answers of 3 at most places."""
    draw = np.random.default_rng(seed)
    tokens, answers = draw.integers(0, 5, (rows, 11)), draw.integers(-1, 3, (rows, 11))
    return places(tokens.tolist(), answers.tolist(), own, hidden=4)


def with_answer(of: Places, answer: int) -> Places:
    return Places(of.tokens, of.known, of.row, of.column, np.full(len(of), answer), of.own)


def test_a_bigram_by_hand() -> None:
    """a b a a (b): after a come b, a and b, after b comes a. Discounts are 1/2 of a count of one and 1 of two, for the counts are few.

    Which tokens a and b were seen after: a after two, b after one, so P(a) = (2 - 1 + 3/2 * 1/2) / 3 = 7/12, and P(b) = 5/12.
    """
    model = BackOff(places([[0, 1, 0, 0]], [[1, 0, 0, 1]]), (1, 0), vocabulary=2, answers=2)
    found = model.probability(places([[0, 0, 1, 1]], [[0, 1, 0, 1]]), (1, 0))
    after_a, after_b = [(0.5 + 1.5 * 7 / 12) / 3, (1 + 1.5 * 5 / 12) / 3], [0.5 + 0.5 * 7 / 12, 0.5 * 5 / 12]
    assert found == pytest.approx([*after_a, *after_b])
    assert model.probability(places([[0, 0]], [[0, 1]]), (0, 0)) == pytest.approx([0.5, 0.5])  # as often as the other
    assert model.best(places([[0, 1, 1]], [[0, 0, 1]]), (1, 0)).tolist() == [1, 0, 0]


def test_discounts_by_hand() -> None:
    """Four counts of one, two of two, one of three, one of four: 4 / (4 + 2 * 2) = 1/2."""
    counts = np.array([1, 1, 1, 1, 2, 2, 3, 4])
    assert _discounts(counts) == pytest.approx((1 - 2 * 0.5 * 2 / 4, 2 - 3 * 0.5 * 1 / 2, 3 - 4 * 0.5 * 1 / 1))
    table = Table(np.arange(8), counts, answers=8)  # of one context
    assert table.left_over == pytest.approx([4 * 0.5 + 2 * 1.25 + 2 * 1.0])
    assert table.probability(np.array([0]), np.array([7]), np.array([0.125])) == pytest.approx([(4 - 1 + 6.5 / 8) / 15])


@pytest.mark.parametrize("counts", [[1], [2, 2], [1, 2, 4], [5, 6, 7], [1, 2, 3, 4, 4, 4, 4]])
def test_counts_that_estimate_no_discount_have_those_of_kenlm(counts: list[int]) -> None:
    assert _discounts(np.array(counts)) == FALLBACK


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("most", [(0, 0), (1, 0), (3, 0), (0, 2), (1, 1), (2, 2)])
def test_probabilities_sum_to_one(own: bool, most: tuple[int, int]) -> None:
    model, asked = BackOff(drawn(1, own), (3, 2), vocabulary=5, answers=3), drawn(2, own)
    total = sum(model.probability(with_answer(asked, answer), most) for answer in range(3))
    assert total == pytest.approx(np.ones(len(asked)))
    likeliest = np.stack([model.probability(with_answer(asked, answer), most) for answer in range(3)]).argmax(0)
    assert model.best(asked, most).tolist() == likeliest.tolist()


def test_a_window_has_the_nearest_tokens_first() -> None:
    own, hidden = drawn(0, True), drawn(0, False)
    assert [own.window(sides) for sides in ((0, 0), (1, 0), (3, 0), (1, 1))] == [(), (0,), (0, -1, -2), (0, 1)]
    assert [hidden.window(sides) for sides in ((1, 0), (0, 2), (1, 3), (2, 2))] == [(-1,), (1, 2), (-1, 1, 2, 3), (-1, 1, -2, 2)]


def test_every_window_is_backed_off_to_another() -> None:
    """Or a model would lack the table of the nearer tokens."""
    for of in (drawn(0, True), drawn(0, False)):
        windows = {of.window(sides) for sides in every((3, 3))}
        assert all(window[:-1] in windows for window in windows)


def test_a_place_looks_as_far_as_nothing_is_hidden_and_the_row_goes() -> None:
    asked = places([[9, 1, 2, 9, 4, 5]], [[0, -1, 0, -1, -1, 0]], own=False, hidden=9)
    reached = {window: which.tolist() for window, which in asked.widest((3, 3))}
    assert reached == {(1, 2): [True, False, False], (-1,): [False, True, True]}


def test_what_is_hidden_or_behind_is_not_looked_at() -> None:
    hidden = drawn(3, own=False)
    model = BackOff(drawn(4, own=False), (2, 2), vocabulary=5, answers=3)
    poisoned = Places(np.where(hidden.known, hidden.tokens, 3), hidden.known, hidden.row, hidden.column, hidden.answer, own=False)
    assert model.probability(poisoned, (2, 2)).tolist() == model.probability(hidden, (2, 2)).tolist()
    own = drawn(5, own=True)
    causal = BackOff(drawn(6, own=True), (3, 0), vocabulary=5, answers=3)
    early = own.chosen(own.column < 6)
    later = Places(np.where(np.arange(11) < 6, own.tokens, 2), own.known, early.row, early.column, early.answer, own=True)
    assert causal.probability(later, (3, 0)).tolist() == causal.probability(early, (3, 0)).tolist()


def test_a_window_that_training_never_reached_is_backed_off_from() -> None:
    model = BackOff(places([[0, 1]], [[1, -1]]), (2, 0), vocabulary=2, answers=2)
    asked = places([[0, 0]], [[-1, 1]])
    assert model.probability(asked, (2, 0)) == pytest.approx(model.probability(asked, (1, 0)))


def test_candidates_fit_into_63_bits() -> None:
    assert 257 ** (2 * _asked_tokens.TOKENS_A_SIDE) * 256 < 2**63
