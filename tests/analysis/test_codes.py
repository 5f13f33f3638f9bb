"""Rows are numbered by what they hold, the same for few rows as for many."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from attnbench.analysis.codes import _FEW, _codes_of_few, _codes_of_many, codes

COLUMNS = {
    "text": pd.array(["a", "b", None, None, "a", "b", "a"], dtype=pd.StringDtype("python", na_value=np.nan)),
    "number": [1.0, np.nan, 2.0, 2.0, 1.0, np.nan, 1.0],
    "flag": np.array([True, None, False, False, True, np.nan, True], dtype=object),
    "same": 3,
}


@pytest.mark.parametrize("columns", [("text",), ("number", "flag"), tuple(COLUMNS), ("same",), ()])
@pytest.mark.parametrize("rows", [0, 1, 7])
def test_few_rows_are_numbered_as_many_are(columns: tuple[str, ...], rows: int) -> None:
    table = pd.DataFrame(COLUMNS)[:rows]
    found = _codes_of_few(table, columns)
    assert found.tolist() == _codes_of_many(table, columns).tolist() and found.dtype == np.intp
    varied = [0, 1, 2, 2, 0, 1, 0] if {"text", "number"} & set(columns) else [0] * 7
    assert found.tolist() == varied[:rows]


def test_numbers_do_not_depend_on_how_many_rows_there_are() -> None:
    table = pd.DataFrame(COLUMNS)
    many = pd.concat([table] * (_FEW // len(table) + 1), ignore_index=True)
    assert len(many) > _FEW and codes(many, tuple(COLUMNS))[: len(table)].tolist() == codes(table, tuple(COLUMNS)).tolist()
