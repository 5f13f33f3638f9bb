"""Presets: which of them suit a machine, and what is in them."""

from __future__ import annotations

import dataclasses
import itertools
from collections import defaultdict

import pytest

from attnbench import registry
from attnbench.spec import presets, tuning
from attnbench.spec.asv_params import values_of
from attnbench.spec.axes import Spec
from attnbench.spec.axis_values import BLOCKS, DEVICES, MODES, TRACKS
from attnbench.spec.grids import Arm, Posed, TaskGrid
from attnbench.spec.presets import CITED, CORE, RANKED
from attnbench.spec.protocol import NEWEST


def test_every_preset_that_is_sized_for_a_cpu_fits_everywhere() -> None:
    assert presets.fitting(has_cuda=False) == ["quick", "standard", "claims", "pilot", "reference"]
    assert presets.fitting(has_cuda=True) == list(presets.PRESETS)
    assert {preset.device for preset in presets.PRESETS.values()} == set(DEVICES)


def costs(name: str) -> list[Spec]:
    """The kernel and depth cells of a preset."""
    return [spec for spec in presets.load(name).specs() if spec.track != "task"]


@pytest.mark.parametrize("name", presets.PRESETS)
def test_the_processes_of_a_cell_lie_as_far_apart_as_the_session_allows(name: str) -> None:
    """All of process 0 first, and the tasks at the end."""
    assert [spec.seed for spec in costs(name)] == sorted(spec.seed for spec in costs(name))
    tracks = [spec.track == "task" for spec in presets.load(name).specs()]
    assert tracks == sorted(tracks)


def test_quick_is_one_process_and_says_so() -> None:
    assert {spec.seed for spec in costs("quick")} == {0}
    assert "one process" in presets.load("quick").summary


def test_twelve_mechanisms_of_standard_run_in_three_processes_at_their_main_lengths() -> None:
    seeds: dict[str, set[int]] = defaultdict(set)
    for spec in costs("standard"):
        if (spec.mode, spec.seq_len, spec.causal, spec.batch_size, spec.dtype, spec.head_dim) == (
            "training",
            4096,
            False,
            1,
            "float32",
            64,
        ):
            seeds[spec.variant].add(spec.seed)
    assert seeds == {name: {0, 1, 2} if name in RANKED else {0} for name in registry.names("variants")}
    assert set(CITED).isdisjoint(CORE) and set(RANKED) <= set(registry.names("variants"))


@pytest.mark.parametrize(
    ("name", "variants"), [("standard", ("softmax", "orthogonal", "polynomial")), ("claims", ("softmax", "orthogonal"))]
)
@pytest.mark.parametrize("mode", ["forward", "training"])
def test_an_exponent_has_five_lengths_in_doublings(name: str, variants: tuple[str, ...], mode: str) -> None:
    for variant in variants:
        shape = {"variant": variant, "mode": mode, "causal": False, "batch_size": 1, "head_dim": 64, "dtype": "float32", "params": {}}
        lengths = sorted(
            {s.seq_len for s in costs(name) if s.track == "kernel" and all(getattr(s, axis) == of for axis, of in shape.items())}
        )
        longest = lengths[-5:]
        assert len(longest) == 5 and all(b == 2 * a for a, b in itertools.pairwise(longest)), lengths


def test_standard_holds_every_mode_and_a_padded_batch_beside_the_same_without_padding() -> None:
    kernel = [spec for spec in costs("standard") if spec.track == "kernel"]
    assert {spec.mode for spec in kernel} == set(MODES)
    assert {(spec.mode, spec.causal) for spec in kernel} >= {("forward", True), ("training", True)}
    padded = [spec for spec in kernel if spec.padded]
    keys = {spec.key() for spec in kernel}
    assert padded and all(dataclasses.replace(spec, padded=0.0).key() in keys for spec in padded)
    assert {spec.dtype for spec in kernel} == {"float32", "bfloat16"}
    assert {spec.head_dim for spec in kernel} == {64, 128}
    for spec in kernel:  # every ratio has its denominator
        assert dataclasses.replace(spec, variant="softmax", params={}).key() in keys, spec.label()


def test_a_preset_may_fix_an_option() -> None:
    grid = TaskGrid(("mnist",), ("softmax",), seeds=1, fixed={"block": "residual", "token_shift": True, "init_norm": 2})
    assert [(spec.track, spec.token_shift, spec.init_norm) for spec in grid.specs("cpu", (), {"mnist": "mnist"})] == [
        ("task", True, 2.0),
        ("step", True, 2.0),
    ]


@pytest.mark.parametrize("name", presets.PRESETS)
def test_preset_cells_are_distinct(name: str) -> None:
    specs = presets.load(name).specs()
    assert len({spec.key() for spec in specs}) == len(specs)


@pytest.mark.long  # of ten thousand cells
def test_the_parameters_of_asv_tell_all_cells_of_all_presets_apart() -> None:
    specs = {s.key(): s for name in presets.PRESETS for device in DEVICES for s in presets.load(name).specs(device)}
    assert len({(spec.track, *values_of(spec)) for spec in specs.values()}) == len(specs)


def seeds_of(name: str, track: str) -> set[frozenset[int]]:
    """The sets of seeds that the cells of a preset's track have."""
    seeds: dict[object, set[int]] = defaultdict(set)
    for spec in presets.load(name).specs():
        if spec.track == track:
            seeds[dataclasses.replace(spec, seed=0).key()].add(spec.seed)
    return set(map(frozenset, seeds.values()))


def test_every_run_that_is_ranked_or_judged_has_the_seeds_that_its_protocol_asks_for() -> None:
    claims, ranked = frozenset(range(NEWEST.claim_seeds)), frozenset(range(NEWEST.ranked_seeds))
    assert seeds_of("claims", "kernel") == seeds_of("claims", "depth") == {frozenset({0, 1, 2})}
    assert seeds_of("claims", "task") == {claims}
    assert seeds_of("standard", "task") == {ranked} and seeds_of("reference", "task") == {ranked, claims}


@pytest.mark.parametrize("name", presets.PRESETS)
def test_every_training_run_names_its_protocol_and_is_tuned_by_it_or_a_first_look(name: str) -> None:
    for spec in presets.load(name).specs():
        if spec.track == "task":
            assert spec.protocol == presets.load(name).protocol.name == NEWEST.name
            assert tuning.is_open(spec) == (name not in ("quick", "pilot"))
            assert (spec.evaluate == "validation") == (name == "pilot")  # the pilot reads no test part


def test_an_arm_has_parameters_and_axes_of_its_own() -> None:
    arms = ("softmax", Arm("polynomial", {"degree": 2}, {"init_norm": 0.5, "weight_decay": 0.1}))
    grid = TaskGrid((Posed("mnist", {"patch": 2}),), arms, seeds=1, fixed={"block": "residual"})
    plain, arm, step, arm_step = grid.specs("cpu", (), {"mnist": "mnist"})
    assert {spec.difficulty for spec in (plain, arm, step, arm_step)} == {"patch 2"}
    assert (arm.variant, arm.params, arm.init_norm, arm.weight_decay) == ("polynomial", {"degree": 2}, 0.5, 0.1)
    assert (step.track, arm_step.init_norm, arm_step.weight_decay) == ("step", 0.5, 0.05)
    assert [spec.variant for spec in grid.specs("cpu", ("relu", "polynomial"), {"mnist": "mnist"})][:2] == ["polynomial", "relu"]


def test_a_task_in_both_forms_is_run_in_both() -> None:
    grid = TaskGrid(("mqar", "mnist"), ("softmax",), seeds=1, processes=0, both_forms=True, fixed={"block": "residual"})
    found = [(spec.task, spec.causal) for spec in grid.specs("cpu", (), {"mqar": "mqar", "mnist": "mnist"})]
    assert found == [("mqar", False), ("mqar", True), ("mnist", False)]


def test_quick_holds_exactly_the_four_mechanisms_and_every_track() -> None:
    specs = presets.load("quick").specs()
    assert {spec.variant for spec in specs} == {"softmax", "softmax_math", "orthogonal", "polynomial"}
    assert {spec.track for spec in specs} == {*TRACKS}
    assert {spec.block for spec in specs if spec.track == "depth"} == set(BLOCKS)
    assert {spec.task for spec in specs if spec.track == "task"} == {"mnist", "sotu_era"}
