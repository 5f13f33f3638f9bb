"""A cell's process: its limits hold, its failures are data, and nothing of it outlives the parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from attnbench.alone import alone
from attnbench.child import Job, Limits, Result, run_in_child
from factory import make_spec

HEADER = '''"""A mechanism for a test."""
import os, signal, subprocess, sys, time
import torch
from torch import nn
from attnbench.attention import Unsupported, Variant
from attnbench.errors import Unavailable

class Mine(nn.Module):
    def forward(self, q, k, v, causal=False, padding_mask=None):
        {body}
        return v

VARIANT = Variant(build=lambda shape: Mine(), citation="none", family="other", formula="V", causal=False,
                  normalises_rows=True, time_exponent=1.0, memory_exponent=1.0)
'''


def run(folder: Path, body: str, seconds: float = 60.0, memory: int | None = None) -> Result:
    file = folder / "mine.py"
    file.write_text(HEADER.format(body=body))
    share = 0.5 if memory is None else memory / psutil.virtual_memory().total
    limits = Limits(timeout_s=seconds, memory_share=share)
    return run_in_child(Job(make_spec(variant="mine", seq_len=16), str(file), None, 1, limits), "forkserver")


def test_a_good_cell_gives_samples(tmp_path: Path) -> None:
    result = run(tmp_path, "pass")
    assert (result.status, result.reason) == ("ok", None)
    assert len(result.value.samples["forward_s"]) >= 12
    assert min(result.value.samples["forward_s"]) > 0


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ("raise Unsupported('no causal form')", "skipped", "no causal form"),
        ("raise Unavailable('no GPU here')", "unavailable", "no GPU here"),
        ("raise ValueError('naïve 中 \\u2028')", "error", "naïve 中"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "error", "SIGSEGV"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "oom", "SIGKILL"),
        ("os._exit(3)", "error", "exit code 3"),
        ("sys.exit('bye')", "error", "SystemExit: bye"),
        ("v = v / 0 * 0", "incorrect", "not finite"),
        ("raise RuntimeError('CUDA error: CUBLAS_STATUS_ALLOC_FAILED')", "oom", "ALLOC_FAILED"),
    ],
)
def test_failures_are_data(tmp_path: Path, body: str, status: str, said: str) -> None:
    result = run(tmp_path, body)
    assert result.status == status
    assert said in (result.reason or "")
    assert result.stage in {"warm up", "verify"}
    assert result.value is None


def test_what_the_cell_printed_helps_with_an_error(tmp_path: Path) -> None:
    result = run(tmp_path, "print('the last words', flush=True); raise RuntimeError('boom')")
    assert "the last words" in (result.reason or "")
    assert "mine.py" in (result.reason or "")


def test_memory_beyond_the_limit_is_oom(tmp_path: Path) -> None:
    result = run(tmp_path, "torch.ones(2**28)", memory=2**29)  # 1 GiB against 512 MiB
    assert (result.status, result.stage) == ("oom", "warm up")


def test_a_hang_is_killed_with_everything_it_started(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    body = f"p = subprocess.Popen(['sleep', '600']); open({str(note)!r}, 'w').write(str(p.pid)); time.sleep(600)"
    began = time.monotonic()
    result = run(tmp_path, body, seconds=5.0)
    assert (result.status, result.stage) == ("timeout", "warm up")
    assert time.monotonic() - began < 30
    assert gone(int(note.read_text()))


def test_a_cell_dies_with_its_parent(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    (tmp_path / "mine.py").write_text(HEADER.format(body=f"open({str(note)!r}, 'w').write(str(os.getpid())); time.sleep(600)"))
    script = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from attnbench.child import Job, Limits, run_in_child
from factory import make_spec
if __name__ == "__main__":
    run_in_child(Job(make_spec(variant="mine", seq_len=16), {str(tmp_path / "mine.py")!r}, None, 1, Limits()), "forkserver")
"""
    program = tmp_path / "parent.py"
    program.write_text(script)
    with subprocess.Popen([sys.executable, str(program)]) as parent:
        wait_for(note.exists)
        wait_for(lambda: note.read_text() != "")
        os.kill(parent.pid, signal.SIGKILL)
    assert gone(int(note.read_text()))


def wait_for(condition: object, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.05)


def gone(pid: int) -> bool:
    """Whether a process is dead, or a zombie that waits for its parent, within ten seconds."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.1)
    return False


def test_two_commands_never_measure_at_once(capfd: pytest.CaptureFixture[str]) -> None:
    """The second waits, and says so."""
    spans: list[tuple[float, float]] = []

    def measure() -> None:
        with alone():
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
