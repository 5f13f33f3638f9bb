"""Parameters of a mechanism on the way from its file to the store and back."""

from __future__ import annotations

import json
from pathlib import Path

from attnbench.store.store import Store
from helpers.command import cli_here

FLOATS = '''"""Softmax with a list of numbers."""

import math

from torch import nn

from attnbench.attention import Variant, hide_padding, hide_unseen, visible_keys


class Mine(nn.Module):
    def __init__(self, sizes):
        super().__init__()
        self.sizes = sizes

    def matrix(self, q, k, causal=False, padding_mask=None):
        q, k = hide_padding(padding_mask, q, k)
        visible = visible_keys(q.shape[-2], causal, padding_mask, q.device, never_empty=True)
        scores = q @ k.mT / math.sqrt(q.shape[-1])
        scores = scores if visible is None else scores.masked_fill(~visible, -math.inf)
        return hide_padding(padding_mask, scores.softmax(-1))[0]

    def forward(self, q, k, v, causal=False, padding_mask=None):
        (v,) = hide_padding(padding_mask, v)
        return self.matrix(q, k, causal, padding_mask) @ v


VARIANT = Variant(build=lambda shape, sizes: Mine(sizes), citation="none 2026", family="other", formula="softmax(QK) V", causal=True,
                  normalises_rows=True, equivariant=True, time_exponent=2.0, memory_exponent=2.0, params={"sizes": SIZES})
'''
CELL = {"track": "kernel", "variant": "floats_param", "seq_len": 16, "mode": "forward"}


def test_a_list_of_floats_is_measured_once_and_read_back(tmp_path: Path, results: Path) -> None:
    file = tmp_path / "floats_param.py"
    file.write_text(FLOATS.replace("SIZES", "(0.5, 0.25)"))
    command = ("run", "--variant", str(file), "--results", str(results), "--cell", json.dumps(CELL))
    first = cli_here(*command)
    assert first.returncode == 0, first.stdout + first.stderr
    (record,) = Store(results).read()
    assert record.status == "ok" and record.spec.params == {"sizes": [0.5, 0.25]}
    assert cli_here("validate", str(results)).returncode == 0
    assert "Nothing to do" in cli_here(*command).stdout
    assert "floats_param" in cli_here("show", "--results", str(results)).stdout


def test_an_infinity_is_refused_before_anything_is_measured(tmp_path: Path, results: Path) -> None:
    file = tmp_path / "floats_param.py"
    file.write_text(FLOATS.replace("SIZES", "[float('inf')]"))
    done = cli_here("run", "--variant", str(file), "--results", str(results), "--cell", json.dumps(CELL))
    assert done.returncode == 2 and "parameter 'sizes' of floats_param is [inf] (it is not finite); give" in done.stderr
    given = {**CELL, "variant": "polynomial", "params": {"degree": float("inf")}}
    done = cli_here("run", "--results", str(results), "--cell", json.dumps(given))
    assert done.returncode == 2 and "parameter 'degree' is inf" in done.stderr
    assert not (results / "records").exists()
