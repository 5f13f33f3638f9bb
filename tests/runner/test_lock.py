"""The lock of the machine: what is timed is alone, trainings share it, and none of either waits for ever."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from attnbench.runner.lock import Cancelled, measurement_lock
from helpers.misbehaving import wait_for

MANY = 8  # slots, of which some are always free
HOLD = """
import sys
from pathlib import Path
from attnbench.runner.lock import measurement_lock
with measurement_lock({slots}, gpu={gpu!r}):
    Path({held!r}).touch()
    sys.stdin.readline()
"""


class Holder:
    """Another process that wants the lock, and gives it back when it is told."""

    def __init__(self, held: Path, slots: int | None, gpu: str | None) -> None:
        self._held = held
        self._process = subprocess.Popen([sys.executable, "-c", HOLD.format(slots=slots, held=str(held), gpu=gpu)], stdin=subprocess.PIPE)

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

    def start(slots: int | None = None, gpu: str | None = None) -> Holder:
        started.append(Holder(tmp_path / f"held-{len(started)}", slots, gpu))
        return started[-1]

    yield start
    for holder in started:
        holder.end(kill=True)


def is_free(slots: int | None = None, gpu: str | None = None) -> bool:
    """Whether this process gets the lock at once."""
    try:
        with measurement_lock(slots, lambda: True, gpu):
            return True
    except Cancelled:
        return False


def test_trainings_share_it_and_what_is_timed_does_not(another: Callable[..., Holder]) -> None:
    one, other = another(MANY), another(MANY)
    wait_for(lambda: one.holds() and other.holds())
    assert is_free(MANY) and not is_free()
    one.end()
    assert not is_free()
    other.end()
    assert is_free()


@pytest.mark.parametrize("kill", [False, True])
def test_what_is_timed_is_alone_until_it_ends_however_it_does(another: Callable[..., Holder], kill: bool) -> None:
    alone = another()
    wait_for(alone.holds)
    assert not is_free(MANY) and not is_free()
    alone.end(kill)
    assert is_free(MANY) and is_free()


def test_who_waits_to_be_alone_comes_before_trainings_that_ask_later(another: Callable[..., Holder]) -> None:
    first = another(MANY)
    wait_for(first.holds)
    alone = another()
    wait_for(lambda: not is_free(MANY))  # the other stands in the way of all who come now
    assert not alone.holds()
    first.end()
    wait_for(alone.holds)
    alone.end()
    assert is_free(MANY)


def test_what_is_timed_on_a_gpu_is_alone_there_and_keeps_the_machine_from_what_is_timed_on_it(another: Callable[..., Holder]) -> None:
    on_gpu = another(gpu="GPU-1")
    wait_for(on_gpu.holds)
    assert is_free(gpu="GPU-2") and is_free(MANY)
    assert not is_free(gpu="GPU-1") and not is_free(MANY, gpu="GPU-1") and not is_free()
    on_gpu.end()
    assert is_free(gpu="GPU-1") and is_free()


def test_of_what_is_not_timed_no_more_run_at_once_than_share_the_memory_whoever_began_them(another: Callable[..., Holder]) -> None:
    one, other = another(2), another(2)
    wait_for(lambda: one.holds() and other.holds())
    third = another(2)
    assert not is_free(2) and not third.holds()
    assert is_free(2, gpu="GPU-1"), "a GPU has memory of its own"
    other.end(kill=True)
    wait_for(third.holds)
    assert not is_free(2)
    one.end()
    assert is_free(2)
