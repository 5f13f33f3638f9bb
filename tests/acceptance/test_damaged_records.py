"""Ten thousand damaged records: no command ends in an unexpected error, and what `validate` passes is shown.

A sample of them is in tests/cli/test_damaged_records.py. Without this test nine of ten kinds of damage would be tried by nobody.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.damage import SEED, DamagedStores
from helpers.damage_commands import assert_survives

pytestmark = pytest.mark.long
STORES, RECORDS, WHOLE = 10, 1000, 200


@pytest.mark.parametrize("number", range(STORES))
def test_every_command_survives_damaged_records_and_shows_the_sound_ones(number: int, tmp_path: Path) -> None:
    store = tmp_path / "results"
    lines = DamagedStores(SEED + number).make(store, RECORDS, WHOLE)
    assert len(lines) == RECORDS
    assert_survives(store, lines, tmp_path / "out")
