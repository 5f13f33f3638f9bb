"""The lock of the machine: what is timed is alone, trainings share it, and none of either waits for ever."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from attnbench.runner.lock import Cancelled, measurement_lock
from helpers.misbehaving import wait_for

HOLD = """
import sys
from pathlib import Path
from attnbench.runner.lock import measurement_lock
with measurement_lock(shared={shared}, gpu={gpu!r}):
    Path({held!r}).touch()
    sys.stdin.readline()
"""


class Holder:
    """Another process that wants the lock, and gives it back when it is told."""

    def __init__(self, held: Path, shared: bool, gpu: str | None) -> None:
        self._held = held
        self._process = subprocess.Popen([sys.executable, "-c", HOLD.format(shared=shared, held=str(held), gpu=gpu)], stdin=subprocess.PIPE)

    def holds(self) -> bool:
        return self._held.exists()

    def end(self, kill: bool = False) -> None:
        if kill:
            self._process.kill()
        if self._process.stdin is not None and not self._process.stdin.closed:
            self._process.communicate(b"" if kill else b"\n")


@pytest.fixture
def another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Holder]]:
    """Starts processes that want the lock, of a folder of temporary files of their own; those that are left end with the test."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    started: list[Holder] = []

    def start(shared: bool, gpu: str | None = None) -> Holder:
        started.append(Holder(tmp_path / f"held-{len(started)}", shared, gpu))
        return started[-1]

    yield start
    for holder in started:
        holder.end(kill=True)


def is_free(shared: bool, gpu: str | None = None) -> bool:
    """Whether this process gets the lock at once."""
    try:
        with measurement_lock(shared, lambda: True, gpu):
            return True
    except Cancelled:
        return False


def test_trainings_share_it_and_what_is_timed_does_not(another: Callable[..., Holder]) -> None:
    one, other = another(True), another(True)
    wait_for(lambda: one.holds() and other.holds())
    assert is_free(shared=True) and not is_free(shared=False)
    one.end()
    assert not is_free(shared=False)
    other.end()
    assert is_free(shared=False)


@pytest.mark.parametrize("kill", [False, True])
def test_what_is_timed_is_alone_until_it_ends_however_it_does(another: Callable[..., Holder], kill: bool) -> None:
    alone = another(False)
    wait_for(alone.holds)
    assert not is_free(shared=True) and not is_free(shared=False)
    alone.end(kill)
    assert is_free(shared=True) and is_free(shared=False)


def test_who_waits_to_be_alone_comes_before_trainings_that_ask_later(another: Callable[..., Holder]) -> None:
    first = another(True)
    wait_for(first.holds)
    alone = another(False)
    wait_for(lambda: not is_free(shared=True))  # the other stands in the way of all who come now
    assert not alone.holds()
    first.end()
    wait_for(alone.holds)
    alone.end()
    assert is_free(shared=True)


def test_what_is_timed_on_a_gpu_is_alone_there_and_keeps_the_machine_from_what_is_timed_on_it(another: Callable[..., Holder]) -> None:
    on_gpu = another(False, "GPU-1")
    wait_for(on_gpu.holds)
    assert is_free(shared=False, gpu="GPU-2") and is_free(shared=True)
    assert not is_free(shared=False, gpu="GPU-1") and not is_free(shared=True, gpu="GPU-1") and not is_free(shared=False)
    on_gpu.end()
    assert is_free(shared=False, gpu="GPU-1") and is_free(shared=False)
