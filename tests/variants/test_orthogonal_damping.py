"""Damping of the orthogonal forms: what it takes from the matrix, against dense float64 definitions."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

import attnbench
from attnbench.errors import BadInput
from attnbench.measurement.checks import CORRECTNESS
from attnbench.measurement.checks.subject import Subject
from attnbench.spec.construct import load_variant
from helpers.orthogonal_forms import FORMS, draw
from helpers.planted_faults import finding

LAYERS = 3
DAMPED = {'"damping": 0.0': '"damping": 1.5'}  # as a default, of which the checks know
names = pytest.mark.parametrize("name", ["orthogonal", *FORMS])
dampings = pytest.mark.parametrize("damping", [0.3, 1.5, 9.0])


def build(name: str, damping: float, num_heads: int = 2, head_dim: int = 8, alpha: float = 0.5) -> nn.Module:
    return attnbench.build(name, num_heads, head_dim, num_layers=LAYERS, alpha=alpha, damping=damping)


def dense(name: str, alpha: Tensor, g: float, q: Tensor, k: Tensor) -> Tensor:
    """exp(S - g I), or ((1 + g/2) I - S/2)^-1 ((1 - g/2) I + S/2), of the whole S."""
    products = torch.einsum("bhid,bhjd->bhij", q, k)
    s = alpha[:, None, None] / math.sqrt(q.shape[-1]) * (products - products.transpose(-1, -2))
    identity = torch.eye(s.shape[-1], dtype=s.dtype)
    if name == "orthogonal_cayley":
        return torch.linalg.inv((1 + g / 2) * identity - s / 2) @ ((1 - g / 2) * identity + s / 2)
    return torch.linalg.matrix_exp(s - g * identity)


@dampings
@pytest.mark.parametrize("seq_len", [1, 13, 63])
@names
def test_values_and_gradients_are_those_of_the_dense_definition(name: str, seq_len: int, damping: float) -> None:
    """Fewer tokens than columns of [Q, K], about as many, and more."""
    module = build(name, damping).double()
    leaves = [x.double().requires_grad_() for x in draw(2, seq_len, 8)]
    q, k, v = leaves
    alpha = module.get_parameter("alpha")
    found, wanted = module(q, k, v), dense(name, alpha, damping / LAYERS, q, k) @ v
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-11)
    torch.testing.assert_close(module.matrix(q, k), dense(name, alpha, damping / LAYERS, q, k), rtol=1e-10, atol=1e-11)
    upstream = torch.randn(found.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(9))
    gradients = [torch.autograd.grad(out, [*leaves, alpha], upstream) for out in (found, wanted)]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-10)


@dampings
@names
def test_the_singular_values_are_as_published(name: str, damping: float) -> None:
    """All e^-g of the exponential, and from |1 - g/2| / (1 + g/2) to 1 of Cayley's transform, where the least belongs to S x = 0."""
    q, k, _ = (x.double() for x in draw(2, 29, 5))
    g = damping / LAYERS
    singular = torch.linalg.svdvals(build(name, damping, head_dim=5).double().matrix(q, k).detach())
    if name == "orthogonal_cayley":
        least = abs(1 - g / 2) / (1 + g / 2)
        torch.testing.assert_close(singular.amin(-1), torch.full((1, 2), least, dtype=torch.float64))
        assert bool(((singular[..., 0] > least + 0.01) & (singular[..., 0] < 1.0)).all())
    else:
        torch.testing.assert_close(singular, torch.full_like(singular, math.exp(-g)))


@names
def test_two_tokens_by_hand(name: str) -> None:
    """head_dim 1: S = i theta on the complex number of the two values, with theta = .7 (1 5 - 3 2) = -.7."""
    q, k, v = (torch.tensor(x)[None, None] for x in ([[1.0], [2.0]], [[3.0], [5.0]], [[1.0], [10.0]]))
    x = complex(-0.6 / LAYERS, -0.7)
    factor = (1 + x / 2) / (1 - x / 2) if name == "orthogonal_cayley" else math.exp(x.real) * complex(math.cos(x.imag), math.sin(x.imag))
    # [[0, theta], [-theta, 0]] takes (a, b) to (theta b, -theta a): on a + i b it is the product with -i theta.
    expected = factor.conjugate() * complex(1.0, 10.0)
    out = build(name, 0.6, 1, 1, alpha=0.7)(q, k, v).flatten()
    torch.testing.assert_close(out, torch.tensor([expected.real, expected.imag]), rtol=1e-5, atol=1e-5)


@names
def test_a_stack_loses_as_much_at_any_depth_and_without_a_depth_it_is_one_layer(name: str) -> None:
    """At alpha 0 the matrix is f(-g) times the identity."""
    q, k, v = (x.double() for x in draw(2, 5, 8))

    def factor(layers: int | None) -> float:
        out = attnbench.build(name, 2, 8, num_layers=layers, alpha=0.0, damping=0.6).double()(q, k, v)
        torch.testing.assert_close(out, out[0, 0, 0, 0] / v[0, 0, 0, 0] * v)
        return float(out.detach()[0, 0, 0, 0] / v[0, 0, 0, 0])

    assert factor(None) == factor(1)
    for layers in (1, 3, 12):
        g = 0.6 / layers
        assert factor(layers) == pytest.approx((1 - g / 2) / (1 + g / 2) if name == "orthogonal_cayley" else math.exp(-g))


@names
def test_without_damping_nothing_changes(name: str) -> None:
    q, k, v = draw(2, 13, 8)
    assert torch.equal(build(name, 0.0)(q, k, v), attnbench.build(name, 2, 8, alpha=0.5)(q, k, v))


@names
def test_a_damping_that_cannot_be_is_refused(name: str) -> None:
    for damping in (-0.1, math.nan, math.inf, "much", None, True, [0.1], 10**400):
        with pytest.raises(BadInput, match=r"damping is .*; give a finite number of at least 0"):
            attnbench.build(name, 2, 8, damping=damping)


@pytest.mark.parametrize("check", ["reference", "rows", "float32", "bfloat16", "finite", "gradients", "padding"])
@pytest.mark.parametrize("name", ["orthogonal", "orthogonal_cayley"])  # the other forms are damped by the same function as the first
def test_the_checks_hold_with_damping(name: str, check: str) -> None:
    found = CORRECTNESS[check](Subject(name, load_variant(name), {"alpha": None, "damping": 1.5}))
    assert found.status == "passed", found


@names
def test_orthogonality_is_declared_without_damping_alone(name: str) -> None:
    variant = load_variant(name)
    for params in ({}, {"alpha": 0.5}, {"damping": 0.0}):
        assert CORRECTNESS["orthogonality"](Subject(name, variant, {**variant.params, **params})).status == "passed"
    found = CORRECTNESS["orthogonality"](Subject(name, variant, {**variant.params, "damping": 0.2}))
    assert (found.status, found.detail) == ("skipped", "orthogonal is declared for damping 0.0, and it is 0.2")
    claimed = finding(name, {**DAMPED, '    orthogonal_unless=("damping",),\n': ""}, "orthogonality")
    assert claimed.status == "failed"


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("orthogonal", {"damped(rotate)": "lambda q, k, v, c, g: rotate(q, k, v, c)"}),
        ("orthogonal_qr", {"exponential_quotient)": "lambda t, g: (1.0, exponential_quotient(t, 0.0)[1]))"}),
        ("orthogonal_cayley", {"target / a**2": "target / a"}),
        ("orthogonal_cayley", {"m / (2 * a)": "m / 2"}),
        ("orthogonal_cayley", {"(2 / a - 1) * v": "v / a"}),
    ],
)
def test_a_wrong_damping_is_found(name: str, change: dict[str, str]) -> None:
    assert finding(name, {**DAMPED, **change}, "rows").status == "failed"
    assert finding(name, DAMPED, "rows").status == "passed"
