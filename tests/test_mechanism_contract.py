"""The contract of a mechanism, held against every registered name: a new file is tested without a new test."""

from __future__ import annotations

import copy
import importlib
import importlib.util
import math

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

import attnbench
from attnbench import registry
from attnbench.attention import Variant
from attnbench.errors import Unsupported

NAMES = attnbench.names("variants")
VARIANTS: dict[str, Variant] = {name: registry.load("variants", name) for name in NAMES}
FAMILIES = {"softmax", "orthogonal", "polynomial", "linear", "other"}
BATCH, GROUPS, SEQ_LEN, HEAD_DIM = 2, 3, 11, 5  # distinct primes: no two axes can be confused
LENGTHS = (1, 7, 63, 100)
PADDED_ROWS = {"right": [7, 8, 9, 10], "left": [0, 1, 2], "holes": [2, 5, 6], "all": list(range(SEQ_LEN)), "none": []}
ALONE = ("right", "left", "none")  # holes change the distance of two tokens, on which a mechanism may depend

Inputs = dict[str, Tensor]  # q, k, v, and hidden where the mechanism wants it


def device_of(name: str) -> str:
    return "cuda" if {"cuda", "triton"} & set(VARIANTS[name].needs) else "cpu"


def runs_here(name: str) -> bool:
    packages = [need for need in VARIANTS[name].needs if need != "cuda"]
    return all(importlib.util.find_spec(need) for need in packages) and (device_of(name) == "cpu" or torch.cuda.is_available())


RUNNABLE = [name for name in NAMES if runs_here(name)]
FORMS = [(name, causal) for name in RUNNABLE for causal in (False, True) if not causal or VARIANTS[name].causal]
variants = pytest.mark.parametrize("name", RUNNABLE)
forms = pytest.mark.parametrize(("name", "causal"), FORMS)


def make(name: str, seq_len: int = SEQ_LEN, head_dim: int = HEAD_DIM, groups: int = GROUPS) -> nn.Module:
    """A float32 module whose parameters are stirred, so that none of them hides behind a zero or a one."""
    heads = groups * VARIANTS[name].head_group
    torch.manual_seed(0)
    module = attnbench.build(name, heads, head_dim, seq_len=seq_len, d_model=heads * head_dim, layer_index=1, num_layers=3)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return module.to(device_of(name))


def draw(name: str, batch: int = BATCH, seq_len: int = SEQ_LEN, head_dim: int = HEAD_DIM, groups: int = GROUPS, seed: int = 1) -> Inputs:
    generator = torch.Generator().manual_seed(seed)
    heads = groups * VARIANTS[name].head_group
    inputs = {key: torch.randn(batch, heads, seq_len, head_dim, generator=generator) for key in "qkv"}
    if VARIANTS[name].needs_hidden:
        inputs["hidden"] = torch.randn(batch, seq_len, heads * head_dim, generator=generator)
    return {key: x.to(device_of(name)) for key, x in inputs.items()}


def attend(module: nn.Module, inputs: Inputs, causal: bool = False, padding_mask: Tensor | None = None) -> Tensor:
    hidden = {key: x for key, x in inputs.items() if key == "hidden"}
    out: Tensor = module(inputs["q"], inputs["k"], inputs["v"], causal=causal, padding_mask=padding_mask, **hidden)
    return out


def select(inputs: Inputs, rows: Tensor | slice, tokens: Tensor | slice = slice(None)) -> Inputs:
    """Some sequences, and some tokens of them."""
    return {key: x[rows][..., tokens, :] for key, x in inputs.items()}


def leaves(inputs: Inputs, dtype: torch.dtype) -> Inputs:
    return {key: x.detach().to(dtype).requires_grad_() for key, x in inputs.items()}


def masks(kinds: tuple[str, ...], device: str) -> Tensor:
    mask = torch.zeros(len(kinds), SEQ_LEN, dtype=torch.bool)
    for row, kind in enumerate(kinds):
        mask[row, PADDED_ROWS[kind]] = True
    return mask.to(device)


def definition(name: str, exact: nn.Module, inputs: Inputs, causal: bool, padding_mask: Tensor | None) -> Tensor:
    """What the mechanism should give, from its dense matrix; from the module itself where it has none."""
    reference = VARIANTS[name].reference
    q, k, v = inputs["q"], inputs["k"], inputs["v"]
    if reference is not None:
        matrix = reference(exact, q, k, causal, padding_mask)
    elif hasattr(exact, "matrix"):
        matrix = exact.matrix(q, k, causal=causal, padding_mask=padding_mask)
    else:
        return attend(exact, inputs, causal, padding_mask)
    return matrix @ (v if padding_mask is None else v.masked_fill(padding_mask[:, None, :, None], 0.0))


def backward(out: Tensor, module: nn.Module, inputs: Inputs) -> dict[str, Tensor]:
    """Gradients of every input and parameter for a fixed upstream gradient; zero for what is not used."""
    upstream = torch.randn(out.shape, generator=torch.Generator().manual_seed(2)).to(out.device, out.dtype)
    named = {**inputs, **dict(module.named_parameters())}
    gradients = torch.autograd.grad(out, list(named.values()), upstream, materialize_grads=True)
    return dict(zip(named, gradients, strict=True))


def relative_error(actual: Tensor, exact: Tensor, floor: float = 1e-2) -> float:
    """||actual - exact|| / ||exact||; below the floor the error counts absolutely, for an exact value may be zero."""
    assert actual.isfinite().all()
    actual, exact = actual.detach().double(), exact.detach().double()
    return float((actual - exact).norm() / exact.norm().clamp_min(floor))


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
        assert relative_error(gradient, wanted[key]) < 1e-4, key


@forms
def test_float32_agrees_with_the_float64_definition_under_padding(name: str, causal: bool) -> None:
    mask = masks(("right", "left", "holes", "all", "none"), device_of(name))
    module = make(name)
    exact = copy.deepcopy(module).double()
    drawn = draw(name, batch=len(mask))
    single, double = leaves(drawn, torch.float32), leaves(drawn, torch.float64)
    out = attend(module, single, causal, mask)
    expected = definition(name, exact, double, causal, mask)
    assert relative_error(out, expected) < 1e-4
    wanted = backward(expected, exact, double)
    for key, gradient in backward(out, module, single).items():
        assert relative_error(gradient, wanted[key]) < 1e-4, key


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


@pytest.mark.parametrize("poison", [math.nan, math.inf, -math.inf])
@forms
def test_padding_is_ignored_whatever_it_holds(name: str, causal: bool, poison: float) -> None:
    mask = masks(("right", "left", "holes", "all", "none"), device_of(name))
    module, clean = make(name), draw(name, batch=len(mask))
    dirty = {key: x.masked_fill(mask[:, :, None] if key == "hidden" else mask[:, None, :, None], poison) for key, x in clean.items()}
    clean, dirty = leaves(clean, torch.float32), leaves(dirty, torch.float32)
    expected, out = attend(module, clean, causal, mask), attend(module, dirty, causal, mask)
    assert (out.masked_select(mask[:, None, :, None]) == 0.0).all()
    assert out.masked_select(~mask[:, None, :, None]).abs().min() > 0.0
    assert torch.equal(out, expected)
    wanted = backward(expected, module, clean)
    for key, gradient in backward(out, module, dirty).items():
        assert gradient.isfinite().all(), key
        assert torch.equal(gradient, wanted[key]), key


@forms
def test_a_padded_sequence_is_the_unpadded_one_run_alone(name: str, causal: bool) -> None:
    mask = masks((*ALONE, "all"), device_of(name))
    module, inputs = make(name), draw(name, batch=len(mask))
    out = attend(module, inputs, causal, mask)
    for row, kind in enumerate(ALONE):
        alone = attend(module, select(inputs, slice(row, row + 1), ~mask[row]), causal)
        assert relative_error(out[row, :, ~mask[row]], alone[0]) < 1e-5, kind
    assert (out[-1] == 0.0).all()


@forms
def test_a_mask_without_padding_changes_nothing(name: str, causal: bool) -> None:
    module, inputs = make(name), draw(name)
    masked = attend(module, inputs, causal, masks(("none", "none"), device_of(name)))
    assert relative_error(masked, attend(module, inputs, causal)) < 1e-6


@forms
def test_sequences_of_a_batch_do_not_meet(name: str, causal: bool) -> None:
    module, inputs = make(name), draw(name, batch=3)
    out = attend(module, inputs, causal)
    for row in range(3):
        alone = attend(module, select(inputs, slice(row, row + 1)), causal)
        assert relative_error(out[row], alone[0]) < 1e-5


@pytest.mark.parametrize("disturbance", [30.0, math.nan, math.inf])
@forms
def test_a_sequence_survives_what_its_neighbour_holds(name: str, causal: bool, disturbance: float) -> None:
    module = make(name)
    inputs = {key: 3.0 * x for key, x in draw(name).items()}
    disturbed = {key: x.clone() for key, x in inputs.items()}
    for x in disturbed.values():
        x[0] *= disturbance
    assert relative_error(attend(module, disturbed, causal)[1], attend(module, inputs, causal)[1]) < 1e-5


@forms
def test_groups_of_heads_do_not_meet(name: str, causal: bool) -> None:
    module, inputs = make(name), draw(name)
    out, group = attend(module, inputs, causal), VARIANTS[name].head_group
    for changed_group in range(GROUPS):
        changed = {key: x.clone() for key, x in inputs.items()}
        heads = slice(changed_group * group, (changed_group + 1) * group)
        for key in "qkv":
            changed[key][:, heads] = 2.0 - changed[key][:, heads]
        after = attend(module, changed, causal)
        others = [head for head in range(GROUPS * group) if head not in range(heads.start, heads.stop)]
        assert relative_error(after[:, others], out[:, others]) < 1e-5
        assert relative_error(after[:, heads], out[:, heads]) > 1e-2


@pytest.mark.parametrize("kind", ["right", "left", "holes", "none"])
@forms
def test_rows_sum_to_one_exactly_where_declared(name: str, causal: bool, kind: str) -> None:
    mask = masks((kind, kind), device_of(name))
    module, inputs = make(name).double(), {key: x.double() for key, x in draw(name).items()}
    sums = attend(module, {**inputs, "v": torch.ones_like(inputs["v"])}, causal, mask)[:, :, ~mask[0]]
    assert bool(((sums - 1.0).abs() < 1e-9).all()) == VARIANTS[name].normalises_rows


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
