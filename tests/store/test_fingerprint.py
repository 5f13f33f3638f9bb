"""Which edits make a cell, or a check, due again."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from attnbench import registry
from attnbench.store import fingerprint as fingerprints
from attnbench.store import sources
from attnbench.store.fingerprint import check_fingerprint, fingerprint
from helpers.records import make_spec

TASK = {"track": "task", "seq_len": None, "mode": "training", "task": "mnist", "block": "residual", "num_layers": 1, "epochs": 1, "lr": 0.1}
DEPTH = {"track": "depth", "block": "residual", "num_layers": 1}
Edit = Callable[[str, str], dict[str, str]]

CELLS = {
    "kernel": lambda: fingerprint(make_spec(variant="relu"), "relu", None),
    "kernel of another": lambda: fingerprint(make_spec(variant="gated"), "gated", None),
    "depth": lambda: fingerprint(make_spec(variant="relu", **DEPTH), "relu", None),
    "task": lambda: fingerprint(make_spec(variant="relu", **TASK), "relu", None),
    "check": lambda: check_fingerprint("relu", {}, "cpu"),
}


def forget() -> None:
    for cached in (sources._imported, sources._parsed, sources.content, fingerprints._of_sources):
        cached.cache_clear()


@pytest.fixture
def edit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Edit:
    """Append to a file of a copy of the package; the fingerprints after that."""
    copy = tmp_path / "attnbench"
    shutil.copytree(sources.PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__", "data"))
    for module in (sources, fingerprints):
        monkeypatch.setattr(module, "PACKAGE", copy)
    monkeypatch.setattr(registry, "source", lambda group, name: copy / group / f"{name}.py")

    def edited(file: str, text: str) -> dict[str, str]:
        with (copy / file).open("a", encoding="utf-8") as stream:
            stream.write(text)
        forget()
        return {name: of() for name, of in CELLS.items()}

    yield edited
    forget()


@pytest.mark.parametrize(
    ("file", "due"),
    [
        ("variants/relu.py", {"kernel", "depth", "task", "check"}),
        pytest.param("variants/gated.py", {"kernel of another"}, marks=pytest.mark.long),
        # The anchor, which is timed beside every mechanism.
        pytest.param("variants/softmax.py", {"kernel", "kernel of another", "depth"}, marks=pytest.mark.long),
        pytest.param("variants/nystrom.py", set(), marks=pytest.mark.long),
        pytest.param("kernels/activation.py", set(CELLS), marks=pytest.mark.long),  # of softmax too
        pytest.param("kernels/phi1.py", set(), marks=pytest.mark.long),
        ("measurement/clock.py", set(CELLS) - {"task"}),  # of a training run no time counts
        pytest.param("measurement/cost.py", set(CELLS) - {"check", "task"}, marks=pytest.mark.long),
        pytest.param("measurement/tracks/depth.py", {"depth"}, marks=pytest.mark.long),
        pytest.param("measurement/tracks/task.py", {"task"}, marks=pytest.mark.long),
        pytest.param("measurement/checks/decode.py", {"check"}, marks=pytest.mark.long),
        pytest.param("training/train.py", {"task"}, marks=pytest.mark.long),
        pytest.param("training/checkpoint.py", {"task"}, marks=pytest.mark.long),
        ("training/model.py", {"depth", "task"}),
        pytest.param("tasks/mnist.py", {"task"}, marks=pytest.mark.long),
        pytest.param("tasks/loading/embedded.py", {"task"}, marks=pytest.mark.long),
        pytest.param("tasks/loading/synthetic.py", set(), marks=pytest.mark.long),
        pytest.param("tasks/digits.py", set(), marks=pytest.mark.long),
        ("analysis/ranking.py", set()),
        pytest.param("runner/plan.py", set(), marks=pytest.mark.long),
        pytest.param("cli/run.py", set(), marks=pytest.mark.long),
    ],
)
def test_an_edit_makes_due_what_runs_the_file(file: str, due: set[str], edit: Edit) -> None:
    before = edit(file, "")
    after = edit(file, "\n\nX = 1\n")
    assert {name for name in CELLS if before[name] != after[name]} == due


def test_a_comment_or_docstring_makes_nothing_due(edit: Edit) -> None:
    before = edit("variants/relu.py", "")
    assert edit("variants/relu.py", "\n# why\n") == before
    file = sources.PACKAGE / "variants" / "relu.py"
    text = file.read_text(encoding="utf-8")
    file.write_text(f'"""Something else.\n\nAnd more.\n{text[3:]}', encoding="utf-8")
    assert edit("variants/relu.py", "") == before


def test_parameters_and_devices_have_checks_of_their_own() -> None:
    found = {check_fingerprint("power", params, device) for params in ({}, {"degree": 2}, {"degree": 4}) for device in ("cpu", "cuda")}
    assert len(found) == 6


def test_the_version_of_torch_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    before = CELLS["kernel"]()
    monkeypatch.setattr(fingerprints, "version_of", lambda package: "0.1")
    assert CELLS["kernel"]() != before


def test_a_helper_beside_a_file_counts(tmp_path: Path) -> None:
    """What the mechanism imports; edited, moved with it to another folder, and left alone."""
    text = (sources.PACKAGE / "variants" / "softmax_math.py").read_text(encoding="utf-8")
    prints = []
    for number, helper in enumerate(("X = 1\n", "X = 1  # the same\n", "X = 2\n")):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "helper_of_mine.py").write_text(helper, encoding="utf-8")
        use = "\n\ndef late():\n    import helper_of_mine\n\n    return helper_of_mine.X\n"
        (folder / "mine.py").write_text(text + use, encoding="utf-8")
        prints.append(fingerprint(make_spec(variant="mine"), str(folder / "mine.py"), None))
    assert prints[0] == prints[1] != prints[2]
