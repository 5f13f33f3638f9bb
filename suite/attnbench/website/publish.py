"""Publishes the static site: reads the store, and writes the files that `attnbench.website.site` makes of it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import warnings
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from rich.console import Console

from attnbench.analysis.file_formats import write_parquet
from attnbench.analysis.gc_pause import collector_paused
from attnbench.errors import AttnbenchError, BadInput, unknown_name
from attnbench.store.controls import read_controls
from attnbench.store.names import SAFE_NAME
from attnbench.store.peaks import stored_peaks
from attnbench.store.report import Report, read
from attnbench.store.store import Problem, Store
from attnbench.website.results import Results
from attnbench.website.site import PARQUET, File, Site
from attnbench.website.site import render as render
from attnbench.website.sources import load_sources as load_sources

PLOTLY = "assets/plotly.min.js"
WRITTEN = "assets/files.txt"  # lists the files that a build wrote, which the next one may remove
LARGE = 5_000  # number of records from which on a second process saves more time than its start takes

_inherited: Site | None = None  # the site that a forked process inherits, so that it need not read the store again


def publish(results: Path, out: Path, err: Console, first: str | None = None) -> Path:
    """Build the site of a results folder in `out` and return its front page.

    Files that an earlier build wrote and this one does not are removed; other files in `out` stay as they are. first: the machine whose
    results come first on a page; if None, the one with most results. Lines that cannot be read are listed on `err`.

    Raises BadInput when the results folder does not exist, holds nothing of that machine, or `out` cannot be written.
    """
    problems: list[Problem] = []
    with collector_paused():
        records = list(Store(results).read(problems))
    controls = read_controls(results, problems)
    for problem in problems:
        err.print(f"skipped {problem}", markup=False, highlight=False, soft_wrap=True)
    machines = {record.machine for record in records}
    if first is not None and first not in machines:
        raise unknown_name("machine", first, machines, f"what {results} holds")
    sources = load_sources()
    read = Results(records, sources.declared, shipped=sources.summaries, first=first, controls=controls)
    peaks = {machine: stored_peaks(results, machine) for machine in machines if SAFE_NAME.fullmatch(machine)}
    site = Site(read, sources, (out / "asv" / "index.html").is_file(), list(_reports(results)), peaks)
    try:
        with collector_paused():
            written = _write_all(site, out, in_two=len(records) >= LARGE and "fork" in multiprocessing.get_all_start_methods())
        _remove_stale(out, written)
    except OSError as error:
        raise BadInput(f"could not write the site to {str(out)!r} ({error.strerror}); give another folder with --out") from error
    return out / "index.html"


def _write_all(site: Site, out: Path, in_two: bool) -> list[str]:
    """Write every file, and return their names. in_two: with the help of a second process."""
    if not in_two:
        return [
            *_write_files(site.cells(), out),
            *_write_files(site.front(), out),
            *_write_files(site.back(), out),
            *_write_more(site, out),
        ]
    with _second_process(site, "cells", out) as cells:
        site.results.standings.prepare()  # the statistics that both other parts need
        names = cells.result()
    with _second_process(site, "back", out) as back:
        return [*names, *_write_files(site.front(), out), *_write_more(site, out), *back.result()]


@contextmanager
def _second_process(site: Site, part: Literal["cells", "back"], out: Path) -> Iterator[Future[list[str]]]:
    """Context manager: a forked process writes one part of the site; the future holds the names of its files, or the error raised.

    The process ends with the block, at once if the block raises. Raises AttnbenchError if the process died before the future was done.
    """
    global _inherited
    _inherited, process = site, None
    try:
        with ProcessPoolExecutor(1, multiprocessing.get_context("fork"), _end_with_parent) as pool:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of a fork beside threads; this part uses none
                    pid = pool.submit(os.getpid).result()  # the first call starts the process
                process = next((child for child in multiprocessing.active_children() if child.pid == pid), None)
                yield pool.submit(_write_part, part, out)
            except BaseException:
                if process is not None:
                    process.terminate()
                raise
    except BrokenProcessPool as error:
        code = process.exitcode if process else None
        raise AttnbenchError(f"the process that wrote half of the site died ({code}); is memory short?") from error
    finally:
        _inherited = None


def _end_with_parent() -> None:
    """In the second process: ignore Ctrl-C, on which the first process ends this one, and end if the first process is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _write_part(part: str, out: Path) -> list[str]:
    """In the second process: write a part of the inherited site, and return the names of its files."""
    assert _inherited is not None
    return _write_files(getattr(_inherited, part)(), out)


def _write_more(site: Site, out: Path) -> list[str]:
    """Write plotly's script, and all data as a Parquet file; return their names."""
    names = _write_files([(PLOTLY, _plotly())], out)
    (out / PARQUET).parent.mkdir(parents=True, exist_ok=True)
    with (out / PARQUET).open("wb") as stream:
        write_parquet(site.results.table, stream)
    return [*names, PARQUET]


def _reports(results: Path) -> Iterator[Report]:
    """Yield the reports of checks; those that cannot be read are left out."""
    for file in sorted((results / "checks").glob("*.json")):
        if report := read(file):
            yield report


def _plotly() -> bytes:
    """The plotly script from the installed Python package, read without importing it. Raises BadInput if it is not installed."""
    spec = find_spec("plotly")
    if spec is None or spec.origin is None:
        raise BadInput("plotly is not installed, and the site's plots need its script; pip install plotly")
    return (Path(spec.origin).parent / "package_data" / "plotly.min.js").read_bytes()


def _write_files(files: Iterable[File], out: Path) -> list[str]:
    """Write files, except those that have this content already; return the names of all."""
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
    """Whether a file has exactly this content."""
    try:
        return os.stat(file).st_size == len(content) and Path(file).read_bytes() == content  # noqa: PTH116
    except FileNotFoundError:
        return False


def _remove_stale(out: Path, written: list[str]) -> None:
    """Remove the files that the last build wrote and this one did not; never a file outside `out`, whatever the list says."""
    listing = out / WRITTEN
    before = listing.read_text(encoding="utf-8", errors="replace").splitlines() if listing.is_file() else []
    root = out.resolve()
    kept = {(out / name).resolve() for name in written}
    for name in set(before) - set(written):
        file = (out / name).resolve() if "\0" not in name else root
        if file.is_file() and file.is_relative_to(root) and file not in kept:
            file.unlink()
    listing.write_text("\n".join(sorted(written)) + "\n", encoding="utf-8")
