"""The two exact forms of polynomial attention, and tiles of other activations, against the dense float64 definition."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import attnbench
from attnbench import registry
from attnbench.kernels import feature_states, polynomial, power_sums, tiled, tiles
from attnbench.kernels.activation import Activation, Polynomial, Relu, Sigmoid, SquaredRelu
from attnbench.kernels.polynomial import are_features_cheaper
from attnbench.kernels.symmetric import SymmetricFeatures
from attnbench.measurement import memory
from helpers.mechanisms import relative_error

CUBE = ((3, 1.0),)
POLYNOMIALS = [
    ((1, 1.0),),
    ((2, 1.0),),
    CUBE,
    ((3, 1.0), (1, 1.0)),
    ((0, 1.0), (1, 1.0), (2, 0.5)),
    ((1, 1.0), (2, -2.0)),
    ((4, 2.0),),
    ((0, 2.0),),
    ((5, 1.0), (2, -3.0)),
]
ACTIVATIONS: list[tuple[Activation, Callable[[Tensor], Tensor]]] = [
    *((Polynomial(coefficients), lambda x, c=coefficients: value(x, c)) for coefficients in POLYNOMIALS),
    (Relu(), torch.relu),
    (SquaredRelu(), lambda x: torch.relu(x) ** 2),
    (Sigmoid(), torch.sigmoid),
]
LENGTHS = (1, 2, 63, 70)
Form = Callable[[Tensor, Tensor, Tensor], Tensor]


def value(x: Tensor, coefficients: tuple[tuple[int, float], ...]) -> Tensor:
    return sum((factor * x**power for power, factor in coefficients), start=torch.zeros_like(x))


def draw(
    seq_len: int, head_dim: int = 5, value_dim: int = 7, batch: int = 2, heads: int = 3, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    shapes = [(batch, heads, seq_len, dim) for dim in (head_dim, head_dim, value_dim)]
    return tuple(torch.randn(shape, generator=generator, dtype=dtype).requires_grad_() for shape in shapes)


def assert_is(form: Form, phi: Callable[[Tensor], Tensor], inputs: tuple[Tensor, ...], causal: bool, bias: Tensor | None = None) -> None:
    """Values and gradients of a form are those of its dense definition."""
    q, k, v = inputs
    scores = torch.einsum("bhid,bhjd->bhij", q, k)
    weights = phi(scores if bias is None else scores + bias)
    expected = (weights.tril() if causal else weights) @ v
    out = form(q, k, v)
    upstream = torch.randn(out.shape, generator=torch.Generator().manual_seed(1), dtype=out.dtype)
    torch.testing.assert_close(out, expected)
    wanted = torch.autograd.grad(expected, inputs, upstream, allow_unused=True, materialize_grads=True)
    for found, exact in zip(torch.autograd.grad(out, inputs, upstream), wanted, strict=True):
        torch.testing.assert_close(found, exact)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks so small that a short sequence has several, and the last ones are ragged."""
    monkeypatch.setattr(tiles, "TILE_SCORES", 2 * 11 * 16)
    monkeypatch.setattr(tiles, "KEYS", 16)
    monkeypatch.setattr(tiles, "CAUSAL_KEYS", 16)
    monkeypatch.setattr(tiles, "HEADS", 2)
    monkeypatch.setattr(feature_states, "MOST_HEADS", 4)
    monkeypatch.setattr(feature_states, "SHORTEST_CHUNK", 8)
    monkeypatch.setattr(feature_states, "LONGEST_CHUNK", 32)
    monkeypatch.setattr(feature_states, "SHORTEST_CAUSAL_CHUNK", 8)
    monkeypatch.setattr(feature_states, "LONGEST_CAUSAL_CHUNK", 16)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("seq_len", LENGTHS)
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("activation", "phi"), ACTIVATIONS, ids=lambda x: str(x) if not callable(x) else "")
def test_tiles_are_the_definition(activation: Activation, phi: Callable[[Tensor], Tensor], causal: bool, seq_len: int) -> None:
    assert_is(lambda q, k, v: tiled.elementwise_attention(q, k, v, activation, causal), phi, draw(seq_len), causal)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 1, 1, 1), (1, 1, 70, 1), (2, 1, 70, 1)], ids=str)
def test_a_bias_is_added_to_the_scores_of_its_row(shape: tuple[int, ...], causal: bool) -> None:
    bias = torch.linspace(-3, 1, math.prod(shape), dtype=torch.float64).view(shape)
    assert_is(lambda q, k, v: tiled.elementwise_attention(q, k, v, Sigmoid(), causal, bias), torch.sigmoid, draw(70), causal, bias)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("seq_len", LENGTHS)
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("head_dim", [1, 5, 17])
@pytest.mark.parametrize("coefficients", POLYNOMIALS, ids=str)
def test_power_sums_are_the_definition(coefficients: tuple[tuple[int, float], ...], head_dim: int, causal: bool, seq_len: int) -> None:
    if head_dim == 17 and max(power for power, _ in coefficients) > 3:
        head_dim = 9  # 17 coordinates have 20,349 products of five
    inputs = draw(seq_len, head_dim)
    assert_is(lambda q, k, v: power_sums.power_sums(q, k, v, coefficients, causal), lambda x: value(x, coefficients), inputs, causal)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("coefficients", "head_dim", "seq_len"), [(CUBE, 8, 1100), (((0, 1.0), (1, 1.0), (2, 0.5)), 64, 300)], ids=str)
def test_the_forms_agree_at_their_real_block_sizes(
    coefficients: tuple[tuple[int, float], ...], head_dim: int, seq_len: int, causal: bool
) -> None:
    """The last chunk and the last heads are ragged."""
    inputs = draw(seq_len, head_dim=head_dim, batch=1, heads=5, dtype=torch.float32)
    one = tiled.elementwise_attention(*inputs, Polynomial(coefficients), causal)
    other = power_sums.power_sums(*inputs, coefficients, causal)
    assert relative_error(one, other) < 1e-5
    upstream = torch.randn(one.shape, generator=torch.Generator().manual_seed(1))
    for first, second in zip(torch.autograd.grad(one, inputs, upstream), torch.autograd.grad(other, inputs, upstream), strict=True):
        assert relative_error(first, second) < 1e-5


@settings(max_examples=40, deadline=None)
@given(head_dim=st.integers(1, 24), power=st.integers(0, 4), seed=st.integers(0, 1000))
def test_features_give_the_power_of_the_product(head_dim: int, power: int, seed: int) -> None:
    x, y = torch.randn(2, 1, head_dim, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    features = SymmetricFeatures(head_dim, max(1, power))
    f_x, f_y = features.of(x)[power], features.of(y)[power]
    assert f_x.shape == (1, features.dimension(power), 3)
    torch.testing.assert_close(f_x.mT @ (features.weights(power) * f_y), (x.mT @ y) ** power)


@pytest.mark.parametrize(("head_dim", "power"), [(1, 3), (7, 2), (15, 3)])
def test_with_single_coordinates_no_product_comes_twice(head_dim: int, power: int) -> None:
    features = SymmetricFeatures(head_dim, power)
    assert features.step == 1
    assert features.dimension(power) == math.comb(head_dim + power - 1, power)


@pytest.mark.parametrize(
    ("seq_len", "head_dim", "degree", "linear"),
    [
        (16384, 64, 2, True),
        (16384, 32, 2, True),
        (16384, 16, 3, True),
        (4096, 64, 3, False),
        (49, 16, 1, False),
        (512, 64, 2, False),
        (16384, 64, 3, False),
    ],
)
def test_the_cheaper_form_is_chosen(seq_len: int, head_dim: int, degree: int, linear: bool) -> None:
    assert are_features_cheaper((1, 4, seq_len, head_dim), ((degree, 1.0),), causal=False) is linear


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(
    ("name", "params"),
    [("polynomial", {}), ("polynomial", {"degree": (3, 1), "scale": "learned"}), ("taylor", {}), ("power", {}), ("rebased", {})],
)
def test_mechanisms_keep_their_definition_in_the_linear_form(
    name: str, params: dict[str, object], causal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The contract tests are too short for it: here 611 tokens of 3 coordinates, with padding on either side and inside."""
    monkeypatch.setattr(polynomial, "are_features_cheaper", lambda *_: True)
    q, k, v = (x.detach().clone().requires_grad_() for x in draw(611, head_dim=3, value_dim=3, batch=3))
    mask = torch.zeros(3, 611, dtype=torch.bool)
    mask[0, 500:] = mask[1, :99] = mask[2, 100:200] = True
    module = attnbench.build(name, 3, 3, **params).double()
    for parameter in module.parameters():
        parameter.data += 0.1 * torch.linspace(-1.0, 2.0, parameter.numel()).view_as(parameter)
    out = module(q, k, v, causal=causal, padding_mask=mask)
    expected = module.matrix(q, k, causal=causal, padding_mask=mask) @ v.masked_fill(mask[:, None, :, None], 0.0)
    torch.testing.assert_close(out, expected)
    upstream = torch.randn(out.shape, generator=torch.Generator().manual_seed(1), dtype=out.dtype)
    wanted = torch.autograd.grad(expected, (q, k, v), upstream)
    for found, exact in zip(torch.autograd.grad(out, (q, k, v), upstream), wanted, strict=True):
        torch.testing.assert_close(found, exact)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(("degree", "head_dim"), [(3, 64), (2, 16)], ids=["tiles", "features"])
def test_extra_memory_is_a_few_times_that_of_the_inputs(degree: int, head_dim: int, training: bool, causal: bool) -> None:
    """At 2,048 the matrices of the four heads would be 64 MiB; the floor is 4 times q, k and v, 24 MiB for tiles."""
    assert are_features_cheaper((1, 4, 2048, head_dim), ((degree, 1.0),), causal) is (degree == 2)
    q, k, v = (torch.randn(1, 4, 2048, head_dim, requires_grad=training) for _ in range(3))
    module = attnbench.build("polynomial", 4, head_dim, degree=degree)
    upstream = torch.randn_like(v)

    def call(_: int) -> Tensor | None:
        if not training:
            return module(q, k, v, causal=causal)
        for x in (q, k, v):
            x.grad = None
        return module(q, k, v, causal=causal).backward(upstream)

    call(0)
    for x in (q, k, v):
        x.grad = None
    working = 3 * 2**22 if degree == 3 else 3 * 2**24  # tiles of scores, or a chunk's features and their gradients
    assert memory.peak_memory_bytes(call, "cpu") <= 4 * 3 * v.nbytes + working


@pytest.mark.parametrize("name", ["relu", "squared_relu", "sigmoid", "polynomial"])
def test_the_scale_comes_before_float16_can_overflow(name: str) -> None:
    """Sums over 4,096 keys that leave float16 where only the result, divided by N, would not."""
    q, k, v = torch.randn(3, 1, 1, 4096, 16, generator=torch.Generator().manual_seed(0))
    inputs = [x.half() for x in (2.0 * q, 2.0 * k, 0.1 * (5.0 + v) if name == "polynomial" else 5.0 + v)]
    module = attnbench.build(name, 1, 16)
    exact = module.double()(*(x.double() for x in inputs))
    assert exact.abs().max() < 6e4
    assert relative_error(module.half()(*inputs), exact) < 2e-3


@pytest.mark.parametrize("name", ["polynomial", "relu", "squared_relu", "sigmoid", "taylor", "power", "softmax_one", "sink", "softpick"])
def test_vmap_is_a_loop(name: str) -> None:
    q, k, v = torch.randn(3, 2, 1, 3, 11, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    module = attnbench.build(name, 3, 5).double()
    looped = torch.stack([module(*each) for each in zip(q, k, v, strict=True)])
    torch.testing.assert_close(torch.func.vmap(module)(q, k, v), looped)
    torch.testing.assert_close(torch.func.vmap(lambda one: module(one, k[0], v[0]))(q)[0], looped[0])
    assert registry.load("variants", name).causal


@pytest.mark.parametrize("causal", [False, True])
def test_vmap_of_power_sums_is_a_loop(causal: bool) -> None:
    q, k, v = torch.randn(3, 2, 2, 3, 11, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    mapped = torch.func.vmap(lambda *inputs: power_sums.power_sums(*inputs, CUBE, causal))(q, k, v)
    for found, *inputs in zip(mapped, q, k, v, strict=True):
        torch.testing.assert_close(found, power_sums.power_sums(*inputs, CUBE, causal))
