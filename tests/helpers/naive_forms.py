"""The naive forms of flash-linear-attention (the package fla-core), against which some mechanisms are held. They need no GPU."""

from __future__ import annotations

import warnings
from types import ModuleType

import pytest


def naive_form(operation: str) -> ModuleType:
    """Its module of plain forms of one operation, such as "attn"; skips the test where the package is not installed.

    Tensors there are [batch, seq_len, heads, head_dim], gates [batch, seq_len, heads], but in some older forms heads come before tokens.
    To import it takes seconds, and sets a variable of the environment: call this in a test, not where a file is imported.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Triton is not supported on current platform", category=UserWarning)
        module: ModuleType = pytest.importorskip(f"fla.ops.{operation}.naive", reason="fla-core is not installed", exc_type=ImportError)
        return module
