"""Every mechanism trains in mixed precision on the CPU, by the trainer's own step: bidirectional and causal, padded and not."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import Tensor

import attnbench
from attnbench.training.evaluate import evaluate
from attnbench.training.model import Architecture, Table, Transformer
from attnbench.training.recipe import Recipe
from attnbench.training.train import step
from attnbench.workload import Split
from helpers.mechanisms import RUNNABLE, VARIANTS, alike_are_long, attend, device_of, draw, make, relative_error

WIDTH, HEADS, WORDS, CLASSES = 16, 2, 11, 5
SHAPES = {"shorter than two heads' width": 7, "longer": 67}
ORTHOGONAL = [name for name in RUNNABLE if VARIANTS[name].orthogonal and VARIANTS[name].reads_qk]  # identity is so without q and k
CPU = [name for name in RUNNABLE if device_of(name) == "cpu"]
assert len(ORTHOGONAL) >= 4


def model(name: str, seq_len: int) -> Transformer:
    torch.manual_seed(0)

    def build(layer_index: int) -> torch.nn.Module:
        return attnbench.build(name, HEADS, WIDTH // HEADS, seq_len=seq_len, d_model=WIDTH, layer_index=layer_index, num_layers=2)

    needs_hidden = VARIANTS[name].needs_hidden
    sizes = Architecture(block="residual", num_layers=2, num_heads=HEADS, d_model=WIDTH, build_attention=build, needs_hidden=needs_hidden)
    return Transformer(sizes, Table(WORDS, WIDTH, shift=False), seq_len, CLASSES)


def data(seq_len: int, padded: bool) -> Split:
    draw_from = torch.Generator().manual_seed(1)
    lengths = torch.tensor([seq_len, 5, 1, seq_len - 1])
    mask = torch.arange(seq_len)[None] >= lengths[:, None]
    inputs = torch.randint(WORDS, (4, seq_len), generator=draw_from)
    return Split(inputs, torch.arange(4), mask if padded else None)


def trained(name: str, seq_len: int, causal: bool, padded: bool, mixed: bool) -> tuple[float, Tensor]:
    """The loss of one step, and its gradients."""
    one = model(name, seq_len).train()
    split, recipe = data(seq_len, padded), Recipe(epochs=1, lr=0.1, batch_size=4, seed=0, causal=causal, mixed_precision=mixed)
    loss = step(one, split, torch.arange(4), recipe)
    assert math.isfinite(evaluate(one, split, recipe).value)
    return loss.item(), torch.cat([p.grad.flatten() for p in one.parameters() if p.grad is not None])


@pytest.mark.filterwarnings("ignore:Mismatch dtype between input and weight")  # of torch's RMSNorm, about its speed
@pytest.mark.parametrize("seq_len", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("name", alike_are_long(CPU))
def test_a_step_in_bfloat16_is_finite_and_near_that_in_float32(name: str, seq_len: int) -> None:
    for causal in VARIANTS[name].forms:
        for padded in (False, True):
            (loss, gradients), (wanted, exact) = (trained(name, seq_len, causal, padded, mixed) for mixed in (True, False))
            assert gradients.isfinite().all() and len(gradients) == len(exact)
            assert loss == pytest.approx(wanted, rel=0.05), (causal, padded)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ORTHOGONAL)
def test_an_orthogonal_matrix_stays_orthogonal_under_autocast(name: str, dtype: torch.dtype) -> None:
    """Its small matrices are computed in float32: in bfloat16 a product of a hundred terms has two digits."""
    for seq_len in SHAPES.values():
        module, inputs = make(name, seq_len), draw(name, seq_len=seq_len)
        exact = attend(copy.deepcopy(module).double(), {key: x.double() for key, x in inputs.items()})
        leaves = {key: x.clone().requires_grad_() for key, x in inputs.items()}
        with torch.autocast("cpu", dtype):
            out = attend(module, leaves)
            assert attend(module, {key: x.to(dtype) for key, x in inputs.items()}).dtype == dtype
        assert out.dtype == torch.float32
        assert relative_error(out, exact) < 1e-4
        gradients = torch.autograd.grad(out.square().sum(), list(leaves.values()), materialize_grads=True)
        assert all(x.isfinite().all() for x in gradients)
