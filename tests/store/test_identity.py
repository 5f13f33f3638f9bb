"""A machine's name is its own: what many computers share does not make one."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from attnbench.store import environment, identity
from attnbench.store.identity import Identity, identity_from

GOOD = "3d1219c7c4c5404aaa1f6d2a48adfda4"
MADE_UP, OF_A_CONTAINER, OF_A_CARD = (
    0x7F3A51C09D22,
    0x0242AC110002,
    0x3C7C3F1D2A55,
)  # addresses: sent to many, given by software, its maker's
BAD = ["", "\n", "uninitialized\n", "0" * 32, "no id here", "\udcff".encode("utf-8", "surrogatepass").decode("latin-1")]


def put(folder: Path, *texts: str | None) -> tuple[Path, ...]:
    files = tuple(folder / f"id-{number}" for number in range(len(texts)))
    for file, text in zip(files, texts, strict=True):
        if text is not None:
            file.write_text(text)
    return files


@pytest.fixture(autouse=True)
def fresh() -> object:
    yield
    for cached in (identity.identity, environment.machine_name):
        cached.cache_clear()


@pytest.mark.parametrize("text", [GOOD, GOOD + "\n", "3d1219c7-c4c5-404a-aa1f-6d2a48adfda4"])
def test_a_machine_id_is_the_identity_as_it_is(text: str, tmp_path: Path) -> None:
    assert identity_from(put(tmp_path, text)) == Identity(text.strip(), True)


@pytest.mark.parametrize("text", [*BAD, None])
def test_without_one_the_next_file_counts_then_the_card(text: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uuid, "getnode", lambda: OF_A_CARD)
    assert identity_from(put(tmp_path, text, GOOD)) == Identity(GOOD, True)
    assert identity_from(put(tmp_path, text)) == Identity(str(OF_A_CARD), True)


@pytest.mark.parametrize("node", [MADE_UP, OF_A_CONTAINER, 0])
@pytest.mark.parametrize("text", [*BAD, None])
def test_what_many_computers_share_is_not_unique(text: str | None, node: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uuid, "getnode", lambda: node)
    found = identity_from(put(tmp_path, text))
    assert not found.unique
    assert found == identity_from(put(tmp_path, text))  # the name stays, though it is not unique


def test_the_owner_is_asked_for_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ATTNBENCH_MACHINE", raising=False)
    monkeypatch.setattr(uuid, "getnode", lambda: MADE_UP)
    monkeypatch.setattr(identity, "FILES", put(tmp_path, "uninitialized"))
    identity.identity.cache_clear()
    environment.machine_name.cache_clear()
    said = environment.shared_name()
    assert said is not None and "ATTNBENCH_MACHINE" in said and "\n" not in said and environment.machine_name() in said
    monkeypatch.setenv("ATTNBENCH_MACHINE", "my-desk")
    assert environment.shared_name() is None


def test_a_machine_with_its_own_id_is_not_warned_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ATTNBENCH_MACHINE", raising=False)
    monkeypatch.setattr(identity, "FILES", put(tmp_path, GOOD))
    identity.identity.cache_clear()
    assert environment.shared_name() is None
