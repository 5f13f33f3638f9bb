"""tools/controls.py on small tasks of files, from the data to what is stored."""

from __future__ import annotations

import json
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from attnbench.store import privacy
from attnbench.store.controls import Control, read_controls
from helpers.paths import REPO

pytest.importorskip("sklearn", reason="scikit-learn is not installed; it is in the group `test`")
PROGRAM = runpy.run_path(str(REPO / "tools" / "controls.py"))

TASK = """
import dataclasses
import torch
from attnbench.workload import IGNORED, Parts, Size, Split, Task

def part(seed, rows, ask):
    draw = torch.Generator().manual_seed(seed)
    return ask(torch.randint(0, 5, (rows, 8), generator=draw))

def rows(tokens):
    return Split(tokens, (tokens == 2).sum(1).clamp(max=2), tokens == 4)

def after(tokens):
    return Split(tokens, torch.where(tokens == 4, IGNORED, (tokens + 1) % 5))

def hidden(tokens):
    shown = torch.arange(5).repeat(len(tokens), 2)[:, :8]
    asked = torch.zeros_like(shown, dtype=torch.bool)
    asked[:, 3] = True
    return Split(shown.masked_fill(asked, 5), shown.masked_fill(~asked, IGNORED))

def images(tokens):
    pixels = (tokens[:, :4] * 60).to(torch.uint8).view(-1, 2, 2)
    return Split(pixels, tokens[:, 0])

def load():
    return Parts(*(part(seed, rows_of, {ask}) for seed, rows_of in ((0, 90), (1, 41), (2, 70))))

def load_shifted():
    return Parts(*(Split(255 - split.inputs, split.targets) for split in load()))

shifted = images
SIZE = Size(num_layers=1, num_heads=1, head_dim=8, batch_size=8, epochs=1, lr=0.01)
TASK = Task(
    load=load, target=0.5, citation="none", licence="none", small=SIZE, large=SIZE, {fields}
)
"""
FIELDS = {
    "rows": 'kind="synthetic", metric="accuracy", num_classes=3, seq_len=8, vocabulary=5',
    "after": 'kind="synthetic", metric="accuracy", num_classes=5, seq_len=8, vocabulary=5, per_token=True, causal=(False, True)',
    "hidden": 'kind="language", metric="bits_per_byte", num_classes=5, seq_len=8, vocabulary=6, per_token=True',
    "images": 'kind="vision", metric="accuracy", num_classes=5, seq_len=4, patch=1, params={"patch": 1}, grid={"patch": (1, 2)}, '
    'files=("digits.parquet",), vary=lambda patch: {"patch": patch, "seq_len": 4 // patch**2}',
}
FIELDS["shifted"] = FIELDS["images"].replace("patch: {", "patch: {**({} if patch == 1 else {'load': load_shifted}), ")


@pytest.fixture(autouse=True)
def threads_as_before() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def task_file(folder: Path, ask: str, **replaced: str) -> str:
    file = folder / f"small_{ask}.py"
    text = TASK.replace("{ask}", ask).replace("{fields}", FIELDS[ask])
    for old, new in replaced.items():
        text = text.replace(old, new)
    file.write_text(text)
    return str(file)


def control(monkeypatch: pytest.MonkeyPatch, results: Path, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["controls.py", *arguments, "--results", str(results)])
    status: int = PROGRAM["main"]()
    return status


def only(results: Path) -> Control:
    (found,) = read_controls(results)
    return found


@pytest.mark.parametrize(
    ("ask", "model"),
    [
        ("rows", "logistic regression on tokens"),
        ("after", "frequency after the last tokens, Kneser-Ney"),
        ("hidden", "tokens on both sides, Kneser-Ney"),
        ("images", "logistic regression on pixels"),
    ],
)
def test_a_control_is_measured_stored_and_not_measured_again(
    ask: str, model: str, tmp_path: Path, new_results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name = task_file(tmp_path, ask)
    assert control(monkeypatch, new_results, name) == 0
    found = only(new_results)
    assert (found.task, found.model, found.causal, found.task_params) == (f"small_{ask}", model, None, {})
    assert found.independent_of == (("patch",) if ask == "images" else ())
    assert len(found.by_block) == len(found.asked_by_block) == 64
    assert found.command == f"python tools/controls.py small_{ask}.py --rerun"
    assert set(found.versions) == {"scikit_learn", "numpy", "attnbench"}
    (file,) = (new_results / "controls").iterdir()
    assert [told for _, text in privacy.texts(json.loads(file.read_bytes())) if (told := privacy.private(text))] == []
    written = file.read_bytes()
    assert control(monkeypatch, new_results, name) == 0
    assert "is there already; --rerun" in capsys.readouterr().out
    assert file.read_bytes() == written
    assert control(monkeypatch, new_results, name, "--rerun") == 0
    assert (only(new_results).value, only(new_results).by_block) == (found.value, found.by_block)


def test_other_data_are_measured_without_being_told_to(tmp_path: Path, new_results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert control(monkeypatch, new_results, task_file(tmp_path, "after")) == 0
    before = only(new_results)
    other = tmp_path / "other"  # a file is imported once
    other.mkdir()
    assert control(monkeypatch, new_results, task_file(other, "after", **{"(0, 90)": "(3, 90)"})) == 0
    assert only(new_results).data_fingerprint != before.data_fingerprint


def test_a_parameter_without_effect_has_the_control_of_the_default(
    tmp_path: Path, new_results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert control(monkeypatch, new_results, task_file(tmp_path, "images"), "--params", '{"patch": 2}') == 0
    assert only(new_results).task_params == {}
    assert control(monkeypatch, new_results, task_file(tmp_path, "images")) == 0
    assert "is there already" in capsys.readouterr().out


def test_a_parameter_with_an_effect_has_a_control_of_its_own(tmp_path: Path, new_results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = task_file(tmp_path, "shifted")
    assert control(monkeypatch, new_results, name, "--params", '{"patch": 2}') == 0
    found = only(new_results)
    assert (found.task_params, found.independent_of) == ({"patch": 2}, ())
    assert found.command == """python tools/controls.py small_shifted.py --rerun --params '{"patch": 2}'"""
    assert control(monkeypatch, new_results, name) == 0
    assert [other.task_params for other in read_controls(new_results)] == [{"patch": 2}, {}]


def test_one_task_that_fails_takes_no_other_down(
    tmp_path: Path, new_results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    one_class = task_file(tmp_path, "rows", **{"(tokens == 2).sum(1).clamp(max=2)": "tokens[:, 0] * 0"})
    assert control(monkeypatch, new_results, "mqra", one_class, task_file(tmp_path, "after")) == 1
    said = capsys.readouterr().err
    assert "did you mean 'mqar'" in said
    assert "small_rows: all rows of the training part are of one class" in said
    assert only(new_results).task == "small_after"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--params", '{"pairs": 16}'], "name that task"),
        (["mqar", "--params", "[1]"], "a JSON object"),
        (["mqar", "--params", "pairs"], "--params"),
        (["mqar", "--data", "cloud"], "--data"),
    ],
)
def test_bad_usage_is_told(
    arguments: list[str], said: str, new_results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        control(monkeypatch, new_results, *arguments)
    assert said in capsys.readouterr().err


def test_without_scikit_learn_it_says_what_to_do(
    new_results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(PROGRAM["main"].__globals__, "find_spec", lambda name: None)
    with pytest.raises(SystemExit, match="2"):
        control(monkeypatch, new_results)
    assert "scikit-learn is not installed; run make controls" in capsys.readouterr().err


def test_blocks_by_hand() -> None:
    """Block 0 has answers of 1 and 0, block 1 none, block 2 one."""
    scores: Any = [1.0, 0.0, 0.25]
    assert PROGRAM["mean_by_block"](scores, [0, 0, 2], 3) == (0.5, None, 0.25)
