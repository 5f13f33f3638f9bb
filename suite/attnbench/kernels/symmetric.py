"""Features f_p with (q . k)^p = f_p(q) . (w f_p(k)) exactly: the products of p coordinates, each combination once, and its weight.

A coordinate axis is cut into groups of `step`. f_1 = x; f_p joins, group after group, the products of the group's coordinates with the
part of f_{p-1} that begins at the same group:

    f_p = [x_1 (x) f_{p-1} from group 1,  x_2 (x) f_{p-1} from group 2,  ...]

so that a part is always a suffix, each product is one broadcast multiplication, and nothing is gathered. With step 1 the dimension is
C(d + p - 1, p); a larger step needs fewer and larger operations but keeps both orders of two coordinates in one group. The weight is
the number of orders of the groups. Features lie as [batch, dimension, tokens]: the innermost axis is long whatever the group.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

Coordinates = Float[Tensor, "batch head_dim tokens"]
Features = Float[Tensor, "batch _ tokens"]  # a list of them has a dimension for each power


class SymmetricFeatures:
    """The features of every power up to `degree`, for vectors of `head_dim` coordinates."""

    def __init__(self, head_dim: int, degree: int) -> None:
        self.head_dim, self.degree = head_dim, degree
        self.step = max(1, head_dim // 8)  # measured: within a tenth of the best for d = 16, 32, 64 at powers 2 and 3
        self._sizes = [min(self.step, head_dim - start) for start in range(0, head_dim, self.step)]
        self._suffixes = [[head_dim - start for start in range(0, head_dim, self.step)]]  # [power - 1][group]: size from that group on
        for _ in range(degree - 1):
            parts = [size * suffix for size, suffix in zip(self._sizes, self._suffixes[-1], strict=True)]
            self._suffixes.append([sum(parts[group:]) for group in range(len(parts))])

    @property
    def groups(self) -> int:
        """How many groups the coordinates are cut into."""
        return len(self._sizes)

    def dimension(self, power: int) -> int:
        """Size of f_power; 1 for power 0."""
        return self._suffixes[power - 1][0] if power else 1

    def of(self, x: Coordinates) -> list[Features]:
        """[f_0, f_1, ..., f_degree] of the tokens in the columns of x."""
        levels = [torch.ones_like(x[:, :1]), x]
        for power in range(2, self.degree + 1):
            made = x.new_empty(x.shape[0], self.dimension(power), x.shape[2])
            for group, suffix, part in self._parts(power):
                torch.mul(x[:, group, None], levels[-1][:, None, suffix], out=self._split(made, group, part))
            levels.append(made)
        return levels

    def pull_back_(self, x: Coordinates, levels: list[Features], gradients: list[Features | None]) -> Coordinates:
        """The gradient of x from those of the levels (None for zero), which are overwritten."""
        total = torch.zeros_like(x)
        for power in range(self.degree, 1, -1):
            above, below = gradients[power], gradients[power - 1]
            assert above is not None
            if below is None:
                below = torch.zeros_like(levels[power - 1])
            for group, suffix, part in self._parts(power):
                block = self._split(above, group, part)
                total[:, group] += torch.mul(block, levels[power - 1][:, None, suffix]).sum(2)
                below[:, suffix] += block.mul_(x[:, group, None]).sum(1)
            gradients[power - 1] = below
        return total if gradients[1] is None else total.add_(gradients[1])

    def weights(self, power: int) -> Float[Tensor, "dimension 1"]:
        """How many orders the groups of each feature have: p! over the factorials of how often each group occurs; float64."""
        groups = torch.zeros(1, 0, dtype=torch.long)
        for below in range(power):
            parts = []
            for index, size in enumerate(self._sizes):
                suffix = groups[len(groups) - (self._suffixes[below - 1][index] if below else 1) :]
                parts.append(torch.cat([torch.full((len(suffix), 1), index), suffix], 1).repeat(size, 1))
            groups = torch.cat(parts)
        orders = torch.full((len(groups),), float(math.factorial(power)), dtype=torch.float64)
        run = torch.ones(len(groups), dtype=torch.float64)
        for place in range(1, power):  # groups never decrease along a feature, so that equal ones are neighbours
            run = torch.where(groups[:, place] == groups[:, place - 1], run + 1, torch.ones_like(run))
            orders /= run
        return orders[:, None]

    def _parts(self, power: int) -> Iterator[tuple[slice, slice, slice]]:
        """For every group: its coordinates, the suffix of f_{power-1} that it multiplies, and its part of f_power."""
        start = 0
        total = self.dimension(power - 1)
        for index, size in enumerate(self._sizes):
            suffix = self._suffixes[power - 2][index]
            begin = index * self.step
            yield slice(begin, begin + size), slice(total - suffix, total), slice(start, start + size * suffix)
            start += size * suffix

    @staticmethod
    def _split(features: Tensor, group: slice, part: slice) -> Tensor:
        return features[:, part].unflatten(1, (group.stop - group.start, -1))
