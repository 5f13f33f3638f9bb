"""The text of a file that declares a mechanism, as short as one can be; tests change it and write it where they need it."""

from __future__ import annotations

MINE = '''"""A mean of the values, whatever the scores."""
from torch import nn
from attnbench.attention import Variant

class Mean(nn.Module):
    def forward(self, q, k, v, causal=False, padding_mask=None):
        return v.mean(-2, keepdim=True).expand_as(v)

VARIANT = Variant(build=lambda shape: Mean(), citation="none", family="other", formula="mean(V)", causal=False,
                  normalises_rows=True, time_exponent=1.0, memory_exponent=1.0)
'''
