"""The wheel carries what a user outside the repository needs, and says which commit it is of."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import attnbench
from attnbench.store.fingerprint import fingerprint
from helpers.factory import make_spec
from helpers.paths import REPO


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(REPO)]
    subprocess.run(command, check=True, capture_output=True, text=True)
    (built,) = folder.glob("*.whl")
    return built


def test_wheel_holds_data_site_and_commit(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {"attnbench/_site/templates/base.html", "attnbench/tasks/data/sotu.parquet", "attnbench/py.typed"} <= set(names)
    assert not [name for name in names if "dist/" in name or "benchmarks" in name or "tests/" in name]
    built = json.loads(zipfile.ZipFile(wheel).read("attnbench/_built_from.json"))
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=REPO, capture_output=True, text=True, check=False).stdout.strip()
    assert built["commit"] == (head or None)


def test_wheel_works_outside_the_repository(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    variables = {**os.environ, "PYTHONPATH": str(tmp_path / "installed"), "COLUMNS": "120"}

    def cli(*arguments: str) -> str:
        command = [sys.executable, "-m", "attnbench", *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert "orthogonal" in cli("list", "variants")
    cell = '{"track":"task","variant":"softmax","task":"mnist","block":"residual","num_layers":1,"epochs":1,"lr":0.003,"batch_size":64}'
    assert "1 ok" in cli("run", "--cell", cell)
    record = json.loads(next((tmp_path / "results").rglob("*.jsonl")).read_text())
    built = json.loads((tmp_path / "installed" / "attnbench" / "_built_from.json").read_text())
    assert record["environment"]["commit"] == built["commit"]
    cli("site")
    assert (tmp_path / "site" / "dist" / "index.html").is_file()


def test_version_is_said_once() -> None:
    declared = re.search(r'^version = "(.+)"$', (REPO / "pyproject.toml").read_text(), re.M)
    assert declared is not None
    assert declared[1] == attnbench.__version__


def test_an_edited_mechanism_has_another_fingerprint(tmp_path: Path) -> None:
    text = (Path(attnbench.__file__).parent / "variants" / "softmax_math.py").read_text()
    prints = set()
    for name, content in {"a/mine.py": text, "b/mine.py": text, "c/mine.py": text + "# edited\n"}.items():
        file = tmp_path / name
        file.parent.mkdir()
        file.write_text(content)
        prints.add(fingerprint(make_spec(variant="mine"), str(file), None))
    assert len(prints) == 2


def test_tracks_depend_on_the_parts_they_use() -> None:
    task = make_spec(track="task", seq_len=None, mode="training", task="mnist", block="residual", num_layers=1, epochs=1, lr=0.1)
    assert fingerprint(task, "softmax", None) != fingerprint(make_spec(), "softmax", None)
    assert fingerprint(make_spec(), "softmax", None) != fingerprint(make_spec(), "softmax_math", None)
