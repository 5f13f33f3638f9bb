"""Whether decoding, one token at a time, gives at each position what causal `forward` gives there."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from attnbench.attention import Decodes
from attnbench.measurement.checks.finding import Finding, Worst, failed, skipped
from attnbench.measurement.checks.precision import TIMES_PLAIN
from attnbench.measurement.checks.subject import BATCH, ROUNDING, Inputs, Subject, attend, relative_error, select
from attnbench.measurement.checks.tokens import CLOSE
from attnbench.measurement.prefill import prefilled

LENGTH = 41  # odd, and beyond two doublings of a cache with room for 8 or 16 tokens
PREFILLED = (1, 16, 40)


def decode(subject: Subject) -> Finding:
    """Steps from the first token or from a prefilled state agree with `forward`; a state may be stepped from again.

    Two sequences are stepped in turn, for a state that the module keeps to itself is one for both.
    """
    if not subject.variant.causal:
        return skipped("it has no causal form")
    module = subject.build(LENGTH)
    if not isinstance(module, Decodes):
        found = [name for name in ("init_state", "step", "prefill") if hasattr(module, name)]
        if found:
            return failed(f"it has {', '.join(found)}, and a decode form is init_state and step")
        return skipped("it has no decode form: no init_state(batch_size) and step(q, k, v, state)")
    worst = Worst("relative difference of decoding and causal forward")
    with torch.no_grad():
        for dtype in dict.fromkeys((subject.finest(), torch.float32)):
            complaint = _compare(worst, subject, dtype)
            if complaint:
                return failed(complaint)
    return worst.finding()


def _compare(worst: Worst, subject: Subject, dtype: torch.dtype) -> str | None:
    """Add the errors of decoding in a dtype to `worst`; gives what is wrong with the shape or dtype of an output, None if nothing."""
    drawn = [subject.draw(seq_len=LENGTH, seed=seed) for seed in (1, 2)]
    finest = subject.finest()
    exact = subject.build(LENGTH, dtype=finest)
    wanted = [attend(exact, {key: x.to(finest) for key, x in inputs.items()}, causal=True) for inputs in drawn]
    one: Any = subject.build(LENGTH, dtype=dtype)
    sequences = [{key: x.to(dtype) for key, x in inputs.items()} for inputs in drawn]
    allowed = ROUNDING[finest]
    if dtype != finest:
        allowed = CLOSE + TIMES_PLAIN * relative_error(attend(one, sequences[0], causal=True), wanted[0])
    named = str(dtype).removeprefix("torch.")

    states: list[list[Any]] = [[one.init_state(BATCH)] for _ in sequences]
    outs: list[list[Tensor]] = [[] for _ in sequences]
    for token in range(LENGTH):
        for inputs, mine, out in zip(sequences, states, outs, strict=True):
            found, after = _step(one, inputs, token, mine[-1])
            like = inputs["v"][:, :, :1]
            if found.shape != like.shape or found.dtype != dtype:
                return f"step gives out {list(found.shape)} {found.dtype} for v {list(like.shape)} {dtype}"
            out.append(found)
            mine.append(after)
    for expected, out in zip(wanted, outs, strict=True):
        worst.see(relative_error(torch.cat(out, 2), expected), allowed, f"{named}, two sequences in turn")
    again = [_step(one, sequences[0], token, states[0][token])[0] for token in range(LENGTH)]
    worst.see(relative_error(torch.cat(again, 2), wanted[0]), allowed, f"{named}, stepping again from the same states")
    for start in PREFILLED:
        difference = relative_error(_continued(one, sequences[0], start), wanted[0][:, :, start:])
        worst.see(difference, allowed, f"{named}, from a state of {start} tokens")
    return None


def _continued(module: nn.Module, inputs: Inputs, start: int) -> Tensor:
    """The outputs from a token on, stepped from a prefilled state."""
    state = prefilled(module, **select(inputs, slice(None), slice(start)))
    outs = []
    for token in range(start, LENGTH):
        out, state = _step(module, inputs, token, state)
        outs.append(out)
    return torch.cat(outs, 2)


def _step(module: Any, inputs: Inputs, token: int, state: object) -> tuple[Tensor, Any]:
    """One step on the inputs themselves, not on copies: if it writes into them, the next step from the same state gives another output."""
    out, after = module.step(**select(inputs, slice(None), slice(token, token + 1)), state=state)
    return out, after
