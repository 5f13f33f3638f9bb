"""One token at a decode cell's shape, against the state that the tokens before it left; or a whole prompt, and the state that it leaves."""

from __future__ import annotations

import random

import torch
from torch import Tensor

from attnbench.attention import Decodes
from attnbench.errors import Unsupported
from attnbench.measurement.inputs import DrawnInputs, RolledInputs, Sequel
from attnbench.measurement.prefill import prefilled
from attnbench.measurement.tracks.mechanism import Mechanism
from attnbench.measurement.verify.closeness import Verified
from attnbench.measurement.verify.definition import random_rows
from attnbench.measurement.verify.step import verify_rows
from attnbench.spec.axes import Spec

AFTER = 2  # tokens that are stepped after a prompt, to see the state that it left
STEPPED = 8  # tokens at most that are stepped before a timed one

_draw = random.SystemRandom()


class DecodeTrial:
    """One token against the state that up to seq_len - 1 tokens before it left. Inputs: its query, key and value, and hidden if needed.

    The state is that of a prompt, which eight tokens less leave, and of one to eight tokens that are new before every timed call, as many
    as is drawn then; these are stepped untimed. What a mechanism prepares in `prefill` for the steps after it, or puts off from one step
    until a later, is then paid for in the timed calls as often as it falls due.
    """

    def __init__(self, spec: Spec, source: str) -> None:
        self.mechanism = Mechanism(spec, source)
        self.tolerance = self.mechanism.tolerance
        self.shape = self.mechanism.heads(1)
        stepped = min(STEPPED, self.mechanism.seq_len - 1)
        self.before = self.mechanism.draw_inputs(self.mechanism.seq_len - 1 - stepped)
        self._stepped = [DrawnInputs(self.mechanism.draw_inputs(1)) for _ in range(stepped)]
        self.inputs = Sequel(DrawnInputs(self.mechanism.draw_inputs(1)), [])
        self._start = self._prefilled()
        # Until a token is stepped the very first call is a step too, and is timed by itself. Later, between timed calls, all are stepped:
        # memory and operations are counted at the full length.
        self._state = self._whole = self._start

    def fresh_state(self) -> object:
        """The state that all tokens before the last leave."""
        with torch.no_grad():
            return prefilled(self.mechanism.module, *self._tokens([x.copies() for x in self._stepped]))

    def go_on(self) -> None:
        """Step some tokens from the state of the prompt: the timed call goes on from the state that they leave."""
        for inputs in self._stepped:
            inputs.refresh()
        if self._whole is self._start:
            self._whole = self._after(self._start, [x.tensors for x in self._stepped])
        self.inputs.others = self._stepped[: _draw.randint(1, STEPPED)]
        self._state = self._after(self._start, [x.tensors for x in self.inputs.others])

    def call(self, _: int) -> Tensor:
        state, self._state = self._state, self._whole
        with torch.no_grad():
            return self.mechanism.step(self.inputs.tensors, state)[0]

    def clear(self) -> None:
        """Nothing: there are no gradients."""

    def results(self, out: Tensor) -> list[Tensor]:
        return [out]

    def repeat(self, inputs: list[Tensor]) -> list[Tensor]:
        token, *stepped = _calls(inputs, len(self.before))
        with torch.no_grad():
            return [self.mechanism.step(token, self._after(self._prefilled(), stepped))[0]]

    def verify(self, inputs: list[Tensor], results: list[Tensor]) -> Verified:
        """Compare the step with the last row of the definition over all tokens."""
        token, *stepped = _calls(inputs, len(self.before))
        tokens = self._tokens([*stepped, token])
        return verify_rows(self.mechanism.original, tokens, {"the output": (results[0], [tokens[0].shape[-2] - 1])})

    def _prefilled(self) -> object:
        """The state that the prompt leaves."""
        with torch.no_grad():
            return prefilled(self.mechanism.module, *self.before)

    def _tokens(self, more: list[list[Tensor]]) -> list[Tensor]:
        """The prompt and more tokens, as one sequence."""
        return [torch.cat(parts, -2) for parts in zip(self.before, *more, strict=True)]

    def _after(self, state: object, stepped: list[list[Tensor]]) -> object:
        with torch.no_grad():
            for token in stepped:
                _, state = self.mechanism.step(token, state)
        return state


class PrefillTrial:
    """The causal forward pass of a prompt of seq_len tokens, and the state that it leaves. Inputs: q, k, v, and hidden if needed.

    Where a module has `prefill` it is called after the forward pass; else a loop of steps gives outputs and state.
    """

    def __init__(self, spec: Spec, source: str) -> None:
        self.mechanism = Mechanism(spec, source, room=AFTER)
        module = self.mechanism.module
        if not isinstance(module, Decodes):
            raise Unsupported(f"the mechanism has no decode form, whose state a prompt would leave: {type(module).__name__} has no step")
        self.tolerance = self.mechanism.tolerance
        self.shape = self.mechanism.heads(self.mechanism.seq_len)
        self._after = [DrawnInputs(self.mechanism.draw_inputs(1)) for _ in range(AFTER)]
        self.inputs = Sequel(RolledInputs(self.mechanism.draw_inputs(self.mechanism.seq_len)), self._after)
        self._state: object = None

    def fresh_state(self) -> object:
        """The state that the present prompt leaves."""
        with torch.no_grad():
            return prefilled(self.mechanism.module, *self.inputs.tensors)

    def call(self, _: int) -> Tensor:
        out, self._state = self._process(self.inputs.tensors)
        return out

    def go_on(self) -> None:
        """Nothing: a call goes on from no other."""

    def clear(self) -> None:
        """Drop the state that the last call left, outside the timed window."""
        self._state = None

    def results(self, out: Tensor) -> list[Tensor]:
        return [out, *self._steps(self._state, [x.tensors for x in self._after])]

    def repeat(self, inputs: list[Tensor]) -> list[Tensor]:
        prompt, *after = _calls(inputs, len(self.inputs.tensors))
        out, state = self._process(prompt)
        return [out, *self._steps(state, after)]

    def verify(self, inputs: list[Tensor], results: list[Tensor]) -> Verified:
        """Compare random rows of the output, and the steps that go on from the state, with the definition over all tokens."""
        prompt, *after = _calls(inputs, len(self.inputs.tensors))
        tokens = [torch.cat(parts, -2) for parts in zip(prompt, *after, strict=True)]
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

    def _steps(self, state: object, tokens: list[list[Tensor]]) -> list[Tensor]:
        outs = []
        with torch.no_grad():
            for token in tokens:
                out, state = self.mechanism.step(token, state)
                outs.append(out)
        return outs


def _calls(inputs: list[Tensor], each: int) -> list[list[Tensor]]:
    """The inputs of a call and of others beside it, of each q, k, v and, if needed, hidden."""
    return [inputs[i : i + each] for i in range(0, len(inputs), each)]


def _token(tokens: list[Tensor], at: int) -> list[Tensor]:
    return [x[..., at : at + 1, :] for x in tokens]
