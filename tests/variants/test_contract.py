"""The contract of a mechanism, held against every registered name: a new file is tested without a new test."""

from __future__ import annotations

import copy
import importlib
import importlib.util
import math

import pytest
import torch
from torch import Tensor
from torch.func import functional_call

import attnbench
from attnbench import registry
from attnbench.errors import Unsupported
from helpers.mechanisms import (
    FAMILIES,
    LENGTHS,
    NAMES,
    SEQ_LEN,
    VARIANTS,
    attend,
    backward,
    definition,
    device_of,
    draw,
    forms,
    gradient_error,
    leaves,
    make,
    masks,
    relative_error,
    select,
    variants,
)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_declared_in_full(name: str) -> None:
    variant = VARIANTS[name]
    docstring = importlib.import_module(f"attnbench.variants.{name}").__doc__ or ""
    assert len(docstring.split("\n", 1)[0].strip()) > 10
    assert registry.summary("variants", name) == docstring.split("\n", 1)[0]
    assert variant.citation.strip() and variant.formula.strip()
    assert variant.family in FAMILIES
    assert 1.0 <= variant.time_exponent <= 3.0 and 1.0 <= variant.memory_exponent <= 3.0
    assert variant.head_group >= 1


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
@forms
def test_output_has_the_shape_and_dtype_of_v(name: str, causal: bool, dtype: torch.dtype) -> None:
    module = make(name).to(dtype)
    inputs = {key: x.to(dtype) for key, x in draw(name).items()}
    for mask in (None, masks(("right", "left"), device_of(name))):
        out = attend(module, inputs, causal, mask)
        assert out.shape == inputs["v"].shape
        assert out.dtype == dtype
        assert out.isfinite().all()


@forms
def test_bfloat16_is_close_to_the_definition(name: str, causal: bool) -> None:
    module = make(name).bfloat16()
    inputs = {key: x.bfloat16() for key, x in draw(name).items()}
    exact = definition(name, copy.deepcopy(module).double(), {key: x.double() for key, x in inputs.items()}, causal, None)
    assert relative_error(attend(module, inputs, causal), exact) < 5e-2


@pytest.mark.parametrize("seq_len", LENGTHS)
@forms
def test_float32_agrees_with_the_float64_definition(name: str, causal: bool, seq_len: int) -> None:
    module = make(name, seq_len)
    exact = copy.deepcopy(module).double()
    drawn = draw(name, seq_len=seq_len)
    single, double = leaves(drawn, torch.float32), leaves(drawn, torch.float64)
    out = attend(module, single, causal)
    expected = definition(name, exact, double, causal, None)
    assert relative_error(out, expected) < 1e-4
    wanted = backward(expected, exact, double)
    for key, gradient in backward(out, module, single).items():
        assert gradient_error(gradient, wanted[key], wanted) < 1e-4, key


@pytest.mark.parametrize("seq_len", LENGTHS)
@forms
def test_forward_is_the_matrix_times_v(name: str, causal: bool, seq_len: int) -> None:
    """Holds where there is a matrix; a mechanism without one must not pretend to have a reference."""
    module = make(name, seq_len).double()
    inputs = {key: x.double() for key, x in draw(name, seq_len=seq_len).items()}
    if not hasattr(module, "matrix"):
        assert VARIANTS[name].reference is None
        return
    matrix = module.matrix(inputs["q"], inputs["k"], causal=causal)
    assert matrix.shape == (*inputs["q"].shape[:2], seq_len, seq_len)
    assert relative_error(attend(module, inputs, causal), matrix @ inputs["v"]) < 1e-10


@pytest.mark.parametrize("padded", [False, True])
@forms
def test_gradients_are_those_of_finite_differences(name: str, causal: bool, padded: bool) -> None:
    seq_len = 3
    module = make(name, seq_len, head_dim=2, groups=1).double()
    inputs = leaves(draw(name, seq_len=seq_len, head_dim=2, groups=1), torch.float64)
    keys, parameters = list(inputs), dict(module.named_parameters())
    mask = torch.tensor([[False, False, True], [True, False, False]], device=device_of(name)) if padded else None

    def call(*values: Tensor) -> Tensor:
        given = dict(zip(keys, values, strict=False))
        own = dict(zip(parameters, values[len(keys) :], strict=True))
        q, k, v = (given.pop(key) for key in "qkv")
        out: Tensor = functional_call(module, own, (q, k, v), {"causal": causal, "padding_mask": mask, **given})
        return out

    assert torch.autograd.gradcheck(call, (*inputs.values(), *parameters.values()))


@variants
def test_causal_means_no_look_ahead_or_is_refused(name: str) -> None:
    module, inputs = make(name), draw(name)
    if not VARIANTS[name].causal:
        with pytest.raises(Unsupported, match="causal"):
            attend(module, inputs, causal=True)
        return
    before = attend(module, inputs, causal=True)
    for seen in range(1, SEQ_LEN):
        changed = {key: x.clone() for key, x in inputs.items()}
        for x in changed.values():
            x[..., seen:, :] = 7.0 - 3.0 * x[..., seen:, :]
        after = attend(module, changed, causal=True)
        torch.testing.assert_close(after[:, :, :seen], before[:, :, :seen], rtol=0.0, atol=1e-6)
        assert not torch.equal(after[:, :, seen:], before[:, :, seen:])


@variants
def test_a_causal_prefix_is_the_shorter_sequence(name: str) -> None:
    """Stronger than no look-ahead: the length of what follows must not matter either."""
    if not VARIANTS[name].causal:
        with pytest.raises(Unsupported):
            attend(make(name), draw(name), causal=True)
        return
    module, inputs = make(name), draw(name)
    whole = attend(module, inputs, causal=True)
    for seen in (1, 4, 10):
        prefix = attend(module, select(inputs, slice(None), slice(seen)), causal=True)
        torch.testing.assert_close(whole[:, :, :seen], prefix, rtol=1e-5, atol=1e-5)


@forms
def test_calls_leave_no_trace(name: str, causal: bool) -> None:
    """The same call gives the same bits, whatever was called between; neither inputs nor module change."""
    module, inputs = make(name), draw(name)
    state, before = copy.deepcopy(module.state_dict()), {key: x.clone() for key, x in inputs.items()}
    first = attend(module, inputs, causal)
    shorter = draw(name, batch=3, seq_len=SEQ_LEN - 4, seed=5)
    attend(module, shorter, causal)
    attend(module, draw(name, batch=5, seed=6), causal, masks(("right", "left", "holes", "all", "none"), device_of(name)))
    assert torch.equal(attend(module, inputs, causal), first)
    assert torch.equal(attend(module.eval(), inputs, causal), first)
    assert all(torch.equal(x, before[key]) for key, x in inputs.items())
    assert state.keys() == module.state_dict().keys()
    assert all(torch.equal(x, state[key]) for key, x in module.state_dict().items())


@forms
def test_the_seed_alone_decides_what_is_built(name: str, causal: bool) -> None:
    inputs = draw(name)
    assert torch.equal(attend(make(name), inputs, causal), attend(make(name), inputs, causal))


@forms
def test_strides_do_not_matter(name: str, causal: bool) -> None:
    """A model passes transposed views, and a cut sequence is a view too."""
    module, inputs = make(name), draw(name)
    views = {key: x.transpose(1, 2).contiguous().transpose(1, 2) if x.ndim == 4 else x for key, x in inputs.items()}
    assert not views["q"].is_contiguous()
    assert relative_error(attend(module, views, causal), attend(module, inputs, causal)) < 1e-6


@pytest.mark.parametrize("name", ["softmax", "softmax_math"])
def test_softmax_by_hand(name: str) -> None:
    """head_dim 4, so that sqrt(d) is 2: scores 0 and log 2 give weights 1/3 and 2/3."""
    module = attnbench.build(name, num_heads=1, head_dim=4)
    q = torch.tensor([[1.0, 0.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]])[None, None]
    k = torch.tensor([[0.0, 0.0, 0.0, 0.0], [2.0 * math.log(2.0), 0.0, 0.0, 0.0]])[None, None]
    v = torch.tensor([[3.0, 0.0, 0.0, 6.0], [0.0, 3.0, 0.0, 9.0]])[None, None]
    last = [1.0, 2.0, 0.0, 8.0]
    torch.testing.assert_close(module(q, k, v)[0, 0], torch.tensor([last, last]))
    torch.testing.assert_close(module(q, k, v, causal=True)[0, 0], torch.tensor([[3.0, 0.0, 0.0, 6.0], last]))
    mask = torch.tensor([[True, False]])
    torch.testing.assert_close(module(q, k, v, padding_mask=mask)[0, 0], torch.tensor([[0.0] * 4, [0.0, 3.0, 0.0, 9.0]]))
