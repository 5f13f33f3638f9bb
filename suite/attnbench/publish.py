"""Records -> the static site: `render` is a pure function to file contents, `publish` reads and writes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jinja2
from markdown_it import MarkdownIt
from markupsafe import Markup
from rich.console import Console

from attnbench import registry
from attnbench.attention import Variant
from attnbench.errors import BadInput, unknown_name
from attnbench.frame import last_in_sessions
from attnbench.record import Record
from attnbench.render import accuracy, board, depth, palette, plots, scaling, stacked
from attnbench.render.machines import commit_text, machines
from attnbench.render.quantity import count
from attnbench.render.results import Results
from attnbench.render.variants import index_table, sheet
from attnbench.render.view import Charts, Page, Section, View, switches
from attnbench.store import Problem, Store

RUN = "attnbench run --preset quick"
PLOTLY = "plotly.min.js"


@dataclass(frozen=True)
class Sources:
    """What the site is made from besides records: templates, assets, pages, and what the registry knows of variants."""

    templates: Path
    assets: Mapping[str, bytes]
    pages: Mapping[str, str]
    declared: Mapping[str, Variant]
    summaries: Mapping[str, str]


def publish(results: Path, out: Path, err: Console, first: str | None = None) -> Path:
    """Build the site of a results folder in `out` and return its front page. Other files in `out` stay as they are.

    first: the machine whose results a page begins with; if None, whose are the most. Lines that cannot be read are named on `err`.

    Raises BadInput when the results folder does not exist, holds nothing of that machine, or `out` cannot be written.
    """
    problems: list[Problem] = []
    records = last_in_sessions(Store(results).read(problems))
    for problem in problems:
        err.print(f"skipped {problem}", markup=False, highlight=False, soft_wrap=True)
    machines = {record.machine for record in records}
    if first is not None and first not in machines:
        raise unknown_name("machine", first, machines, f"what {results} holds")
    files = render(records, load_sources(), has_asv=(out / "asv" / "index.html").is_file(), first=first)
    files[f"assets/{PLOTLY}"] = _plotly()
    try:
        for name, content in files.items():
            _write(out / name, content)
    except OSError as error:
        raise BadInput(f"could not write the site to {str(out)!r} ({error.strerror}); give another folder with --out") from error
    return out / "index.html"


def render(records: Iterable[Record], sources: Sources, has_asv: bool = False, first: str | None = None) -> dict[str, bytes]:
    """Every file of the site by its path, plotly excepted. The same records, in any order, give the same bytes."""
    results = Results(records, sources.declared, shipped=sources.summaries, first=first)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(sources.templates), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    files = dict(sources.assets)
    shared = {"links": _links(has_asv), "run": RUN}

    def write(path: str, template: str, **values: Any) -> None:
        root = "../" * path.count("/")
        files[path] = environment.get_template(template).render(path=path, root=root, **shared, **values).encode()

    for page in _pages(results):
        write(page.path, "page.html", page=page, facts=_facts(results) if page.path == "index.html" else (), data=_data_name(page))
        files[_data_name(page)] = _data(page, environment)
    for name in results.variants:
        shown = sheet(results, name, sources.summaries.get(name, ""))
        write(f"variants/{shown.style.slug}.html", "variant.html", sheet=shown)
    write("variants.html", "list.html", table=index_table(results, dict(sources.summaries)))
    write("machines.html", "machines.html", machines=machines(results))
    for stem, text in sources.pages.items():
        write(f"{stem}.html", "prose.html", title=stem.capitalize(), body=Markup(_markdown(text)))
    files["assets/palette.css"] = palette.css(results.styles.values()).encode()
    return dict(sorted(files.items()))


def load_sources() -> Sources:
    """The site's templates, assets and pages, and the declarations of every registered variant that can be imported."""
    root = site_source()
    declared, names = {}, registry.names("variants")
    for name in names:
        try:
            declared[name] = registry.load("variants", name)
        except BadInput:  # a plug-in that cannot be imported here has a page of records without a declaration
            continue
    return Sources(
        templates=root / "templates",
        assets={f"assets/{file.name}": file.read_bytes() for file in sorted((root / "assets").iterdir()) if not file.name.startswith(".")},
        pages={file.stem: file.read_text(encoding="utf-8") for file in sorted((root / "pages").glob("*.md"))},
        declared=declared,
        summaries={name: registry.summary("variants", name) for name in names},
    )


def site_source() -> Path:
    """The folder with templates/, assets/ and pages/: inside an installed wheel, else the repository's site/.

    Raises BadInput when neither is there.
    """
    package = Path(__file__).parent
    for folder in (package / "_site", package.parents[1] / "site"):
        if (folder / "templates").is_dir():
            return folder
    raise BadInput("the site's templates are not installed; install attnbench from a wheel, or from a checkout with `pip install -e .`")


def _data_name(page: Page) -> str:
    """The script that brings a page's figures and other views."""
    return f"data/{page.path.removesuffix('.html')}.js"


def _pages(results: Results) -> list[Page]:
    return [
        Page(
            "index.html", "Leaderboard",
            "Attention mechanisms compared on time, peak memory and accuracy: one harness, every sample kept, ties shown as ties.",
            [Section("board", "", board.views(results), RUN), Section("plots", "At a glance", plots.views(results), "")],
        ),
        Page(
            "scaling.html", "Scaling", "Time and peak memory against sequence length, on logarithmic axes: a straight line is a power law.",
            [Section("scaling", "", scaling.views(results), f"{RUN} --track kernel")],
            ("A cross marks the first length at which a mechanism ran out of memory, an hourglass a timeout, a star an error.",),
        ),
        Page(
            "accuracy.html", "Accuracy",
            "What each mechanism learns in the same model, from the same data, in the same number of epochs. Where learning rates were "
            "tuned, each has the one that suits it best, among the same.",
            [
                Section("accuracy", "", accuracy.views(results), f"{RUN} --track task"),
                Section("stacked", "With and without skips and norms, by depth", stacked.views(results)),
            ],
        ),
        Page(
            "depth.html", "Depth",
            "What stacking layers costs, and what state the stack is in before training: with residual connections, and skipless "
            "(no skip, no norm).",
            [Section("depth", "", depth.views(results), f"{RUN} --track depth")],
        ),
    ]  # fmt: skip


def _links(has_asv: bool) -> list[tuple[str, str]]:
    names = ["Scaling", "Accuracy", "Depth", "Variants", "Machines", "Method", "Submit"]
    links = [("Leaderboard", "index.html"), *((name, f"{name.lower()}.html") for name in names)]
    return [*links, ("asv", "asv/index.html")] if has_asv else links


def _facts(results: Results) -> list[tuple[str, str]]:
    """The data line: what there is, how new, from which code."""
    if not results.records:
        return []
    latest = results.sessions[-1]
    machine_count = len({r.machine for r in results.records})
    return [
        (count(len(results.records)), "cell" if len(results.records) == 1 else "cells"),
        (count(len(results.variants)), "variant" if len(results.variants) == 1 else "variants"),
        (count(machine_count), "machine" if machine_count == 1 else "machines"),
        (latest.started_at[:10], "updated"),
        (commit_text(latest.environment), "commit"),
    ]


def _data(page: Page, environment: jinja2.Environment) -> bytes:
    """A page's figures and views as a script, for `fetch` is blocked on file://."""
    template = environment.get_template("view.html")
    figures: dict[str, Any] = {}
    sections: dict[str, list[dict[str, object]]] = {}
    for section in page.sections:
        for number, view in enumerate(section.views):
            figures |= {name: chart.figure for name, chart in _figure_names(section.name, number, view)}
            text = template.render(view=view, section=section.name, number=number, root="")
            html = text if number else ""  # the first is in the page itself
            axes = {axis.name: axis.value for axis in view.axes}
            sections.setdefault(section.name, []).append({"axes": axes, "setting": view.setting, "html": html})
    data = {"switches": switches(page.sections), "sections": sections, "figures": figures}
    return f"window.ATTNBENCH = {json.dumps(data, sort_keys=True, separators=(',', ':'))};\n".encode()


def _figure_names(section: str, number: int, view: View) -> list[tuple[str, Any]]:
    """The charts of a view with the names that tie them to their places in the page."""
    charts = [chart for block in view.blocks if isinstance(block, Charts) for chart in block.charts]
    return [(f"{section}-{number}-{place}", chart) for place, chart in enumerate(charts)]


def _markdown(text: str) -> str:
    return str(MarkdownIt("commonmark", {"html": False}).enable("table").render(text))


def _plotly() -> bytes:
    """The plotly script from the installed Python package, which is not imported for it."""
    spec = find_spec("plotly")
    if spec is None or spec.origin is None:
        raise BadInput("plotly is not installed, and the site's plots need its script; pip install plotly")
    return (Path(spec.origin).parent / "package_data" / PLOTLY).read_bytes()


def _write(file: Path, content: bytes) -> None:
    """Write a file unless it holds these bytes already."""
    if file.is_file() and file.read_bytes() == content:
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
