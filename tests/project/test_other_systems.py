"""Results are read wherever Python runs; what measures says in a line that it cannot, or what it does without.

The system is imitated: everything is imported once, attnbench is forgotten, what the system lacks is taken away, and attnbench starts anew.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from attnbench.store.store import Store
from helpers.records import learnt, timed

# What is only there on a Unix, or only on Linux.
LACKING = {
    "win32": {
        "modules": ("fcntl", "resource", "pwd", "grp", "termios", "_posixshmem"),
        "os": (
            "fork",
            "killpg",
            "setsid",
            "getuid",
            "geteuid",
            "getpgrp",
            "sched_getaffinity",
            "getloadavg",
            "sysconf",
            "O_ASYNC",
            "uname",
        ),
        "signal": ("SIGKILL", "pthread_sigmask", "SIG_BLOCK"),
        "methods": ("spawn",),
    },
    "darwin": {"modules": (), "os": ("sched_getaffinity",), "signal": (), "methods": ("spawn", "fork", "forkserver")},
}
START = """
import contextlib, io, multiprocessing, os, signal, sys
from pathlib import Path
import filelock  # a library of the system's own kind, there as here

def attnbench(*arguments):
    from attnbench.cli import app, guarded
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = guarded(lambda: app(list(arguments)))
    return code, out.getvalue(), err.getvalue()

COMMANDS = [
    "list variants", "list columns", "list presets", "show", "export table.csv", "export table.parquet", "compare softmax orthogonal",
    "claims", "validate", "schema", "site --out site", "doctor", "doctor --json", "doctor --machine", "run --dry-run --track kernel",
]
for command in COMMANDS if READING else ["validate", "run --dry-run --track kernel", "check --help"]:
    attnbench(*command.split())
for name in [name for name in sys.modules if name.partition(".")[0] == "attnbench"]:
    del sys.modules[name]

class Lacking:
    def find_spec(self, name, path=None, target=None):
        if name in LACKING["modules"]:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

for name in LACKING["modules"]:
    sys.modules.pop(name, None)
sys.meta_path.insert(0, Lacking())
for module in (os, signal):
    for name in LACKING[module.__name__]:
        if hasattr(module, name):
            delattr(module, name)
multiprocessing.get_all_start_methods = lambda: list(LACKING["methods"])
get_context, opened = multiprocessing.get_context, os.open
def get_context_here(method=None):
    if method not in (None, *LACKING["methods"]):
        raise ValueError(f"cannot find context for {method!r}")
    return get_context(method)
def open_here(path, *more, **named):
    if PLATFORM == "win32" and os.path.isdir(path):
        raise PermissionError(13, "Permission denied", str(path))
    return opened(path, *more, **named)
multiprocessing.get_context, os.open, sys.platform = get_context_here, open_here, PLATFORM
"""
READ = """
import attnbench as package
assert len(package.load("results")) > 6
from attnbench.website import publish
publish.LARGE = 1  # as if there were so many records that a second process is worth its start
for command in COMMANDS:
    code, out, err = attnbench(*command.split())
    print(command, code)
    assert "unexpected" not in err and (code == 0 or command.startswith(("validate", "compare"))), (command, code, err)
    assert out, command
assert Path("site/index.html").is_file()
"""
APPEND = """
import dataclasses
from attnbench.store.store import Store
store = Store("results")
record = next(iter(store.read()))
store.append(dataclasses.replace(record, session="another"))
assert [one.session for one in store.read()].count("another") == 1
assert not list(Path("results").rglob("*.lock"))
"""
MEASURE = """
for command in ("run --track kernel --variant softmax", "check softmax", "doctor --peaks"):
    code, out, err = attnbench(*command.split())
    assert code == 1 and err.startswith("error: Windows cannot measure") and err.count("\\n") == 1, (code, out, err)
    assert "Reading" in err and "Linux" in err
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a store of costs and results."""
    for variant, middle in (("softmax", 1.0), ("orthogonal", 2.0)):
        for size in (256, 512):
            Store(tmp_path / "results").append(timed(variant, middle * size, seq_len=size))
        Store(tmp_path / "results").append(learnt(variant, 0, 0.9))
    return tmp_path


def on(platform: str, script: str, folder: Path) -> None:
    """Run a script on an imitated system. READING: whether it needs all that reads, so that all libraries are imported before."""
    program = f"LACKING, PLATFORM, READING = {LACKING[platform]!r}, {platform!r}, {script == READ}\n{START}{script}"
    done = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.long
@pytest.mark.parametrize("platform", LACKING)
def test_everything_that_reads_works(platform: str, folder: Path) -> None:
    on(platform, READ, folder)


@pytest.mark.long
@pytest.mark.parametrize("platform", LACKING)
def test_a_record_is_stored(platform: str, folder: Path) -> None:
    """For imported times, and bundles of others."""
    on(platform, APPEND, folder)


@pytest.mark.long
def test_what_measures_says_in_one_line_that_it_cannot(folder: Path) -> None:
    on("win32", MEASURE, folder)


def test_a_mac_says_what_it_does_without() -> None:
    from attnbench.runner import can_measure

    assert can_measure.lacking() is None or sys.platform != "linux"
    program = (
        "import sys; from attnbench.runner import can_measure; sys.platform = 'darwin'; print(can_measure.why_not(), can_measure.lacking())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("None macOS: ") and "memory" in done.stdout and done.stdout.count("\n") == 1
