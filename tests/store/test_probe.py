"""What only describes the system never ends a command, however the system answers."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from attnbench.store import probe
from helpers.misbehaving import is_gone, wait_for

NEVER = "sleep 600"


def shell(script: str, limit_s: float = 60.0) -> str | None:
    return probe.output_of(["sh", "-c", script], limit_s)


def test_what_a_command_prints() -> None:
    assert shell("echo ' two words '; echo more >&2") == "two words"
    assert shell("exit 0") == ""


@pytest.mark.parametrize(
    "command",
    [["no-such-program"], ["/etc/passwd"], ["/"], ["bad\0name"], ["sh", "-c", "echo said; exit 3"], ["sh", "-c", "kill -9 $$"]],
    ids=repr,
)
def test_a_command_that_fails_says_nothing(command: list[str]) -> None:
    assert probe.output_of(command) is None


def test_bytes_that_are_no_text_are_replaced() -> None:
    assert shell(r"printf 'GPU \377\376 \303\050'") == "GPU \ufffd\ufffd \ufffd("


def test_a_command_that_waits_for_input_gets_none() -> None:
    assert shell("cat; echo done") == "done"


@pytest.mark.parametrize("script", [NEVER, f"exec >&-; {NEVER}", "yes", f"trap '' TERM; echo said; {NEVER}"])
def test_a_command_that_does_not_end_is_killed(script: str, tmp_path: Path) -> None:
    note = tmp_path / "pid"
    assert shell(f"echo $$ > {note}; {script}", limit_s=1.0) is None
    assert is_gone(int(note.read_text()))


def test_what_a_hanging_command_started_is_killed_with_it(tmp_path: Path) -> None:
    """It holds the pipe, so that waiting for the end of the output would not end."""
    note = tmp_path / "pid"
    assert shell(f"{NEVER} & echo $! > {note}; {NEVER}", limit_s=1.0) is None
    wait_for(lambda: note.read_text())
    assert is_gone(int(note.read_text()))


def test_a_hanging_command_is_told_from_one_that_failed() -> None:
    assert probe.result_of(["sh", "-c", NEVER], 1.0) == (None, "")
    assert probe.result_of(["sh", "-c", "echo no; exit 2"]) == (False, "no")


def test_more_output_than_a_fact_has_is_forgotten() -> None:
    said = shell(f"head -c {3 * probe.LARGEST_BYTES} /dev/zero | tr '\\0' x")
    assert said is not None and len(said) == probe.LARGEST_BYTES


def test_files_of_any_content_and_none(tmp_path: Path) -> None:
    (tmp_path / "odd").write_bytes(b" \xff name \n")
    assert probe.text_of_file(tmp_path / "odd") == "\ufffd name"
    assert probe.text_of_file(tmp_path / "none") is None
    assert probe.text_of_file(tmp_path) is None
    assert probe.text_of_file(Path("bad\0name")) is None


def test_a_fact_that_raises_is_left_out() -> None:
    assert probe.fact(lambda: 1 / 0) is None
    assert probe.fact(lambda: subprocess.run(["no-such-program"], check=True)) is None
    assert probe.fact(lambda: 3) == 3
