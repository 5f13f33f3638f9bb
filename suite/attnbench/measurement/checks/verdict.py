"""How a check ends, and the worst of the cases that it looked at."""

from __future__ import annotations

import math
from dataclasses import dataclass

from attnbench.store.report import Status


@dataclass(frozen=True)
class Verdict:
    """A finding that has no name yet."""

    status: Status
    detail: str
    value: float | None = None
    allowed: float | None = None


def passed(detail: str) -> Verdict:
    """The check holds."""
    return Verdict("passed", detail)


def failed(detail: str) -> Verdict:
    """The check does not hold."""
    return Verdict("failed", detail)


def skipped(detail: str) -> Verdict:
    """There is nothing to check, for this reason."""
    return Verdict("skipped", detail)


class Worst:
    """Of the cases of a check, the one that comes closest to its limit, or goes furthest beyond it.

    what: the measured quantity, in words.
    """

    def __init__(self, what: str) -> None:
        self.what = what
        self.share = -1.0
        self.value = self.allowed = 0.0
        self.where = ""

    def see(self, value: float, allowed: float, where: str) -> None:
        """One case. A value that is not a number is beyond every limit, and so is any value where the limit is none."""
        share = value / allowed if math.isfinite(value) and math.isfinite(allowed) else math.inf
        if share > self.share:
            self.share, self.value, self.allowed, self.where = share, value, allowed, where

    def verdict(self) -> Verdict:
        """Passed when the worst case is within its limit."""
        if self.share < 0:
            raise ValueError(f"no case of {self.what!r} was looked at")
        where = bracketed(self.where)
        if not math.isfinite(self.allowed):
            return Verdict("failed", f"{self.what}{where} has no limit, for the plain form is not a finite number", None, None)
        if not math.isfinite(self.value):
            return Verdict("failed", f"{self.what} is not a finite number{where}; {self.allowed:.3g} is allowed", None, self.allowed)
        status: Status = "passed" if self.share <= 1.0 else "failed"
        return Verdict(status, f"{self.what}: {self.value:.3g}{where}; {self.allowed:.3g} is allowed", self.value, self.allowed)


def bracketed(case: str) -> str:
    """The case in brackets, after a blank; nothing when there is nothing to say of it."""
    return f" ({case})" if case else ""


def form(causal: bool, *more: str) -> str:
    """Which case it is, in words."""
    return ", ".join([*(["causal"] if causal else []), *more])
