"""What the calls of a kernel cell share: the module, built for the cell's shape, dtype and device, and random tensors of these."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from attnbench import registry
from attnbench.attention import Shape, Variant
from attnbench.measurement.anew import Blueprint, Original
from attnbench.measurement.verify.repeated import repeated_tolerance
from attnbench.spec.axes import Spec


class Mechanism:
    """The module of a kernel cell. room: tokens beyond the cell's seq_len for which it is built too."""

    def __init__(self, spec: Spec, source: str, room: int = 0) -> None:
        assert spec.seq_len is not None
        self.spec, self.seq_len, self.dtype = spec, spec.seq_len, getattr(torch, spec.dtype)
        self.variant: Variant = registry.load("variants", source)
        context = {"seq_len": spec.seq_len + room, "d_model": spec.d_model, "layer_index": 0, "num_layers": 1}
        shape = Shape(spec.num_heads, spec.head_dim, num_kv_heads=spec.num_kv_heads, **context)
        blueprint = Blueprint(source, shape, spec.params)
        self.original = Original(blueprint, spec.device, self.dtype)
        self.module: nn.Module = self.original.module
        self.tolerance = repeated_tolerance(self.dtype)

    def heads(self, tokens: int) -> torch.Size:
        """Shape of q and the output for some tokens."""
        return torch.Size((self.spec.batch_size, self.spec.num_heads, tokens, self.spec.head_dim))

    def kv_heads(self, tokens: int) -> torch.Size:
        """Shape of k and v for some tokens."""
        return torch.Size((self.spec.batch_size, self.spec.kv_heads, tokens, self.spec.head_dim))

    def draw(self, shape: tuple[int, ...]) -> Tensor:
        """Standard normal numbers."""
        return torch.randn(shape, device=self.spec.device, dtype=self.dtype)

    def draw_inputs(self, tokens: int) -> list[Tensor]:
        """q, k, v and, for a mechanism that needs it, hidden [batch, tokens, d_model]."""
        found = [self.draw(self.heads(tokens)), *(self.draw(self.kv_heads(tokens)) for _ in range(2))]
        if self.variant.needs_hidden:
            found.append(self.draw((self.spec.batch_size, tokens, self.spec.d_model)))
        return found

    def attend(self, inputs: list[Tensor], causal: bool, padding_mask: Tensor | None = None) -> Tensor:
        """The output for such inputs."""
        q, k, v, *more = inputs
        context = {"hidden": more[0]} if more else {}
        out: Tensor = self.module(q, k, v, causal=causal, padding_mask=padding_mask, **context)
        return out

    def step(self, inputs: list[Tensor], state: object) -> tuple[Tensor, object]:
        """The output for one token and the state after it."""
        q, k, v, *more = inputs
        context = {"hidden": more[0]} if more else {}
        out, after = self.module.step(q, k, v, state, **context)  # type: ignore[operator]
        return out, after
