"""Elementwise activations in place of softmax for tiled.py, with their slopes, computed in place on a tile of scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor


@runtime_checkable
class Activation(Protocol):
    """phi, applied to a tile of scores; `scratch` and `slope` are tiles of the same shape whose content is overwritten."""

    def value_(self, scores: Tensor, scratch: Tensor) -> None:
        """scores = phi(scores)."""

    def value_and_slope_(self, scores: Tensor, slope: Tensor) -> None:
        """slope = phi'(scores), then scores = phi(scores)."""


@dataclass(frozen=True)
class Polynomial:
    """sum_p c_p x^p; `coefficients` holds each power with its factor, ((3, 1.0), (1, 1.0)) for x^3 + x."""

    coefficients: tuple[tuple[int, float], ...]

    def value_(self, scores: Tensor, scratch: Tensor) -> None:
        power = self._lone_power()
        if 1 <= power <= 3:
            scores.pow_(power)  # one pass; a larger exponent would go through logarithms
        elif (half := self._parabola()) is not None:
            scores.addcmul_(scores, scores, value=half).add_(self._constant())
        else:
            scores.copy_(_horner(scores, dict(self.coefficients), scratch))

    def value_and_slope_(self, scores: Tensor, slope: Tensor) -> None:
        power = self._lone_power()
        if power == 3:  # x^3 = x^2 x: the slope's power serves twice
            torch.pow(scores, 2, out=slope)
            scores.mul_(slope)
            slope.mul_(3.0)
        elif power == 2:
            torch.mul(scores, 2.0, out=slope)
            scores.pow_(2)
        elif (half := self._parabola()) is not None:
            torch.add(scores.new_ones(()), scores, alpha=2.0 * half, out=slope)
            scores.addcmul_(scores, scores, value=half).add_(self._constant())
        else:
            value = _horner(scores, dict(self.coefficients), torch.empty_like(scores))
            _horner(scores, {power - 1: power * factor for power, factor in self.coefficients if power} or {0: 0.0}, slope)
            scores.copy_(value)

    def _parabola(self) -> float | None:
        """c if it is x + c x^2, with or without a constant: one pass, and one for the constant."""
        factors = dict(self.coefficients)
        return factors[2] if factors.keys() - {0} == {1, 2} and factors[1] == 1.0 else None

    def _constant(self) -> float:
        return dict(self.coefficients).get(0, 0.0)

    def _lone_power(self) -> int:
        """The power if there is only one and its factor is 1; otherwise 0."""
        return self.coefficients[0][0] if len(self.coefficients) == 1 and self.coefficients[0][1] == 1.0 else 0


@dataclass(frozen=True)
class Relu:
    """max(x, 0); the slope at 0 is 0, as torch has it."""

    def value_(self, scores: Tensor, scratch: Tensor) -> None:
        scores.relu_()

    def value_and_slope_(self, scores: Tensor, slope: Tensor) -> None:
        torch.sign(scores.relu_(), out=slope)


@dataclass(frozen=True)
class SquaredRelu:
    """max(x, 0)^2."""

    def value_(self, scores: Tensor, scratch: Tensor) -> None:
        scores.relu_().pow_(2)

    def value_and_slope_(self, scores: Tensor, slope: Tensor) -> None:
        torch.mul(scores.relu_(), 2.0, out=slope)
        scores.pow_(2)


@dataclass(frozen=True)
class Sigmoid:
    """1 / (1 + exp(-x))."""

    def value_(self, scores: Tensor, scratch: Tensor) -> None:
        scores.sigmoid_()

    def value_and_slope_(self, scores: Tensor, slope: Tensor) -> None:
        torch.mul(scores.sigmoid_(), scores, out=slope)
        torch.sub(scores, slope, out=slope)


def _horner(x: Tensor, coefficients: Mapping[int, float], out: Tensor) -> Tensor:
    """The polynomial with these coefficients by power, into out."""
    top = max(coefficients)
    out.fill_(coefficients[top])
    for power in range(top - 1, -1, -1):
        out.mul_(x)
        if power in coefficients:
            out.add_(coefficients[power])
    return out
