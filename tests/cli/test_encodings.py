"""Every command on an output that is not UTF-8: an old console, a log of CI, the C locale. Letters are replaced, and nothing ends."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from helpers.paths import REPO
from helpers.records import know_machine, make_record
from helpers.site_records import record, stored, usual

ENCODINGS = {
    "ascii": {"PYTHONIOENCODING": "ascii"},
    "cp1252": {"PYTHONIOENCODING": "cp1252"},
    "the C locale": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
}
CELL = '{"track":"kernel","variant":"softmax","seq_len":16,"mode":"forward"}'
# Runs commands one after the other, each from the program's start, and prints the exit code of each.
PROGRAM = """
import json, sys
from attnbench.cli import main
for command in json.loads(sys.argv[1]):
    sys.argv = ["attnbench", *command]
    try:
        main()
    except SystemExit as stop:
        print(f"\\nexit code {stop.code} of {command[0]}")
"""


def run(commands: list[list[str]], folder: Path, **variables: str) -> tuple[str, str]:
    """The output and errors of commands, which must be of the encoding that they were told. Python warns of files without one."""
    encoding = variables.get("PYTHONIOENCODING", "ascii")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "PYTHONIO", "PYTHONUTF8"))}
    environment: dict[str, Any] = {**kept, "COLUMNS": "160", "ATTNBENCH_MACHINE": "desk", **variables}
    given = [sys.executable, "-X", "warn_default_encoding", "-c", PROGRAM, json.dumps(commands)]
    done = subprocess.run(given, capture_output=True, check=False, cwd=folder, env=environment)
    assert done.returncode == 0, done.stderr.decode("latin-1")
    return done.stdout.decode(encoding), done.stderr.decode(encoding)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Records whose names, reasons and machines have letters that few encodings have."""
    results = tmp_path / "results"
    know_machine(results, "desk")
    odd = [record(dataclasses.replace(r.spec, variant="sœft中"), r.status, measurements=r.measurements) for r in usual()[:4]]
    failed = make_record(
        odd[0].spec, status="error", reason="中文 ×", measurements={}, environment={"cpu": "Prozeßor ™", "torch": "2.13.0"}
    )
    return stored(results, [*usual(), *odd, failed])


@pytest.mark.long
def test_every_command_ends_in_the_c_locale_as_it_does_in_utf_8(store: Path, tmp_path: Path) -> None:
    (store / "records" / "desk" / "odd.jsonl").write_text('{"id": "中"}\n', encoding="utf-8")
    results = ["--results", str(store)]
    commands = [
        ["show", *results], ["compare", "softmax", "sœft中", *results], ["claims", "--evidence", *results], ["doctor", *results],
        ["list", "variants"], ["list", "columns"], ["list", "presets"], ["schema"], ["validate", str(store)], ["new", "mine"],
        ["site", "--out", "dist", *results], ["export", "x.csv", *results], ["export", "x.json", *results],
        ["run", "--cell", CELL, *results], ["run", "--cell", CELL, "--dry-run", *results], ["show", "--variant", "sœft文", *results],
        ["--help"], ["run", "--help"], ["check", "--nothing"],
    ]  # fmt: skip
    out, err = run(commands, tmp_path, **ENCODINGS["the C locale"])
    codes = [line.split()[2] for line in out.splitlines() if line.startswith("exit code")]
    wanted = ["0"] * len(commands)
    wanted[8], wanted[15], wanted[18] = "1", "2", "2"  # a line that is no record, a name that there is not, an option that there is not
    assert codes == wanted, out[-3000:] + err
    assert "unexpected error" not in err and "Traceback" not in err and "Unicode" not in err
    assert not [line for line in err.splitlines() if "EncodingWarning" in line and "/attnbench/" in line]
    assert "s?ft?" in out
    for found in ((tmp_path / "dist").rglob("*.html"), tmp_path.glob("x.*"), tmp_path.glob("mine.py")):
        assert all(file.read_bytes().decode("utf-8") for file in found)
    assert "sœft中" in (tmp_path / "x.csv").read_text(encoding="utf-8")
    assert "sœft中" in (tmp_path / "dist" / "variants.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(("name", "letters"), [("ascii", "s?ft?"), ("cp1252", "sœft?")])
@pytest.mark.long
def test_letters_that_an_output_lacks_are_replaced(name: str, letters: str, store: Path, tmp_path: Path) -> None:
    results = ["--results", str(store)]
    commands = [
        ["show", *results],
        ["compare", "softmax", "sœft中", *results],
        ["doctor", *results],
        ["list", "variants"],
        ["list", "columns"],
    ]
    out, err = run(commands, tmp_path, **ENCODINGS[name])
    assert out.count("exit code 0 of ") == len(commands), out[-3000:] + err
    assert letters in out and "error" not in err


@pytest.mark.long
def test_json_means_the_same_in_every_encoding(store: Path, tmp_path: Path) -> None:
    commands = [["compare", "softmax", "sœft中", "--json", "--results", str(store)], ["list", "variants", "--json"]]
    found = []
    for variables in (ENCODINGS["ascii"], {"PYTHONIOENCODING": "utf-8"}):
        out, _ = run(commands, tmp_path, **variables)
        compared, listed, _ = re.split(r"\nexit code \d of \w+\n", out)
        found.append((json.loads(compared), json.loads(listed)))
    assert found[0] == found[1]


@pytest.mark.long
def test_what_a_mechanism_prints_is_no_error(tmp_path: Path) -> None:
    """In a cell's process too, whose output is kept for a reason."""
    results = tmp_path / "results"
    know_machine(results, "desk")
    text = (REPO / "suite" / "attnbench" / "variants" / "_template.py").read_text(encoding="utf-8")
    first = "        (v,) = hide_padding(padding_mask, v)"
    assert first in text
    file = tmp_path / "speaking.py"
    file.write_text(text.replace(first, f"        print('× ² 中 \\ud800')\n{first}"), encoding="utf-8")
    command = ["run", "--busy", "--variant", str(file), "--cell", CELL.replace("softmax", "speaking"), "--results", str(results)]
    out, err = run([command], tmp_path, **ENCODINGS["the C locale"])
    assert "1 cells measured (1 ok)" in out, out + err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device here that is always full")
@pytest.mark.parametrize("command", [["show"], ["list", "variants"], ["validate", "--json"]], ids=" ".join)
def test_an_output_that_is_full_is_told_in_a_line(command: list[str], store: Path) -> None:
    where = [] if command[0] == "list" else ([str(store)] if command[0] == "validate" else ["--results", str(store)])
    with Path("/dev/full").open("wb") as full:
        given = [sys.executable, "-m", "attnbench", *command, *where]
        done = subprocess.run(given, stdout=full, stderr=subprocess.PIPE, check=False, text=True)
    assert done.returncode not in (0, 2)
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr and "unexpected error" not in done.stderr, done.stderr
