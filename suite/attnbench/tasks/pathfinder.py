r"""Pathfinder: whether a dashed path joins the two discs of an image, as 1,024 pixels.

    O- - -                          O- - -
           \     - -                       \     - O
       - -  |  /     \   ->  yes       - -  |  /     \   ->  no
     /     /   \      |              /     /   \      |
      - - O      - - -                - - -      - - -

In each image of 32 x 32 pixels are two paths of 14 dashes, the second beginning 7 pixels from the first, and up to five of four dashes
that distract. Paths turn by at most 52.5 degrees from dash to dash and neither touch nor cross. One disc is on the first dash of a long
path, the other on the last dash of the same or of the other long path. Images come in twos, one joined and one not, whose discs are as
far apart and as far from the centre, and on dashes of the same directions to an eighth of a circle. So hardly
anything but following the path gives the answer: a regression on those directions gets 0.53 of the images right, and 0.69 of images that
do not come in twos.

After the generator of Linsley et al. 2018 and Kim et al. 2020, of which Long Range Arena (Tay et al. 2021) has 200,000 images of this
size and these numbers of dashes. Its dashes are thinner, begin 4 pixels apart rather than 3.25 and turn more, and its images do not come
in twos. Here are 4,096 training drawings, each in its 8 mirror images, and others for validation and test. Learning takes one GPU: on two
cores the small size shows the cost, at an accuracy of about one half.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, islice
from math import isqrt

import torch

from attnbench.tasks.loading.dashes import DIRECTIONS, SIDE, UNIT, Brush, Place, around, paint, rim, steps
from attnbench.tasks.loading.synthetic import Draws, generate
from attnbench.workload import Parts, Size, Split, Task

LONG, SHORT = 14, 4  # dashes of a path
DISTRACTORS = 5
DASH, POINT, DISC = Brush(length=6, radius=2), Brush(length=0, radius=2), Brush(length=0, radius=6)
ALONG, GAP, APART, FAR = steps(DASH.length), steps(7), steps(7 * UNIT), steps(1_000)
TURN = 7  # directions, at most, from dash to dash
TRIALS, BUDGET = 5, 80  # ways tried at each dash; dashes tried on each path
SECOND_TRIALS, SHORT_TRIALS = 16, 5  # beginnings tried of a path
SEED = 2018

Dash = tuple[int, int, int]  # y and x of where it begins, direction


def load() -> Parts:
    parts = generate(draw, SEED, train=4_096, validation=512, test=1_024)
    return dataclasses.replace(parts, train=mirrored(parts.train))


def mirrored(split: Split) -> Split:
    """Every image as it is and in the seven other ways that turning and mirroring give."""
    turned = [split.inputs.rot90(quarter, (1, 2)) for quarter in range(4)]
    return Split(torch.cat([*turned, *(images.flip(2) for images in turned)]), split.targets.repeat(8))


def draw(draws: Draws, rows: int) -> Split:
    drawings = list(islice(pairs(draws), rows))
    layers = {
        DASH: [(number, *dash) for number, drawing in enumerate(drawings) for path in drawing.paths for dash in path.dashes],
        DISC: [(number, *place, 0) for number, drawing in enumerate(drawings) for place in drawing.discs],
    }
    joined = torch.tensor([int(drawing.joined) for drawing in drawings])
    return Split(torch.from_numpy(paint(rows, layers)), joined)


@dataclass(frozen=True)
class Path:
    """Dashes in their order, and the pixels that they touch, with a disc at each end where there may be one."""

    dashes: tuple[Dash, ...]
    pixels: int

    @property
    def ends(self) -> tuple[Place, Place]:
        y, x, direction = self.dashes[-1]
        return self.dashes[0][:2], moved((y, x), ALONG[direction])


@dataclass(frozen=True)
class Drawing:
    """The two long paths, then those that distract; which of the two has a disc at its begin, and which one at its end."""

    paths: tuple[Path, ...]
    begins: int
    ends: int

    @property
    def joined(self) -> bool:
        return self.begins == self.ends

    @property
    def discs(self) -> tuple[Place, Place]:
        return self.paths[self.begins].ends[0], self.paths[self.ends].ends[1]

    @property
    def look(self) -> tuple[int, int, tuple[int, int]]:
        """What is seen without following a path, the same for mirror images.

        How far apart the discs are, by 2 pixels; how far their middle is from the centre, by 4; and in which eighths of a circle, counted
        from the line between them, the dashes point that they are on.
        """
        (y, x), (v, u) = self.discs
        line, middle = (v - y, u - x), (y + v - SIDE * UNIT, x + u - SIDE * UNIT)  # the middle is twice as far from the centre
        one = eighth(line, FAR[self.paths[self.begins].dashes[0][2]])
        two = eighth(line, FAR[self.paths[self.ends].dashes[-1][2]])
        return norm(line) // (2 * UNIT), norm(middle) // (8 * UNIT), min((one, two), (7 - one, 7 - two))


def eighth(line: Place, arm: Place) -> int:
    """Eighth of a circle, 0 ... 7, into which `arm` points as counted from `line`."""
    along, across = line[0] * arm[0] + line[1] * arm[1], line[1] * arm[0] - line[0] * arm[1]
    steep = abs(across) >= abs(along)
    sector = (1 if steep else 0) if along > 0 else (2 if steep else 3)
    return sector if across >= 0 else 7 - sector


def pairs(draws: Draws) -> Iterator[Drawing]:
    """Drawings without end: one that is joined, then one that is not and looks the same.

    The two long paths can take their discs in two ways; a drawing waits in both until another one looks like one of them.
    """
    waiting: dict[tuple[object, bool], list[tuple[int, Drawing]]] = defaultdict(list)
    used: set[int] = set()
    for number in count():
        paths, joined = sketch(draws), bool(draws.one(2))
        if paths is None:
            continue
        choices = [Drawing(paths, begins, begins if joined else 1 - begins) for begins in (0, 1)]
        for drawing in choices:
            others = waiting[drawing.look, not joined]
            while others and others[-1][0] in used:
                others.pop()
            if others:
                partner, other = others.pop()
                used.add(partner)
                yield from (drawing, other) if joined else (other, drawing)
                break
        else:
            for drawing in choices:
                waiting[drawing.look, joined].append((number, drawing))


def sketch(draws: Draws) -> tuple[Path, ...] | None:
    """The paths of one drawing; None where there was no room for the long ones."""
    begin = anywhere(draws)
    taken = rim(1)
    first = extend(draws, begin, LONG, taken, DISC)
    if first is None:
        return None
    taken |= around(first.pixels)
    beside = (moved(begin, APART[draws.one(DIRECTIONS)]) for _ in range(SECOND_TRIALS))
    second = next((path for place in beside if (path := extend(draws, place, LONG, taken, DISC))), None)
    if second is None:
        return None
    taken |= around(second.pixels)
    paths = [first, second]
    for _ in range(DISTRACTORS):
        begins = (anywhere(draws) for _ in range(SHORT_TRIALS))
        path = next((path for place in begins if (path := extend(draws, place, SHORT, taken, POINT))), None)
        if path is not None:
            paths.append(path)
            taken |= around(path.pixels)
    return tuple(paths)


def extend(draws: Draws, begin: Place, length: int, taken: int, cap: Brush) -> Path | None:
    """A path of so many dashes that touches nothing taken and itself nowhere; None where none was found.

    At a dead end it goes back a dash and tries another way, as often as the budget allows.
    """
    if not all(0 <= at < SIDE * UNIT for at in begin):
        return None
    heading = draws.one(DIRECTIONS)
    start = DASH.touched(*begin, heading) | cap.touched(*begin)
    budget = BUDGET

    def onward(y: int, x: int, heading: int, left: int, taken: int, last: int) -> tuple[list[Dash], int] | None:
        """The remaining dashes, last first, and their pixels. `last` are those of the dash before, which is nearer than others may be."""
        nonlocal budget
        if left == 0:
            return [], 0
        blocked = taken | last
        for _ in range(TRIALS):
            if budget == 0:
                return None
            budget -= 1
            direction = (heading + draws.one(2 * TURN + 1) - TURN) % DIRECTIONS
            (dy, dx), (ey, ex) = GAP[direction], ALONG[direction]
            begin_y, begin_x, end_y, end_x = y + dy, x + dx, y + dy + ey, x + dx + ex
            pixels = DASH.touched(begin_y, begin_x, direction)
            if left == 1:
                pixels |= cap.touched(end_y, end_x)
            if pixels & blocked:
                continue
            rest = onward(end_y, end_x, direction, left - 1, taken | around(last), pixels)
            if rest is not None:
                return [*rest[0], (begin_y, begin_x, direction)], rest[1] | pixels
        return None

    found = None if start & taken else onward(*moved(begin, ALONG[heading]), heading, length - 1, taken, start)
    return None if found is None else Path(((*begin, heading), *reversed(found[0])), start | found[1])


def norm(vector: Place) -> int:
    return isqrt(vector[0] ** 2 + vector[1] ** 2)


def anywhere(draws: Draws) -> Place:
    return draws.one(SIDE * UNIT), draws.one(SIDE * UNIT)


def moved(place: Place, step: Place) -> Place:
    return place[0] + step[0], place[1] + step[1]


TASK = Task(
    kind="synthetic",
    load=load,
    metric="accuracy",
    target=0.7,
    num_classes=2,
    seq_len=1024,  # SIDE * SIDE, as a plain number, which is read without an import
    patch=1,
    epoch_rows=512,
    citation="Linsley et al. 2018, arXiv:1805.08315; Kim et al. 2020, Disentangling neural mechanisms; Tay et al. 2021, arXiv:2011.04006",
    licence="generated; MIT, as this package",
    small=Size(num_layers=2, num_heads=4, head_dim=16, batch_size=16, epochs=2, lr=1e-3),
    large=Size(num_layers=4, num_heads=4, head_dim=32, batch_size=64, epochs=500, lr=5e-4),
)
