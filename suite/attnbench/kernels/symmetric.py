"""Features f_p with (q . k)^p = f_p(q) . (w f_p(k)) exactly: the products of p coordinates, each combination once, and its weight.

A coordinate axis is cut into groups of `step`. f_1 = x; f_p joins, group after group, the products of the group's coordinates with the
part of f_{p-1} that begins at the same group:

    f_p = [x_1 (x) f_{p-1} from group 1,  x_2 (x) f_{p-1} from group 2,  ...]

so that a part is always a suffix, each product is one broadcast multiplication, and nothing is gathered. With step 1 the dimension is
C(d + p - 1, p); a larger step needs fewer and larger operations but keeps both orders of two coordinates in one group. The weight is
the number of orders of the groups. Features lie as [batch, dimension, tokens]: the innermost axis is long whatever the group.

The features of the highest power need not all be there at once: those of one group are a part, which is made, used and forgotten while it
lies in the cache.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

Coordinates = Float[Tensor, "batch head_dim tokens"]
Features = Float[Tensor, "batch _ tokens"]  # a list of them has a dimension for each power


@dataclass(frozen=True)
class Part:
    """The features of a power that begin with a coordinate of one group."""

    group: slice  # the coordinates
    suffix: slice  # the features of the power below that they multiply
    place: slice  # the products, among the features of the power

    @property
    def rows(self) -> int:
        """How many features it has."""
        return int(self.place.stop - self.place.start)


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
        self.top = self.parts(degree) if degree > 1 else []
        """The parts of the highest power; none where that is 1."""

    def dimension(self, power: int) -> int:
        """Size of f_power; 1 for power 0."""
        return self._suffixes[power - 1][0] if power else 1

    def parts(self, power: int) -> list[Part]:
        """The parts of a power of at least 2, in the order of their features."""
        parts, start, total = [], 0, self.dimension(power - 1)
        for index, size in enumerate(self._sizes):
            suffix, begin = self._suffixes[power - 2][index], index * self.step
            parts.append(Part(slice(begin, begin + size), slice(total - suffix, total), slice(start, start + size * suffix)))
            start += size * suffix
        return parts

    def of(self, x: Coordinates) -> list[Features]:
        """[f_0, f_1, ..., f_degree] of the tokens in the columns of x."""
        return self._up_to(self.degree, x)

    def below_top(self, x: Coordinates) -> list[Features]:
        """The same without the highest power, if that is above 1."""
        return self._up_to(max(1, self.degree - 1), x)

    def _up_to(self, degree: int, x: Coordinates) -> list[Features]:
        levels = [torch.ones_like(x[:, :1]), x]
        for power in range(2, degree + 1):
            made = x.new_empty(x.shape[0], self.dimension(power), x.shape[2])
            for part in self.parts(power):
                fill_(made[:, part.place], part, x, levels[-1])
            levels.append(made)
        return levels

    def pull_back_(self, x: Coordinates, levels: list[Features], gradients: list[Features]) -> Coordinates:
        """The gradient of x from those of `levels`, which `below_top` made. They are overwritten; the result is that of level 1."""
        for power in range(len(levels) - 1, 1, -1):
            for part in self.parts(power):
                pull_back_part_(part, x, levels[power - 1], gradients[power][:, part.place], gradients[1], gradients[power - 1])
        return gradients[1]

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


def fill_(features: Features, part: Part, x: Coordinates, below: Features) -> Features:
    """The features of one part, from the coordinates and the features of the power below."""
    torch.mul(x[:, part.group, None], below[:, None, part.suffix], out=_by_coordinate(features, part))
    return features


def pull_back_part_(
    part: Part,
    x: Coordinates,
    below: Features,
    gradient: Features,
    d_x: Coordinates,
    d_below: Features,
    scratch: Features | None = None,
) -> None:
    """Add to d_x and d_below what the gradient of a part gives; they may be one tensor, where the power below is 1.

    The gradient is overwritten, and so is a scratch of its shape.
    """
    gradient = _by_coordinate(gradient, part)
    products = torch.mul(gradient, below[:, None, part.suffix], out=None if scratch is None else _by_coordinate(scratch, part))
    d_x[:, part.group].add_(products.sum(2))  # no +=, which would then copy the slice onto itself
    d_below[:, part.suffix].add_(gradient.mul_(x[:, part.group, None]).sum(1))


def _by_coordinate(features: Features, part: Part) -> Tensor:
    """The products of a part with an axis for the coordinates of its group: [batch, coordinates, suffix, tokens]."""
    return features.unflatten(1, (part.group.stop - part.group.start, -1))
