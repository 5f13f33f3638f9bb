"""The preset `claims` trains what the claims ask for, under the labels and axes by which they find it."""

from __future__ import annotations

import dataclasses

import pandas as pd
import pytest

from attnbench.analysis.frame import frame
from attnbench.claims._judge import judge
from attnbench.spec.learning_grids import CLAIMS
from attnbench.store.record import Record
from helpers.claim_data import TRAINED, claim
from helpers.claim_records import run


def of_preset() -> list[Record]:
    """A record of every run of the preset, as if each had scored about the same, with all that a claim may read."""
    found = []
    for grid in CLAIMS:
        for spec in grid.specs("cpu", (), {name: name for name in grid.names}):
            layers = {f"{of}_layer_1": [0.0, 1e-4] for of in ("largest_frobenius", "orthogonality_error")}
            more = {f"bits_per_byte_at_{n}x": [2.0 + 0.001 * spec.seed] for n in (2, 4)}
            made = run(spec.variant, str(spec.task), spec.seed, 0.9 + 0.001 * spec.seed, more, curve=layers)
            chosen = dataclasses.replace(spec, lr=3e-3, data="embedded:00000000")
            found.append(dataclasses.replace(made, spec=chosen, id=chosen.key()))
    return found


@pytest.fixture(scope="module")
def trained() -> pd.DataFrame:
    return frame(of_preset(), curves=True)


@pytest.mark.parametrize("name", TRAINED)
def test_a_claim_about_training_finds_all_its_arms(trained: pd.DataFrame, name: str) -> None:
    found = judge(claim(name), trained)
    assert not [what for what in found.missing if "8 seeds" in what]
    arms = {(arm.part, arm.name) for arm in claim(name).arms if arm.seeds == 8}
    assert {(row["bench"].get("part", ""), row["arm"]) for row in found.evidence if row["counted"]} == arms
