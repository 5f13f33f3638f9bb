"""Mechanisms that misbehave, each in a file of its own, and what comes of a cell of one."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from attnbench.measurement.cell_result import Stage
from attnbench.runner.jobs import CellJob, Limits, Result
from attnbench.runner.parent import run_in_child
from helpers.records import make_spec

PATIENCE_S = 120.0  # with what happens at once on an idle machine

SOURCE = '''"""The values as they are, and a mishap."""
import os, signal, subprocess, sys, time
from pathlib import Path
import torch
from torch import nn
from attnbench.attention import Unsupported, Variant, hide_padding
from attnbench.errors import Unavailable
HERE = Path(__file__).parent

class Mine(nn.Module):
    def forward(self, q, k, v, causal=False, padding_mask=None):
        if causal:
            raise Unsupported("no causal form")
        seq_len = q.shape[-2]
{body}
        return hide_padding(padding_mask, v)[0]

VARIANT = Variant(build=lambda shape: Mine(), citation="none", family="other", formula="V", causal=False, normalises_rows=False,
                  time_exponent=1.0, memory_exponent=1.0)
'''


@dataclass(frozen=True)
class Errand:
    """Base of a job that is no cell; see attnbench.runner.jobs.Job, whose work it lacks."""

    device: str = "cpu"
    threads: int = 1
    limits: Limits = field(default_factory=Limits)
    preload: tuple[str, ...] = ()


@dataclass(frozen=True)
class Nothing(Errand):
    """A job that does nothing."""

    def work(self, stage: Stage) -> None:
        return None


def write_variant(folder: Path, body: str) -> str:
    """The path of a variant `mine` that does so in every call; `seq_len` is known there, and HERE, its folder."""
    file = folder / "mine.py"
    file.write_text(SOURCE.format(body="\n".join(" " * 8 + line for line in body.splitlines())))
    return str(file)


def run_cell(
    folder: Path, body: str, timeout_s: float = PATIENCE_S, memory_bytes: int | None = None, watch: Stage = lambda stage: None
) -> Result:
    """What comes of a small kernel cell of such a variant, in a process of its own."""
    share = 0.5 if memory_bytes is None else memory_bytes / psutil.virtual_memory().total
    job = CellJob(make_spec(variant="mine", seq_len=16), write_variant(folder, body), None, 1, Limits(timeout_s, share))
    return run_in_child(job, "forkserver", watch)


def wait_for(condition: Callable[[], object]) -> None:
    """Returns when the condition has come true; fails when it never does."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_gone(pid: int) -> bool:
    """Whether a process is dead by and by, or a zombie that waits for its parent."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.05)
    return False
