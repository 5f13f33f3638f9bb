"""A Transformer with one of two blocks: residual (pre-norm, skips) and skipless (no skip, no norm).

    residual:  x = x + W_O attention(LN x);   x = x + W_2 gelu(W_1 LN x)
    skipless:  x = W_O attention(x);          x = W_2 leaky_relu_0.6(W_1 x),  W_2 = W_1^T and W_1 column-orthogonal at the start

A skipless stack is fed tokens of unit root mean square. Its MLP matters as much as its attention: with a GELU, or with independent
weights, not even orthogonal attention keeps the Jacobian of a dozen blocks well-conditioned.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Integer
from torch import Tensor, nn

from attnbench.training.positions import rotated, sinusoids
from attnbench.training.token_shift import TokenShift
from attnbench.workload import Task

Tokens = Float[Tensor, "batch seq_len d_model"]
Mask = Bool[Tensor, "batch seq_len"] | None

MLP_RATIO = {"residual": 4, "skipless": 2}
NEGATIVE_SLOPE = 0.6
TOKEN_STD = 0.1  # of a table of tokens: at 1 rare words keep the noise they begin with, and sotu_era ends at .67 instead of .75


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """Sizes and options of the model; `build_attention(layer_index)` gives each layer's mechanism.

    token_shift: whether queries, keys and values are projected from each token mixed with the one before it, see TokenShift.
    init_norm: factor on W_Q and W_K at the start, after the mechanism's own initialisation.
    positions: how a model knows where a token stands: "learned" (a table that is added to the tokens), "rotary" (queries and keys are
    turned by their places, see positions.rotated) or "none".
    """

    block: str
    num_layers: int
    num_heads: int
    d_model: int
    build_attention: Callable[[int], nn.Module]
    needs_hidden: bool = False
    token_shift: bool = False
    init_norm: float = 1.0
    positions: str = "learned"


class MultiHead(nn.Module):
    """Multi-head attention: projections around one mechanism, initialised by the mechanism where it has `init_projections`."""

    def __init__(self, architecture: Architecture, layer_index: int) -> None:
        super().__init__()
        d_model = architecture.d_model
        self.num_heads = architecture.num_heads
        self.needs_hidden = architecture.needs_hidden
        self.rotary = architecture.positions == "rotary"
        self.shift = TokenShift(d_model) if architecture.token_shift else None
        self.w_q, self.w_k, self.w_v, self.w_o = (nn.Linear(d_model, d_model, bias=False) for _ in range(4))
        self.attention = architecture.build_attention(layer_index)
        for linear in (self.w_q, self.w_k, self.w_v, self.w_o):
            nn.init.xavier_uniform_(linear.weight)
        own = getattr(self.attention, "init_projections", None)
        if own is not None:
            own(self.w_q.weight, self.w_k.weight, self.w_v.weight, self.w_o.weight)
        with torch.no_grad():
            for linear in (self.w_q, self.w_k):
                linear.weight.mul_(architecture.init_norm)

    def heads(self, x: Tokens, padding_mask: Mask = None) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, each [batch, heads, seq_len, head_dim]."""
        sources = (x, x, x) if self.shift is None else self.shift(x, padding_mask)
        projected = (w(source) for w, source in zip((self.w_q, self.w_k, self.w_v), sources, strict=True))
        q, k, v = (of.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for of in projected)
        return (rotated(q), rotated(k), v) if self.rotary else (q, k, v)

    def forward(self, x: Tokens, causal: bool = False, padding_mask: Mask = None) -> Tokens:
        context = {"hidden": x} if self.needs_hidden else {}  # without the shift
        out = self.attention(*self.heads(x, padding_mask), causal=causal, padding_mask=padding_mask, **context)
        return self.w_o(out.transpose(1, 2).flatten(-2))


class ResidualBlock(nn.Module):
    """Pre-norm block with skips and a GELU MLP."""

    def __init__(self, architecture: Architecture, layer_index: int) -> None:
        super().__init__()
        d_model = architecture.d_model
        hidden = MLP_RATIO["residual"] * d_model
        self.attention = MultiHead(architecture, layer_index)
        self.norm_1, self.norm_2 = nn.LayerNorm(d_model), nn.LayerNorm(d_model)
        self.mlp = nn.Sequential(nn.Linear(d_model, hidden), nn.GELU(), nn.Linear(hidden, d_model))

    def mix(self, x: Tokens, causal: bool = False, padding_mask: Mask = None) -> Tokens:
        """The block's first half, which is all of its attention."""
        return x + self.attention(self.norm_1(x), causal, padding_mask)

    def forward(self, x: Tokens, causal: bool = False, padding_mask: Mask = None) -> Tokens:
        x = self.mix(x, causal, padding_mask)
        return x + self.mlp(self.norm_2(x))


class SkiplessBlock(nn.Module):
    """Block with no skip and no normalisation."""

    def __init__(self, architecture: Architecture, layer_index: int) -> None:
        super().__init__()
        d_model = architecture.d_model
        self.attention = MultiHead(architecture, layer_index)
        self.w_1 = nn.Linear(d_model, MLP_RATIO["skipless"] * d_model)
        self.w_2 = nn.Linear(MLP_RATIO["skipless"] * d_model, d_model)
        nn.init.orthogonal_(self.w_1.weight)
        with torch.no_grad():
            self.w_2.weight.copy_(self.w_1.weight.mT)
        nn.init.zeros_(self.w_1.bias)
        nn.init.zeros_(self.w_2.bias)

    def mix(self, x: Tokens, causal: bool = False, padding_mask: Mask = None) -> Tokens:
        """The block's first half, which is all of its attention."""
        return self.attention(x, causal, padding_mask)

    def forward(self, x: Tokens, causal: bool = False, padding_mask: Mask = None) -> Tokens:
        x = self.mix(x, causal, padding_mask)
        return self.w_2(F.leaky_relu(self.w_1(x), NEGATIVE_SLOPE))


class Stack(nn.Module):
    """num_layers blocks over tokens that are already embedded."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        block = {"residual": ResidualBlock, "skipless": SkiplessBlock}[architecture.block]
        self.blocks = nn.ModuleList(block(architecture, index) for index in range(architecture.num_layers))

    def forward(self, x: Tokens, causal: bool = False, padding_mask: Mask = None) -> Tokens:
        for block in self.blocks:
            x = block(x, causal, padding_mask)
        return x

    def mix(self, x: Tokens, causal: bool = False) -> Tokens:
        """The stack without its MLPs: attention alone, with the skips and norms around it if the blocks have them."""
        for block in self.blocks:
            x = block.mix(x, causal)  # type: ignore[operator]
        return x


def unit_rms(x: Tokens) -> Tokens:
    """Each token scaled to a root mean square of one."""
    return x * x.square().mean(-1, keepdim=True).clamp_min(1e-12).rsqrt()


class Transformer(nn.Module):
    """Embedding, positions, stack and linear head: one answer a sequence, from the mean over unpadded tokens, or one a token.

    Learned positions start as sinusoids, on the scale of the embeddings: a neighbour is then a linear map away. From noise, sotu_lm (of
    128 bytes) came to 3.4 bits per byte in the quarter of a minute in which it comes to 2.3, and sotu_mlm stayed at the entropy of single
    bytes.
    embedding maps a batch of inputs to [batch, seq_len, d_model]: patches of an image, or a table of tokens; scale is about its size.
    """

    def __init__(
        self, architecture: Architecture, embedding: nn.Module, seq_len: int, outputs: int, per_token: bool = False, scale: float = 1.0
    ) -> None:
        super().__init__()
        d_model = architecture.d_model
        self.embedding = embedding
        self.position = nn.Parameter(scale * sinusoids(seq_len, d_model)) if architecture.positions == "learned" else None
        self.stack = Stack(architecture)
        self.skipless = architecture.block == "skipless"
        self.norm = nn.Identity() if self.skipless else nn.LayerNorm(d_model)
        self.head = nn.Linear(d_model, outputs)
        self.per_token = per_token

    def embed(self, inputs: Tensor) -> Tokens:
        """The tokens that the stack is fed."""
        x = self.embedding(inputs)
        x = x if self.position is None else x + self.position
        return unit_rms(x) if self.skipless else x

    def forward(self, inputs: Tensor, padding_mask: Mask = None, causal: bool = False) -> Float[Tensor, "batch *seq_len outputs"]:
        x = self.norm(self.stack(self.embed(inputs), causal, padding_mask))
        if self.per_token:
            return self.head(x)
        if padding_mask is None:
            return self.head(x.mean(1))
        weight = (~padding_mask).to(x.dtype)[..., None]
        return self.head((x * weight).sum(1) / weight.sum(1).clamp_min(1.0))


class Patches(nn.Module):
    """Square patches of images, flattened, to tokens by one linear map.

    inputs: [batch, height, width] or [batch, height, width, channels] in 0 ... 255;
    out: [batch, (height / patch) * (width / patch), d_model].
    """

    def __init__(self, patch: int, channels: int, d_model: int) -> None:
        super().__init__()
        self.patch = patch
        self.project = nn.Linear(patch * patch * channels, d_model)

    def forward(self, images: Integer[Tensor, "batch height width *channels"]) -> Tokens:
        scaled = images.to(self.project.weight.dtype) / 127.5 - 1.0
        patches = scaled.unfold(1, self.patch, self.patch).unfold(2, self.patch, self.patch)
        return self.project(patches.flatten(3).flatten(1, 2))


class Table(nn.Module):
    """A table of tokens; with shift, and a learned linear map of the embedding of the token before (nothing before the first).

    Without shift, a mechanism that must bind a token to the one before it, as in recall, first has to find its neighbours by their
    positions: on mqar it did not in 14,000 steps. inputs: [batch, seq_len]; out: [batch, seq_len, d_model].
    """

    def __init__(self, vocabulary: int, d_model: int, shift: bool) -> None:
        super().__init__()
        self.table = nn.Embedding(vocabulary, d_model)
        nn.init.normal_(self.table.weight, std=TOKEN_STD)
        self.before = nn.Linear(d_model, d_model, bias=False) if shift else None

    def forward(self, tokens: Integer[Tensor, "batch seq_len"]) -> Tokens:
        x = self.table(tokens)
        return x if self.before is None else x + self.before(F.pad(x[:, :-1], (0, 0, 1, 0)))


def for_task(task: Task, architecture: Architecture) -> Transformer:
    """The model of a task: the embedding its inputs need and the answers it asks for, the same for every mechanism."""
    if task.patch is not None:
        patches = Patches(task.patch, task.channels, architecture.d_model)
        return Transformer(architecture, patches, task.seq_len, task.num_classes, task.per_token)
    assert task.vocabulary is not None
    table = Table(task.vocabulary, architecture.d_model, task.shift)
    return Transformer(architecture, table, task.seq_len, task.num_classes, task.per_token, scale=TOKEN_STD)


def count_parameters(module: nn.Module) -> int:
    """The number of parameters of a model or a stack, the mechanisms' own included."""
    return sum(p.numel() for p in module.parameters())


def count_mechanism_parameters(module: nn.Module) -> int:
    """The number of parameters of the mechanisms alone; the rest of a model is the same for all mechanisms."""
    return sum(count_parameters(m.attention) for m in module.modules() if isinstance(m, MultiHead))
