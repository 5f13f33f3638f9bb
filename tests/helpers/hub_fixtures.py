"""A cache and a client of the hub for one test, and copies of data sets of the hub."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from attnbench.tasks.loading.hub import COPIES
from helpers import hub_copies

PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A cache of `datasets` that others' data are not in, and a client that no proxy of this machine stands before."""
    import datasets.config
    from huggingface_hub import close_session, constants

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.delenv(COPIES, raising=False)
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    close_session()
    yield
    close_session()


@pytest.fixture(scope="session")
def copies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hub_copies.copy_all(tmp_path_factory.mktemp("copies"))


@pytest.fixture
def from_copies(copies: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(COPIES, str(copies))
    return copies
