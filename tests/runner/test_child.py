"""A cell's process: its limits hold, its failures are data, and nothing of it outlives the parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from attnbench.runner.lock import measurement_lock
from attnbench.runner.parent import _ctrl_c_later
from helpers.misbehaving import is_gone, run_cell, wait_for, write_variant
from helpers.paths import TESTS


def test_a_good_cell_gives_samples(tmp_path: Path) -> None:
    result = run_cell(tmp_path, "pass")
    assert (result.status, result.reason) == ("ok", None)
    assert len(result.value.samples["forward_s"]) >= 8
    assert min(result.value.samples["forward_s"]) > 0


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ("raise Unsupported('no such form')", "skipped", "no such form"),
        ("raise Unavailable('no GPU here')", "unavailable", "no GPU here"),
        ("raise ValueError('naïve 中 \\u2028')", "error", "naïve 中"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "error", "SIGSEGV"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "oom", "SIGKILL"),
        ("os._exit(3)", "error", "exit code 3"),
        ("sys.exit('bye')", "error", "SystemExit: bye"),
        ("v = v / 0 * 0", "incorrect", "not finite"),
        ("raise RuntimeError('CUDA error: CUBLAS_STATUS_ALLOC_FAILED')", "oom", "ALLOC_FAILED"),
        ("return None", "incorrect", "a NoneType; return a plain torch.Tensor"),
        ("return v, v", "incorrect", "a tuple; return a plain torch.Tensor"),
        ("return v.numpy()", "incorrect", "a ndarray; return a plain torch.Tensor"),
        ("return v[..., 1:]", "incorrect", "shape (1, 4, 16, 63); it must be (1, 4, 16, 64)"),
    ],
)
def test_failures_are_data(tmp_path: Path, body: str, status: str, said: str) -> None:
    result = run_cell(tmp_path, body)
    assert result.status == status
    assert said in (result.reason or "")
    assert result.stage in {"warm up", "time", "verify"}
    assert result.value is None


def test_what_the_cell_printed_helps_with_an_error(tmp_path: Path) -> None:
    """Flushed or not, and above the traceback."""
    result = run_cell(tmp_path, "print('the last words'); raise RuntimeError('boom')")
    first, *rest = (result.reason or "").splitlines()
    assert first == "RuntimeError: boom"
    assert rest.index("the last words") < len(rest) - 2
    assert any('mine.py"' in line for line in rest[-4:])
    assert rest[-1] == "RuntimeError: boom"


def test_memory_beyond_the_limit_is_oom(tmp_path: Path) -> None:
    result = run_cell(tmp_path, "torch.ones(2**28)", memory_bytes=2**29)  # 1 GiB against 512 MiB
    assert (result.status, result.stage) == ("oom", "warm up")


@pytest.mark.usefixtures("fork_server")
def test_a_hang_is_killed_with_everything_it_started(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    body = "p = subprocess.Popen(['sleep', '600']); (HERE / 'pid').write_text(str(p.pid)); time.sleep(600)"
    result = run_cell(tmp_path, body, timeout_s=5.0)
    assert (result.status, result.stage, result.reason) == ("timeout", "warm up", "killed after 5 s")
    assert is_gone(int(note.read_text()))


def test_a_cell_dies_with_its_parent(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    source = write_variant(tmp_path, "(HERE / 'pid').write_text(str(os.getpid())); time.sleep(600)")
    script = f"""
import sys
sys.path.insert(0, {str(TESTS)!r})
from attnbench.runner.jobs import CellJob, Limits
from attnbench.runner.parent import run_in_child
from helpers.records import make_spec
if __name__ == "__main__":
    run_in_child(CellJob(make_spec(variant="mine", seq_len=16), {source!r}, None, 1, Limits()), "forkserver")
"""
    program = tmp_path / "parent.py"
    program.write_text(script)
    with subprocess.Popen([sys.executable, str(program)]) as parent:
        wait_for(lambda: note.exists() and note.read_text())
        os.kill(parent.pid, signal.SIGKILL)
    assert is_gone(int(note.read_text()))


def test_ctrl_c_waits_until_a_process_is_started_even_if_another_thread_takes_the_signal() -> None:
    """The threads of a numeric library let it through; here one of Python's does."""
    done, steps = threading.Event(), []
    other = threading.Thread(target=done.wait)
    other.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            with _ctrl_c_later("forkserver"):
                steps.append("starts")
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(0.1)
                steps.append("has started")
            steps.append("goes on")
    finally:
        done.set()
        other.join()
    assert steps == ["starts", "has started"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_two_commands_never_measure_at_once(capfd: pytest.CaptureFixture[str]) -> None:
    """The second waits, and says so."""
    spans: list[tuple[float, float]] = []

    def measure() -> None:
        with measurement_lock():
            began = time.monotonic()
            time.sleep(0.5)
            spans.append((began, time.monotonic()))

    threads = [threading.Thread(target=measure) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (_, first_end), (second_start, _) = sorted(spans)
    assert second_start >= first_end
    assert "waiting for another attnbench" in capfd.readouterr().err
