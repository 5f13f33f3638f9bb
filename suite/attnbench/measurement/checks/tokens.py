"""What a token may see: nothing after it when causal, no padding, and no order where none is claimed."""

from __future__ import annotations

import math

import torch
from torch import nn

from attnbench.attention import Unsupported
from attnbench.measurement.checks.finding import Finding, Worst, failed, form, passed, skipped
from attnbench.measurement.checks.subject import SEQ_LEN, Inputs, Subject, attend, cast, flat, gradients, relative_error, select

CLOSE = 1e-5  # relative, in float32: the same numbers may be summed in another order
PREFIXES = (1, 4, 10)


def causal(subject: Subject) -> Finding:
    """No output depends on a later token; the form that a mechanism declares to lack, causal or bidirectional, is refused."""
    module, inputs = subject.build(), subject.draw()
    if len(subject.forms) == 1:
        lacking = not subject.forms[0]
        refused = _refusal(module, inputs, lacking)
        if refused is None:
            kind = "causal" if lacking else "bidirectional"
            return failed(f"it declares no {kind} form, and causal={lacking} does not raise Unsupported")
        if lacking:
            return passed(f"causal=True is refused: {refused}")
    worst = Worst("relative change of outputs when later tokens change")
    before = attend(module, inputs, causal=True)
    for seen in range(1, SEQ_LEN):
        changed = {key: x.clone() for key, x in inputs.items()}
        for x in changed.values():
            x[..., seen:, :] = 7.0 - 3.0 * x[..., seen:, :]
        after = attend(module, changed, causal=True)
        worst.see(relative_error(after[:, :, :seen], before[:, :, :seen]), CLOSE, f"tokens from {seen} on changed")
    return worst.finding()


def _refusal(module: nn.Module, inputs: Inputs, causal: bool) -> str | None:
    """What a mechanism says that refuses a form; None where it does not refuse it."""
    try:
        attend(module, inputs, causal)
    except Unsupported as error:
        return str(error)
    return None


def causal_prefix(subject: Subject) -> Finding:
    """A prefix of a causal sequence gives the same as alone: the number of later tokens does not matter, so that decoding can agree."""
    if not subject.variant.causal:
        return skipped("it has no causal form")
    module, inputs = subject.build(), subject.draw()
    worst = Worst("relative difference of a causal prefix and the shorter sequence alone")
    whole = attend(module, inputs, causal=True)
    for seen in PREFIXES:
        alone = attend(module, select(inputs, slice(None), slice(seen)), causal=True)
        worst.see(relative_error(whole[:, :, :seen], alone), CLOSE, f"first {seen} of {SEQ_LEN} tokens")
    return worst.finding()


def padding(subject: Subject) -> Finding:
    """Whatever padding holds, NaN included, changes neither output nor gradients; rows of the output at padding are zero."""
    mask = subject.masks("right", "left", "holes", "all", "none")
    module, drawn = subject.build(), subject.draw(batch=len(mask))
    worst = Worst("relative change of output and gradients when padding holds other values")
    for is_causal in subject.forms:
        with_gradients = subject.gradient_trouble(is_causal) is None
        clean = cast(drawn, torch.float32, with_gradients)
        expected = attend(module, clean, is_causal, mask)
        wanted = flat(gradients(expected, module, clean)) if with_gradients else None
        for poison in (math.nan, math.inf, -1e4):
            hidden = {key: mask[:, :, None] if key == "hidden" else mask[:, None, :, None] for key in drawn}
            dirty = cast({key: x.masked_fill(hidden[key], poison) for key, x in drawn.items()}, torch.float32, with_gradients)
            out = attend(module, dirty, is_causal, mask)
            case = form(is_causal, f"padding holds {poison}")
            if out.masked_select(mask[:, None, :, None]).count_nonzero():
                return failed(f"rows of the output at padding are not zero ({case})")
            worst.see(relative_error(out, expected), CLOSE, case)
            if wanted is not None:
                worst.see(relative_error(flat(gradients(out, module, dirty)), wanted), CLOSE, f"gradients, {case}")
    return worst.finding()


def padding_alone(subject: Subject) -> Finding:
    """A padded sequence gives what its tokens give alone; a mask without padding changes nothing."""
    kinds = ["right", "left", "none"]
    if subject.variant.equivariant or subject.variant.causal == "only":
        kinds.append("holes")  # a hole changes the distance of two tokens, on which other mechanisms may depend, but no recurrence
    mask = subject.masks(*kinds)
    module, inputs = subject.build(), subject.draw(batch=len(mask))
    worst = Worst("relative difference of a padded sequence and its tokens alone")
    for is_causal in subject.forms:
        out = attend(module, inputs, is_causal, mask)
        for row, kind in enumerate(kinds):
            tokens = ~mask[row]
            alone = attend(module, select(inputs, slice(row, row + 1), tokens), is_causal)
            worst.see(relative_error(out[row, :, tokens], alone[0]), CLOSE, form(is_causal, f"padding: {kind}"))
    return worst.finding()


def equivariance(subject: Subject) -> Finding:
    """Permuting tokens permutes the output, where that is claimed."""
    if not subject.variant.equivariant:
        return skipped("equivariance is not claimed")
    if subject.variant.causal == "only":
        return failed("it declares equivariant, and has only a causal form, in which the order of the tokens counts")
    module, inputs = subject.build(), subject.draw()
    order = torch.randperm(SEQ_LEN, generator=torch.Generator().manual_seed(3)).to(subject.device)
    worst = Worst("relative difference of the permuted output and the output of permuted tokens")
    for mask in (None, subject.masks("right", "holes")):
        out = attend(module, inputs, padding_mask=mask)
        permuted: Inputs = select(inputs, slice(None), order)
        moved = attend(module, permuted, padding_mask=None if mask is None else mask[:, order])
        worst.see(relative_error(moved, out[:, :, order]), CLOSE, "unpadded" if mask is None else "padded")
    return worst.finding()
