"""Where things stand in the repository."""

from __future__ import annotations

from pathlib import Path

REPO = Path(__file__).parents[2]
TESTS = REPO / "tests"
FIXTURES = TESTS / "fixtures"
