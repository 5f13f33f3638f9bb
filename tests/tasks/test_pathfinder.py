"""Pathfinder: its drawings, its pixels, and that nothing but following a path tells the label."""

from __future__ import annotations

import math
from functools import cache
from itertools import combinations, islice, pairwise

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from attnbench.tasks import pathfinder
from attnbench.tasks.loading.dashes import EDGE, STRIDE, Brush, around, paint, rim, steps
from attnbench.tasks.loading.synthetic import Draws
from attnbench.tasks.pathfinder import ALONG, DASH, DISC, GAP, Drawing, eighth, mirrored, moved
from helpers.task_data import loaded, splits


@cache
def drawings(number: int = 300) -> list[Drawing]:
    return list(islice(pathfinder.pairs(Draws(31)), number))


def place_of(pixel: int) -> int:
    return (pixel // STRIDE - EDGE) * 32 + pixel % STRIDE - EDGE


@pytest.mark.parametrize(("length", "radius"), [(0, 2), (0, 6), (6, 2), (8, 3)])
def test_a_stroke_has_the_area_of_its_shape(length: int, radius: int) -> None:
    area = (length * 2 * radius + math.pi * radius**2) / 16
    covered = Brush(length, radius).brightness.sum((-2, -1)) / 255
    assert abs(covered.mean() - area) < 0.06 * area
    assert np.abs(covered - area).max() < 0.3 * area


@pytest.mark.parametrize("length", [6, 7, 28, 1000])
def test_steps_are_the_same_after_a_quarter_turn_and_far_from_a_half(length: int) -> None:
    found = steps(length)
    assert all(found[(turn + 12) % 48] == (dx, -dy) for turn, (dy, dx) in enumerate(found))
    exact = [length * (1 + 1e-6) * math.sin(math.tau * turn / 48) for turn in range(48)]
    assert min(abs(value % 1 - 0.5) for value in exact) > 1e-7


def test_a_level_dash_by_hand() -> None:
    (image,) = paint(1, {Brush(8, 2): [(0, 4 * 10 + 2, 4 * 5, 0)]})  # along the middle of line 10, from the left edge of column 5
    assert image[10, 5:7].tolist() == [255, 255] and image[10, 4] == image[10, 7] > 0
    assert image.sum() == image[10, 4:8].sum()


def test_the_bits_of_a_stroke_are_the_pixels_that_are_painted() -> None:
    draws = Draws(8)
    for _ in range(200):
        y, x, direction = draws.one(128), draws.one(128), draws.one(48)
        bits = DASH.touched(y, x, direction)
        lit = {place_of(pixel) for pixel in range(STRIDE**2) if bits >> pixel & 1 and not rim(0) >> pixel & 1}
        assert lit == set(np.flatnonzero(paint(1, {DASH: [(0, y, x, direction)]})).tolist())


def test_neighbours_and_the_rim() -> None:
    pixel = 1 << STRIDE * 20 + 17
    assert around(pixel) == sum(1 << STRIDE * row + column for row in (19, 20, 21) for column in (16, 17, 18))
    assert rim(1).bit_count() == STRIDE**2 - 30**2 and rim(0).bit_count() == STRIDE**2 - 32**2


@pytest.mark.parametrize(("degrees", "expected"), [(10, 0), (80, 1), (100, 2), (170, 3), (190, 4), (260, 5), (280, 6), (350, 7)])
def test_eighths_of_a_circle(degrees: float, expected: int) -> None:
    arm = round(100 * math.sin(math.radians(degrees + 33))), round(100 * math.cos(math.radians(degrees + 33)))
    line = round(70 * math.sin(math.radians(33))), round(70 * math.cos(math.radians(33)))
    assert eighth(line, arm) == expected


def linked(drawing: Drawing) -> bool:
    """Whether dashes that follow on one another lead from disc to disc, whatever path they are said to be of."""
    every = [dash for path in drawing.paths for dash in path.dashes]
    reached = [dash for dash in every if dash[:2] in drawing.discs]
    for y, x, direction in reached:
        end = moved((y, x), ALONG[direction])
        if end in drawing.discs:
            return True
        reached += [dash for dash in every if dash[:2] == moved(end, GAP[dash[2]]) and abs((dash[2] - direction + 24) % 48 - 24) <= 7]
    return False


def test_discs_are_joined_exactly_where_it_is_said() -> None:
    for drawing in drawings():
        assert linked(drawing) == drawing.joined
        on = [{number for number, path in enumerate(drawing.paths) if disc in path.ends} for disc in drawing.discs]
        assert all(len(one) == 1 and one <= {0, 1} for one in on)
        assert (on[0] == on[1]) == drawing.joined


def test_labels_and_pixels_are_those_of_the_drawings() -> None:
    split = pathfinder.draw(Draws(31), 60)
    assert split.targets.tolist() == [int(drawing.joined) for drawing in drawings()[:60]]
    for image, drawing in zip(split.inputs, drawings(), strict=False):
        assert all(image[y // 4, x // 4] == 255 for y, x in drawing.discs)
        bits = DISC.touched(*drawing.discs[0]) | DISC.touched(*drawing.discs[1])
        for path in drawing.paths:
            for dash in path.dashes:
                bits |= DASH.touched(*dash)
        assert int((image > 0).sum()) == bits.bit_count()


def test_paths_turn_gently_and_keep_clear_of_all_else() -> None:
    for drawing in drawings():
        assert [len(path.dashes) for path in drawing.paths] == [14, 14] + [4] * (len(drawing.paths) - 2)
        assert len(drawing.paths) <= 7
        assert abs(math.dist(drawing.paths[0].ends[0], drawing.paths[1].ends[0]) - 28) < 1
        for path in drawing.paths:
            assert not path.pixels & rim(1)
            for (y, x, before), after in pairwise(path.dashes):
                assert after[:2] == moved(moved((y, x), ALONG[before]), GAP[after[2]])
                assert abs((after[2] - before + 24) % 48 - 24) <= 7
            strokes = [DASH.touched(*dash) for dash in path.dashes]
            for (i, one), (j, other) in combinations(enumerate(strokes), 2):
                assert not one & (other if j == i + 1 else around(other))
        assert not any(one.pixels & around(other.pixels) for one, other in combinations(drawing.paths, 2))


def test_twos_look_the_same() -> None:
    for one, other in zip(drawings()[0::2], drawings()[1::2], strict=True):
        assert one.joined and not other.joined and one.look == other.look
        assert abs(math.dist(*one.discs) - math.dist(*other.discs)) < 12  # less than three pixels


def test_training_images_are_there_in_their_eight_mirror_images() -> None:
    base = pathfinder.draw(Draws(9), 6)
    split = mirrored(base)
    assert torch.equal(split.targets, base.targets.repeat(8))
    for number, image in enumerate(base.inputs):
        views = split.inputs[number::6]
        assert len({view.numpy().tobytes() for view in views}) == 8
        assert any(torch.equal(view, image.mT) for view in views) and any(torch.equal(view, image.flip(0)) for view in views)
        assert (views.flatten(1).sum(1, dtype=torch.int64) == image.sum(dtype=torch.int64)).all()


@pytest.mark.long
def test_parts_are_balanced_and_share_no_mirror_image() -> None:
    parts = loaded("pathfinder")
    for split in splits(parts).values():
        assert split.targets.double().mean() == 0.5
    seen = {image.tobytes() for image in parts.train.inputs.numpy()}
    assert len(seen) == len(parts.train) == 8 * 4_096
    assert not any(image.tobytes() in seen for split in (parts.validation, parts.test) for image in split.inputs.numpy())


def told(statistic: NDArray[np.float64], label: NDArray[np.bool_]) -> float:
    """Accuracy on every other two of a logistic regression on standardised statistics and their squares, fitted to the rest."""
    x = (statistic - statistic.mean(0)) / statistic.std(0)
    x = np.concatenate([x, x**2, np.ones((len(x), 1))], axis=1)
    held = np.arange(len(x)) % 4 < 2
    weight = np.zeros(x.shape[1])
    for _ in range(20):
        p = 1 / (1 + np.exp(-x[~held] @ weight))
        hessian = (x[~held] * (p * (1 - p))[:, None]).T @ x[~held] + 0.1 * np.eye(len(weight))
        weight += np.linalg.solve(hessian, x[~held].T @ (label[~held] - p) - 0.1 * weight)
    return float(((x[held] @ weight > 0) == label[held]).mean())


def arms(drawing: Drawing) -> list[float]:
    """Angles of the dashes on the discs, against the line between the discs and one another."""
    (y, x), (v, u) = drawing.discs
    line = math.atan2(v - y, u - x)
    one, two = (math.tau * turn / 48 for turn in (drawing.paths[drawing.begins].dashes[0][2], drawing.paths[drawing.ends].dashes[-1][2]))
    return [math.cos(one - line), math.cos(two - line), math.cos(one - two), math.sin(one - line) * math.sin(two - line)]


@pytest.mark.long
def test_no_simple_statistic_tells_the_label(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chance is 0.5, and its standard error 0.013."""
    number = 3_000
    sample = list(islice(pathfinder.pairs(Draws(77)), number))
    monkeypatch.setattr(pathfinder, "pairs", lambda _: iter(sample))  # these are painted, and none drawn a second time
    images = pathfinder.draw(Draws(77), number).inputs.flatten(1).double().numpy()
    label = np.array([drawing.joined for drawing in sample])
    middle = [[(a + b) / 2 - 64 for a, b in zip(*drawing.discs, strict=True)] for drawing in sample]
    found = {
        "brightness": images.mean(1, keepdims=True),
        "contrast": images.std(1, keepdims=True),
        "lit pixels": (images > 0).mean(1, keepdims=True),
        "bright pixels": (images == 255).mean(1, keepdims=True),
        "distance": np.array([[math.dist(*drawing.discs)] for drawing in sample]),
        "paths": np.array([[len(drawing.paths)] for drawing in sample], dtype=float),
        "middle": np.array([[math.hypot(*place)] for place in middle]),
        "arms": np.array([arms(drawing) for drawing in sample]),
    }
    for name, statistic in found.items():
        assert told(statistic, label) < 0.56, name
    assert told(np.concatenate(list(found.values()), axis=1), label) < 0.58
    planted = found["brightness"] + 1.5 * found["brightness"].std() * label[:, None]
    assert told(planted, label) > 0.7  # it would have been seen


def test_directions_at_the_discs_would_tell_if_drawings_came_as_they_are() -> None:
    """Why images come in twos."""
    draws, sample = Draws(78), []
    while len(sample) < 1_500:
        paths = pathfinder.sketch(draws)
        if paths is not None:
            begins = draws.one(2)
            sample.append(Drawing(paths, begins, draws.one(2)))
    assert told(np.array([arms(drawing) for drawing in sample]), np.array([drawing.joined for drawing in sample])) > 0.65
