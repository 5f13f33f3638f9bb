"""Records -> the static site: reads the store, writes what `attnbench.render.site` makes of it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from rich.console import Console

from attnbench.errors import BadInput, unknown_name
from attnbench.formats import stable, write_parquet
from attnbench.frame import last_in_sessions
from attnbench.machines import stored_peaks
from attnbench.pause import collector_paused
from attnbench.render.results import Results
from attnbench.render.site import PARQUET, files
from attnbench.render.site import render as render
from attnbench.render.sources import load_sources as load_sources
from attnbench.report import Report, decode
from attnbench.store import Problem, Store

PLOTLY = "plotly.min.js"


def publish(results: Path, out: Path, err: Console, first: str | None = None) -> Path:
    """Build the site of a results folder in `out` and return its front page.

    Pages of cells and views that the store no longer has are removed; other files in `out` stay as they are. first: the machine whose
    results a page begins with; if None, whose are the most. Lines that cannot be read are named on `err`.

    Raises BadInput when the results folder does not exist, holds nothing of that machine, or `out` cannot be written.
    """
    problems: list[Problem] = []
    with collector_paused():
        records = last_in_sessions(Store(results).read(problems))
    for problem in problems:
        err.print(f"skipped {problem}", markup=False, highlight=False, soft_wrap=True)
    machines = {record.machine for record in records}
    if first is not None and first not in machines:
        raise unknown_name("machine", first, machines, f"what {results} holds")
    sources = load_sources()
    read = Results(records, sources.declared, shipped=sources.summaries, first=first)
    peaks = {machine: stored_peaks(results, machine) for machine in machines}
    has_asv = (out / "asv" / "index.html").is_file()
    written = set()
    try:
        with collector_paused():
            for name, content in files(read, sources, has_asv, _reports(results), peaks):
                written.add(_write(out / name, content))
            written.add(_write(out / PARQUET, _parquet(read)))
        _write(out / "assets" / PLOTLY, _plotly())
        _remove_stale(out, written)
    except OSError as error:
        raise BadInput(f"could not write the site to {str(out)!r} ({error.strerror}); give another folder with --out") from error
    return out / "index.html"


def _reports(results: Path) -> Iterator[Report]:
    """The reports of checks that can be read."""
    for file in sorted((results / "checks").glob("*.json")):
        if report := decode(file.read_bytes()):
            yield report


def _parquet(results: Results) -> bytes:
    stream = io.BytesIO()
    write_parquet(stable(results.table), stream)
    return stream.getvalue()


def _plotly() -> bytes:
    """The plotly script from the installed Python package, which is not imported for it."""
    spec = find_spec("plotly")
    if spec is None or spec.origin is None:
        raise BadInput("plotly is not installed, and the site's plots need its script; pip install plotly")
    return (Path(spec.origin).parent / "package_data" / PLOTLY).read_bytes()


def _write(file: Path, content: bytes) -> Path:
    """Write a file unless it holds these bytes already."""
    if not (file.is_file() and file.stat().st_size == len(content) and file.read_bytes() == content):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return file


def _remove_stale(out: Path, written: set[Path]) -> None:
    """Remove what an earlier build made in folders that hold nothing else."""
    for folder in ("cells", "data", "sources", "variants"):
        for file in (out / folder).glob("*"):
            if file.suffix in (".html", ".js") and file not in written:
                file.unlink()
