"""One token at a decode cell's shape, against the state that the tokens before it left; or a whole prompt, and the state that it leaves."""

from __future__ import annotations

import torch
from torch import Tensor

from attnbench.attention import Decodes, prefilled
from attnbench.errors import Unsupported
from attnbench.measurement.inputs import RolledInputs, Sequel
from attnbench.measurement.tracks.mechanism import Mechanism
from attnbench.measurement.verify.closeness import Verified
from attnbench.measurement.verify.definition import random_rows
from attnbench.measurement.verify.step import verify_rows
from attnbench.spec.axes import Spec

AFTER = 2  # tokens that are stepped after a prompt, to see the state that it left


class DecodeTrial:
    """One token against the state that the seq_len - 1 tokens before it left. Inputs: its query, key and value, and hidden if needed.

    The last of the tokens before it is another before every timed call, and is stepped untimed, from the state that the first seq_len - 2
    left: what a mechanism prepares in `prefill` for the step after it, or puts off until the next, is then paid for in the timed call.
    """

    def __init__(self, spec: Spec, source: str) -> None:
        self.mechanism = Mechanism(spec, source)
        self.tolerance = self.mechanism.tolerance
        self.shape = self.mechanism.heads(1)
        self.before = self.mechanism.draw_inputs(max(0, self.mechanism.seq_len - 2))
        self._last = RolledInputs(self.mechanism.draw_inputs(min(1, self.mechanism.seq_len - 1)), -1)
        self.inputs = Sequel(RolledInputs(self.mechanism.draw_inputs(1), -1), self._last)
        self._start = self.fresh_state()
        self._state = self._start  # until a token is stepped: the very first call is a step too, and is timed by itself

    def fresh_state(self) -> object:
        """The state that the tokens before the last two leave."""
        with torch.no_grad():
            return prefilled(self.mechanism.module, *self.before)

    def settle(self) -> None:
        """Step another token from the state of the tokens before: the timed call goes on from the state that this leaves."""
        self._last.refresh()
        self._state = self._after_last(self._start, self._last.tensors)

    def call(self, _: int) -> Tensor:
        with torch.no_grad():
            return self.mechanism.step(self.inputs.tensors, self._state)[0]

    def clear(self) -> None:
        """Nothing: there are no gradients."""

    def results(self, out: Tensor) -> list[Tensor]:
        return [out]

    def repeat(self, inputs: list[Tensor]) -> list[Tensor]:
        token, last = _halves(inputs)
        with torch.no_grad():
            return [self.mechanism.step(token, self._after_last(self.fresh_state(), last))[0]]

    def verify(self, inputs: list[Tensor], results: list[Tensor]) -> Verified:
        """Compare the step with the last row of the definition over all tokens."""
        token, last = _halves(inputs)
        tokens = [torch.cat(parts, -2) for parts in zip(self.before, last, token, strict=True)]
        return verify_rows(self.mechanism.original, tokens, {"the output": (results[0], [tokens[0].shape[-2] - 1])})

    def _after_last(self, state: object, last: list[Tensor]) -> object:
        if last[0].shape[-2] == 0:  # of a sequence of one token nothing comes before
            return state
        with torch.no_grad():
            return self.mechanism.step(last, state)[1]


class PrefillTrial:
    """The causal forward pass of a prompt of seq_len tokens, and the state that it leaves. Inputs: q, k, v, and hidden if needed.

    Where a module has `prefill` it is called after the forward pass; else a loop of steps gives outputs and state.
    """

    settle = None  # the call itself, on other inputs

    def __init__(self, spec: Spec, source: str) -> None:
        self.mechanism = Mechanism(spec, source, room=AFTER)
        module = self.mechanism.module
        if not isinstance(module, Decodes):
            raise Unsupported(f"the mechanism has no decode form, whose state a prompt would leave: {type(module).__name__} has no step")
        self.tolerance = self.mechanism.tolerance
        self.shape = self.mechanism.heads(self.mechanism.seq_len)
        self._after = RolledInputs(self.mechanism.draw_inputs(AFTER), -1)
        self.inputs = Sequel(RolledInputs(self.mechanism.draw_inputs(self.mechanism.seq_len), -2), self._after)
        self._state: object = None

    def fresh_state(self) -> object:
        """The state that the present prompt leaves."""
        with torch.no_grad():
            return prefilled(self.mechanism.module, *self.inputs.tensors)

    def call(self, _: int) -> Tensor:
        out, self._state = self._process(self.inputs.tensors)
        return out

    def clear(self) -> None:
        """Drop the state that the last call left, outside the timed window."""
        self._state = None

    def results(self, out: Tensor) -> list[Tensor]:
        return [out, *self._steps(self._state, self._after.tensors)]

    def repeat(self, inputs: list[Tensor]) -> list[Tensor]:
        prompt, after = _halves(inputs)
        out, state = self._process(prompt)
        return [out, *self._steps(state, after)]

    def verify(self, inputs: list[Tensor], results: list[Tensor]) -> Verified:
        """Compare random rows of the output, and the steps that go on from the state, with the definition over all tokens."""
        prompt, after = _halves(inputs)
        tokens = [torch.cat(parts, -2) for parts in zip(prompt, after, strict=True)]
        seq_len = self.mechanism.seq_len
        rows = random_rows(list(range(seq_len)))
        found = {"the output": (results[0][..., rows, :], rows)}
        found |= {f"token {i + 1} after the prompt": (step, [seq_len + i]) for i, step in enumerate(results[1:])}
        return verify_rows(self.mechanism.original, tokens, found)

    def _process(self, prompt: list[Tensor]) -> tuple[Tensor, object]:
        mechanism = self.mechanism
        with torch.no_grad():
            if hasattr(mechanism.module, "prefill"):
                return mechanism.attend(prompt, causal=True), prefilled(mechanism.module, *prompt)
            state = mechanism.module.init_state(prompt[0].shape[0])  # type: ignore[operator]
            outs = []
            for token in range(prompt[0].shape[-2]):
                out, state = mechanism.step(_token(prompt, token), state)
                outs.append(out)
            return torch.cat(outs, -2), state

    def _steps(self, state: object, tokens: list[Tensor]) -> list[Tensor]:
        outs = []
        with torch.no_grad():
            for token in range(AFTER):
                out, state = self.mechanism.step(_token(tokens, token), state)
                outs.append(out)
        return outs


def _halves(inputs: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """The call's own inputs, and the others beside them."""
    return inputs[: len(inputs) // 2], inputs[len(inputs) // 2 :]


def _token(tokens: list[Tensor], at: int) -> list[Tensor]:
    return [x[..., at : at + 1, :] for x in tokens]
