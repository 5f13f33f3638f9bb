"""Records -> the static site: reads the store, writes what `attnbench.website.site` makes of it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path

from rich.console import Console

from attnbench.analysis.collector import collector_paused
from attnbench.analysis.formats import write_parquet
from attnbench.errors import BadInput, unknown_name
from attnbench.store.environment import SAFE_NAME
from attnbench.store.peaks import stored_peaks
from attnbench.store.report import Report, decode
from attnbench.store.store import Problem, Store
from attnbench.website.processes import Beside
from attnbench.website.results import Results
from attnbench.website.site import PARQUET, File, Site
from attnbench.website.site import render as render
from attnbench.website.sources import load_sources as load_sources

PLOTLY = "assets/plotly.min.js"
WRITTEN = "assets/files.txt"  # what a build wrote, so that the next one knows what it may remove
LARGE = 5_000  # records from which on two processes are worth their start


def publish(results: Path, out: Path, err: Console, first: str | None = None) -> Path:
    """Build the site of a results folder in `out` and return its front page.

    What an earlier build wrote and this one does not is removed; other files in `out` stay as they are. first: the machine whose results a
    page begins with; if None, whose are the most. Lines that cannot be read are named on `err`.

    Raises BadInput when the results folder does not exist, holds nothing of that machine, or `out` cannot be written.
    """
    problems: list[Problem] = []
    with collector_paused():
        records = list(Store(results).read(problems))
    for problem in problems:
        err.print(f"skipped {problem}", markup=False, highlight=False, soft_wrap=True)
    machines = {record.machine for record in records}
    if first is not None and first not in machines:
        raise unknown_name("machine", first, machines, f"what {results} holds")
    sources = load_sources()
    read = Results(records, sources.declared, shipped=sources.summaries, first=first)
    peaks = {machine: stored_peaks(results, machine) for machine in machines if SAFE_NAME.fullmatch(machine)}
    site = Site(read, sources, (out / "asv" / "index.html").is_file(), list(_reports(results)), peaks)
    try:
        with collector_paused():
            written = _write_all(site, out, in_two=len(records) >= LARGE)
        _remove_stale(out, written)
    except OSError as error:
        raise BadInput(f"could not write the site to {str(out)!r} ({error.strerror}); give another folder with --out") from error
    return out / "index.html"


def _write_all(site: Site, out: Path, in_two: bool) -> list[str]:
    """Write every file; the names of all. in_two: with the help of a process beside this one."""
    with Beside(lambda: _write_files(site.cells(), out), in_two) as cells:
        if in_two:
            site.results.standings.prepare()  # what both halves need
        names = cells.wait()
    with Beside(lambda: _write_files(site.back(), out), in_two) as back:
        names += _write_files(site.front(), out)
        (out / PARQUET).parent.mkdir(parents=True, exist_ok=True)
        with (out / PARQUET).open("wb") as stream:
            write_parquet(site.results.table, stream)
        return [*names, PARQUET, *_write_files([(PLOTLY, _plotly())], out), *back.wait()]


def _reports(results: Path) -> Iterator[Report]:
    """The reports of checks that can be read."""
    for file in sorted((results / "checks").glob("*.json")):
        if report := decode(file.read_bytes()):
            yield report


def _plotly() -> bytes:
    """The plotly script from the installed Python package, which is not imported for it."""
    spec = find_spec("plotly")
    if spec is None or spec.origin is None:
        raise BadInput("plotly is not installed, and the site's plots need its script; pip install plotly")
    return (Path(spec.origin).parent / "package_data" / "plotly.min.js").read_bytes()


def _write_files(files: Iterable[File], out: Path) -> list[str]:
    """Write files unless they hold these bytes already; their names."""
    names, made = [], set[str]()
    for name, content in files:
        file = f"{out}/{name}"
        folder = os.path.dirname(file)  # noqa: PTH120  (of thousands of files; a Path takes ten times as long)
        if folder not in made:
            Path(folder).mkdir(parents=True, exist_ok=True)
            made.add(folder)
        if not _holds(file, content):
            Path(file).write_bytes(content)
        names.append(name)
    return names


def _holds(file: str, content: bytes) -> bool:
    """Whether a file has just this content."""
    try:
        return os.stat(file).st_size == len(content) and Path(file).read_bytes() == content  # noqa: PTH116
    except FileNotFoundError:
        return False


def _remove_stale(out: Path, written: list[str]) -> None:
    """Remove what the last build wrote and this one did not; of what somebody else wrote into the list only files of `out`."""
    listing = out / WRITTEN
    before = listing.read_text(encoding="utf-8", errors="replace").splitlines() if listing.is_file() else []
    root = out.resolve()
    kept = {(out / name).resolve() for name in written}
    for name in set(before) - set(written):
        file = (out / name).resolve() if "\0" not in name else root
        if file.is_file() and file.is_relative_to(root) and file not in kept:
            file.unlink()
    listing.write_text("\n".join(sorted(written)) + "\n", encoding="utf-8")
