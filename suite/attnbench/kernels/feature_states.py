"""States of symmetric features, sum_j f_p(k_j) v_j^T of every power p of a polynomial, and one pass over the features of some tokens.

Features live for one pass. Those of the highest power, which are most of them, are made part by part, and a part is used for all that is
wanted of it while it lies in the cache.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property

import torch
from torch import Tensor

from attnbench.kernels.symmetric import Part, SymmetricFeatures, fill_, pull_back_part_

Coefficients = tuple[tuple[int, float], ...]
States = list[Tensor]  # one a piece, [heads, features of the piece, value_dim]

SHORTEST_CHUNK, LONGEST_CHUNK = 64, 4096
FEATURE_VALUES = 2**19  # 2 MB of float32 features at a time, the second-level cache of two cores
FEATURE_VALUES_ELSEWHERE = 2**26  # where a launch costs more than a cache saves; not measured
MOST_HEADS = 4
SHORTEST_CAUSAL_CHUNK, LONGEST_CAUSAL_CHUNK = 256, 512  # within a chunk the time is quadratic: about as many tokens as features

features_of = cache(SymmetricFeatures)


@dataclass(frozen=True)
class Chunking:
    """How the work is cut: heads and tokens at a time, features a token (those of lower powers included), operations a chunk.

    rows: the largest number of features a token that are made at a time.
    """

    heads: int
    tokens: int
    rows: int
    dimension: int
    operations: int


def chunking(heads: int, head_dim: int, degree: int, causal: bool, device: str) -> Chunking:
    """The cut for that many heads, batch included, on a type of device."""
    symmetric = features_of(head_dim, degree)
    dimension = sum(symmetric.dimension(power) for power in range(1, degree + 1))
    rows = max((part.rows for part in symmetric.top), default=head_dim)
    values, most = (FEATURE_VALUES, MOST_HEADS) if device == "cpu" else (FEATURE_VALUES_ELSEWHERE, heads)
    at_once = max(1, min(heads, most, values // (SHORTEST_CHUNK * rows)))
    longest = min(LONGEST_CAUSAL_CHUNK, max(SHORTEST_CAUSAL_CHUNK, dimension)) if causal else LONGEST_CHUNK
    tokens = max(SHORTEST_CHUNK, min(longest, values // (at_once * rows)))
    operations = 4 * len(symmetric.top) + (14 if causal else 6)
    return Chunking(at_once, tokens, rows, dimension, operations)


@dataclass(frozen=True)
class Piece:
    """Features that have a state of their own: those of a power, or of one part of it if it is the highest.

    weights: the polynomial's factor times the weights of these features, [features, 1].
    """

    power: int
    part: Part | None
    weights: Tensor


class FeatureStates:
    """States, and the passes that fill and use them, for coordinates and values of one size, dtype and device as `like` has them.

    values: how many features the buffer of a part can hold, over all heads and tokens of a pass.
    """

    def __init__(self, coefficients: Coefficients, head_dim: int, value_dim: int, like: Tensor, values: int) -> None:
        self.value_dim, self.like, self.values = value_dim, like, values
        self.symmetric = features_of(head_dim, degree_of(coefficients))
        self.pieces: list[Piece] = []
        for power, factor in coefficients:
            weights = factor * _weights(head_dim, self.symmetric.degree, power, like.device).to(like.dtype)
            if power > 1 and power == self.symmetric.degree:
                self.pieces += [Piece(power, part, weights[part.place]) for part in self.symmetric.top]
            else:
                self.pieces.append(Piece(power, None, weights))

    @cached_property
    def features(self) -> Tensor:
        """The one buffer for the features of every part."""
        return self.like.new_empty(self.values)

    @cached_property
    def gradients(self) -> Tensor:
        """The one buffer for their gradients."""
        return self.like.new_empty(self.values)

    def empty(self, heads: int) -> States:
        """The states of no token."""
        return [self.like.new_zeros(heads, len(piece.weights), self.value_dim) for piece in self.pieces]

    def weighted(self, states: States) -> States:
        """The states times the polynomial's factors and the weights of the features: what features are multiplied by."""
        return [piece.weights * state for piece, state in zip(self.pieces, states, strict=True)]

    def by_power(self, states: States) -> tuple[Tensor, ...]:
        """The states of the pieces joined: one for every power of the polynomial, [heads, dimension, value_dim]."""
        powers = dict.fromkeys(piece.power for piece in self.pieces)
        return tuple(torch.cat([state for piece, state in zip(self.pieces, states, strict=True) if piece.power == p], 1) for p in powers)

    def visit(
        self,
        rows: Tensor,
        collect: tuple[States, Tensor] | None = None,
        spread: tuple[States, Tensor] | None = None,
        pull: tuple[States, Tensor, Tensor] | None = None,
    ) -> None:
        """Make the features f of some tokens, each once, and use them for what is wanted:

        collect: states and values; f values^T is added to the states.
        spread:  states and the place for f^T states, summed over the powers, [heads, tokens, value_dim].
        pull:    states, values and the place for the gradient of values . f^T states by the tokens, [heads, tokens, head_dim].
        """
        x = rows.mT.contiguous()
        levels = self.symmetric.below_top(x)
        gradients = [torch.zeros_like(level) for level in levels] if pull is not None else []
        out = x.new_zeros(x.shape[0], self.value_dim, x.shape[2])  # turned, as the features are: a faster product
        for index, (piece, features) in enumerate(self._made(x, levels)):
            if collect is not None:
                collect[0][index].baddbmm_(features, collect[1])
            if spread is not None:
                out.baddbmm_(spread[0][index].mT, features)
            if pull is None:
                continue
            if piece.part is None:
                gradients[piece.power].baddbmm_(pull[0][index], pull[1].mT)
            else:
                gradient = torch.bmm(pull[0][index], pull[1].mT, out=self.gradients[: features.numel()].view_as(features))
                pull_back_part_(piece.part, x, levels[-1], gradient, gradients[1], gradients[-1], scratch=features)
        if spread is not None:
            spread[1].copy_(out.mT)
        if pull is not None:
            pull[2].copy_(self.symmetric.pull_back_(x, levels, gradients).mT)

    def _made(self, x: Tensor, levels: list[Tensor]) -> Iterator[tuple[Piece, Tensor]]:
        """The features of every piece. Those of a part are valid until the next piece is asked for."""
        for piece in self.pieces:
            if piece.part is None:
                yield piece, levels[piece.power]
            else:
                shape = (x.shape[0], piece.part.rows, x.shape[2])
                yield piece, fill_(self.features[: math.prod(shape)].view(shape), piece.part, x, levels[-1])


def degree_of(coefficients: Coefficients) -> int:
    """The highest power, at least 1."""
    return max(1, *(power for power, _ in coefficients))


@cache
def _weights(head_dim: int, degree: int, power: int, device: torch.device) -> Tensor:
    return features_of(head_dim, degree).weights(power).to(device)
