"""The hub itself: one that answers, one that gives no answer, and what is left in the cache when it has gone."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from attnbench.errors import Unavailable
from attnbench.tasks.loading.hub import COPIES, hub, why_silent
from helpers import mini_hub
from helpers.task_data import ON_HUB, declared

pytest_plugins = ["helpers.hub_fixtures"]
pytestmark = pytest.mark.usefixtures("own_cache")

tasks = pytest.mark.parametrize("name", ON_HUB)


def at(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the hub be at this address."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", url)


@tasks
def test_without_a_network_a_task_of_the_hub_is_unavailable(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with mini_hub.refusing() as url, pytest.raises(Unavailable) as refused:
        at(url, monkeypatch)
        declared(name).parts("hub")
    assert f"{declared(name).hub} is not in the cache, and {url} cannot be reached (" in str(refused.value)
    assert f"hf download --repo-type dataset {declared(name).hub} --local-dir" in str(refused.value)
    assert COPIES in str(refused.value) and "--data embedded" in str(refused.value)


@pytest.mark.parametrize("silent", [mini_hub.mute, mini_hub.hanging])
def test_a_hub_that_hangs_is_unavailable(silent: type, monkeypatch: pytest.MonkeyPatch) -> None:
    with silent() as url, pytest.raises(Unavailable, match=rf"{url} (gave no answer in 2 s|cannot be reached \(.*time)"):
        at(url, monkeypatch)
        declared("mnist").parts("hub")


def test_a_name_that_is_never_resolved_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    over, asked, answered = threading.Event(), threading.Event(), list[bool]()

    def resolve(*_: object, **__: object) -> None:
        asked.set()
        answered.append(over.wait())
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    at("http://hub.example", monkeypatch)
    try:
        with pytest.raises(Unavailable, match=r"http://hub\.example gave no answer in 2 s"):
            declared("mnist").parts("hub")
        assert asked.is_set() and not answered  # it was refused while the name was still being looked up
    finally:
        over.set()


def test_a_name_that_nobody_knows_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    at("http://hub.example", monkeypatch)
    assert why_silent() == "http://hub.example cannot be reached ([Errno -2] Name or service not known)"


@pytest.mark.parametrize(("status", "said"), [(200, None), (401, None), (404, None), (503, "answers with status 503")])
def test_any_answer_is_one_unless_the_server_is_broken(
    status: int, said: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with mini_hub.MiniHub(tmp_path, status) as server:
        at(server.url, monkeypatch)
        assert why_silent() == (said and f"{server.url} {said}")


def test_the_hub_is_asked_through_the_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind one, this machine knows no names at all."""
    at("http://hub.invalid", monkeypatch)
    with mini_hub.MiniHub(tmp_path) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        assert why_silent() is None
        assert [path.rstrip("/") for path in proxy.asked] == ["http://hub.invalid"]


def test_offline_mode_asks_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(Unavailable, match="not in the cache, and HF_HUB_OFFLINE is set"):
        declared("mnist").parts("hub")


def test_a_load_leaves_offline_mode_as_it_was(from_copies: Path) -> None:
    import datasets.config
    from huggingface_hub import constants

    hub("ylecun/mnist", "test")
    with pytest.raises(Unavailable):
        hub("ylecun/mnist", "nothing")
    assert not datasets.config.HF_HUB_OFFLINE and not constants.HF_HUB_OFFLINE


FINGERPRINTS = """
import sys
from attnbench import registry
for name in sys.argv[1:]:
    print(registry.load("tasks", name).parts("hub").fingerprint())
"""


@pytest.mark.long
def test_what_a_hub_gave_is_there_when_it_has_gone(copies: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Downloaded from a hub, then loaded from the cache without one: the tensors are those of the copies."""
    names = ["mnist", "wikitext"]
    with mini_hub.MiniHub(copies) as server:
        environment = {name: value for name, value in os.environ.items() if not name.upper().startswith(("HF_", "HUGGING", COPIES))}
        environment |= {"HF_ENDPOINT": server.url, "HF_HOME": str(tmp_path), "HF_HUB_DISABLE_TELEMETRY": "1"}

        def ask() -> list[str]:
            run = [sys.executable, "-c", FINGERPRINTS, *names]
            return subprocess.run(run, env=environment, capture_output=True, text=True, check=True, timeout=120).stdout.split()

        downloaded = ask()
        assert any(path.endswith("/mnist/train-00000-of-00001.parquet") for path in server.asked)
    cached = ask()
    monkeypatch.setenv(COPIES, str(copies))
    assert downloaded == cached == [declared(name).parts("hub").fingerprint() for name in names]
