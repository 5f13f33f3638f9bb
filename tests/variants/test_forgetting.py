"""Forgetting attention: by hand, row by row, against fla's naive form, over many tokens, and with faults planted."""

from __future__ import annotations

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import attnbench
from attnbench.measurement.memory import peak_memory_bytes
from helpers.mechanisms import relative_error
from helpers.naive_forms import naive_form
from helpers.planted_faults import finding

HEADS, HEAD_DIM, D_MODEL = 2, 8, 6


def module_of(spread: float = 1.0) -> nn.Module:
    """With gates that differ from token to token; float64."""
    torch.manual_seed(3)
    module = attnbench.build("forgetting", HEADS, HEAD_DIM, d_model=D_MODEL).double()
    with torch.no_grad():
        module.get_parameter("w_f").normal_(0.0, spread)
        module.get_parameter("b_f").copy_(torch.tensor([-0.5, 3.0]))
    return module


def inputs_of(seq_len: int, batch: int = 1) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seq_len)
    inputs = {key: torch.randn(batch, HEADS, seq_len, HEAD_DIM, dtype=torch.float64, generator=generator) for key in "qkv"}
    inputs["hidden"] = torch.randn(batch, seq_len, D_MODEL, dtype=torch.float64, generator=generator)
    return {key: x.requires_grad_() for key, x in inputs.items()}


def row_by_row(module: nn.Module, q: Tensor, k: Tensor, v: Tensor, hidden: Tensor) -> Tensor:
    """What is left of each key is multiplied by the gate of every token that comes after it."""
    gates = (hidden @ module.get_parameter("w_f").T + module.get_parameter("b_f")).sigmoid()
    left, outs = torch.ones_like(q[:, :, :0, 0]), []
    for i in range(q.shape[2]):
        left = torch.cat([left * gates[:, i, :, None], torch.ones_like(left[..., :1].expand(-1, -1, 1) if i else q[:, :, :1, 0])], -1)
        weights = left * (q[:, :, i : i + 1] @ k[:, :, : i + 1].mT / math.sqrt(HEAD_DIM)).exp()[:, :, 0]
        outs.append((weights / weights.sum(-1, keepdim=True))[:, :, None] @ v[:, :, : i + 1])
    return torch.cat(outs, 2)


@pytest.mark.parametrize("seq_len", [1, 2, 63, 100, 530])
def test_output_and_gradients_are_those_of_the_rows_one_by_one(seq_len: int) -> None:
    module, inputs = module_of(), inputs_of(seq_len)
    out, wanted = module(**inputs, causal=True), row_by_row(module, **inputs)
    torch.testing.assert_close(out, wanted, rtol=1e-10, atol=1e-12)
    upstream = torch.randn(out.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    leaves = [*inputs.values(), *module.parameters()]
    for found, exact in zip(torch.autograd.grad(out, leaves, upstream), torch.autograd.grad(wanted, leaves, upstream), strict=True):
        torch.testing.assert_close(found, exact, rtol=1e-9, atol=1e-10)


@pytest.mark.long
def test_it_agrees_with_fla() -> None:
    module, inputs = module_of(), inputs_of(150)
    log_forget = F.logsigmoid(F.linear(inputs["hidden"], module.get_parameter("w_f"), module.get_parameter("b_f")))
    wanted = naive_form("forgetting_attn").naive_forgetting_attn(*(inputs[key].transpose(1, 2) for key in "qkv"), log_forget)
    torch.testing.assert_close(module(**inputs, causal=True), wanted.transpose(1, 2).double(), rtol=1e-4, atol=1e-5)  # theirs is in float32


def test_by_hand() -> None:
    """Equal scores and gates of 1/2: each token back counts half; padding does not make it fade."""
    module = attnbench.build("forgetting", 1, 1, d_model=1)
    assert module.get_parameter("b_f").tolist() == [0.0]
    q, v, hidden = torch.zeros(1, 1, 3, 1), torch.tensor([8.0, 2.0, 4.0])[None, None, :, None], torch.zeros(1, 3, 1)
    out = module(q, q, v, causal=True, hidden=hidden)
    torch.testing.assert_close(out.flatten(), torch.tensor([8.0, (8 + 4) / 3, (8 + 4 + 16) / 7]))
    out = module(q, q, v, causal=True, hidden=hidden, padding_mask=torch.tensor([[False, True, False]]))
    torch.testing.assert_close(out.flatten(), torch.tensor([8.0, 0.0, (8 + 8) / 3]))


def test_gates_start_as_the_authors_linear_layers_do() -> None:
    torch.manual_seed(0)
    module = attnbench.build("forgetting", 16, 64, d_model=1024)
    weights = module.get_parameter("w_f").detach()
    assert weights.shape == (16, 1024) and abs(float(weights.std()) - 0.02) < 0.001 and abs(float(weights.mean())) < 0.001
    assert not module.get_parameter("b_f").any()


def test_without_forgetting_it_is_softmax() -> None:
    module, inputs = module_of(0.0), inputs_of(70)
    with torch.no_grad():
        module.get_parameter("b_f").fill_(60.0)
    wanted = attnbench.build("softmax", HEADS, HEAD_DIM)(inputs["q"], inputs["k"], inputs["v"], causal=True)
    torch.testing.assert_close(module(**inputs, causal=True), wanted, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("bias", [-4.0, 0.0, 4.0])
def test_digits_do_not_wear_off_with_the_length(bias: float) -> None:
    """Sums of log f down to -16,000, whose neighbours float32 tells apart by a thousandth: forward and a step in float32."""
    exact = module_of(0.5)
    with torch.no_grad():
        exact.get_parameter("b_f").fill_(bias)
    module, seq_len = copy.deepcopy(exact).float(), 4097
    inputs = {key: x.detach() for key, x in inputs_of(seq_len).items()}
    single = {key: x.float() for key, x in inputs.items()}
    definition = attnbench.registry.load("variants", "forgetting").reference_rows
    wanted = definition(exact, inputs["q"], inputs["k"], inputs["v"], torch.tensor([1, 300, 4000, 4096]), True, None, inputs["hidden"])
    with torch.no_grad():
        out = module(**single, causal=True)
        before, last = ({key: x[..., at, :] for key, x in single.items()} for at in (slice(-1), slice(-1, None)))
        stepped, _ = module.step(**last, state=module.prefill(**before))
    assert relative_error(out[:, :, [1, 300, 4000, 4096]], wanted) < 1e-6
    assert relative_error(stepped, wanted[:, :, -1:]) < 1e-6


def test_gradients_in_float32_lose_no_more_than_those_of_the_matrix() -> None:
    """Those of the gates add up over all tokens what cancels in each row; from sums in float32 they would be off by 1e-4."""
    exact, drawn = module_of(0.3), inputs_of(1000)

    def gradients(dtype: torch.dtype, tiled: bool) -> list[Tensor]:
        module = copy.deepcopy(exact).to(dtype)
        inputs = {key: x.detach().to(dtype).requires_grad_() for key, x in drawn.items()}
        dense = {"q": inputs["q"], "k": inputs["k"], "hidden": inputs["hidden"]}
        out = module(**inputs, causal=True) if tiled else module.matrix(**dense, causal=True) @ inputs["v"]
        return list(torch.autograd.grad(out.sum(), [*inputs.values(), *module.parameters()]))

    wanted, plain = gradients(torch.float64, False), gradients(torch.float32, False)
    for found, other, right in zip(gradients(torch.float32, True), plain, wanted, strict=True):
        assert relative_error(found, right) < 2 * relative_error(other, right) + 4e-6


def test_padding_anywhere_is_as_if_it_were_not_there() -> None:
    seq_len = 200
    draws = torch.rand(3, seq_len, generator=torch.Generator().manual_seed(1))
    mask = draws < torch.tensor([0.5, 0.02, 1.0])[:, None]
    module, inputs = module_of(), inputs_of(seq_len, batch=3)
    poisoned = {key: x.masked_fill(mask[..., None] if x.dim() == 3 else mask[:, None, :, None], math.nan) for key, x in inputs.items()}
    out = module(**poisoned, causal=True, padding_mask=mask)
    leaves = list(inputs.values())
    gradients = torch.autograd.grad(out.square().sum(), leaves)
    for row, padded in enumerate(mask):
        assert out[row, :, padded].eq(0.0).all()
        if padded.all():
            assert not any(gradient[row].any() for gradient in gradients)
            continue
        wanted = row_by_row(module, **{key: x[row : row + 1, ..., ~padded, :] for key, x in inputs.items()})
        torch.testing.assert_close(out[row : row + 1, :, ~padded], wanted, rtol=1e-10, atol=1e-12)
        for found, exact in zip(gradients, torch.autograd.grad(wanted.square().sum(), leaves), strict=True):
            torch.testing.assert_close(found[row], exact[row], rtol=1e-9, atol=1e-10)


def test_mixed_precision_leaves_the_gates_their_digits() -> None:
    """Gates from logits in bfloat16 would put the output off by nearly a thousandth."""
    module, inputs = module_of(0.1), {key: x.detach() for key, x in inputs_of(2000).items()}
    wanted = module(**inputs, causal=True)
    single = copy.deepcopy(module).float()
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        out = single(**{key: x.float() for key, x in inputs.items()}, causal=True)
    assert relative_error(out, wanted.detach()) < 1e-6


@pytest.mark.parametrize("training", [False, True])
def test_no_attention_matrix_is_kept(training: bool) -> None:
    module = attnbench.build("forgetting", 1, HEAD_DIM, d_model=D_MODEL)
    inputs = {key: torch.randn(1, 1, 4096, HEAD_DIM, requires_grad=training) for key in "qkv"}
    inputs["hidden"] = torch.randn(1, 4096, D_MODEL, requires_grad=training)

    def call(_: int) -> object:
        out = module(**inputs, causal=True)
        return torch.autograd.grad(out.sum(), list(inputs.values())) if training else out

    call(0)
    assert 0 < peak_memory_bytes(call, "cpu") < 4096 * 4096 * 4 / 4


PACKED = "q, k, v, log_forget = pack(padding_mask, q, k, v, self._log_forget(hidden, padding_mask))"
MASKED = "q, k, v, log_forget = hide_padding(padding_mask, q, k, v, self._log_forget(hidden, padding_mask))"
GATES_KEPT = "(q, k, v), log_forget = hide_padding(padding_mask, q, k, v), self._log_forget(hidden, padding_mask)"
IN_PLACE = {  # forward with a mask, as it would be without packing
    PACKED: MASKED,
    "Exponential(), True, drift=sums": "Exponential(), True, padding_mask, drift=sums",
    "return unpack(padding_mask, (out / norm).to(v.dtype))": "return hide_padding(padding_mask, (out / norm).to(v.dtype))[0]",
}
DECODED = "sums = log_forget.double().cumsum(2)\n        if"
FAULTS = [
    ("forward forgets twice", "matrix", {"sums = log_forget.squeeze(3)": "sums = 2.0 * log_forget.squeeze(3)"}),
    ("all but the definition forget twice", "rows", {"return F.logsigmoid(": "return 2.0 * F.logsigmoid("}),
    ("decoding forgets twice", "decode", {DECODED: DECODED.replace("= log", "= 2.0 * log")}),
    ("a state forgets what it had forgotten", "decode", {"sums = sums + self.sums.keys[:, :, -1:]": "pass"}),
    ("a key's own gate counts", "rows", {"(forgotten[..., None, :]": "(forgotten.roll(1, -1)[..., None, :]"}),
    ("a token does not see itself", "matrix", {"scores.masked_fill(~visible": "scores.masked_fill(~visible.tril(-1)"}),
    ("the gate of a padded token counts in the definition", "rows", {".masked_fill(seen.padding[:, None], 0.0).cumsum": ".cumsum"}),
    ("the gate of a padded token counts", "padding_alone", {**IN_PLACE, PACKED: GATES_KEPT}),
]


@pytest.mark.parametrize(("check", "change"), [fault[1:] for fault in FAULTS], ids=[fault[0] for fault in FAULTS])
def test_a_planted_fault_is_found(check: str, change: dict[str, str]) -> None:
    assert finding("forgetting", change, check).status == "failed"


def test_padding_that_is_masked_and_not_packed_is_no_fault() -> None:
    assert finding("forgetting", IN_PLACE, "padding_alone").status == "passed"
