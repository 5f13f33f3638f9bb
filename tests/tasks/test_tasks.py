"""The contract of a task, held against every registered name; what is only on the hub is in test_hub.py."""

from __future__ import annotations

import importlib
import itertools
import math
import re
from pathlib import Path

import pytest
import torch

from attnbench import registry
from attnbench.store.metrics import higher_is_better
from attnbench.tasks.loading.embedded import DATA
from attnbench.workload import IGNORED, KINDS, METRICS, Size, majority_share, unigram_bits
from helpers.task_data import LOCAL, NAMES, contents, declared, loaded, splits

every_task = pytest.mark.parametrize("name", NAMES)
tasks = pytest.mark.parametrize("name", LOCAL)
SMALL_FLOPS = 3e12  # what two cores do in half a minute, and a little more


@every_task
def test_it_is_declared_in_full(name: str) -> None:
    task = declared(name)
    docstring = importlib.import_module(f"attnbench.tasks.{name}").__doc__ or ""
    assert len(docstring.split("\n", 1)[0].strip()) > 10
    assert registry.summary("tasks", name) == docstring.split("\n", 1)[0]
    assert task.citation.strip() and task.licence.strip()
    assert task.kind in KINDS and task.metric in METRICS
    assert task.num_classes >= 2 and task.seq_len >= 1 and task.channels in (1, 3)
    assert task.causal and len(set(task.causal)) == len(task.causal) <= 2
    assert (task.vocabulary is not None) or not (task.shift or any(task.causal))
    if task.hub is not None:
        assert re.fullmatch(r"[\w-]+/[\w-]+", task.hub)


@every_task
def test_its_docstring_draws_an_example(name: str) -> None:
    docstring = importlib.import_module(f"attnbench.tasks.{name}").__doc__ or ""
    drawn = [line for line in docstring.splitlines() if line.startswith("    ")]
    assert any("->" in line for line in drawn) or any(line.split()[0] == "target" for line in drawn if line.strip())


@every_task
def test_its_target_lies_between_knowing_nothing_and_knowing_all(name: str) -> None:
    task = declared(name)
    if higher_is_better(task.metric):
        assert 1 / task.num_classes < task.target < 1
    else:
        assert 0 < task.target < math.log2(task.num_classes)


@tasks
def test_its_target_is_beyond_what_the_frequencies_of_the_answers_give(name: str) -> None:
    task, targets = declared(name), loaded(name).validation.targets
    if higher_is_better(task.metric):
        assert majority_share(targets) < 0.6 and task.target > majority_share(targets) + 0.1
    else:
        assert task.target < unigram_bits(targets) - 0.5


@every_task
def test_its_sources_are_what_it_declares(name: str) -> None:
    task = declared(name)
    assert (task.files != ()) == ("embedded" in task.sources)
    assert ("hub" in task.sources) == (task.hub is not None)
    assert len(set(task.sources)) == len(task.sources) >= 1 and set(task.sources) <= {"embedded", "generated", "hub"}
    assert (task.sources[0] == "hub") == (task.load is None)  # what needs no network is the default


@pytest.mark.parametrize(
    ("name", "sources"),
    [
        *[(name, ("embedded", "hub")) for name in ("mnist", "fashion_mnist")],
        *[(name, ("embedded",)) for name in ("digits", "sotu_era", "sotu_lm", "sotu_mlm")],
        *[(name, ("hub",)) for name in ("cifar10", "imdb", "ag_news", "wikitext")],
        *[(name, ("generated",)) for name in ("mqar", "listops", "selective_copy", "pathfinder")],
    ],
)
def test_where_the_data_of_known_tasks_come_from(name: str, sources: tuple[str, ...]) -> None:
    assert declared(name).sources == sources


@every_task
def test_its_files_are_embedded_and_their_provenance_is_told(name: str) -> None:
    files = declared(name).files
    readme = (DATA / "README.md").read_text(encoding="utf-8")
    assert len(set(files)) == len(files)
    for file in files:
        assert Path(file).name == file and (DATA / file).stat().st_size > 1000
        assert file in readme


@every_task
@pytest.mark.parametrize("which", ["small", "large"])
def test_its_sizes_are_sensible(name: str, which: str) -> None:
    size: Size = getattr(declared(name), which)
    assert size.num_heads >= 2 and size.num_heads % 2 == 0  # heads may work in pairs
    assert 16 <= size.head_dim <= 64
    assert 2 <= size.num_layers <= 12
    assert 8 <= size.batch_size <= 256 and 1 <= size.epochs <= 500
    assert 1e-4 <= size.lr <= 1e-2


@every_task
def test_a_small_run_is_one_for_two_cores(name: str) -> None:
    """Multiplications and additions of the linear maps of all its training steps, forward and backward."""
    task, size = declared(name), declared(name).small
    rows = task.epoch_rows or len(loaded(name).train)
    d_model = size.num_heads * size.head_dim
    assert 6 * 12 * size.num_layers * d_model**2 * rows * size.epochs * task.seq_len < SMALL_FLOPS
    large = task.large
    assert large.num_layers * (large.num_heads * large.head_dim) ** 2 > size.num_layers * d_model**2


@tasks
def test_shapes_and_dtypes_are_as_declared(name: str) -> None:
    task = declared(name)
    for split in splits(loaded(name)).values():
        rows = len(split)
        assert rows >= 100
        assert split.targets.shape == ((rows, task.seq_len) if task.per_token else (rows,)) and split.targets.dtype == torch.int64
        if task.patch is not None:
            assert split.inputs.dtype == torch.uint8 and split.inputs.ndim == (3 if task.channels == 1 else 4)
            height, width = split.inputs.shape[1:3]
            assert height % task.patch == width % task.patch == 0
            assert (height // task.patch) * (width // task.patch) == task.seq_len
            assert task.channels == 1 or split.inputs.shape[3] == task.channels
        else:
            assert split.inputs.dtype == torch.int64 and split.inputs.shape == (rows, task.seq_len)
        assert split.inputs.shape[0] == rows
        assert split.groups is None or len(split.groups) == rows


@tasks
def test_inputs_use_the_range_they_are_given(name: str) -> None:
    task, train = declared(name), loaded(name).train
    if task.vocabulary is None:
        assert int(train.inputs.min()) == 0 and int(train.inputs.max()) == 255
        return
    assert int(train.inputs.max()) > 0.9 * task.vocabulary - 1 or task.vocabulary == 256  # not every byte occurs in a text
    for split in splits(loaded(name)).values():
        assert int(split.inputs.min()) >= 0 and int(split.inputs.max()) < task.vocabulary


@tasks
def test_targets_are_classes_and_ignored_only_where_tokens_are_asked(name: str) -> None:
    task = declared(name)
    for part, split in splits(loaded(name)).items():
        asked = split.targets != IGNORED
        assert int(split.targets[asked].min()) >= 0 and int(split.targets[asked].max()) < task.num_classes, part
        if task.per_token:
            assert asked.any(1).all(), part  # no row without a question
            if split.padding_mask is not None:
                assert not (asked & split.padding_mask).any(), part
        else:
            assert asked.all(), part
            assert split.targets.unique().tolist() == list(range(task.num_classes)), part


@tasks
def test_no_two_parts_share_a_group_or_a_row(name: str) -> None:
    parts = splits(loaded(name))
    keys = {part: set(split.groups) if split.groups is not None else contents(split) for part, split in parts.items()}
    for first, second in itertools.combinations(parts, 2):
        assert not keys[first] & keys[second], (first, second)
    assert min(len(key) for key in keys.values()) > 1


@tasks
def test_hardly_any_row_is_in_two_parts(name: str) -> None:
    """Groups apart, two addresses may still hold one sentence; a few rows of a thousand are no leak."""
    parts = splits(loaded(name))
    seen = contents(parts["train"])
    for part in ("validation", "test"):
        shared = sum(row.numpy().tobytes() in seen for row in parts[part].inputs)
        assert shared <= len(parts[part]) / 500, part


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.long) if name == "pathfinder" else name for name in LOCAL])
def test_loading_twice_gives_the_same_and_leaves_the_random_state_alone(name: str) -> None:
    task, before = declared(name), torch.get_rng_state()
    try:
        torch.manual_seed(12345)
        seeded = torch.get_rng_state()
        again = task.parts(task.sources[0])
        assert torch.equal(torch.get_rng_state(), seeded)
    finally:
        torch.set_rng_state(before)
    assert again.fingerprint() == loaded(name).fingerprint()
    assert [split.groups for split in again] == [split.groups for split in loaded(name)]


@tasks
def test_the_padding_mask_hides_what_is_empty_and_nothing_else(name: str) -> None:
    """Padding follows the content and holds one token, which stands nowhere else."""
    for split in splits(loaded(name)).values():
        mask = split.padding_mask
        if mask is None:
            assert (split.inputs.flatten(1).float().std(1) > 0.0).all()  # no row is blank
            continue
        assert mask.dtype == torch.bool and mask.shape == split.inputs.shape[:2]
        assert mask.any() and not mask.all(1).any()
        assert torch.equal(mask.int().cummax(1).values, mask.int())
        (padding,) = split.inputs[mask].unique().tolist()
        assert not (split.inputs[~mask] == padding).any()
