"""What claims on bounds, growth and agreement print of their power is true of their rules: `decide` judges data that are drawn.

A simulation of n trials sees a rate p with a standard error of sqrt(p (1 - p) / n); what is printed is held to five points and two of it,
and what is printed as the least is never undercut by more than two of it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from attnbench.claim import Verdict, combined
from attnbench.claims._runs import POLYNOMIALS, SEEDS
from helpers.claim_data import claim

Floats = NDArray[np.float64]
Rows = list[dict[str, object]]

TRIALS = 200


def percents(text: str) -> list[float]:
    return [float(of) / 100 for of in re.findall(r"([\d.]+)%", text)]


def after(words: str, text: str) -> list[float]:
    """The numbers of the cases that follow some words, shares or not."""
    found = re.search(re.escape(words) + r"[^()%]*((?:\([abc]\) [\d.]+%?(?:, )?)+)", text)
    assert found, words
    return [float(of) / (100 if "%" in found[1] else 1) for of in re.findall(r"\) ([\d.]+)", found[1])]


def shares(name: str, draws: Callable[[np.random.Generator], Sequence[Rows]], trials: int = TRIALS) -> dict[Verdict, float]:
    """How often a claim comes to each verdict. draws: the rows of each of its parts."""
    chance, found = np.random.default_rng(0), dict.fromkeys(("reproduced", "partly", "not reproduced", "inconclusive"), 0.0)
    for _ in range(trials):
        found[combined(claim(name).decide(pd.DataFrame(rows))[0] for rows in draws(chance))] += 1 / trials
    print(name, found)
    return found  # type: ignore[return-value]


def hold(share: float, stated: float, trials: int = TRIALS) -> None:
    print(f"found {share:.3f}, stated {stated:.2f}")
    assert abs(share - stated) <= 0.05 + 2 * math.sqrt(stated * (1 - stated) / trials)


def is_at_least(share: float, stated: float, trials: int = TRIALS) -> bool:
    return share >= stated - 2 * math.sqrt(stated * (1 - stated) / trials)


@pytest.mark.parametrize(("name", "bound"), [("softmax_norm_is_bounded", 1.0), ("orthogonal_stays_orthogonal", 1e-4)])
def test_a_bound_that_one_run_refutes(name: str, bound: float) -> None:
    text = claim(name).power
    counts = {part: int(count) for count, part in re.findall(r"(\d+) (at the start|in training)", text)}
    assert counts == {arm.part: arm.places * arm.seeds for arm in claim(name).arms}
    often = re.search(r"in one of (\d+) runs", text)
    assert often
    trials, chance = 800, np.random.default_rng(0)
    found = np.zeros(4)
    for _ in range(trials):
        seen = []
        for part, count in counts.items():
            beyond = chance.random(count) < 1 / float(often[1])
            rows = pd.DataFrame({"value": np.where(beyond, 100 * bound, bound / 2), "part": part})
            seen.append(claim(name).decide(rows)[0] == "not reproduced")
        found += [*seen, any(seen), all(seen)]
    for share, stated in zip(found / trials, percents(text), strict=True):
        hold(share, stated, trials)


@pytest.mark.long
def test_a_bound_that_all_runs_have_to_agree_on() -> None:
    text = claim("polynomial_norm_in_training").power
    mostly, one, four, often, one_often, four_often = percents(text)
    assert f"All {SEEDS} runs" in text and "2 mechanisms on 2 tasks" in text and claim("polynomial_norm_in_training").arms[0].places == 2

    def draws(chance: np.random.Generator, within: float, arms: Sequence[str], tasks: Sequence[str]) -> Sequence[Rows]:
        runs = [(arm, task, seed) for arm in arms for task in tasks for seed in range(SEEDS)]
        holds = chance.random(len(runs)) < within
        return [
            [
                {"arm": arm, "at": task, "seed": seed, "value": 2.0 if of else 50.0}
                for (arm, task, seed), of in zip(runs, holds, strict=True)
            ]
        ]

    for share, alone, whole in ((mostly, one, four), (often, one_often, four_often)):
        of_one = shares("polynomial_norm_in_training", lambda chance, share=share: draws(chance, share, ["x³/√N"], ["mnist"]))
        hold(of_one["reproduced"], alone)
        of_all = shares("polynomial_norm_in_training", lambda chance, share=share: draws(chance, share, list(POLYNOMIALS), ["a", "b"]))
        hold(of_all["reproduced"], whole)
        failing = shares("polynomial_norm_in_training", lambda chance, share=share: draws(chance, 1 - share, ["x³/√N"], ["mnist"]))
        hold(failing["not reproduced"], alone)


@pytest.mark.long
def test_exponents_of_times() -> None:
    """Each of four times, of three processes: both mechanisms, forward and training. Bytes are counted, and have no noise."""
    text, lengths = claim("orthogonal_is_linear").power, [2.0**place for place in range(10, 15)]
    assert "three processes" in text and "over 5 lengths, each 2 times the last" in text

    def draws(chance: np.random.Generator, spread: float, ours: float, theirs: float, noisy: Sequence[str]) -> Sequence[Rows]:
        rows: Rows = []
        for variant, grows in (("orthogonal", ours), ("softmax", theirs)):
            for mode in ("forward", "training"):
                for length in lengths:
                    own = spread if f"{variant}, {mode}" in noisy else 0.0
                    times = 1e-6 * length**grows * np.exp(own * chance.standard_normal(3))
                    rows += [
                        {"arm": f"{variant}, {mode} time", "at": length, "unit": "s", "samples": [of], "value": of} for of in times.tolist()
                    ]
                    if variant == "orthogonal":
                        rows.append({"arm": f"orthogonal, {mode} memory", "at": length, "unit": "B", "samples": [length], "value": length})
        return [rows]

    every = [f"{variant}, {mode}" for variant in ("orthogonal", "softmax") for mode in ("forward", "training")]
    for case, spread in enumerate(after("that spread about it by", text)):
        far, trials = after("if it is", text)[case], 150
        near = shares("orthogonal_is_linear", lambda chance, s=spread, d=far: draws(chance, s, 1.5 - d, 2.0, every[:1]), trials)
        hold(near["reproduced"], 0.8, trials)
        whole = shares("orthogonal_is_linear", lambda chance, s=spread: draws(chance, s, 1.0, 2.0, every), trials)
        assert is_at_least(whole["reproduced"], after("are in at least", text)[case], trials)
        hold(whole["reproduced"], after("One of 1 or 2 is in", text)[case] ** 4, trials)


@pytest.mark.long
def test_exponents_of_a_norm() -> None:
    text, lengths = claim("polynomial_norm_is_bounded").power, (256, 1024, 4096)
    assert "of which 3 seeds are averaged" in text and "over 3 lengths, each 4 times the last" in text

    def draws(chance: np.random.Generator, spread: float, scaled: float, unscaled: float, is_noisy: bool = True) -> Sequence[Rows]:
        rows: Rows = []
        for arm, grows, own in (("x³/√N", scaled, spread), ("x³", unscaled, spread if is_noisy else 0.0)):
            for length in lengths:
                rows += [
                    {"arm": arm, "at": length, "value": length**grows * math.exp(own * of)} for of in chance.standard_normal(3).tolist()
                ]
        return [rows]

    name = "polynomial_norm_is_bounded"
    for case, spread in enumerate(after("that spread about it by", text)):
        one, least, far = (after(words, text)[case] for words in ("One of 0.5 or 1 is in", "are in at least", "if it is"))
        hold(shares(name, lambda chance, s=spread: draws(chance, s, 0.5, 1.0, False))["reproduced"], one)
        hold(shares(name, lambda chance, s=spread: draws(chance, s, 1.0, 1.5, False))["not reproduced"], one)
        hold(shares(name, lambda chance, s=spread, d=far: draws(chance, s, 0.75 - d, 1.0, False))["reproduced"], 0.8)
        assert is_at_least(shares(name, lambda chance, s=spread: draws(chance, s, 0.5, 1.0))["reproduced"], least)


def ranks(chance: np.random.Generator, share: Callable[[Floats], Floats]) -> Sequence[Rows]:
    """Effective ranks of which a share is left after twelve layers, by seed."""
    left = share(chance.standard_normal(3))
    return [
        [
            {"seed": seed, "at": at, "value": 10 * of}
            for seed, kept in enumerate(left.tolist())
            for at, of in ((1, 1.0), (4, 0.9), (12, kept))
        ]
    ]


def conditions(chance: np.random.Generator, far: float, spread: float = 0.5) -> Sequence[Rows]:
    """Condition numbers, the worst of orthogonal's and the ratio to softmax's each far from 1,000 on average, in standard deviations."""
    worst, apart = (
        10 ** (3 - far * spread + spread * chance.standard_normal(3)),
        10 ** (3 + far * spread + spread * chance.standard_normal(3)),
    )
    return [
        [
            {"arm": arm, "seed": seed, "at": at, "value": (of if at == 12 else 1.0)}
            for arm, values in (("orthogonal", worst), ("softmax", worst * apart))
            for seed, of in enumerate(values.tolist())
            for at in (1, 4, 12)
        ]
    ]


@pytest.mark.long
def test_an_agreement_of_seeds() -> None:
    text = claim("softmax_loses_rank").power
    half, mostly = percents(text)
    far = float(re.search(r"if it is ([\d.]+) standard", text)[1])
    for share, stated in ((0.5, half), (0.9, mostly)):
        limit = {0.5: 0.0, 0.9: 1.2816}[share]  # normal quantiles
        found = shares("softmax_loses_rank", lambda chance, of=limit: ranks(chance, lambda z: np.where(z < of, 0.1, 0.7)))
        hold(found["reproduced"], stated)
        found = shares("softmax_loses_rank", lambda chance, of=limit: ranks(chance, lambda z: np.where(z < of, 0.95, 0.7)))
        hold(found["not reproduced"], stated)
    found = shares("softmax_loses_rank", lambda chance: ranks(chance, lambda z: 0.5 * np.exp(0.1 * (z - far))))
    hold(found["reproduced"], 0.8)


def test_an_agreement_of_seeds_on_two_conditions() -> None:
    text = claim("orthogonal_conditions_depth").power
    far = float(re.search(r"if each is ([\d.]+) standard", text)[1])
    found = shares("orthogonal_conditions_depth", lambda chance: conditions(chance, far))["reproduced"]
    assert is_at_least(found, 0.8)
    hold(found, 0.8)
    assert percents(text) == percents(claim("softmax_loses_rank").power)
