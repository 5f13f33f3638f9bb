"""The records that ship, which the tests of claims cut down and change."""

from __future__ import annotations

import pandas as pd
import pytest

from attnbench.analysis.frame import load
from helpers.paths import REPO


@pytest.fixture(scope="session")
def shipped() -> pd.DataFrame:
    """Those of one machine, with their curves; no test changes the table itself."""
    table = load(REPO / "results", curves=True)
    return table[(table["machine"] == "cloud-2core").to_numpy()]
