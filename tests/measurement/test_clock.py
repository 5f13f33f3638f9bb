"""Time and FLOPs of calls, and cells, against what must come out."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

import attnbench
from attnbench import registry
from attnbench.errors import Incorrect
from attnbench.measurement import flops
from attnbench.measurement.cell_result import Measurement
from attnbench.measurement.clock import StoppingRule
from attnbench.measurement.tracks import call, measure_cell
from helpers.changed_template import FORWARD, write
from helpers.records import make_spec

SEEING = """
"Values as they are, and a list of which inputs were seen."
import torch
from torch import nn
from attnbench.attention import Variant
seen = []
class Seeing(nn.Module):
    def forward(self, q, k, v, causal=False, padding_mask=None):
        seen.append((q.data_ptr(), tuple(q.detach().flatten()[:4].tolist())))  # of thousands of calls two may have one number in common
        return {returned}
    def matrix(self, q, k, causal=False, padding_mask=None):
        return torch.eye(q.shape[-2], dtype=q.dtype).expand(*q.shape[:2], -1, -1)
VARIANT = Variant(build=lambda shape: Seeing(), citation="none", family="other", formula="V", causal=False, normalises_rows=True,
                  time_exponent=1.0, memory_exponent=1.0)
"""


def cell_of(file: Path, returned: str, **axes: Any) -> Measurement:
    file.write_text(SEEING.format(returned=returned))
    return measure_cell(make_spec(variant=file.stem, **axes), str(file), None, lambda _: None)


def test_a_mechanism_that_is_wrong_only_where_it_is_long_is_found(tmp_path: Path) -> None:
    returned = "v if q.shape[-2] <= 256 else v.roll(1, -2)"
    assert cell_of(tmp_path / "wrong.py", returned, seq_len=256).samples["error"][0] < 1e-6
    with pytest.raises(Incorrect, match="is allowed in float32"):
        cell_of(tmp_path / "wrong.py", returned, seq_len=300)


def test_wrong_gradients_are_found(tmp_path: Path) -> None:
    returned = "v.detach() + 0.5 * (v - v.detach()) + 0 * (q + k)"
    assert cell_of(tmp_path / "gradient.py", returned, seq_len=64).samples["error"][0] < 1e-6
    with pytest.raises(Incorrect):
        cell_of(tmp_path / "gradient.py", returned, seq_len=64, mode="training")


@pytest.mark.parametrize("mode", ["forward", "training"])
def test_a_mechanism_that_needs_the_hidden_states_is_given_them(tmp_path: Path, mode: str) -> None:
    file = tmp_path / "hiding.py"
    text = SEEING.format(returned="v + hidden.unflatten(-1, (v.shape[1], -1)).transpose(1, 2)")
    text = text.replace("padding_mask=None):", "padding_mask=None, *, hidden):", 1).replace("def matrix", "def weights")
    text = text.replace("VARIANT = Variant(", "VARIANT = Variant(needs_hidden=True, ")
    file.write_text(text)
    measured = measure_cell(make_spec(variant="hiding", seq_len=64, mode=mode), str(file), None, lambda _: None)
    assert measured.samples[f"{mode}_s"]
    assert "error" not in measured.samples  # nothing defines it


@pytest.mark.long
def test_a_depth_cell_says_that_it_diverged() -> None:
    axes = {"track": "depth", "seq_len": 8, "num_heads": 2, "head_dim": 4, "num_layers": 3, "block": "skipless", "mode": "training"}
    large = make_spec(**axes, variant="polynomial", params={"scale": 1e30})  # its cube leaves float32
    exploding = measure_cell(large, "polynomial", None, lambda _: None)
    assert exploding.samples["diverged"] == [1.0]
    assert exploding.samples["jacobian_condition"] == [1e15]
    calm = measure_cell(make_spec(**axes, variant="orthogonal"), "orthogonal", None, lambda _: None)
    assert calm.samples["diverged"] == [0.0]
    assert 1.0 <= calm.samples["jacobian_condition"][0] < 1e15
    assert calm.samples["orthogonality_error"] == pytest.approx([0.0] * 3, abs=1e-3)


MATRIX = "return hide_padding(padding_mask, scores.softmax(-1))[0]"


def test_a_map_that_is_zero_at_the_start_has_no_good_condition(tmp_path: Path) -> None:
    axes = {"track": "depth", "seq_len": 8, "num_heads": 2, "head_dim": 4, "num_layers": 2, "block": "skipless", "mode": "training"}
    for returned in ("v * torch.zeros((), requires_grad=True)", "torch.zeros_like(v)"):
        source = write(tmp_path, {FORWARD: f"return {returned}", MATRIX: f"{MATRIX} * 0.0"})
        samples = measure_cell(make_spec(variant="mine", **axes), source, None, lambda _: None).samples
        assert samples["jacobian_condition"] == samples["attention_jacobian_condition"] == [1e15]
        assert samples["effective_rank"] == [1.0] and samples["dong_residual"] == [0.0] and samples["diverged"] == [0.0]


@pytest.mark.parametrize("variant", ["softmax", "softmax_math", "polynomial"])
def test_flops_are_the_two_products_of_attention(variant: str) -> None:
    q, k, v = torch.randn(3, 1, 4, 128, 16)
    module = attnbench.build(variant, 4, 16)
    with torch.no_grad():
        assert flops.flops(lambda _: module(q, k, v)) == 2 * 2 * 4 * 128 * 128 * 16


def test_the_contents_of_a_cells_inputs_change_and_their_addresses_do_not(tmp_path: Path) -> None:
    file = tmp_path / "seeing.py"
    cell_of(file, "v", seq_len=64)
    seen = registry._from_file("variants", file).seen  # type: ignore[attr-defined]
    timed = Counter(address for address, _ in seen).most_common(1)[0][0]
    contents = [content for address, content in seen if address == timed]
    assert len(contents) > StoppingRule().few
    assert len(set(contents)) == len(contents)  # no contents come twice


COST = {
    "first_call_s",
    "peak_rss_bytes",
    "drift_anchor_s",
    "anchor_s",
    "anchor_ratio",
    "peak_memory_bytes",
    "flops",
    "algorithmic_flops",
    "error",
    "error_share",
    "row_error",
    "verified_rows",
}
NORMED = ("softmax", "orthogonal", "polynomial")
NORMS = {"attention_frobenius", "orthogonality_error"}


@pytest.mark.parametrize(
    ("mode", "more"),
    [("forward", {"theory_bytes", *NORMS}), ("training", {"theory_bytes"}), ("prefill", {"state_bytes"}), ("decode", {"state_bytes"})],
)
def test_a_kernel_cell_has_every_metric(mode: str, more: set[str]) -> None:
    stages: list[str] = []
    measured = measure_cell(make_spec(seq_len=64, mode=mode, causal=mode in ("prefill", "decode")), "softmax", None, stages.append)
    samples = measured.samples
    assert samples.keys() == {f"{mode}_s"} | COST | more
    assert samples["error"][0] < 1e-5
    assert len(samples["anchor_ratio"]) == len(samples["anchor_s"]) == len(samples[f"{mode}_s"]) >= StoppingRule().few
    assert len(samples["drift_anchor_s"]) == 6
    ratios = [one / other for one, other in zip(samples[f"{mode}_s"], samples["anchor_s"], strict=True)]
    assert samples["anchor_ratio"] == pytest.approx(ratios, rel=1e-6)
    assert measured.clocks == dict.fromkeys(("first_call_s", f"{mode}_s", "drift_anchor_s", "anchor_s"), "wall")
    assert stages == ["build", "warm up", "time", "memory", "flops", "verify", *(["norms"] if mode == "forward" else [])]


@pytest.mark.long
def test_norms_are_those_of_every_heads_matrix() -> None:
    """Rows of softmax sum to 1, so its norm is from 1 to sqrt(N); a rotation's is sqrt(N); x^3/sqrt(N) of unit scores has E x^6 = 15."""
    found = {name: measure_cell(make_spec(variant=name, seq_len=256), name, None, lambda _: None).samples for name in NORMED}
    root = math.sqrt(256)
    assert all(len(samples[metric]) == 4 for samples in found.values() for metric in NORMS)
    assert found["orthogonal"]["attention_frobenius"] == pytest.approx([root] * 4, rel=1e-5)
    assert found["orthogonal"]["orthogonality_error"] == pytest.approx([0.0] * 4, abs=1e-4 * root)
    assert all(1.0 <= norm <= root for norm in found["softmax"]["attention_frobenius"])
    assert found["polynomial"]["attention_frobenius"] == pytest.approx([math.sqrt(15) * root] * 4, rel=0.3)


@pytest.mark.parametrize("size", [1, 512, 700, 1030])
def test_orthogonality_error_is_that_of_the_whole_product(size: int) -> None:
    a = torch.randn(size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(size))
    assert call.orthogonality_error(a) == pytest.approx(float(torch.linalg.matrix_norm(a.mT @ a - torch.eye(size, dtype=a.dtype))))


def test_a_large_matrix_and_one_that_is_not_finite_have_no_norms(monkeypatch: pytest.MonkeyPatch) -> None:
    trial = call.KernelTrial(make_spec(variant="polynomial", seq_len=64, params={"scale": 1e38}), "polynomial")
    assert trial.matrix_norms() == {}
    monkeypatch.setattr(call, "LARGEST_MATRIX", 4 * 64**2 - 1)
    assert call.KernelTrial(make_spec(seq_len=64), "softmax").matrix_norms() == {}


def test_a_session_of_long_calls_does_without_the_anchor_of_its_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit is lowered here, for four seconds of softmax are too long for a test."""
    from attnbench.measurement.tracks import kernel

    monkeypatch.setattr(kernel, "ANCHOR_PATIENCE_S", 1e-9)
    measured = measure_cell(make_spec(seq_len=64), "softmax", None, lambda _: None)
    assert not measured.samples.keys() & {"anchor_s", "anchor_ratio"}
    assert measured.samples["drift_anchor_s"]


@pytest.mark.parametrize("mode", [pytest.param("forward", marks=pytest.mark.long), "training"])
def test_what_theory_says_stands_beside_what_was_measured(mode: str) -> None:
    """softmax_math holds scores and weights: twice the matrix that a quadratic mechanism claims, beside the output."""
    measured = measure_cell(make_spec(variant="softmax_math", seq_len=512, mode=mode), "softmax_math", None, lambda _: None)
    output, matrix = 4 * 512 * 64 * 4, 4 * 512 * 512 * 4
    assert measured.samples["theory_bytes"] == [output + matrix]
    assert measured.samples["peak_memory_bytes"][0] >= 2 * matrix
