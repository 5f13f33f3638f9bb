"""The wheel carries what a user outside the repository needs, and says which commit it is of."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from helpers.command import LONGEST_S
from helpers.paths import REPO

pytestmark = pytest.mark.long


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
        done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, check=False, timeout=LONGEST_S)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert "orthogonal" in cli("list", "variants")
    cell = '{"track":"task","variant":"softmax","task":"mnist","block":"residual","num_layers":1,"epochs":1,"lr":0.003,"batch_size":64}'
    assert "1 ok" in cli("run", "--busy", "--cell", cell)
    record = json.loads(next((tmp_path / "results").rglob("*.jsonl")).read_text())
    built = json.loads((tmp_path / "installed" / "attnbench" / "_built_from.json").read_text())
    assert record["environment"]["commit"] == built["commit"]
    cli("site")
    assert (tmp_path / "site" / "dist" / "index.html").is_file()
