"""attnbench: a benchmark suite and leaderboard for attention mechanisms."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING, Any

from attnbench.registry import names

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    from torch import nn

__version__ = "0.1.0"
__all__ = ["build", "load", "names"]


def build(
    name: str,
    num_heads: int,
    head_dim: int,
    *,
    seq_len: int | None = None,
    d_model: int | None = None,
    layer_index: int | None = None,
    num_layers: int | None = None,
    num_kv_heads: int | None = None,
    **params: Any,
) -> nn.Module:
    """Build an attention module, given the name of a variant or the path of a file that ends in `VARIANT = Variant(...)`.

    The module is called as `module(q, k, v, causal=False, padding_mask=None)`; q, k, v and the result have shape
    [batch, num_heads, seq_len, head_dim], the mask [batch, seq_len] with True for padding. A mechanism with grouped
    queries takes num_kv_heads, the heads of k and v; one with gates is also given hidden=[batch, seq_len, d_model].

    >>> import torch, attnbench
    >>> q, k, v = torch.randn(3, 2, 4, 100, 16)
    >>> attnbench.build("orthogonal", num_heads=4, head_dim=16)(q, k, v).shape
    torch.Size([2, 4, 100, 16])

    Raises BadInput for an unknown name, an unknown parameter, or a head count that the mechanism cannot split; Unsupported for fewer
    key-value heads than heads where it has no grouped queries.
    """
    from attnbench.spec.construct import construct

    context = {
        "seq_len": seq_len, "d_model": d_model, "layer_index": layer_index, "num_layers": num_layers, "num_kv_heads": num_kv_heads,
    }  # fmt: skip
    return construct(name, num_heads, head_dim, context, params)


def load(results: str | Path = "results", *, curves: bool = False) -> pd.DataFrame:
    """Every record of a results folder as one tidy DataFrame, one row per record and metric.

    Columns: the axes of the spec, then cell (16 hex digits, the same whichever learning rate was chosen), status, reason, machine,
    session, metric, unit, clock (of a time: "wall", what a user waits for, or "device", the span on the GPU), flagged (why the times of
    the session do not rank), value (the median of the samples), samples (a list) and others of provenance; `attnbench list columns`
    explains all of them, and the metrics. A record without measurements has one row, whose metric and value are missing. Results in
    results/asv for cells that have no record follow as rows of session "asv". Lines that cannot be read are skipped with a warning.

    curves: adds rows for training curves, with the metric "curve.NAME". Their samples are a number before training and one after each
    epoch, without those that were not finite (train_loss has none before training); their value is the last sample.

    Raises BadInput when the folder does not exist.
    """
    from attnbench.analysis.frame import load as _load

    return _load(results, curves=curves)


def __getattr__(name: str) -> ModuleType:
    """Import `attnbench.analysis` when it is first used."""
    if name != "analysis":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return importlib.import_module(f"{__name__}.{name}")
