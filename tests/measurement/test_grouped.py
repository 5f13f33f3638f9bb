"""Kernel cells with fewer key-value heads than heads: what a mechanism is given, what it is held against, and what its state takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from attnbench.attention import Unsupported
from attnbench.errors import Incorrect
from attnbench.measurement import memory
from attnbench.measurement.guard import Guard
from attnbench.measurement.timed import Trial, VerifiedTrial
from attnbench.measurement.tracks import measure_cell
from attnbench.measurement.tracks.call import KernelTrial
from attnbench.measurement.tracks.decode import DecodeTrial, PrefillTrial
from attnbench.measurement.tracks.kernel import softmax_of
from attnbench.measurement.verify import kernel
from attnbench.measurement.verify.closeness import Verified
from attnbench.runner.jobs import CellJob, Limits
from attnbench.runner.parent import run_in_child
from attnbench.spec.axes import Spec
from helpers.changed_template import CLASS, HIDE_V, NEXT, write
from helpers.misbehaving import PATIENCE_S
from helpers.records import make_spec

HEADS, KV_HEADS, HEAD_DIM = 6, 2, 5
GROUPED: dict[str, Any] = {"num_heads": HEADS, "num_kv_heads": KV_HEADS, "head_dim": HEAD_DIM, "seq_len": 37}
IMPORTS = {
    "import functools\n": "import functools\nfrom attnbench.attention import repeat_heads\nfrom attnbench.kernels.cache import Cache\n"
}
HIDE_K = "q, k = hide_padding(padding_mask, q, k)"
REPEATED = {line: f"({name},) = repeat_heads(q.shape[1], {name}){NEXT}{line}" for name, line in (("v", HIDE_V), ("k", HIDE_K))}
DECODING = f"""{CLASS}
    def init_state(self, batch_size):
        return Cache(batch_size)

    def prefill(self, q, k, v):
        return Cache(q.shape[0]).append(k, v)

    def step(self, q, k, v, state):
        state = state.append(k, v)
        keys, values = repeat_heads(q.shape[1], state.keys, state.values)
        return (q @ keys.mT / math.sqrt(q.shape[-1])).softmax(-1) @ values, state
"""
ROWS = "    reference_rows=by_definition,\n    params={}"
BY_DEFINITION = '''
def by_definition(module, q, k, v, rows, causal, padding_mask, hidden=None):
    """Head by head, each with the keys and values of its group."""
    out, shared = [], q.shape[1] // k.shape[1]
    for head in range(q.shape[1]):
        one, other = slice(head, head + 1), slice(head // shared, head // shared + 1)
        seen = see(q[:, one], k[:, other], v[:, other], rows, causal, padding_mask)
        out.append(seen.without_padding(seen.softmax(seen.scores()) @ seen.v))
    return torch.cat(out, 1)
'''
SEE = {"import threading\n": "import threading\nfrom attnbench.kernels.definition import see\n"}
DECLARED = {"causal=True,": "causal=True, grouped=True,"}
HONEST = {**IMPORTS, **REPEATED, **DECLARED, **SEE, CLASS: f"{BY_DEFINITION}\n\n{DECODING}", "    params={}": ROWS}
TILED = """
def repeat_heads(heads, *tensors):
    return tuple(x.repeat(1, heads // x.shape[1], 1, 1) for x in tensors)


"""
SHAPES: dict[str, dict[str, Any]] = {
    "forward": {},
    "training": {"mode": "training"},
    "causal training in bfloat16": {"mode": "training", "causal": True, "dtype": "bfloat16"},
    "a padded batch": {"mode": "training", "batch_size": 3, "padded": 0.3},
    "prefill": {"mode": "prefill", "causal": True},
    "decode": {"mode": "decode", "causal": True, "batch_size": 2},
}


def spec_of(**axes: Any) -> Spec:
    return make_spec(**{"variant": "mine", **GROUPED, **axes})


def trial_of(source: str, spec: Spec) -> Trial:
    trials: dict[str, type[Trial]] = {"decode": DecodeTrial, "prefill": PrefillTrial}
    torch.manual_seed(0)
    return trials.get(spec.mode, KernelTrial)(spec, source)  # type: ignore[call-arg]


def verified(source: str, spec: Spec) -> Verified:
    """What the verification of one call gives."""
    one = VerifiedTrial(trial_of(source, spec), Guard())
    turn = one.turn()
    turn.prepare()
    turn.inspect(turn.call(0))
    return one.verify()


@pytest.mark.parametrize("shape", SHAPES)
def test_an_honest_mechanism_is_held_against_its_definition(shape: str, tmp_path: Path) -> None:
    found = verified(write(tmp_path, HONEST), spec_of(**SHAPES[shape]))
    assert not found.facts and found.samples["error_share"][0] <= 1.0


def test_gradients_of_some_rows_are_held_against_it_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "DENSE_NUMBERS", {"cpu": 0})
    found = verified(write(tmp_path, HONEST), spec_of(mode="training", seq_len=97))
    assert found.samples["verified_rows"] == [64.0]


def test_a_matrix_serves_where_there_are_no_reference_rows(tmp_path: Path) -> None:
    source = write(tmp_path, {**IMPORTS, **REPEATED, **DECLARED})
    for shape in ("training", "a padded batch"):
        found = verified(source, spec_of(**SHAPES[shape]))
        assert not found.facts and found.samples["error"][0] < 1e-5


@pytest.mark.parametrize("shape", ["forward", "training", "decode"])
def test_a_head_that_reads_another_group_is_incorrect(shape: str, tmp_path: Path) -> None:
    """Query head h reads key-value head h // 3; that of h % 2 has the right shape, and the right one for two of six heads and more."""
    source = write(tmp_path, {**HONEST, CLASS: f"{TILED}{HONEST[CLASS]}"})
    with pytest.raises(Incorrect, match="float64 reference"):
        verified(source, spec_of(**SHAPES[shape]))


def test_a_mechanism_is_given_fewer_keys_and_values_and_softmax_beside_it_too(tmp_path: Path) -> None:
    source, spec = write(tmp_path, HONEST), spec_of(batch_size=3)
    shapes = [tuple(x.shape) for x in KernelTrial(spec, source).inputs.tensors]
    assert shapes == [(3, HEADS, 37, HEAD_DIM), (3, KV_HEADS, 37, HEAD_DIM), (3, KV_HEADS, 37, HEAD_DIM)]
    assert softmax_of(spec).num_kv_heads == KV_HEADS


def test_the_state_of_a_decode_cell_holds_the_key_value_heads_alone(tmp_path: Path) -> None:
    source = write(tmp_path, HONEST)

    def state_bytes(num_kv_heads: int) -> float:
        trial = trial_of(source, spec_of(mode="decode", causal=True, num_kv_heads=num_kv_heads))
        assert isinstance(trial, DecodeTrial)
        return memory.held_bytes(lambda _: trial.fresh_state(), "cpu")

    every = 2 * 64 * HEADS * HEAD_DIM * 4  # room for 64 tokens, of which 36 are there
    assert {n: state_bytes(n) for n in (1, 2, 3, 6)} == {n: every * n / HEADS for n in (1, 2, 3, 6)}


def test_the_norms_of_a_forward_cell_are_of_every_query_head(tmp_path: Path) -> None:
    trial = trial_of(write(tmp_path, HONEST), spec_of())
    assert isinstance(trial, KernelTrial)
    assert {name: len(norms) for name, norms in trial.matrix_norms().items()} == {
        "attention_frobenius": HEADS,
        "orthogonality_error": HEADS,
    }
    assert trial.theory_bytes() == HEADS * 37 * (HEAD_DIM + 37) * 4


def test_a_mechanism_without_groups_is_skipped_and_says_why() -> None:
    for mode in ("training", "decode"):
        with pytest.raises(Unsupported, match="cosine has no grouped queries"):
            measure_cell(spec_of(variant="cosine", mode=mode, causal=mode == "decode"), "cosine", None, lambda _: None)
    found = run_in_child(CellJob(spec_of(variant="cosine"), "cosine", None, 1, Limits(PATIENCE_S)), "forkserver")
    assert (found.status, found.stage) == ("skipped", "build")
    assert found.reason == "cosine has no grouped queries: it takes as many key-value heads as heads, 6, not 2"


@pytest.mark.parametrize("mode", [pytest.param("forward", marks=pytest.mark.long), "decode"])
def test_a_whole_cell_is_measured_with_softmax_of_the_same_shape_beside_it(mode: str, tmp_path: Path) -> None:
    spec = spec_of(mode=mode, causal=mode == "decode")
    found = measure_cell(spec, write(tmp_path, HONEST), None, lambda _: None).samples
    assert len(found["anchor_ratio"]) == len(found[f"{mode}_s"]) and found["error"][0] < 1e-5


def test_the_output_is_that_of_keys_and_values_repeated(tmp_path: Path) -> None:
    trial = trial_of(write(tmp_path, HONEST), spec_of(causal=True))
    assert isinstance(trial, KernelTrial)
    q, k, v = trial.inputs.tensors

    def whole(x: Tensor) -> Tensor:
        return torch.cat([x[:, head // 3 : head // 3 + 1] for head in range(HEADS)], 1)

    expected = torch.nn.functional.scaled_dot_product_attention(q, whole(k), whole(v), is_causal=True)
    torch.testing.assert_close(trial.call(0), expected)
