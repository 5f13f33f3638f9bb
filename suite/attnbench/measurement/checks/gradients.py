"""Whether the gradients are those of finite differences."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.autograd.gradcheck import GradcheckError  # the attribute torch.autograd.gradcheck is the function of that name
from torch.func import functional_call

from attnbench.attention import Unsupported
from attnbench.errors import text_of
from attnbench.measurement.checks.finding import Finding, failed, form, passed, skipped
from attnbench.measurement.checks.subject import Subject, cast

SEQ_LEN, HEAD_DIM = 3, 2
STEP, DIFFERS = 1e-6, 1e-3  # of the finite differences that are shown
HINT = "where it has no backward pass, say so: training=False in VARIANT, or raise Unsupported where gradients are asked for"

Call = Callable[..., Tensor]


def gradcheck(subject: Subject) -> Finding:
    """torch.autograd.gradcheck in float64 over every input and parameter, at a size where each entry can be moved."""
    without = []
    for causal in subject.forms:
        trouble = subject.gradient_trouble(causal)
        if isinstance(trouble, Unsupported):
            without.append(f"{text_of(trouble)}{' (causal)' if causal else ''}")
            continue
        if trouble is not None:
            raise trouble
        if subject.finest() != torch.float64:
            return skipped("it has no form in float64; its gradients in float32 are held against those of the definition")
        for padded in (False, True):
            mask = torch.tensor([[False, False, True], [True, False, False]], device=subject.device) if padded else None
            names, call, values = _problem(subject, causal, mask)
            try:
                torch.autograd.gradcheck(call, values)
            except GradcheckError as error:
                case = form(causal, "padded" if padded else "unpadded")
                return failed(f"{_said(str(error), names, call, values)} ({case})")
    if len(without) == len(subject.forms):
        return skipped(f"no backward pass: {without[0]}")
    return passed(f"torch.autograd.gradcheck holds in float64 for inputs and parameters, seq_len {SEQ_LEN}")


def _problem(subject: Subject, causal: bool, mask: Tensor | None) -> tuple[list[str], Call, list[Tensor]]:
    """The names of all inputs and parameters, a function of them, and their values."""
    module = subject.build(SEQ_LEN, HEAD_DIM, groups=1, dtype=torch.float64)
    inputs = cast(subject.draw(2, SEQ_LEN, HEAD_DIM, groups=1), torch.float64)
    keys, parameters = list(inputs), dict(module.named_parameters())

    def call(*values: Tensor) -> Tensor:
        given = {key: x.clone() for key, x in zip(keys, values, strict=False)}
        own = dict(zip(parameters, values[len(keys) :], strict=True))
        q, k, v = (given.pop(key) for key in "qkv")
        out: Tensor = functional_call(module, own, (q, k, v), {"causal": causal, "padding_mask": mask, **given})
        return out

    return [*keys, *parameters], call, [*inputs.values(), *parameters.values()]


def _said(error: str, names: Sequence[str], call: Call, values: Sequence[Tensor]) -> str:
    """What gradcheck found: of a wrong gradient the input and the entry that is furthest off, else its own words."""
    wrong = re.search(r"Jacobian mismatch for output \d+ with respect to input (\d+)", error)
    if wrong is None:
        return " ".join(error.split())[:300]
    index = int(wrong[1])
    by_autograd, by_differences = _jacobians(call, values, index)
    distance = (by_autograd - by_differences).abs()
    row, column = divmod(int(distance.nan_to_num(nan=torch.inf).argmax()), distance.shape[1])
    found, wanted = float(by_autograd[row, column]), float(by_differences[row, column])
    name, differ = names[index], int((distance > DIFFERS).sum())
    return (
        f"the gradient by {name} (input {index}) is wrong: d out[{row}] / d {name}[{column}], both flattened, is {found:.4g} by autograd "
        f"and {wanted:.4g} by finite differences; {differ} of {distance.numel()} such entries differ by more than {DIFFERS:g}"
    )


def _jacobians(call: Call, values: Sequence[Tensor], index: int) -> tuple[Tensor, Tensor]:
    """d out / d values[index], [outputs, entries], by autograd and by central differences."""
    others = [x.detach() for x in values]

    def of(x: Tensor) -> Tensor:
        return call(*others[:index], x, *others[index + 1 :]).flatten()

    point = others[index]
    by_autograd = torch.autograd.functional.jacobian(of, point).flatten(1)
    columns = []
    for step in (STEP * torch.eye(point.numel(), dtype=point.dtype, device=point.device)).view(-1, *point.shape):
        with torch.no_grad():
            columns.append((of(point + step) - of(point - step)) / (2 * STEP))
    return by_autograd.detach(), torch.stack(columns, 1)
