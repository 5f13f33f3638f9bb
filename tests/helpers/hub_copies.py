"""Data sets as they lie on the hub, small: parquet files with the features and the card of each, and contents that tests know."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

CLASSES = {
    "ylecun/mnist": [str(digit) for digit in range(10)],
    "zalando-datasets/fashion_mnist": [f"piece {i}" for i in range(10)],
    "uoft-cs/cifar10": [f"thing {i}" for i in range(10)],
    "stanfordnlp/imdb": ["neg", "pos"],
    "fancyzhx/ag_news": ["World", "Sports", "Business", "Sci/Tech"],
}
ROWS = {"train": 1200, "test": 400}
WIKITEXT = ("wikitext-103-raw-v1", "wikitext-2-raw-v1", "wikitext-2-v1")
VERSES = ("To", "be,", "or", "not", "to", "be", "—", "that", "is", "the", "question", ":", "Whether", "'tis", "nobler", "in", "the", "mind")


def pixels(name: str, split: str) -> NDArray[np.uint8]:
    """The images that a copy holds, [rows, side, side] or [rows, side, side, 3]."""
    side = (32, 32, 3) if name == "uoft-cs/cifar10" else (28, 28)
    return _draws(name, split).integers(0, 256, (ROWS[split], *side), dtype=np.uint8)


def labels(name: str, split: str) -> list[int]:
    """Sorted, as those of imdb are."""
    return sorted(i % len(CLASSES[name]) for i in range(ROWS[split]))


def texts(name: str, split: str) -> list[str]:
    """Texts that end in a number of their own."""
    draws = _draws(name, split)
    return [f"{' '.join(draws.choice(VERSES, 80))}.<br /><br />{name} {split} {i}" for i in range(ROWS[split])]


def lines(config: str, split: str) -> list[str]:
    """Lines of wikitext, each with its own newline, empty ones between; of `config` alone."""
    draws = _draws(config, split)
    words = [[f" = {config} {split} {i} = \n", "", f" {' '.join(draws.choice(VERSES, 150))} \n"] for i in range(300)]
    return [line for article in words for line in article]


def copy_all(folder: Path) -> Path:
    """A folder with OWNER/NAME of every data set that a task takes from the hub."""
    from datasets import ClassLabel, Features, Image, Value

    for name, (column, config) in {
        "ylecun/mnist": ("image", "mnist"),
        "zalando-datasets/fashion_mnist": ("image", "fashion_mnist"),
        "uoft-cs/cifar10": ("img", "plain_text"),
    }.items():
        features = Features({column: Image(), "label": ClassLabel(names=CLASSES[name])})
        parts = {
            split: {column: [{"bytes": png(p), "path": None} for p in pixels(name, split)], "label": labels(name, split)} for split in ROWS
        }
        write(folder / name, {config: parts}, features, folders={config: config})
    for name, config, at in (("stanfordnlp/imdb", "plain_text", "plain_text"), ("fancyzhx/ag_news", "default", "data")):
        features = Features({"text": Value("string"), "label": ClassLabel(names=CLASSES[name])})
        parts = {split: {"text": texts(name, split), "label": labels(name, split)} for split in ROWS}
        if name == "stanfordnlp/imdb":
            parts["unsupervised"] = {"text": ["nobody asked"] * 10, "label": [-1] * 10}
        write(folder / name, {config: parts}, features, folders={config: at})
    wikitext = {c: {s: {"text": lines(c, s)} for s in ("test", "train", "validation")} for c in WIKITEXT}
    write(folder / "Salesforce/wikitext", wikitext, Features({"text": Value("string")}), folders={c: c for c in WIKITEXT})
    return folder


def write(
    folder: Path,
    configs: Mapping[str, Mapping[str, Mapping[str, Sequence[Any]]]],
    features: Any,
    folders: Mapping[str, str],
) -> None:
    """A data set's parquet files and its card, whose first lines say which files are which."""
    from datasets import Dataset

    card = ["---", "configs:"]
    for config, parts in configs.items():
        (folder / folders[config]).mkdir(parents=True, exist_ok=True)
        card += [f"- config_name: {config}", "  data_files:"]
        for split, columns in parts.items():
            Dataset.from_dict(dict(columns), features=features).to_parquet(folder / folders[config] / f"{split}-00000-of-00001.parquet")
            card += [f"  - split: {split}", f"    path: {json.dumps(folders[config] + '/' + split + '-*')}"]
    (folder / "README.md").write_text("\n".join([*card, "---", "# A copy", ""]), encoding="utf-8")


def png(image: NDArray[np.uint8]) -> bytes:
    from io import BytesIO

    from PIL import Image

    file = BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def _draws(name: str, split: str) -> np.random.Generator:
    return np.random.default_rng(list(f"{name} {split}".encode()))
