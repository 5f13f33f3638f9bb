"""The folder of a site: what is written, kept and removed, and by how many processes."""

from __future__ import annotations

import io
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import threading
import unicodedata
from collections import Counter
from pathlib import Path, PurePosixPath

import pandas as pd
import pytest
from rich.console import Console

import attnbench
from attnbench.errors import AttnbenchError, BadInput
from attnbench.spec.axes import Spec
from attnbench.store.record import Record, encode
from attnbench.website import publish as publishing
from attnbench.website.publish import publish
from attnbench.website.site import Site
from helpers import site_records
from helpers.site_records import stored
from helpers.site_sources import NO_CLAIMS

LISTING = "assets/files.txt"


@pytest.fixture(autouse=True)
def no_claims(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are written alike without the claims, of which judging takes most of the time."""
    monkeypatch.setattr(publishing, "load_sources", lambda: NO_CLAIMS)


def built(results: Path, out: Path) -> Path:
    return publish(results, out, Console(file=io.StringIO()))


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder by its path."""
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def some(*variants: str) -> list[Record]:
    """Records of every track, of some mechanisms."""
    return [record for record in site_records.usual() if record.spec.variant in variants]


def children_s() -> float:
    """Seconds of the CPU that ended child processes took."""
    return sum(os.times()[2:4])


def test_within_a_session_the_later_line_counts_though_the_clock_went_back(tmp_path: Path) -> None:
    first, *_ = site_records.kernel("softmax")
    again = site_records.record(first.spec, started_at="2026-11-21T06:00:00Z", measurements={"forward_s": [0.123456]})
    assert "123\u2009ms" in built(stored(tmp_path / "results", [first, again]), tmp_path / "dist").read_text()


def test_hostile_store_writes_nothing_outside_its_folder(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "dist"
    records = [site_records.record(r.spec, machine="m", reason=site_records.HOSTILE, status="error") for r in site_records.hostile()]
    built(stored(tmp_path / "results", records), out)
    assert {p.name for p in tmp_path.iterdir()} == {"results", "deep"}
    assert {p.name for p in (tmp_path / "deep").iterdir()} == {"dist"}


DEVICES = ("con", "prn", "aux", "nul", "com1", "com9", "lpt1", "lpt9", "CON", "Nul.txt", "con.", "aux ", "com¹")
ALIKE = (
    "softmax", "Softmax", "SOFTMAX", "softmax.", "softmax ", "soft/max", "soft:max", "é", "e\u0301", "É", "straße", "STRASSE",
    "x--con--1143da2b",
)  # fmt: skip
UNPACKABLE = re.compile(r"[^<>:\"/\\|?*\x00-\x1f]+(?<![. ])")  # what Windows takes as a name of a file or folder
DEVICE = re.compile(r"(?i)(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])")


def test_every_file_has_a_name_that_every_system_can_unpack(tmp_path: Path) -> None:
    """Variants, tasks and machines of names that Windows keeps for devices, or that only case, form or an ending tells apart."""
    records = []
    for number, name in enumerate((*DEVICES, *ALIKE)):
        task = site_records.task_spec(variant=name, task=name, data=f"{name}:1", block="residual", num_layers=1, epochs=1, lr=0.1)
        records += [
            r for spec in (Spec(track="kernel", variant=name, seq_len=64), task) for r in [site_records.record(spec, machine=f"m{number}")]
        ]
    records += [
        site_records.record(Spec(track="kernel", variant="softmax", seq_len=64), machine=name) for name in ("aux", "con.x", "desk.", "Desk")
    ]
    for record in records:
        file = tmp_path / "results" / "records" / record.machine / f"{record.session}.jsonl"
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("ab") as stream:
            stream.write(encode(record))
    built(tmp_path / "results", tmp_path / "dist")
    names = list(tree(tmp_path / "dist"))
    assert len(list((tmp_path / "dist" / "variants").iterdir())) == len({*DEVICES, *ALIKE})
    for name in names:
        for part in PurePosixPath(name).parts:
            assert UNPACKABLE.fullmatch(part) and not DEVICE.fullmatch(part.partition(".")[0].strip()), name
    alike = Counter(unicodedata.normalize("NFKC", name).casefold() for name in names)
    assert max(alike.values()) == 1, [name for name, count in alike.items() if count > 1]


def test_files_of_others_are_kept(tmp_path: Path) -> None:
    out = tmp_path / "dist"
    (out / "asv").mkdir(parents=True)
    (out / "asv" / "index.html").write_text("asv")
    (out / "mine.txt").write_text("mine")
    index = built(stored(tmp_path / "results", site_records.usual()[:2]), out)
    assert index == out / "index.html"
    assert (out / "asv" / "index.html").read_text() == "asv"
    assert (out / "mine.txt").read_text() == "mine"
    assert 'href="asv/index.html"' in index.read_text()
    assert (out / "assets" / "plotly.min.js").stat().st_size > 10**6


def test_what_an_earlier_build_wrote_and_the_new_one_does_not_is_removed(tmp_path: Path) -> None:
    out = tmp_path / "dist"
    built(stored(tmp_path / "more", some("softmax", "orthogonal")), out)
    before = tree(out)
    others = {"mine.txt": b"1", "data/mine.js": b"2", "data/index-mine.js": b"3", "cells/mine.html": b"4", "cells/.keep": b""}
    for name, content in others.items():
        (out / name).write_bytes(content)
    fewer = stored(tmp_path / "fewer", [record for record in some("softmax") if record.spec.track == "kernel"])
    built(fewer, out)
    built(fewer, tmp_path / "fresh")
    after = tree(out)
    gone = before.keys() - after.keys()
    assert {"variants/orthogonal.html", "sources/orthogonal.html"} <= gone
    assert {name.partition("/")[0] for name in gone} == {"cells", "data", "sources", "variants"}
    assert after == {**tree(tmp_path / "fresh"), **others}


def test_a_tampered_list_removes_nothing_outside_the_folder(tmp_path: Path) -> None:
    results, out = stored(tmp_path / "results", site_records.usual()[:2]), tmp_path / "deep" / "dist"
    built(results, out)
    whole = tree(out)
    outside = [tmp_path / "x", tmp_path / "deep" / "x", tmp_path / "folder" / "x"]
    for file in outside:
        file.parent.mkdir(exist_ok=True)
        file.write_text("precious")
    (out / "linked").symlink_to(tmp_path / "folder")
    (out / "cells" / "link.html").symlink_to(tmp_path / "x")
    (out / "stale.html").write_text("stale")
    wished = ["../../x", "../x", "cells/../../../x", str(tmp_path / "x"), "linked/x", "cells/link.html", "stale.html"]
    (out / LISTING).write_text((out / LISTING).read_text() + "\n".join(wished) + "\n")
    built(results, out)
    assert [file.read_text() for file in outside] == ["precious"] * 3
    assert not (out / "stale.html").exists()
    assert {name: content for name, content in tree(out).items() if not (out / name).is_symlink() and "linked" not in name} == whole


def test_the_list_holds_every_file_that_was_written(tmp_path: Path) -> None:
    out = tmp_path / "dist"
    built(stored(tmp_path / "results", site_records.usual()[:2]), out)
    names = (out / LISTING).read_text().splitlines()
    assert names == sorted(tree(out).keys() - {LISTING})


def test_a_file_that_holds_its_bytes_already_is_left_alone_and_another_restored(tmp_path: Path) -> None:
    results, out = stored(tmp_path / "results", site_records.usual()[:2]), tmp_path / "dist"
    built(results, out)
    whole = tree(out)
    for name in ("index.html", "machines.html", "about.html"):
        os.utime(out / name, ns=(0, 0))
    (out / "machines.html").write_bytes(b"x" * len(whole["machines.html"]))
    (out / "about.html").unlink()
    built(results, out)
    assert tree(out) == whole
    assert (out / "index.html").stat().st_mtime_ns == 0


def test_all_data_are_beside_the_pages(tmp_path: Path) -> None:
    results = stored(tmp_path / "results", some("softmax"))
    out = built(results, tmp_path / "dist").parent
    told = pd.read_parquet(out / "data" / "attnbench.parquet")
    expected = attnbench.load(results, curves=True)
    for column in ("id", "metric", "unit", "status"):
        assert sorted(told[column].astype(str)) == sorted(expected[column].astype(str)), column
    assert sorted(told["value"].dropna()) == sorted(expected["value"].dropna())


def test_a_second_process_gives_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results, spent_s = stored(tmp_path / "results", site_records.usual()), children_s()
    built(results, tmp_path / "alone")
    assert children_s() == spent_s
    monkeypatch.setattr(publishing, "LARGE", 1)
    built(results, tmp_path / "in_two")
    assert children_s() > spent_s
    alone, in_two = tree(tmp_path / "alone"), tree(tmp_path / "in_two")
    assert alone.keys() == in_two.keys()
    assert [name for name, content in alone.items() if in_two[name] != content] == []


@pytest.mark.parametrize("large", [1, 5_000])
@pytest.mark.parametrize("place", ["cells", "index.html", "scaling.html"])
def test_what_cannot_be_written_is_bad_input_in_either_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, large: int
) -> None:
    monkeypatch.setattr(publishing, "LARGE", large)
    out = tmp_path / "dist"
    if place == "cells":
        out.mkdir()
        (out / place).write_text("a file")
    else:
        (out / place).mkdir(parents=True)
    with pytest.raises(BadInput, match="could not write the site to"):
        built(stored(tmp_path / "results", site_records.usual()[:2]), out)
    assert not multiprocessing.active_children()


def test_a_process_that_dies_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing, "LARGE", 1)
    monkeypatch.setattr(Site, "cells", lambda site: os._exit(3))
    with pytest.raises(AttnbenchError, match=r"the process that wrote half of the site died \(3\)"):
        built(stored(tmp_path / "results", site_records.usual()[:2]), tmp_path / "dist")


def test_what_goes_wrong_in_the_second_process_is_raised_in_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing, "LARGE", 1)
    monkeypatch.setattr(Site, "back", lambda site: iter([("page.html", "no bytes")]))
    with pytest.raises(TypeError, match="bytes-like"):
        built(stored(tmp_path / "results", site_records.usual()[:2]), tmp_path / "dist")


# Writes a site with a second process that says that it has begun and never ends.
STUCK = """
import sys, threading
from pathlib import Path
from rich.console import Console
from attnbench.website import publish as publishing
from attnbench.website.site import Site

def stuck(site):
    print("begun", flush=True)
    threading.Event().wait()
    yield

publishing.LARGE, Site.cells = 1, stuck
publishing.publish(Path(sys.argv[1]), Path(sys.argv[2]), Console())
"""


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_the_second_process_ends_when_the_first_is_interrupted_or_killed(tmp_path: Path, number: signal.Signals) -> None:
    results = stored(tmp_path / "results", site_records.usual()[:2])
    command = [sys.executable, "-c", STUCK, str(results), str(tmp_path / "dist")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as running:
        assert running.stdout and running.stdout.readline() == b"begun\n"
        ended = threading.Thread(target=running.stdout.read)  # until no process has it open any more
        ended.start()
        while ended.is_alive():  # again and again, as people do: code that answers errors itself may swallow one interrupt
            running.send_signal(number)
            ended.join(2.0)
    assert running.returncode == -number


def test_unreadable_lines_are_named_and_the_rest_is_shown(tmp_path: Path) -> None:
    folder = stored(tmp_path / "results", site_records.usual()[:2])
    (file,) = folder.glob("records/*/*.jsonl")
    file.write_text(file.read_text() + '{"schema": 1, "id"\n')
    said = io.StringIO()
    index = publish(folder, tmp_path / "dist", Console(file=said, width=40))
    assert f"{file}:3:" in said.getvalue()
    assert "softmax" in index.read_text()


def test_a_missing_results_folder_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no results folder"):
        built(tmp_path / "nowhere", tmp_path / "dist")
    assert not (tmp_path / "dist").exists()
