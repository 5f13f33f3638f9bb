"""How a check ends: as a finding, most often of the worst of the cases that it looked at."""

from __future__ import annotations

import math

from attnbench.store.report import Finding as Finding
from attnbench.store.report import Status


def finding(status: Status, detail: str, value: float | None = None, allowed: float | None = None) -> Finding:
    """A finding without a name: `check`, which knows what it called, fills that in."""
    return Finding(name="", status=status, detail=detail, value=value, allowed=allowed)


def passed(detail: str) -> Finding:
    """The check holds."""
    return finding("passed", detail)


def failed(detail: str) -> Finding:
    """The check does not hold."""
    return finding("failed", detail)


def skipped(detail: str) -> Finding:
    """There is nothing to check, for this reason."""
    return finding("skipped", detail)


class Worst:
    """Of the cases of a check, the one that comes closest to its limit, or goes furthest beyond it.

    what: the measured quantity, in words.
    """

    def __init__(self, what: str) -> None:
        self.what = what
        self.share: float | None = None  # of the limit; below zero where the value is
        self.value = self.allowed = 0.0
        self.where = ""

    def see(self, value: float, allowed: float, where: str) -> None:
        """Take note of one case. A value that is not a number is beyond every limit, and so is any value where the limit is none."""
        share = _share(value, allowed) if math.isfinite(value) and math.isfinite(allowed) else math.inf
        if self.share is None or share > self.share:
            self.share, self.value, self.allowed, self.where = share, value, allowed, where

    @property
    def is_beyond(self) -> bool:
        """Whether some case is beyond its limit."""
        return self.share is not None and self.share > 1.0

    def finding(self) -> Finding:
        """The finding of the worst case: passed when it is within its limit."""
        if self.share is None:
            raise ValueError(f"no case of {self.what!r} was looked at")
        where = bracketed(self.where)
        if not math.isfinite(self.allowed):
            return finding("failed", f"{self.what}{where} has no limit, for the plain form is not a finite number", None, None)
        if not math.isfinite(self.value):
            return finding("failed", f"{self.what} is not a finite number{where}; {self.allowed:.3g} is allowed", None, self.allowed)
        status: Status = "failed" if self.is_beyond else "passed"
        return finding(status, f"{self.what}: {self.value:.3g}{where}; {self.allowed:.3g} is allowed", self.value, self.allowed)


def _share(value: float, allowed: float) -> float:
    """How much of its limit a value takes: at most 1 where it is within; of a limit that is not positive, 1 or infinity."""
    if allowed > 0:
        return value / allowed
    return 1.0 if value <= allowed else math.inf


def bracketed(case: str) -> str:
    """The case in brackets, after a blank; nothing when there is nothing to say of it."""
    return f" ({case})" if case else ""


def form(causal: bool, *more: str) -> str:
    """Which case it is, in words."""
    return ", ".join([*(["causal"] if causal else []), *more])
