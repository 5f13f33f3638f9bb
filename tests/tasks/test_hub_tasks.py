"""Tasks whose data are on the hub, loaded from copies of the same schema."""

from __future__ import annotations

import itertools
import socket
from pathlib import Path

import numpy as np
import pytest
import torch

from attnbench.errors import Unavailable
from attnbench.tasks.loading import hub as loading_hub
from attnbench.tasks.loading.hub import COPIES, hub, hub_images
from helpers import hub_copies
from helpers.task_data import ON_HUB, contents, declared, splits

pytest_plugins = ["helpers.hub_fixtures"]
pytestmark = pytest.mark.usefixtures("own_cache")

tasks = pytest.mark.parametrize("name", ON_HUB)


@tasks
def test_a_task_of_the_hub_is_as_declared(name: str, from_copies: Path) -> None:
    task = declared(name)
    parts = splits(task.parts("hub"))
    for part, split in parts.items():
        rows = len(split)
        assert rows >= 24 and split.targets.dtype == torch.int64
        assert split.targets.shape == ((rows, task.seq_len) if task.per_token else (rows,))
        if task.patch is None:
            assert split.inputs.dtype == torch.int64 and split.inputs.shape == (rows, task.seq_len)
            assert task.vocabulary is not None and 0 <= int(split.inputs.min()) <= int(split.inputs.max()) < task.vocabulary
        else:
            side = task.patch * int(task.seq_len**0.5)
            assert split.inputs.dtype == torch.uint8
            assert split.inputs.shape == (rows, side, side) + ((task.channels,) if task.channels > 1 else ())
        if task.per_token:
            assert int(split.targets.min()) >= 0 and int(split.targets.max()) < task.num_classes
        else:
            assert split.targets.unique().tolist() == list(range(task.num_classes)), part
    for first, second in itertools.combinations(parts.values(), 2):
        assert not contents(first) & contents(second)


@tasks
def test_a_task_of_the_hub_is_loaded_alike_twice(name: str, from_copies: Path) -> None:
    before = torch.get_rng_state()
    first = declared(name).parts("hub")
    assert torch.equal(torch.get_rng_state(), before)
    assert declared(name).parts("hub").fingerprint() == first.fingerprint()


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_the_hub_gives_what_the_package_gives_only_more(name: str, from_copies: Path) -> None:
    task = declared(name)
    for here, there in zip(task.parts("embedded"), task.parts("hub"), strict=True):
        assert here.inputs.shape[1:] == there.inputs.shape[1:] and here.inputs.dtype == there.inputs.dtype
        assert here.targets.dtype == there.targets.dtype


@pytest.mark.parametrize("name", ["ylecun/mnist", "zalando-datasets/fashion_mnist", "uoft-cs/cifar10"])
@pytest.mark.parametrize("split", ["train", "test"])
def test_images_and_labels_are_those_of_the_files(name: str, split: str, from_copies: Path) -> None:
    colour = name == "uoft-cs/cifar10"
    images, labels = hub_images(name, split, "img" if colour else "image", "RGB" if colour else "L")
    assert np.array_equal(images.numpy(), hub_copies.pixels(name, split))
    assert labels.tolist() == hub_copies.labels(name, split)


@pytest.mark.parametrize(("name", "held_out"), [("mnist", 120), ("fashion_mnist", 120), ("cifar10", 48), ("imdb", 48), ("ag_news", 24)])
def test_the_validation_part_is_held_out_of_the_training_part(name: str, held_out: int, from_copies: Path) -> None:
    parts = declared(name).parts("hub")
    assert [len(part) for part in parts] == [hub_copies.ROWS["train"] - held_out, held_out, hub_copies.ROWS["test"]]


def test_reviews_are_words_without_the_marks_of_line_ends(from_copies: Path) -> None:
    from attnbench.tasks.imdb import reviews

    texts, labels = reviews("train")
    assert texts[7][-4:] == ["stanfordnlp", "imdb", "train", "7"]
    assert not any("br" in text for text in texts)
    assert labels.tolist() == hub_copies.labels("stanfordnlp/imdb", "train")


def test_wikitext_is_the_raw_small_one_as_one_stream(from_copies: Path) -> None:
    from attnbench.tasks.wikitext import SEQ_LEN, part

    train = part("train")
    stream = "".join(hub_copies.lines("wikitext-2-raw-v1", "train")).encode()
    assert len(train) == (len(stream) - 1) // SEQ_LEN
    assert bytes(train.inputs.flatten().tolist()) == stream[: train.inputs.numel()]
    assert bytes(train.targets.flatten().tolist()) == stream[1 : train.inputs.numel() + 1]
    assert "—".encode() in stream  # more than ASCII


@tasks
def test_a_copy_that_is_not_there_is_unavailable(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(COPIES, str(tmp_path))
    hub_name = declared(name).hub
    with pytest.raises(Unavailable, match=f"holds no {hub_name}; .*hf download --repo-type dataset {hub_name} .*--data embedded"):
        declared(name).parts("hub")


def test_a_copy_that_cannot_be_read_is_unavailable_and_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "ylecun/mnist/mnist/train-00000-of-00001.parquet"
    broken.parent.mkdir(parents=True)
    broken.write_bytes(b"<html>sign in to this network</html>" * 100)
    monkeypatch.setenv(COPIES, str(tmp_path))
    with pytest.raises(Unavailable, match=r"ylecun/mnist cannot be loaded: \w+: .+; where there is a network"):
        hub("ylecun/mnist", "train")


def test_a_part_or_a_config_that_is_not_there_is_unavailable(from_copies: Path) -> None:
    with pytest.raises(Unavailable, match=r"cannot be loaded: .*split"):
        hub("ylecun/mnist", "validation")
    with pytest.raises(Unavailable, match=r"cannot be loaded: .*wikitext-1"):
        hub("Salesforce/wikitext", "train", "wikitext-1")


def test_copies_are_read_without_asking_anybody(from_copies: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(*_: object, **__: object) -> None:
        raise AssertionError("a name was resolved")

    monkeypatch.setattr(socket, "getaddrinfo", asked)
    monkeypatch.setattr(loading_hub, "why_silent", asked)
    assert len(hub("ylecun/mnist", "test")) == 400
