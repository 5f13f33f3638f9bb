"""The command line as a user meets it: answers, errors, resume."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import attnbench
from attnbench.cli import app, guarded
from attnbench.spec import presets
from attnbench.store import environment
from attnbench.store.store import Store
from helpers.command import LONGEST_S, cli, cli_here
from helpers.records import make_record, make_spec

CELL = '{"track":"kernel","variant":"softmax","seq_len":32,"mode":"forward"}'


@pytest.mark.parametrize("what", ["variants", "tasks", "presets"])
def test_list_as_json_is_a_list_of_named_objects(what: str) -> None:
    rows = json.loads(cli_here("list", what, "--json").stdout)
    assert all(row["name"] and row["summary"] for row in rows)
    if what != "presets":
        assert [row["name"] for row in rows] == attnbench.names(what)


LIGHT = """
import sys
from attnbench.cli import main
try:
    main()
finally:
    assert not {"torch", "pandas", "scipy"} & set(sys.modules)
"""


@pytest.mark.parametrize("arguments", [("list", "variants"), ("list", "tasks"), ("schema",), ("doctor", "--machine")], ids=" ".join)
def test_what_should_answer_at_once_imports_nothing_large(arguments: tuple[str, ...]) -> None:
    done = subprocess.run([sys.executable, "-c", LIGHT, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout, done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("list", "variant"), "did you mean 'variants'"),
        (("run", "--variant", "softmx"), "did you mean 'softmax'"),
        (("run", "--task", "minst"), "did you mean 'mnist'"),
        (("run", "--track", "kernal"), "did you mean 'kernel'"),
        (("run", "--preset", "quik"), "did you mean 'quick'"),
        (("run", "--device", "cdua"), "did you mean 'cuda'"),
        (("run", "--preset", "standard", "--seq-len", "3000"), "--seq-len asks for cells of a shape of your own, which no preset holds"),
        (("run", "--cell", "{"), "not JSON"),
        (("run", "--cell", '{"track":"kernel","variant":"softmx","seq_len":1}'), "did you mean 'softmax'"),
        (("run", "--cell", '{"track":"kernel","variant":"softmax","seq_len":1,"params":{"degree":3}}'), "unknown parameter"),
        (("run", "--cell", '{"track":"kernel","variant":"softmax","seq_len":"1"}'), "does not fit"),
        (("run", "--track", "kernel", "--task", "mnist"), "no cell of preset"),
        (("show", "--results", "nowhere"), "no results folder 'nowhere'"),
        (("site", "--results", "nowhere"), "no results folder 'nowhere'"),
        (("frobnicate",), "No such command"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(arguments: tuple[str, ...], said: str, tmp_path: Path) -> None:
    done = cli_here(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not any(tmp_path.iterdir())


def test_one_cell_is_measured_stored_and_found_again(results: Path) -> None:
    assert cli_here("run", "--cell", CELL, "--results", str(results)).returncode == 0
    (record,) = Store(results).read()
    assert (record.status, record.spec.seq_len) == ("ok", 32)
    again = cli_here("run", "--cell", CELL, "--results", str(results))
    assert "Nothing to do: all 1 cells are finished" in again.stdout
    assert list(Store(results).read()) == [record]
    assert cli_here("run", "--cell", CELL, "--results", str(results), "--rerun").returncode == 0
    assert len(list(Store(results).read())) == 2


@pytest.mark.long
def test_the_command_of_a_record_repeats_its_cell(results: Path) -> None:
    cli_here("run", "--cell", CELL, "--results", str(results))
    (record,) = Store(results).read()
    command = record.command.replace("attnbench", f"{sys.executable} -m attnbench", 1) + f" --busy --results {results}"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=True, timeout=LONGEST_S)
    assert "1 cells measured (1 ok)" in done.stdout
    assert {r.id for r in Store(results).read()} == {record.id}


FAILING = """
"Fails deep inside torch, at the one length that no check tries."
import torch
from torch import nn
from attnbench.attention import Unsupported, Variant, hide_padding
class Failing(nn.Module):
    def forward(self, q, k, v, causal=False, padding_mask=None):
        if causal:
            raise Unsupported("no causal form")
        if q.shape[-2] == 32:
            torch.nn.functional.layer_norm(q, (q.shape[-1] + 1,))
        return hide_padding(padding_mask, v)[0]
VARIANT = Variant(build=lambda shape: Failing(), citation="", family="other", formula="", causal=False, normalises_rows=False,
                  time_exponent=1.0, memory_exponent=1.0)
"""


def test_a_record_holds_no_path_user_or_host(results: Path, tmp_path: Path) -> None:
    """The traceback passes through torch, a virtual environment and a file outside the user's home."""
    file = tmp_path / "mine.py"
    file.write_text(FAILING)
    cell = CELL.replace("softmax", "mine")
    done = cli_here("run", "--variant", str(file), "--cell", cell, "--results", str(results))
    assert done.returncode == 1
    (record,) = Store(results).read()
    assert (record.status, record.spec.variant) == ("error", "mine")
    assert "functional.py" in (record.reason or "")
    assert record.command.endswith("--variant mine.py")
    assert not re.search(r"/[a-z]+/", next(results.rglob("*.jsonl")).read_text())
    again = cli_here("run", "--variant", str(file), "--cell", cell, "--results", str(results))
    assert again.returncode == 1


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ('File "/home/alice/my code/x.py", line 3', 'File "x.py", line 3'),
        ("no such file: '/srv/alice/private/data file.txt'", "no such file: 'data file.txt'"),
        ("~/secret/y.py and /tmp/z", "y.py and z"),
        ("a ratio of 3/4, and/or 10 tokens/s", "a ratio of 3/4, and/or 10 tokens/s"),
        ("see https://pytorch.org/docs", "see https://pytorch.org/docs"),
    ],
)
def test_messages_lose_their_folders(said: str, kept: str) -> None:
    assert environment.anonymous(said) == kept


def test_what_was_missing_or_cut_short_is_tried_again(results: Path) -> None:
    assert cli_here("run", "--cell", CELL, "--results", str(results), "--timeout", "500").returncode == 0
    (record,) = Store(results).read()
    cut = dataclasses.replace(record, status="timeout", measurements={}, stage="time", reason="killed")
    for status, allowed, expected in (("timeout", "600", 1), ("timeout", "500", 0), ("unavailable", "60", 1)):
        shutil.rmtree(results / "records")
        Store(results).append(dataclasses.replace(cut, status=status))
        cli_here("run", "--cell", CELL, "--results", str(results), "--timeout", allowed)
        assert len(list(Store(results).read())) == 1 + expected, (status, allowed)


def test_a_finished_run_still_tells_of_an_earlier_error(results: Path) -> None:
    cli_here("run", "--cell", CELL, "--results", str(results))
    (record,) = Store(results).read()
    Store(results).append(dataclasses.replace(record, status="error", measurements={}, reason="boom", stage="time"))
    assert cli_here("run", "--cell", CELL, "--results", str(results)).returncode == 1


def test_a_file_runs_on_every_cell_of_the_preset(tmp_path: Path) -> None:
    source = Path(attnbench.__file__).parent / "variants" / "softmax_math.py"
    file = tmp_path / "mine.py"
    file.write_text(source.read_text())
    done = cli_here("run", "--variant", str(file), "--dry-run")
    assert "24 cells to run, about " in done.stdout and done.stdout.endswith("; 0 finished already\n")
    assert done.stdout.count(" mine ") == 24


def test_a_shape_of_ones_own_is_given_by_flags() -> None:
    shape = ("--num-heads", "32", "--num-kv-heads", "8", "--head-dim", "128", "--seq-len", "100", "--mode", "decode")
    told = cli_here("run", "--dry-run", "--variant", "polynomial", *shape).stdout
    assert "kernel · softmax · seq_len 100 · decode · causal · 32 heads of 128, 8 key-value heads\n" in told
    assert "2 cells to run" in told
    refused = cli_here("run", "--dry-run", *shape, "--num-kv-heads", "5")
    assert refused.returncode == 2 and "num_kv_heads is 5; it must divide num_heads, which is 32" in refused.stderr


def test_dry_run_writes_nothing(new_results: Path) -> None:
    assert "94 cells to run" in cli_here("run", "--dry-run", "--results", str(new_results)).stdout
    assert not new_results.exists()


@pytest.mark.long
def test_cuda_cells_are_unavailable_without_a_device(results: Path) -> None:
    done = cli("run", "--cell", CELL[:-1] + ',"device":"cuda"}', "--results", str(results), CUDA_VISIBLE_DEVICES="")
    assert done.returncode == 0
    (record,) = Store(results).read()
    assert record.status == "unavailable"
    assert "--device cpu" in (record.reason or "")


def test_corrupt_lines_are_named_by_run_and_show(results: Path) -> None:
    store = Store(results)
    store.append(make_record())
    file = next(results.rglob("*.jsonl"))
    with file.open("a") as stream:
        stream.write('{"cut')
    before = file.read_bytes()
    shown = cli_here("show", "--results", str(results))
    assert shown.returncode == 0
    assert f"{file}:2: cut off" in shown.stderr
    ran = cli_here("run", "--cell", CELL, "--results", str(results))
    assert f"{file}:2: cut off" in ran.stdout
    assert file.read_bytes() == before


def test_show_prints_units_and_failures_in_their_place(results: Path) -> None:
    store = Store(results)
    for seq_len in (128, 256, 512, 1024, 2048):
        seconds = [seq_len * 1e-6] * 9
        found = {"forward_s": seconds, "peak_memory_bytes": [seq_len * 1024.0], "drift_anchor_s": [1e-3]}
        store.append(make_record(make_spec(seq_len=seq_len), measurements=found))
    store.append(make_record(make_spec(seq_len=4096), status="oom", reason="too large", stage="time", measurements={}))
    done = cli_here("show", "--results", str(results))
    text = done.stdout.replace("\u2009", " ")
    assert re.search(r"1 +softmax +1× +baseline +128 µs +256 µs +512 µs +1\.02 ms +2\.05 ms +out of memory +n\^1\.00 ± 0\.0\d", text)
    assert "oom: kernel · softmax · seq_len 4,096 · forward: too large" in text


def test_doctor_names_the_machine_and_not_the_host() -> None:
    facts = json.loads(cli("doctor", "--json").stdout)
    assert facts["cores"] >= 1
    assert facts["machine"] == cli("doctor", "--machine").stdout.strip()
    assert os.uname().nodename not in facts["machine"].split("-")
    assert cli("doctor", "--machine", ATTNBENCH_MACHINE="my-desk").stdout.strip() == "my-desk"
    assert cli("doctor", "--machine", ATTNBENCH_MACHINE="../x").returncode == 2
    assert facts["presets"] == presets.fitting(facts["cuda"])


def test_one_command_after_another_in_one_process(capsys: pytest.CaptureFixture[str]) -> None:
    assert [guarded(lambda words=words: app(words)) for words in (["list", "claims"], ["check", "--help"])] == [0, 0]
    assert "Check every registered variant" in capsys.readouterr().out
