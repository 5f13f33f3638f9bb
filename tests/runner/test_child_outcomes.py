"""What a mechanism may do to its process, and what is on record of it afterwards: a reason that can be read, and no survivor."""

from __future__ import annotations

import os
import signal
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from attnbench import registry
from attnbench.errors import AttnbenchError, BadInput
from attnbench.measurement.cell_result import Stage
from attnbench.measurement.clock import ClockError, Turn, take_turns
from attnbench.runner.limits import LARGEST_FILE_BYTES
from attnbench.runner.lock import measurement_lock
from attnbench.runner.parent import run_in_child
from attnbench.store.record import decode, encode
from helpers.misbehaving import PATIENCE_S, Errand, Nothing, is_gone, run_cell
from helpers.records import make_record

UNPRINTABLE = """
class Mute(Exception):
    def __str__(self):
        raise RuntimeError("no text")
raise Mute
"""
UNPICKLABLE = """
class Local(Exception):
    def __reduce__(self):
        raise TypeError("cannot be pickled")
raise Local("said all the same")
"""
ENDLESS = """
def deeper(n):
    return deeper(n + 1)
deeper(0)
"""


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ("raise ValueError('half a pair: \\ud800')", "error", "ValueError: half a pair: \\ud800"),
        ("raise Unsupported('half a pair: \\ud800')", "skipped", "half a pair: \\ud800"),
        (UNPRINTABLE, "error", "Mute: (its text cannot be had: RuntimeError)"),
        (UNPICKLABLE, "error", "Local: said all the same"),
        (ENDLESS, "error", "RecursionError: "),
        ("raise KeyboardInterrupt", "error", "KeyboardInterrupt"),
        ("raise ValueError('x' * 10**7)", "error", "ValueError: xxxx"),
        ("raise Unsupported('x' * 10**7)", "skipped", "xxxx"),
        ("print('\\0\\x1b[31m\\x85'); raise ValueError('mute\\0')", "error", "ValueError: mute\0"),
        ("os.close(1); os.close(2); raise ValueError('mute')", "error", "ValueError: mute"),
        ("sys.stderr.close(); sys.stdout = None; raise ValueError('mute')", "error", "ValueError: mute"),
        ("signal.setitimer(signal.ITIMER_REAL, 0.01); time.sleep(60)", "error", "SIGALRM"),
    ],
)
def test_whatever_an_error_says_its_record_can_be_written_and_read(tmp_path: Path, body: str, status: str, said: str) -> None:
    result = run_cell(tmp_path, body)
    assert (result.status, result.stage) == (status, "warm up")
    assert (result.reason or "").startswith(said) or result.reason == f"died of {said}"
    assert len(result.reason or "") < 3000
    record = make_record(status=result.status, reason=result.reason, stage=result.stage, measurements={})
    assert decode(encode(record)) == record


def test_a_file_that_cannot_even_say_why_it_cannot_be_imported_is_bad_input(tmp_path: Path) -> None:
    file = tmp_path / "mute.py"
    file.write_text(UNPRINTABLE)
    with pytest.raises(BadInput, match=r"'mute' cannot be imported: Mute: \(its text cannot be had: RuntimeError\); mend its file"):
        registry.load("variants", str(file))


def test_a_kill_from_outside_while_it_times_is_told_from_a_crash(tmp_path: Path) -> None:
    """By the stage, and as the kernel kills what takes too much memory."""

    def kill(stage: str) -> None:
        if stage == "time":
            os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)

    result = run_cell(tmp_path, "(HERE / 'pid').write_text(str(os.getpid()))", watch=kill)
    assert (result.status, result.stage) == ("oom", "time")
    assert "SIGKILL from outside" in (result.reason or "")


def test_a_cell_that_never_stops_printing_is_stopped(tmp_path: Path) -> None:
    """Before it fills the disk; its file is gone with it."""
    before = set(Path(tempfile.gettempdir()).glob("attnbench-*"))
    result = run_cell(tmp_path, "while True: print('la ' * 10**5)")
    assert (result.status, result.stage) == ("error", "warm up")
    assert "File too large" in (result.reason or "")
    assert len(result.reason or "") < 3000
    left = set(Path(tempfile.gettempdir()).glob("attnbench-*")) - before
    assert not any(file.stat().st_size >= LARGEST_FILE_BYTES for file in left)


@pytest.mark.parametrize("afterwards", ["os._exit(0)", "time.sleep(600)"])
def test_a_cell_that_closes_its_pipe_is_not_waited_for(tmp_path: Path, afterwards: str) -> None:
    """Nor until its time is over, which would be a timeout."""
    result = run_cell(tmp_path, f"(HERE / 'pid').write_text(str(os.getpid())); os.closerange(3, 1000); {afterwards}")
    assert (result.status, result.stage) == ("error", "warm up")
    assert result.reason in ("ended with exit code 0 and no result", "closed its pipe to the harness and gave no result")
    assert is_gone(int((tmp_path / "pid").read_text()))


@pytest.mark.parametrize("content", [b"\0\0\0\4junk", b"\0\0\0\2N.", b"\0\1\0\0short", b"\xff\xff\xff\xfe"])
def test_rubbish_in_the_pipe_is_the_cells_error(tmp_path: Path, content: bytes) -> None:
    """A foreign message, one that is no message, half of one, and one of a length below zero."""
    body = f"""
import gc
from multiprocessing.connection import Connection
(pipe,) = [x for x in gc.get_objects() if isinstance(x, Connection) and not x.closed and x.writable]
os.write(pipe.fileno(), {content!r})
os._exit(0)
"""
    result = run_cell(tmp_path, body)
    assert (result.status, result.stage) == ("error", "warm up")


DAEMON = """
if not (HERE / "daemon").exists():
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            (HERE / "daemon").write_text(str(os.getpid()))
            time.sleep(600)
        os._exit(0)
    os.wait()
    while not (HERE / "daemon").exists() or not (HERE / "daemon").read_text():
        time.sleep(0.01)
"""


@pytest.mark.usefixtures("fork_server")
@pytest.mark.parametrize(
    ("then", "status", "timeout_s"),
    [("", "ok", PATIENCE_S), ("raise ValueError('boom')", "error", PATIENCE_S), ("time.sleep(600)", "timeout", 5.0)],
)
def test_no_daemon_outlives_its_cell(tmp_path: Path, then: str, status: str, timeout_s: float) -> None:
    """A grandchild in a session of its own whose parent is gone, however the cell ends."""
    result = run_cell(tmp_path, DAEMON + then, timeout_s)
    assert result.status == status
    assert is_gone(int((tmp_path / "daemon").read_text()))


@dataclass(frozen=True)
class Backwards(Errand):
    """A job whose clock goes back while it times."""

    def work(self, stage: Stage) -> Any:
        stage("time")
        readings = iter([5.0, 5.1, 7.0, 6.0])
        return take_turns({"call": Turn(lambda _: None)}, "cpu", clock=readings.__next__)


@dataclass(frozen=True)
class Unsendable(Errand):
    """A job that gives what no pipe can carry."""

    def work(self, stage: Stage) -> Any:
        return lambda: None


def test_a_clock_that_goes_backwards_is_an_error_of_the_cell() -> None:
    result = run_in_child(Backwards(), "forkserver")
    assert (result.status, result.stage) == ("error", "time")
    assert (result.reason or "").startswith(f"{ClockError.__name__}: the clock advanced by -1 s during a call")


def test_a_result_that_cannot_be_sent_is_an_error_of_the_cell() -> None:
    result = run_in_child(Unsendable(), "forkserver")
    assert (result.status, result.stage) == ("error", "start")
    assert "pickle" in (result.reason or "")


def test_a_process_that_cannot_be_started_is_an_error_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """With no folder of temporary files; so that the cell has a record, and is tried again."""

    def nowhere() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found")

    with monkeypatch.context() as patch:
        patch.setattr(tempfile, "_get_default_tempdir", nowhere)
        patch.setattr(tempfile, "tempdir", None)
        found = run_in_child(Nothing(), "forkserver")
        with pytest.raises(AttnbenchError, match="set TMPDIR"), measurement_lock():
            pass
    assert (found.status, found.stage) == ("error", "start") and "No usable temporary directory" in (found.reason or "")
