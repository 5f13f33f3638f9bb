"""The rows by definition of every registered mechanism, held against its forward pass in float64; a new file needs no new test.

That they are those of its dense matrix is a check, `rows`, which test_contract.py runs for every name.
"""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from attnbench.attention import Unsupported
from attnbench.measurement import memory
from helpers.mechanisms import RUNNABLE, VARIANTS, Inputs, attend, backward, device_of, draw, leaves, make, masks, subject_of, variants

BATCH, HEAD_DIM = 2, 7
EITHER = ("right", "left", "holes", "all", "none")
LONG, ROWS = 8192, 8
SMALLEST = 1e-4  # of all gradients, where these are zero but for rounding, as those of one token in xsa and sima
FORMS = [(name, causal) for name in RUNNABLE for causal in subject_of(name).forms]
forms = pytest.mark.parametrize(("name", "causal"), FORMS, ids=[f"{name}{'-causal' * causal}" for name, causal in FORMS])


def rows_of(name: str, module: torch.nn.Module, inputs: Inputs, rows: Tensor, causal: bool, mask: Tensor | None = None) -> Tensor:
    definition = VARIANTS[name].reference_rows
    assert definition is not None
    context = {key: x for key, x in inputs.items() if key == "hidden"}
    out: Tensor = definition(module, inputs["q"], inputs["k"], inputs["v"], rows, causal, mask, **context)
    return out


@pytest.mark.parametrize("seq_len", [1, 2, 13, 101, None], ids=lambda seq_len: str(seq_len or "padded"))
@forms
def test_rows_and_their_gradients_are_those_of_forward(name: str, causal: bool, seq_len: int | None) -> None:
    mask = masks(EITHER, device_of(name)) if seq_len is None else None
    length = mask.shape[1] if mask is not None else seq_len or 0
    drawn = draw(name, BATCH if mask is None else len(mask), length, HEAD_DIM, groups=1, seed=5)
    module = make(name, length, HEAD_DIM, groups=1).double()
    rows = torch.cat([torch.arange(length - 1, -1, -2), torch.zeros(2, dtype=torch.int64)]).to(device_of(name))  # backwards, one repeated
    one, other = leaves(drawn, torch.float64), leaves(drawn, torch.float64)
    found, wanted = rows_of(name, module, one, rows, causal, mask), attend(module, other, causal, mask)[:, :, rows]
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-11)
    of_rows, of_forward = backward(found, module, one), backward(wanted, module, other)
    largest = max(SMALLEST, *(float(x.norm()) for x in of_forward.values()))
    for key, gradient in of_forward.items():
        assert float((of_rows[key] - gradient).norm()) <= 1e-9 * largest, key


@forms
def test_what_stands_at_padding_is_not_read(name: str, causal: bool) -> None:
    mask = masks(EITHER, device_of(name))
    rows = torch.arange(mask.shape[1], device=mask.device)
    module, inputs = make(name).double(), {key: x.double() for key, x in draw(name, len(mask)).items()}
    poisoned = {key: x.masked_fill(mask[:, None, :, None] if x.dim() == 4 else mask[..., None], math.nan) for key, x in inputs.items()}
    found = rows_of(name, module, poisoned, rows, causal, mask)
    assert torch.equal(found, rows_of(name, module, inputs, rows, causal, mask))
    assert found.masked_select(mask[:, None, :, None]).eq(0.0).all()


TOKEN_BY_TOKEN = {"deltanet", "gated_deltanet"}  # their rows by definition are a recurrence: thousands of small operations, all profiled
memory_forms = pytest.mark.parametrize(
    ("name", "causal"),
    [pytest.param(*form, marks=[pytest.mark.long] if form[0] in TOKEN_BY_TOKEN else []) for form in FORMS],
    ids=[f"{name}{'-causal' * causal}" for name, causal in FORMS],
)


@memory_forms
def test_memory_grows_with_rows_times_seq_len(name: str, causal: bool) -> None:
    """Not even a byte for each pair of tokens, gradients included."""
    module, inputs = make(name, LONG, HEAD_DIM, groups=1).double(), leaves(draw(name, 1, LONG, HEAD_DIM, groups=1), torch.float64)
    rows = torch.arange(0, LONG, LONG // ROWS, device=device_of(name))
    mask = torch.zeros(1, LONG, dtype=torch.bool, device=device_of(name))

    def call(_: int) -> object:
        return backward(rows_of(name, module, inputs, rows, causal, mask), module, inputs)

    call(0)
    assert memory.peak_memory_bytes(call, device_of(name)) < LONG**2


@variants
def test_rows_have_the_dtype_of_the_values(name: str) -> None:
    for dtype in (torch.float64, torch.float32, torch.bfloat16, torch.float16):
        module, inputs = make(name).to(dtype), {key: x.to(dtype) for key, x in draw(name).items()}
        out = rows_of(name, module, inputs, torch.tensor([3, 1], device=device_of(name)), VARIANTS[name].forms[-1])
        assert out.dtype == dtype and out.isfinite().all()


@pytest.mark.parametrize("name", [name for name in RUNNABLE if not VARIANTS[name].causal])
def test_a_form_that_forward_lacks_is_lacking_here_too(name: str) -> None:
    for call in (lambda: attend(make(name), draw(name), True), lambda: rows_of(name, make(name), draw(name), torch.tensor([0]), True)):
        with pytest.raises(Unsupported):
            call()
