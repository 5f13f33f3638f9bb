"""The cache of what a hub gave: damage is found and mended, or the folder to delete is named; without a cache it works as well."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from attnbench.tasks.loading.hub import COPIES
from attnbench.tasks.loading.hub_cache import damage
from helpers import mini_hub
from helpers.small_disk import on_a_small_disk
from helpers.task_data import declared

pytest_plugins = ["helpers.hub_fixtures"]
pytestmark = pytest.mark.long

CODE = """
import sys
import datasets.config
from huggingface_hub import constants
from attnbench import registry
from attnbench.errors import Unavailable

for home in sys.argv[1:]:
    datasets.config.HF_DATASETS_CACHE, constants.HF_HUB_CACHE = home + "/datasets", home + "/hub"
    try:
        print(registry.load("tasks", "mnist").parts("hub").fingerprint())
    except Unavailable as refused:
        print(refused)
"""
LONGEST_S = 1800  # after which it hangs, on any machine


@pytest.fixture(scope="module")
def whole(copies: Path) -> str:
    """The fingerprint of the data as they are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(COPIES, str(copies))
        return declared("mnist").parts("hub").fingerprint()


@pytest.fixture(scope="module")
def server(copies: Path) -> Iterator[mini_hub.MiniHub]:
    with mini_hub.MiniHub(copies) as running:
        yield running


@pytest.fixture(scope="module")
def filled(server: mini_hub.MiniHub, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home of the hub's client in which both caches hold mnist."""
    home = tmp_path_factory.mktemp("filled")
    assert ask(server.url, home).returncode == 0
    return home


@pytest.fixture
def new_home(filled: Path, tmp_path: Path) -> Callable[[str], Path]:
    """Copies that home, under a name."""
    return lambda name: shutil.copytree(filled, tmp_path / name, symlinks=True)


def variables(home: str | Path, url: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.upper().startswith(("HF_", "HUGGING", COPIES))}
    return {**kept, "HF_ENDPOINT": url, "HF_HOME": str(home), "HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1"}


def ask(url: str, *homes: str | Path) -> subprocess.CompletedProcess[str]:
    """Loads mnist from a hub, with one home after the other; prints the fingerprint of each, or why there is none."""
    command = [sys.executable, "-c", CODE, *map(str, homes)]
    return subprocess.run(command, env=variables(homes[0], url), capture_output=True, text=True, check=False, timeout=LONGEST_S)


def arrow_folder(home: Path) -> Path:
    (info,) = (home / "datasets").rglob("dataset_info.json")
    return info.parent


def half(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


DAMAGES: dict[str, Callable[[Path], None]] = {
    "half an Arrow file": lambda folder: half(folder / "mnist-train.arrow"),
    "an empty Arrow file": lambda folder: os.truncate(folder / "mnist-test.arrow", 0),
    "no Arrow file": lambda folder: (folder / "mnist-test.arrow").unlink(),
    "an Arrow file of something else": lambda folder: (folder / "mnist-train.arrow").write_bytes(b"<html>" * 99) and None,  # type: ignore[func-returns-value]
    "half a description": lambda folder: half(folder / "dataset_info.json"),
    "a description of more rows": lambda folder: (folder / "dataset_info.json").write_text(
        (folder / "dataset_info.json").read_text().replace('"num_examples": 400', '"num_examples": 401')
    ) and None,  # type: ignore[func-returns-value]
}  # fmt: skip


def test_damaged_caches_are_made_anew(new_home: Callable[[str], Path], server: mini_hub.MiniHub, whole: str) -> None:
    """Every kind of damage, each in a home of its own, loaded twice. What else is in the cache stays."""
    homes = {case: new_home(case) for case in DAMAGES}
    folders = {case: arrow_folder(home) for case, home in homes.items()}
    for case, folder in folders.items():
        (folder.parents[1] / "mine.txt").touch()
        assert damage(folder) is None
        DAMAGES[case](folder)
        assert damage(folder) is not None
    done = ask(server.url, *homes.values(), *homes.values())
    assert done.stdout.split() == 2 * len(homes) * [whole], done.stderr
    for folder in folders.values():
        assert done.stderr.count(f"The cached copy of ylecun/mnist in {folder} is damaged (") == 1
        assert damage(folder) is None and (folder.parents[1] / "mine.txt").exists()


def test_without_a_hub_the_damaged_folder_is_named_and_stays(new_home: Callable[[str], Path], whole: str) -> None:
    sound, damaged = new_home("sound"), new_home("damaged")
    folder = arrow_folder(damaged)
    half(folder / "mnist-train.arrow")
    with mini_hub.refusing() as nobody:
        found, refused = ask(nobody, sound, damaged).stdout.splitlines()
    assert found == whole
    assert refused.startswith("the cached copy of ylecun/mnist is damaged (") and str(folder) in refused
    assert f"delete HF_DATASETS_CACHE/{folder.relative_to(damaged / 'datasets')}" in refused
    assert (folder / "mnist-train.arrow").exists()


def test_two_processes_that_find_damage_both_get_the_data(new_home: Callable[[str], Path], server: mini_hub.MiniHub, whole: str) -> None:
    home = new_home("shared")
    half(arrow_folder(home) / "mnist-train.arrow")
    command, environment = [sys.executable, "-c", CODE, str(home)], variables(home, server.url)
    both = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) for _ in range(2)]
    assert [process.communicate(timeout=LONGEST_S)[0].strip() for process in both] == [whole, whole]


def test_a_damaged_download_is_downloaded_again(new_home: Callable[[str], Path], server: mini_hub.MiniHub, whole: str) -> None:
    home = new_home("downloads")
    shutil.rmtree(arrow_folder(home))
    for file in (home / "hub").rglob("*.parquet"):
        half(file)
    done = ask(server.url, home)
    assert done.stdout.strip() == whole, done.stderr


@pytest.mark.parametrize("kind", ["nowhere", "a file"])
def test_a_home_that_cannot_be_written_is_done_without(kind: str, server: mini_hub.MiniHub, whole: str, tmp_path: Path) -> None:
    (tmp_path / "a file").touch()
    done = ask(server.url, "/proc/nonexistent" if kind == "nowhere" else tmp_path / "a file")
    assert (done.returncode, done.stdout.strip()) == (0, whole), done.stderr


@pytest.mark.parametrize("home", ["/proc/nonexistent", "here"])
def test_copies_are_read_without_a_cache(home: str, copies: Path, whole: str, tmp_path: Path) -> None:
    place = tmp_path if home == "here" else Path(home)
    command = [sys.executable, "-c", CODE, str(place)]
    environment = {**variables(place, "http://nobody.invalid"), COPIES: str(copies)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=LONGEST_S)
    assert (done.returncode, done.stdout.strip()) == (0, whole), done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_cache_on_a_full_disk_is_done_without(server: mini_hub.MiniHub, whole: str, tmp_path: Path) -> None:
    command = [f"{name}={value}" for name, value in variables(tmp_path / "disk", server.url).items()]
    done = on_a_small_disk(["env", "-i", *command, sys.executable, "-c", CODE, str(tmp_path / "disk")], tmp_path / "disk")
    assert (done.returncode, done.stdout.strip()) == (0, whole), done.stderr
