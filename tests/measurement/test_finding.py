"""How a check ends: the worst of its cases decides, and is shown; what raises is called by its own name."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from attnbench.measurement.checks import check
from attnbench.measurement.checks.finding import Worst
from helpers.changed_template import FORWARD, HIDE_V, NEXT, OUT, SCORES, write

DROPOUT = "F.dropout({}, 0.1{})"


def test_a_case_below_zero_is_a_case() -> None:
    """As an exponent is of a time that falls with seq_len."""
    worst = Worst("exponent of time, declared 2")
    worst.see(-0.1, 2.5, "forward")
    worst.see(-0.2, 2.5, "training")
    found = worst.finding()
    assert (found.status, found.value, found.allowed) == ("passed", -0.1, 2.5)
    assert "forward" in found.detail


@pytest.mark.parametrize(
    ("value", "allowed", "status"),
    [
        (0.0, 0.0, "passed"),
        (1e-300, 0.0, "failed"),
        (-1.0, 0.0, "passed"),
        (-1.0, -2.0, "failed"),
        (-3.0, -2.0, "passed"),
        (math.nan, 1.0, "failed"),
        (-math.inf, 1.0, "failed"),
        (1.0, math.inf, "failed"),
        (1.0, 1.0, "passed"),
        (1.0, 0.99, "failed"),
    ],
)
def test_a_value_is_held_against_its_limit(value: float, allowed: float, status: str) -> None:
    worst = Worst("x")
    worst.see(value, allowed, "")
    assert worst.finding().status == status
    assert worst.is_beyond == (status == "failed")


def test_the_worst_case_is_the_one_furthest_beyond() -> None:
    worst = Worst("x")
    for value in (-5.0, 0.5, -1.0):
        worst.see(value, 1.0, f"case {value}")
    assert worst.finding().value == 0.5
    worst.see(0.0, 0.0, "at a limit of nothing")
    assert worst.finding().detail.endswith("(at a limit of nothing); 0 is allowed")


def test_no_case_is_no_finding() -> None:
    with pytest.raises(ValueError, match="no case of 'x'"):
        Worst("x").finding()


def test_a_wrong_gradient_is_shown_with_both_numbers(tmp_path: Path) -> None:
    report = check(write(tmp_path, {SCORES: f"q = q.detach(); {SCORES}"}), {}, "cpu", full=False)
    assert report.failed() == ["gradients"]
    detail = next(found.detail for found in report.checks if found.name == "gradients")
    assert "the gradient by q (input 0) is wrong" in detail
    assert "is 0 by autograd and" in detail and "by finite differences" in detail and "(unpadded)" in detail
    assert "GradcheckError" not in detail


def test_an_error_of_torchs_compiler_is_not_taken_for_ours(tmp_path: Path) -> None:
    failing = f"from torch._dynamo.exc import Unsupported as Other{NEXT}if q.shape[-2] == 65: raise Other('a graph break'){NEXT}{HIDE_V}"
    report = check(write(tmp_path, {HIDE_V: failing}), {}, "cpu", full=False)
    (detail,) = (found.detail for found in report.checks if found.status == "failed")
    assert detail.startswith("it raises torch._dynamo.exc.Unsupported: a graph break")


def test_dropout_at_every_call_is_named_and_nothing_else_is_looked_at(tmp_path: Path) -> None:
    report = check(write(tmp_path, {FORWARD: f"return {DROPOUT.format(OUT, '')}"}), {}, "cpu", full=True)
    assert report.failed() == ["deterministic"]
    statuses = {found.name: found.status for found in report.checks}
    assert statuses.pop("build") == "passed" and statuses.pop("deterministic") == "failed"
    assert set(statuses.values()) == {"skipped"}
    detail = next(found.detail for found in report.checks if found.name == "deterministic")
    assert "two calls with the same inputs differ" in detail and "dropout" in detail and "self.training" in detail
    assert "the same call gives something else" in report.checks[-1].detail


def test_dropout_that_follows_training_is_none_of_the_checks_business(tmp_path: Path) -> None:
    assert check(write(tmp_path, {FORWARD: f"return {DROPOUT.format(OUT, ', self.training')}"}), {}, "cpu", full=False).ok
