"""Imported once by the process that forks full checks: the first use of torch.compile in a process costs seconds."""

from __future__ import annotations

import torch

torch.compile(lambda x: x + 1, backend="aot_eager")(torch.zeros(1))
