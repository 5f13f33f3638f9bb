"""Decoding states: how large they are, what a step costs, and what of a buffer is read."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from attnbench.kernels.activation import Relu
from attnbench.kernels.cache import SMALLEST_CAPACITY, WIDENED_VALUES, Cache, elementwise_step
from attnbench.kernels.count import reported_flops
from attnbench.kernels.polynomial_step import PolynomialState, fold_length
from attnbench.kernels.running_sums import RunningSums
from attnbench.kernels.windowed import WindowCache
from attnbench.measurement.memory import peak_memory_bytes
from helpers.mechanisms import DECODING, VARIANTS, decoding, draw, make, parts, state_after, step

CACHED = [name for name in DECODING if any(isinstance(part, Cache) for part in parts(make(name).init_state(1)))]
assert CACHED  # pytest would skip tests without parameters
cached = pytest.mark.parametrize("name", CACHED)


def tensors(state: object) -> list[Tensor]:
    """Every tensor of a state, with the buffers of its caches whole."""
    found = [part for part in parts(state) if isinstance(part, Tensor)]
    return found + [x for part in parts(state) if isinstance(part, Cache) for x in part._buffers.held]


def state_bytes(state: object) -> int:
    return sum(x.nbytes for x in tensors(state))


@decoding
def test_a_state_grows_only_with_a_cache_of_all_tokens(name: str) -> None:
    """One of running sums, or of a polynomial that folds its cache into sums, does not; where time is declared linear it may not.

    One of a window grows to the window.
    """
    module, inputs = make(name, seq_len=1000), draw(name, seq_len=1000)
    after_100, after_1000 = (state_bytes(state_after(module, inputs, tokens)) for tokens in (100, 1000))
    if module.init_state(1) == ():
        assert after_1000 == after_100 == 0
    elif name not in CACHED or isinstance(module.init_state(1), PolynomialState):
        assert after_1000 == after_100 > 0
    elif isinstance(module.init_state(1), WindowCache):
        assert after_1000 == 4 * after_100  # a cache with room for the window, 512 tokens, and for 128
    else:
        assert VARIANTS[name].time_exponent > 1.5
        assert after_1000 > 7.9 * after_100  # a cache with room for 1,024 tokens and for 128


@cached
def test_what_lies_beyond_the_length_is_never_read(name: str) -> None:
    module, inputs = make(name), draw(name)
    clean, state = state_after(module, inputs, 10), state_after(module, inputs, 10)
    for part in parts(state):
        if isinstance(part, Cache):
            for x in part._buffers.held:
                x[:, :, part.length :] = math.nan
    for token in (10, 10):
        assert torch.equal(step(module, inputs, token, state)[0], step(module, inputs, token, clean)[0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@cached
def test_a_step_does_not_copy_the_cache(name: str, dtype: torch.dtype) -> None:
    """What it allocates: a few rows of scores, and the block in which half precision is widened."""
    tokens = 8191
    module = make(name, head_dim=64, groups=2).to(dtype)
    inputs = {key: x.to(dtype) for key, x in draw(name, batch=1, seq_len=tokens + 1, head_dim=64, groups=2).items()}
    state = state_after(module, inputs, tokens)
    step(module, inputs, tokens, state)
    peak = peak_memory_bytes(lambda _: step(module, inputs, tokens, state), "cpu")
    half = 4 * WIDENED_VALUES if dtype == torch.bfloat16 else 0
    assert peak < state_bytes(state) / 16 + half


@pytest.mark.parametrize("name", ["softmax", "relu", "shaped"])
def test_a_full_cache_grows_once_for_all_steps_from_it(name: str) -> None:
    module, inputs = make(name, head_dim=64), draw(name, batch=1, seq_len=1025, head_dim=64)
    state = state_after(module, inputs, 1024)
    full = state_bytes(state)
    first, _ = step(module, inputs, 1024, state)
    assert state_bytes(state) > 1.9 * full
    assert peak_memory_bytes(lambda _: step(module, inputs, 1024, state), "cpu") < full / 16
    assert torch.equal(step(module, inputs, 1024, state)[0], first)


@pytest.mark.parametrize("name", ["linear_elu", "performer", "cosformer"])
def test_a_step_of_running_sums_costs_the_same_at_every_length(name: str) -> None:
    module, inputs = make(name, seq_len=2000), draw(name, batch=1, seq_len=2000)
    peaks = []
    for tokens in (10, 1999):
        state = state_after(module, inputs, tokens)
        step(module, inputs, tokens, state)
        peaks.append(peak_memory_bytes(lambda _, at=tokens, of=state: step(module, inputs, at, of), "cpu"))
    assert peaks[0] == peaks[1]


def test_the_sums_report_their_operations() -> None:
    """A product of a column and a row, which torch's counter takes for elementwise work."""
    module, inputs = make("linear_elu"), draw("linear_elu", batch=1)
    state = state_after(module, inputs, 5)
    with reported_flops() as reported:
        step(module, inputs, 5, state)
    assert reported == [2 * 3 * 5 * (5 + 1)]  # heads, features and columns


def test_states_leave_each_other_alone() -> None:
    """Sums are never written in place: all states of a sequence stay good at once."""
    inputs = draw("softmax")
    one = RunningSums(2).add(inputs["k"], inputs["v"])
    before = one.total.clone()
    other = one.add(inputs["k"][:, :, :1], inputs["v"][:, :, :1])
    assert torch.equal(one.total, before) and not torch.equal(other.total, before)
    assert (one.length, other.length) == (11, 12)


@pytest.mark.parametrize("degree", [2, 3])
def test_a_polynomial_state_reads_at_most_twice_the_cheaper_form(degree: int) -> None:
    """The numbers in the cache so far and in the sums, as they come token by token, against either form alone."""
    module = make("power" if degree == 2 else "polynomial")
    inputs = draw("power", batch=1, seq_len=130)
    limit = fold_length(5, 5, torch.float32, ((degree, 1.0),))
    state, folds = state_after(module, inputs, 0), set()
    whole = state_after(module, inputs, 130)
    sums = sum(x.numel() for x in whole.sums)
    for token in range(130):
        _, state = step(module, inputs, token, state)
        assert isinstance(state, PolynomialState) and state.length == token + 1
        folds.add(state.folded)
        held = state.recent.length * 3 * (5 + 5) + sum(x.numel() for x in state.sums)
        assert held <= 2 * min((token + 1) * 3 * (5 + 5), sums)
    assert folds == set(range(0, 130, limit))


def test_a_cache_has_room_to_double() -> None:
    cache, rooms = Cache(1), set()
    for _ in range(4 * SMALLEST_CAPACITY + 1):
        cache = cache.append(torch.ones(1, 2, 1, 3), torch.full((1, 2, 1, 4), float(cache.length)))
        rooms.add(cache._buffers.held[0].shape[2])
    assert rooms == {SMALLEST_CAPACITY * factor for factor in (1, 2, 4, 8)}
    assert torch.equal(cache.values[0, 1, :, 3], torch.arange(4.0 * SMALLEST_CAPACITY + 1))
    out = elementwise_step(torch.ones(1, 2, 1, 3), cache, Relu())
    assert torch.equal(out, 3.0 * cache.values.sum(2, keepdim=True))
