"""A run of training that is cut short goes on from its checkpoint, and comes to the very weights it would have come to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from attnbench.measurement.tracks import measure_cell
from attnbench.runner.cell import resolve
from attnbench.runner.session import Session, run
from attnbench.spec.axes import Spec
from attnbench.training import checkpoint
from attnbench.training.checkpoint import FileCheckpoint
from attnbench.training.train import Callbacks, train
from helpers.small_training import build_model, draw_parts, recipe, same_weights


class Cut(Exception):
    """The end of the power."""


class CutAfter(FileCheckpoint):
    """Ends the run once it has saved the state of some epochs."""

    def __init__(self, file: Path, epochs: int) -> None:
        super().__init__(file, every_s=0.0)
        self.left = epochs

    def save(self, state: dict[str, Any]) -> None:
        super().save(state)
        self.left -= 1
        if not self.left:
            raise Cut


@pytest.mark.parametrize("name", ["softmax", "orthogonal", "polynomial"])
@pytest.mark.parametrize("epoch_rows", [None, 40])  # 40 rows an epoch: the fourth begins within the second pass over 97
def test_a_run_that_was_cut_twice_comes_to_the_same_weights_and_curve(tmp_path: Path, name: str, epoch_rows: int | None) -> None:
    parts, chosen = draw_parts(), recipe(epochs=6, epoch_rows=epoch_rows)
    whole = build_model(name=name)
    expected = train(whole, parts.train, parts.validation, chosen)
    file, epochs_seen = tmp_path / "state.pt", list[int]()
    for epochs in (2, 3):
        with pytest.raises(Cut):
            train(
                build_model(name=name),
                parts.train,
                parts.validation,
                chosen,
                Callbacks(epochs_seen.append, checkpoint=CutAfter(file, epochs)),
            )
    torch.manual_seed(12345)  # what another process has drawn meanwhile
    last = build_model(seed=7, name=name)  # other weights, which the checkpoint's replace
    resumed = train(last, parts.train, parts.validation, chosen, Callbacks(epochs_seen.append, checkpoint=FileCheckpoint(file)))
    assert same_weights(whole, last)
    assert {**resumed.curve, "wall_s": None} == {**expected.curve, "wall_s": None}
    assert (resumed.rows, resumed.diverged) == (expected.rows, expected.diverged)
    assert (expected.resumptions, resumed.resumptions) == (0, 2)
    assert epochs_seen == [0, 1, 3, 4, 6]  # the epochs at whose end the run was cut were saved, and not done again
    walls = [wall for wall in resumed.curve["wall_s"] if wall is not None]
    assert walls == sorted(walls) and walls[-1] == resumed.train_s


def test_a_checkpoint_of_another_recipe_is_left_alone(tmp_path: Path) -> None:
    parts, file = draw_parts(), tmp_path / "state.pt"
    with pytest.raises(Cut):
        train(build_model(), parts.train, parts.validation, recipe(lr=0.1), Callbacks(checkpoint=CutAfter(file, 1)))
    fresh, resumed = build_model(), build_model()
    train(fresh, parts.train, parts.validation, recipe())
    train(resumed, parts.train, parts.validation, recipe(), Callbacks(checkpoint=FileCheckpoint(file)))
    assert same_weights(fresh, resumed)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 torn", b"not a checkpoint at all"])
def test_a_damaged_checkpoint_is_said_and_training_starts_anew(tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "state.pt"
    file.write_bytes(content)
    assert FileCheckpoint(file).load() is None
    assert "state.pt cannot be read" in capsys.readouterr().out


def test_it_is_kept_at_most_so_often_and_never_half(tmp_path: Path) -> None:
    file = tmp_path / "folder" / "state.pt"
    patient = FileCheckpoint(file, every_s=3600.0)
    patient.save({"done": 1})
    assert not file.exists() and patient.load() is None
    FileCheckpoint(file, every_s=0.0).save({"done": 2})
    assert patient.load() == {"done": 2}
    assert [one.name for one in file.parent.iterdir()] == ["state.pt"]


@pytest.mark.alone
def test_a_cells_process_goes_on_where_another_was_cut_and_its_record_says_so(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    axes = {"block": "residual", "num_layers": 1, "num_heads": 2, "head_dim": 8, "batch_size": 64, "epochs": 3, "lr": 3e-3}
    cell = resolve(Spec(track="task", variant="softmax", task="digits", **axes))
    session = Session("session", checkpoints=tmp_path / "checkpoints")
    file = session.checkpoint(cell)
    assert file is not None

    def cut(stage: str) -> None:
        if stage == "train, epoch 2 of 3":
            raise Cut

    monkeypatch.setattr(checkpoint, "EVERY_S", 0.0)
    with pytest.raises(Cut):
        measure_cell(cell.spec, cell.variant_source, cell.task_source, cut, file)
    of_other_sources = file.with_name(f"{cell.spec.key()}-{'e' * 16}.pt")
    of_another_cell = file.with_name(f"{'d' * 16}-{cell.fingerprint}.pt")
    for other in (of_other_sources, of_another_cell):
        other.write_bytes(file.read_bytes())
    record = run(cell, session)
    assert (record.status, record.measurements["resumptions"]) == ("ok", [1.0]), record.reason
    assert len(record.curve["step"]) == 4
    assert [*file.parent.iterdir()] == [of_another_cell]
