"""Whether anything but its inputs reaches an output: other sequences, other heads, earlier calls, chance, memory layout."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from attnbench.measurement.checks.finding import Finding, Worst, bracketed, failed, form, passed
from attnbench.measurement.checks.subject import GROUPS, SEQ_LEN, Subject, attend, cast, gradients, relative_error, select
from attnbench.measurement.checks.tokens import CLOSE
from attnbench.measurement.checks.torch_threads import using_threads
from attnbench.registry.process_settings import refusal, undone

SEVERAL = 2  # threads


def batch(subject: Subject) -> Finding:
    """A sequence gives the same alone, and whatever its neighbours hold."""
    module, inputs = subject.build(), subject.draw(batch=3)
    worst = Worst("relative change of a sequence's output by its neighbours")
    for causal in subject.forms:
        out = attend(module, inputs, causal)
        for row in range(3):
            alone = attend(module, select(inputs, slice(row, row + 1)), causal)
            worst.see(relative_error(out[row], alone[0]), CLOSE, form(causal, "alone"))
        for factor in (30.0, math.nan, math.inf):
            disturbed = {key: torch.cat([x[:1] * factor, x[1:]]) for key, x in inputs.items()}
            after = attend(module, disturbed, causal)
            worst.see(relative_error(after[1:], out[1:]), CLOSE, form(causal, f"a neighbour times {factor}"))
    return worst.finding()


def heads(subject: Subject) -> Finding:
    """A head, or a group of those that work together, does not depend on the others."""
    module, inputs, size = subject.build(), subject.draw(), subject.variant.head_group
    worst = Worst("relative change of a head's output when others change")
    for causal in subject.forms:
        out = attend(module, inputs, causal)
        for group in range(GROUPS):
            own = torch.arange(GROUPS * size, device=subject.device) // size == group
            changed = {key: x.clone() for key, x in inputs.items()}
            for key in "qkv":
                changed[key][:, own] = 2.0 - changed[key][:, own]
            after = attend(module, changed, causal)
            worst.see(relative_error(after[:, ~own], out[:, ~own]), CLOSE, form(causal, f"group {group} changed"))
    return worst.finding()


def deterministic(subject: Subject) -> Finding:
    """The same call gives the same bits: again, and in a module built anew with the same seed."""
    inputs = subject.draw()
    for causal in subject.forms:
        module = subject.build()
        first = _bits(subject, module, inputs, causal)
        if not _same(_bits(subject, module, inputs, causal), first):
            return failed(
                f"two calls with the same inputs differ{bracketed(form(causal))}; if this is dropout, let it follow self.training, as in "
                "F.dropout(x, p, self.training): mechanisms are checked and timed in eval mode. Draw what else is random once, in build"
            )
        if not _same(_bits(subject, subject.build(), inputs, causal), first):
            return failed("a module built anew with the same seed gives other bits; draw what is random from torch's global generator")
    return passed("the same bits again, and from a module built anew with the same seed")


def earlier_calls(subject: Subject) -> Finding:
    """A call gives the same bits whatever the module was called with before."""
    inputs = subject.draw()
    for causal in subject.forms:
        first = _bits(subject, subject.build(), inputs, causal)
        used = subject.build()
        attend(used, subject.draw(batch=3, seq_len=SEQ_LEN - 4, seed=5), causal)
        attend(used, subject.draw(batch=5, seed=6), causal, subject.masks("right", "left", "holes", "all", "none"))
        attend(used, subject.draw(seed=7), causal)
        if not _same(_bits(subject, used, inputs, causal), first):
            return failed(f"what the module was called with before matters{bracketed(form(causal))}")
    return passed("the same bits after other calls, of other lengths and numbers of sequences, padded and not")


def unchanged(subject: Subject) -> Finding:
    """A call changes neither its inputs, nor the module, nor a setting of the process."""
    told = _settings_changed(subject)
    if told:
        return failed(f"it {refusal(told)}")
    module, inputs = subject.build(), subject.draw()
    mask = subject.masks("right", "holes")
    state = {key: x.clone() for key, x in _tensors(module).items()}
    for causal in subject.forms:
        for padding_mask in (None, mask):
            given = {key: x.clone() for key, x in inputs.items()}
            given_mask = None if padding_mask is None else padding_mask.clone()
            rest = {key: x for key, x in given.items() if key not in "qkv"}
            with torch.no_grad():  # autograd would refuse a write itself, and that would be told as an error
                module(given["q"], given["k"], given["v"], causal=causal, padding_mask=given_mask, **rest)
            changed = [key for key, x in given.items() if not torch.equal(x, inputs[key])]
            if given_mask is not None and padding_mask is not None and not torch.equal(given_mask, padding_mask):
                changed.append("padding_mask")
            if changed:
                return failed(f"the call writes into {', '.join(changed)}{bracketed(form(causal))}; it must work on a copy")
    after = _tensors(module)
    changed = [key for key in {*state, *after} if key not in after or key not in state or not torch.equal(after[key], state[key])]
    if changed:
        return failed(f"calls change the module's state: {', '.join(sorted(changed))}")
    return passed("inputs, padding mask, parameters, buffers and the settings of the process are as before")


def strides(subject: Subject) -> Finding:
    """A model passes transposed views; they give what contiguous inputs give."""
    module, inputs = subject.build(), subject.draw()
    views = {key: x.transpose(1, 2).contiguous().transpose(1, 2) if x.ndim == 4 else x for key, x in inputs.items()}
    worst = Worst("relative difference of the outputs of transposed views and of contiguous inputs")
    for causal in subject.forms:
        worst.see(relative_error(attend(module, views, causal), attend(module, inputs, causal)), CLOSE, form(causal))
    return worst.finding()


def _settings_changed(subject: Subject) -> list[str]:
    """What calls change of the process while torch has several threads: all checks run with one, where setting one is no change."""
    with using_threads(SEVERAL), undone() as told:
        for causal in subject.forms:
            _bits(subject, subject.build(), subject.draw(), causal)
    return told


def _tensors(module: torch.nn.Module) -> dict[str, Tensor]:
    """The tensors of a module's state, which may hold other things too."""
    return {key: x for key, x in module.state_dict().items() if isinstance(x, Tensor)}


def _bits(subject: Subject, module: torch.nn.Module, inputs: dict[str, Tensor], causal: bool) -> list[Tensor]:
    """The output and, on the CPU, the gradients: a GPU's kernels may add up gradients in any order."""
    with_gradients = subject.device == "cpu" and subject.gradient_trouble(causal) is None
    leaves = cast(inputs, torch.float32, with_gradients)
    out = attend(module, leaves, causal)
    return [out.detach(), *(gradients(out, module, leaves).values() if with_gradients else ())]


def _same(one: list[Tensor], other: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
