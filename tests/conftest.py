"""Shapes and types of the numerical modules are checked in tests, by jaxtyping and beartype; threads as in a cell; a temporary folder
for each test process, so that none waits for the lock by which attnbench measures one thing at a time on a machine (runner/lock.py).
"""

from __future__ import annotations

import gc
import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from jaxtyping import install_import_hook

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # a cell's second thread that waits by spinning starves on a busy core, sevenfold

CHECKED = ["attnbench.attention", "attnbench.training.diagnose", "attnbench.kernels", "attnbench.training.model", "attnbench.variants"]
_hook = install_import_hook(CHECKED, "beartype.beartype")

import torch  # noqa: E402

torch.set_num_threads(1 if "PYTEST_XDIST_WORKER" in os.environ else 2)  # workers share the cores: waiting threads spin

from attnbench.runner.parent import run_in_child  # noqa: E402
from helpers.misbehaving import Nothing  # noqa: E402
from helpers.records import know_machine  # noqa: E402


def pytest_collection_finish() -> None:
    """What was imported and collected is there to the end: no collection of garbage looks at it again."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    """Libraries look for what they leaked when the process ends."""
    gc.unfreeze()


hypothesis.settings.register_profile("shared machine", deadline=None)  # how long an example took says nothing here
hypothesis.settings.load_profile("shared machine")


@pytest.fixture(scope="session", autouse=True)
def ctrl_c_counts() -> Iterator[None]:
    """A shell starts what it runs in the background with SIGINT ignored, which every process of a test would inherit."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session", autouse=True)
def own_temporary_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What this process and its children write to the temporary folder, locks among it, is this test process's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(tmp_path_factory.mktemp("tmp")))
        patch.setattr(tempfile, "tempdir", None)  # asked for anew
        yield


@pytest.fixture(scope="session")
def fork_server(own_temporary_folder: None) -> None:
    """The process that forks cells has started, which takes seconds, and runs: a cell's limit of time is its own."""
    assert run_in_child(Nothing(), "forkserver").status == "ok"


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A results folder without records, in which this machine is known."""
    folder = tmp_path / "results"
    know_machine(folder)
    return folder


@pytest.fixture
def new_results(tmp_path: Path) -> Path:
    """A results folder that does not exist yet."""
    return tmp_path / "results"
