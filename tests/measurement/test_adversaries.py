"""Mechanisms that cheat, each of which would look fast: none gets a number."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from _pytest.mark.structures import ParameterSet

from attnbench.runner.cell import resolve
from attnbench.runner.engines.local import run_one_by_one
from attnbench.runner.gate import Gate
from attnbench.runner.jobs import Limits
from attnbench.runner.session import Session
from attnbench.store.files import write_whole
from attnbench.store.record import Record
from attnbench.store.report import Report, encode
from helpers.cheats import CHEATS, HONEST
from helpers.records import make_spec
from helpers.subtle_cheats import SHAPES, SUBTLE, Subtle

# One of each kind that `make test` tries: of clocks, of results, of lengths, of gradients and of stacks. The rest takes minutes.
TELLING = (
    "patches the harness's clock and the seal on it",
    "is wrong whenever it is timed and whenever that is repeated",
    "looks at a window of keys beyond 1,024 tokens, where nothing is padded",
    "takes a short cut in gradients only",
    "remembers the output of each layer, and finds by how many tokens a later call is rolled",
)


def a_cheat(does: str, *values: object) -> ParameterSet:
    """The parameters of a test of a cheat, long unless it is a telling one."""
    return pytest.param(*values, id=does, marks=() if does in TELLING else pytest.mark.long)


def measured(folder: Path, cheat: str, checked: bool = False, **axes: Any) -> Record:
    """The record of a cell of a cheat. Unless `checked`, the gate holds a report that lets it pass, as every cheat here would."""
    file, axes = folder / "mine.py", {"seq_len": 320, "mode": "forward", **axes}
    file.write_text(HONEST.replace("CHEAT", cheat).replace("SEQ_LEN = 320", f"SEQ_LEN = {axes['seq_len']}"))
    cell, gate = resolve(make_spec(variant="mine", **axes), {"mine": str(file)}), Gate(folder / "results")
    if not checked:
        report = Report(variant="mine", fingerprint=cell.check_request.fingerprint(), device="cpu")
        write_whole(gate._file(cell.check_request), encode(report))
    (record,) = run_one_by_one([cell], Session("session", Limits(timeout_s=120)), gate)
    return record


def test_a_cheat_passes_the_gate_and_is_found_out_when_it_is_timed(tmp_path: Path) -> None:
    record = measured(tmp_path, CHEATS["returns its first result for ever"][0], checked=True)
    assert (record.status, record.stage) == ("incorrect", "verify")


@pytest.mark.parametrize("name", [a_cheat(name, name) for name in CHEATS])
def test_a_cheat_is_incorrect(tmp_path: Path, name: str) -> None:
    cheat, said = CHEATS[name]
    record = measured(tmp_path, cheat)
    assert record.status == "incorrect", record.reason
    assert record.measurements == {}
    assert said in (record.reason or "")


@pytest.mark.parametrize("subtle", [a_cheat(subtle.does, subtle) for subtle in SUBTLE])
def test_a_subtle_cheat_is_incorrect(tmp_path: Path, subtle: Subtle) -> None:
    record = measured(tmp_path, subtle.code, **subtle.axes)
    assert record.status == "incorrect", record.reason
    assert record.measurements == {}
    assert subtle.said in (record.reason or "")


@pytest.mark.parametrize("shape", [pytest.param(shape, marks=() if shape == "decode" else pytest.mark.long) for shape in SHAPES])
def test_what_a_subtle_cheat_starts_from_is_measured(tmp_path: Path, shape: str) -> None:
    honest, axes = SHAPES[shape]
    record = measured(tmp_path, honest, **axes)
    assert (record.status, record.reason) == ("ok", None)
    assert record.measurements["row_error"][0] < 1e-4


@pytest.mark.parametrize("mode", ["forward", "training"])
def test_the_honest_mechanism_is_measured(tmp_path: Path, mode: str) -> None:
    record = measured(tmp_path, "    def cheat(self, q, k, v, causal):\n        return self.honest(q, k, v, causal)\n", mode=mode)
    assert (record.status, record.reason) == ("ok", None)
    assert record.measurements["error"][0] < 1e-5


@pytest.mark.long
def test_remembered_gradients_are_found(tmp_path: Path) -> None:
    cheat = """
    def cheat(self, q, k, v, causal):
        if not hasattr(self, "first"):
            self.first = [x.detach().clone() for x in (q, k, v)]
        out = self.honest(*(x + (y - x.detach()) for x, y in zip((q, k, v), self.first)), causal)
        return out
"""
    record = measured(tmp_path, cheat, mode="training")
    assert record.status == "incorrect", record.reason
