"""The command line: run as a user runs it, and run in this process."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from attnbench import cli as command_line
from attnbench.store.environment import machine_name

WIDTH = 160
LONGEST_S = 1800  # after which a command hangs, on any machine


def cli(
    *arguments: str, cwd: Path | None = None, before: str = ":", processors: set[int] | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    """`attnbench ARGUMENTS` in a process of its own, 160 columns wide. It imports torch, which takes seconds: see `cli_here`.

    `run` is told to measure beside other programs, which other tests are.

    before: what a shell does first, such as setting limits. processors: those that the command may use, if not all.
    """
    environment = {**os.environ, "COLUMNS": str(WIDTH), **variables}
    pin = f"import os; os.sched_setaffinity(os.getppid(), {processors})"
    first = before if processors is None else f'{sys.executable} -c "{pin}"'
    command = ["sh", "-c", f'{first} && exec "$@"', "sh", sys.executable, "-m", "attnbench", *_busy(arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd, env=environment, timeout=LONGEST_S)


def cli_here(*arguments: str, cwd: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
    """`attnbench ARGUMENTS` in this process, with the same answer as `cli`; cells and checks run in children of their own all the same."""
    out, err = io.StringIO(), io.StringIO()
    command = ["attnbench", *_busy(arguments)]
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        for name, value in {"COLUMNS": str(WIDTH), **variables}.items():
            patch.setenv(name, value)
        if cwd is not None:
            patch.chdir(cwd)
        patch.setattr(sys, "argv", command)
        for console in (command_line.out, command_line.err):
            patch.setattr(console, "_width", WIDTH)
        machine_name.cache_clear()  # another ATTNBENCH_MACHINE may be given, and is this command's alone
        try:
            command_line.main()
            code = 0
        except SystemExit as stop:
            assert isinstance(stop.code, int), stop.code
            code = stop.code
        finally:
            machine_name.cache_clear()
    return subprocess.CompletedProcess(command, code, out.getvalue(), err.getvalue())


def _busy(arguments: tuple[str, ...]) -> tuple[str, ...]:
    return ("run", "--busy", *arguments[1:]) if arguments[:1] == ("run",) else arguments
