"""Mechanisms that cheat where the output alone, a short length or one norm would not show it. They change cheats.HONEST."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Subtle:
    """A cheat: what it does, its code, the axes of the cell in which it does so, and what the reason of the record must say."""

    does: str
    code: str
    said: str = "error against the float64 reference"
    axes: dict[str, Any] = field(default_factory=dict)


SMALL: dict[str, Any] = {"num_heads": 2, "head_dim": 16}
DECODE = {**SMALL, "mode": "decode", "causal": True}
DEPTH = {**SMALL, "track": "depth", "block": "residual", "num_layers": 2, "batch_size": 4, "seq_len": 64}

# Decoding from a list of keys and values.
STEPS = """
    def init_state(self, batch_size):
        return []
    def prefill(self, q, k, v):
        return [(k, v)]
    def attend(self, q, state):
        k, v = (torch.cat(parts, -2) for parts in zip(*state))
        return (q @ k.mT / math.sqrt(q.shape[-1])).softmax(-1) @ v
    def cheat(self, q, k, v, causal):
        return self.honest(q, k, v, causal)
"""
HONEST_STEP = """
    def step(self, q, k, v, state):
        return self.attend(q, [*state, (k, v)]), [*state, (k, v)]
"""

SUBTLE = (
    Subtle(
        "computes in float16 inside float32",
        """
    def cheat(self, q, k, v, causal):
        return self.honest(q.half(), k.half(), v.half(), causal).float()
""",
    ),
    Subtle(  # three rows in ten are a millionth of the others: the norm of all rows together shows nothing of them
        "gives zeros where the right answer is tiny",
        """
    def matrix(self, q, k, causal=False, padding_mask=None):
        scores = q @ k.mT / math.sqrt(q.shape[-1])
        visible = visible_keys(q.shape[-2], causal, padding_mask, q.device, never_empty=True)
        if visible is not None:
            scores = scores.masked_fill(~visible, -torch.inf)
        tiny = torch.where(q[..., :1] > 0.5, 1e-6, 1.0).to(q.dtype)
        return tiny * hide_unseen(scores.softmax(-1), causal, padding_mask)
    def cheat(self, q, k, v, causal):
        return self.honest(q, k, v, causal).masked_fill(q[..., :1] > 0.5, 0.0)
""",
        "in a row of the output",
    ),
    Subtle(
        "looks at a window of keys beyond 1,024 tokens, where nothing is padded",
        """
    def cheat(self, q, k, v, causal):
        at = torch.arange(q.shape[-2])
        scores = q @ k.mT / math.sqrt(q.shape[-1])
        return scores.masked_fill((at[:, None] - at).abs() > 256, -torch.inf).softmax(-1) @ v
""",
        axes={**SMALL, "seq_len": 1088},
    ),
    Subtle(
        "is honest everywhere but at the shape of a stack",
        """
    def cheat(self, q, k, v, causal):
        return v.roll(1, -2)
""",
        axes=DEPTH,
    ),
    Subtle(
        "takes a short cut in gradients only",
        """
    def cheat(self, q, k, v, causal):
        return self.honest(q, k.detach(), v, causal)
""",
        "in the gradient by k",
        {**SMALL, "mode": "training"},
    ),
    Subtle(
        "takes a short cut in the gradients of a stack",
        """
    def cheat(self, q, k, v, causal):
        return self.honest(q, k.detach(), v, causal)
""",
        "in the gradient by the parameter",
        {**DEPTH, "mode": "training"},
    ),
    Subtle(
        "steps once from what prefill prepared, and puts off until later what that step adds",
        STEPS
        + """
    def step(self, q, k, v, state):
        if len(state) == 1 and state[0][0].shape[-2] > 300:
            return self.attend(q, [*state, (k, v)]), state
        return self.attend(q, [*state, (k, v)]), [*state, (k, v)]
""",
        axes=DECODE,
    ),
    Subtle(
        "leaves a state of half the prompt",
        STEPS.replace("return [(k, v)]", "return [(k[:, :, -160:], v[:, :, -160:])]") + HONEST_STEP,
        "after the prompt",
        {**DECODE, "mode": "prefill"},
    ),
    Subtle(
        "remembers the output of each layer, and finds by how many tokens a later call is rolled",
        """
    def cheat(self, q, k, v, causal):
        if not hasattr(self, "first"):
            self.first = (v.clone(), self.honest(q, k, v, causal))
        known, out = self.first
        return out.roll(-int((known[0, 0] - v[0, 0, :1]).norm(dim=-1).argmin()), -2)
""",
        "",
        DEPTH,
    ),
    Subtle(
        "remembers the scores, and finds by how many tokens queries and keys are rolled",
        """
    def cheat(self, q, k, v, causal):
        if not hasattr(self, "first"):
            self.first = (q.clone(), k.clone(), self.matrix(q, k))
        *known, matrix = self.first
        rolled = [-int((x[0, 0] - y[0, 0, :1]).norm(dim=-1).argmin()) for x, y in zip(known, (q, k))]
        return matrix.roll(rolled, (-2, -1)) @ v
""",
        "",
        SMALL,
    ),
    Subtle(
        "gives zeros in most calls, by chance",
        """
    def cheat(self, q, k, v, causal):
        import random
        return torch.zeros_like(v) if random.SystemRandom().random() < 0.55 else self.honest(q, k, v, causal)
""",
        "",
        SMALL,
    ),
    Subtle(
        "gives zeros in most calls, by what they are given",
        """
    def cheat(self, q, k, v, causal):
        return torch.zeros_like(v) if v[0, 0, 0, 0] > -0.5 else self.honest(q, k, v, causal)
""",
        axes=SMALL,
    ),
    Subtle(
        "replaces torch.Tensor.flatten where results are compared",
        """
    real = torch.Tensor.flatten
    def cheat(self, q, k, v, causal):
        def flatten(x, *dims):
            comparing = sys._getframe(1).f_globals["__name__"].endswith("verify.closeness")
            return 0 * Mine.real(x, *dims) if comparing else Mine.real(x, *dims)
        torch.Tensor.flatten = flatten
        return v
""",
        "replaced Tensor.flatten",
        SMALL,
    ),
    Subtle(  # it has no reference_rows: a dense matrix in float64 shows what it does
        "looks at a window of keys in four heads of 4,096 tokens, where nothing is padded",
        """
    def cheat(self, q, k, v, causal):
        at = torch.arange(q.shape[-2])
        scores = q @ k.mT / math.sqrt(q.shape[-1])
        return scores.masked_fill((at[:, None] - at).abs() > 1024, -torch.inf).softmax(-1) @ v
""",
        axes={"num_heads": 4, "head_dim": 16, "seq_len": 4096},
    ),
)

_PLAIN = """
    def cheat(self, q, k, v, causal):
        return self.honest(q, k, v, causal)
"""
SHAPES = {
    "tiny rows": (SUBTLE[1].code.replace(".masked_fill(q[..., :1] > 0.5, 0.0)", ""), {}),
    "beyond 1,024 tokens": (_PLAIN, {**SMALL, "seq_len": 1088}),
    "a stack": (_PLAIN, {**DEPTH, "mode": "training"}),
    "padding": (_PLAIN, {**SMALL, "mode": "training", "batch_size": 3, "padded": 0.3}),
    "decode": (STEPS + HONEST_STEP, DECODE),
    "prefill": (STEPS + HONEST_STEP, {**DECODE, "mode": "prefill"}),
}
