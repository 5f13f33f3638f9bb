"""Data of the hub that are not as they should be: refused with data set, split, column, row and what was expected, never trained on."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from attnbench.errors import Unavailable
from attnbench.store.store import Store
from attnbench.tasks.loading.hub import COPIES
from helpers.command import cli
from helpers.hub_copies import png
from helpers.task_data import declared

pytest_plugins = ["helpers.hub_fixtures"]
pytestmark = pytest.mark.usefixtures("own_cache")

CELL = (
    '{"track":"task","variant":"softmax","task":"mnist","data":"hub","block":"residual","num_layers":2,"num_heads":2,"head_dim":8,'
    '"batch_size":32,"epochs":1,"lr":0.003}'
)
ROWS = {"train": 60, "test": 20}
ODD = 7  # the row that is not like the others
STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
Cells = dict[str, list[Any]]


def digit(seed: int, *shape: int) -> Any:
    return np.random.default_rng(seed).integers(0, 256, shape or (28, 28), dtype=np.uint8)


def encoded(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def good(rows: int) -> Cells:
    return {"image": [{"bytes": png(digit(row)), "path": None} for row in range(rows)], "label": [row % 10 for row in range(rows)]}


def write(folder: Path, parts: dict[str, Cells], features: dict[str, Any] | None = None) -> None:
    """Parquet files of ylecun/mnist with the features of the hub, or with others; without any, images are plain structs."""
    if features is None:
        features = {"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": [str(i) for i in range(10)]}}
    at = folder / "ylecun/mnist/mnist"
    at.mkdir(parents=True)
    for split, cells in parts.items():
        is_struct = all(value is None or isinstance(value, dict) for value in cells.get("image", [0]))
        table = pa.table({name: pa.array(values, STRUCT if name == "image" and is_struct else None) for name, values in cells.items()})
        if features:
            table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
        pq.write_table(table, at / f"{split}-00000-of-00001.parquet")


def put(column: str, value: Any) -> Callable[[Cells], Cells]:
    """The cells with one odd row."""
    return lambda cells: {**cells, column: [*cells[column][:ODD], value, *cells[column][ODD + 1 :]]}


def each(column: str, change: Callable[[Any], Any]) -> Callable[[Cells], Cells]:
    return lambda cells: {**cells, column: [change(value) for value in cells[column]]}


def renamed(old: str, new: str) -> Callable[[Cells], Cells]:
    return lambda cells: {new if name == old else name: values for name, values in cells.items()}


def file(content: bytes) -> dict[str, Any]:
    return {"bytes": content, "path": None}


GREY, CLASS = "expected an image of 28 x 28 pixels and mode L", "expected a class, a whole number from 0 to 9"
PALETTE = Image.fromarray(digit(0)).convert("P")
ODD_CELLS: dict[str, tuple[Callable[[Cells], Cells], str]] = {
    "images in another column": (renamed("image", "img"), rf"column 'image', row 0: no such column; there are 'img', 'label'; {GREY}"),
    "labels in another column": (renamed("label", "fine_label"), rf"column 'label', row 0: no such column; .*'fine_label'; {CLASS}"),
    "labels of another name": (renamed("label", "labels"), rf"column 'label', row 0: no such column; .*; {CLASS}"),
    "a label beyond the classes": (put("label", 10), rf"column 'label', row 7: int 10; {CLASS}"),
    "a negative label": (put("label", -1), rf"column 'label', row 7: int -1; {CLASS}"),
    "the label that training ignores": (put("label", -100), rf"column 'label', row 7: int -100; {CLASS}"),
    "no label": (put("label", None), rf"column 'label', row 7: nothing \(null\); {CLASS}"),
    "labels that are floats": (each("label", float), rf"column 'label', row 0: float 0.0; {CLASS}"),
    "labels that are texts": (each("label", str), rf"column 'label', row 0: str '0'; {CLASS}"),
    "labels that are true or false": (each("label", bool), rf"column 'label', row 0: bool False; {CLASS}"),
    "labels that are lists": (each("label", lambda label: [label]), rf"column 'label', row 0: list \[0\]; {CLASS}"),
    "no image": (put("image", None), rf"column 'image', row 7: nothing \(null\); {GREY}"),
    "an image without bytes": (put("image", {"bytes": None, "path": None}), rf"column 'image', row 7: dict .*; {GREY}"),
    "an image whose file is elsewhere": (
        put("image", {"bytes": None, "path": "7.png"}),
        rf"column 'image', row 7: .*cannot be read.*; {GREY}",
    ),
    "bytes that are no image": (put("image", file(b"<html>")), rf"column 'image', row 7: .*cannot be read as an image.*; {GREY}"),
    "an empty image": (put("image", file(b"")), rf"column 'image', row 7: .*cannot be read as an image.*; {GREY}"),
    "half an image": (put("image", file(png(digit(7))[:400])), rf"column 'image', row 7: .*cannot be read as an image.*; {GREY}"),
    "a narrower image": (put("image", file(png(digit(7, 28, 27)))), rf"column 'image', row 7: .*27 x 28 pixels.*; {GREY}"),
    "all images larger": (each("image", lambda _: file(png(digit(1, 32, 32)))), rf"column 'image', row 0: .*32 x 32 pixels.*; {GREY}"),
    "a coloured image": (put("image", file(png(digit(7, 28, 28, 3)))), rf"column 'image', row 7: .*mode RGB; {GREY}"),
    "a transparent image": (put("image", file(png(digit(7, 28, 28, 4)))), rf"column 'image', row 7: .*mode RGBA; {GREY}"),
    "an image with a palette": (put("image", file(encoded(PALETTE))), rf"column 'image', row 7: .*mode P; {GREY}"),
    "images as numbers": (each("image", lambda _: [1, 2, 3]), rf"column 'image', row 0: list \[1, 2, 3\]; {GREY}"),
    "images as texts": (each("image", lambda _: "digit"), rf"column 'image', row 0: str 'digit'; {GREY}"),
    "no rows": (lambda cells: {name: [] for name in cells}, "row"),
}


IN_TEST = ("images in another column", "a negative label", "labels that are floats", "half an image", "images as numbers", "no rows")


@pytest.mark.parametrize(("case", "split"), [*((case, "train") for case in ODD_CELLS), *((case, "test") for case in IN_TEST)])
def test_odd_data_are_unavailable_with_their_place(case: str, split: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    change, said = ODD_CELLS[case]
    parts = {name: good(rows) for name, rows in ROWS.items()}
    write(tmp_path, {**parts, split: change(parts[split])})
    monkeypatch.setenv(COPIES, str(tmp_path))
    with pytest.raises(Unavailable, match=said) as refused:
        declared("mnist").parts("hub")
    assert "ylecun/mnist" in str(refused.value) and f"split {split!r}" in str(refused.value) and "--data embedded" in str(refused.value)


def test_images_are_read_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {name: good(rows) for name, rows in ROWS.items()})
    monkeypatch.setenv(COPIES, str(tmp_path))
    test = declared("mnist").parts("hub").test
    assert np.array_equal(test.inputs.numpy(), np.stack([digit(row) for row in range(ROWS["test"])]))
    assert test.targets.tolist() == [row % 10 for row in range(ROWS["test"])]


@pytest.mark.parametrize("features", [{}, {"image": {"_type": "Value"}}, {"image": "Image"}, [1]], ids=["none", "value", "text", "list"])
def test_plain_structs_that_nothing_says_are_images_are_refused(features: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {name: good(rows) for name, rows in ROWS.items()}, features)
    monkeypatch.setenv(COPIES, str(tmp_path))
    with pytest.raises(
        Unavailable, match=r"split 'train', column 'image', row 0: a column of plain struct<.*; expected one of the type Image"
    ):
        declared("mnist").parts("hub")


def test_a_missing_split_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {"train": good(60)})
    monkeypatch.setenv(COPIES, str(tmp_path))
    with pytest.raises(Unavailable, match=r"ylecun/mnist cannot be loaded: .*split 'test' was expected"):
        declared("mnist").parts("hub")


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["a", None], r"column 'text', row 1: nothing \(null\); expected a text"),
        ([b"a", b"\xff"], r"column 'text', row 0: bytes b'a'; expected a text"),
        ([1, 2], r"column 'text', row 0: int 1; expected a text"),
        (pa.array([b"a", b"\xff"]).cast(pa.string(), safe=False), r"column 'text', row 1: bytes b'\\xff'; expected a text"),
    ],
    ids=["null", "bytes", "numbers", "no UTF-8"],
)
@pytest.mark.parametrize("name", ["imdb", "wikitext"])
def test_odd_texts_are_unavailable_with_their_place(
    name: str, texts: Any, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = {"imdb": "plain_text", "wikitext": "wikitext-2-raw-v1"}[name]
    at = tmp_path / str(declared(name).hub) / config
    at.mkdir(parents=True)
    for split in ("train", "validation", "test"):
        pq.write_table(pa.table({"text": texts, "label": [0, 1]}), at / f"{split}-00000-of-00001.parquet")
    card = [f"  - split: {split}\n    path: {config}/{split}-*" for split in ("train", "validation", "test")]
    (at.parent / "README.md").write_text("\n".join(["---", "configs:", f"- config_name: {config}", "  data_files:", *card, "---"]))
    monkeypatch.setenv(COPIES, str(tmp_path))
    with pytest.raises(Unavailable, match=said):
        declared(name).parts("hub")


@pytest.mark.long
def test_a_run_records_it_as_unavailable_with_the_place(results: Path, tmp_path: Path) -> None:
    parts = {name: good(rows) for name, rows in ROWS.items()}
    write(tmp_path / "hub", {**parts, "train": put("label", 99)(parts["train"])})
    done = cli("run", "--cell", CELL, "--results", str(results), **{COPIES: str(tmp_path / "hub")})
    (record,) = Store(results).read()
    assert (record.status, record.stage) == ("unavailable", "load data"), done.stdout + done.stderr
    assert "ylecun/mnist, split 'train', column 'label', row 7: int 99" in str(record.reason)
    assert done.returncode == 0
