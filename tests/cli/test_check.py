"""`attnbench check` and `attnbench new` as a user meets them: tables, JSON, exit codes, limits."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest
from rich.console import Console

import attnbench
from attnbench.cli.check import Request, check_variants
from attnbench.errors import BadInput
from attnbench.measurement.checks import CORRECTNESS, THOROUGH
from helpers.command import cli_here

TEMPLATE = (Path(attnbench.__file__).parent / "variants" / "_template.py").read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("check",), "give the name of a variant, the path of its file, or --all"),
        (("check", "softmx"), "did you mean 'softmax'"),
        (("check", "gone.py"), "there is no file 'gone.py'"),
        (("check", "softmax", "--device", "cdua"), "did you mean 'cuda'"),
        (("check", "softmax", "--all"), "give one or the other"),
        (("check", "softmax", "--timeout", "0"), "greater than or equal to 1"),
        (("new",), "Missing argument"),
        (("new", "a-b"), "letters, digits and underscores"),
        (("new", "softmax"), "name of a registered variant"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(arguments: tuple[str, ...], said: str, tmp_path: Path) -> None:
    done = cli_here(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr and done.stdout == ""
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("broken", "def f(:\n", "variant 'broken' cannot be imported: SyntaxError"),
        ("empty", "x = 1\n", "declares no VARIANT"),
        ("softmax", TEMPLATE, "rename the file"),
    ],
)
def test_a_file_that_cannot_be_loaded_is_bad_input(name: str, text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / f"{name}.py"
    file.write_text(text)
    with pytest.raises(BadInput, match=said):
        answer(file)


def test_a_new_variant_passes_the_full_check(tmp_path: Path) -> None:
    assert "attnbench check my_idea.py" in cli_here("new", "my_idea", cwd=tmp_path).stdout
    done = cli_here("check", "my_idea.py", "--json", cwd=tmp_path)
    report = json.loads(done.stdout)
    assert (done.returncode, report["variant"], report["ok"]) == (0, "my_idea", True), done.stdout
    assert len(report["fingerprint"]) == 16
    assert [found["name"] for found in report["checks"]] == [*CORRECTNESS, *THOROUGH]
    by_name = {found["name"]: found for found in report["checks"]}
    assert by_name["memory"]["value"] <= by_name["memory"]["allowed"]
    assert {by_name[name]["status"] for name in ("compile", "vmap")} == {"reported"}
    assert "0 graph breaks" in by_name["compile"]["detail"] and "works" in by_name["vmap"]["detail"]


def test_several_variants_are_a_list_and_one_failure_is_exit_code_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [tmp_path / f"needy_{number}.py" for number in (1, 2)]
    for file in files:
        file.write_text(TEMPLATE.replace("Variant(\n", "Variant(\n    needs=('no_such_package',),\n"))
    assert answer(*files, json_wanted=True)[0] == 1
    for file, report in zip(files, json.loads(capsys.readouterr().out), strict=True):
        assert (report["variant"], report["ok"], report["fingerprint"]) == (file.stem, False, None)
        assert [(found["name"], found["status"]) for found in report["checks"]] == [("build", "failed")]
        assert report["checks"][0]["detail"].startswith(f"unavailable: {file.stem} needs no_such_package")


@pytest.mark.long
@pytest.mark.usefixtures("fork_server")
def test_a_mechanism_that_hangs_is_killed_and_the_check_under_way_has_failed(tmp_path: Path) -> None:
    file = tmp_path / "stuck.py"
    file.write_text(TEMPLATE.replace("(v,) =", "__import__('time').sleep(600); (v,) =", 1))
    code, text, _ = answer(file, timeout_s=8.0)
    assert code == 1
    assert re.search(r"^deterministic +failed +timeout: killed after 8 s", text, re.M)


def test_people_get_a_table_and_see_what_is_going_on(tmp_path: Path) -> None:
    file = tmp_path / "leaky.py"
    file.write_text(TEMPLATE.replace("(v,) = hide_padding(padding_mask, v)", ""))
    code, text, progress = answer(file)
    lines = text.splitlines()
    assert code == 1
    assert lines[0].startswith("leaky does not hold (cpu; ") and "1 failed" in lines[0]
    assert [line.split()[0] for line in lines[2:] if not line.startswith(" ")] == [*CORRECTNESS, *THOROUGH]
    (row,) = [line for line in lines if line.startswith("padding ")]
    assert "failed" in row and "rows of the output at padding are not zero" in row
    assert "leaky: " in progress


def answer(*files: Path, json_wanted: bool = False, timeout_s: float = 300.0) -> tuple[int, str, str]:
    """Exit code, what is printed, and what a terminal shows meanwhile."""
    out, err = io.StringIO(), io.StringIO()
    request = Request(tuple(map(str, files)), timeout_s=timeout_s)
    code = check_variants(request, json_wanted, Console(file=out, width=120), Console(file=err, force_terminal=True))
    return code, out.getvalue(), err.getvalue()
