"""The entries of the search in every page's head: pages, mechanisms, tasks, machines and claims."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlencode

from attnbench.analysis.labels import clip
from attnbench.website.links import machine_href, variant_file
from attnbench.website.results import Results
from attnbench.website.sources import Sources

Entry = tuple[str, str, str, str]  # title, kind, description, address


def entries(results: Results, sources: Sources, pages: Sequence[tuple[str, str]]) -> list[Entry]:
    """The entries of the search, in the order in which equal matches are listed."""
    found: list[Entry] = [(title, "page", "", href) for title, href in dict.fromkeys(pages)]
    found += [(clip(name, 80), "variant", clip(sources.summaries.get(name, ""), 120), variant_file(name)) for name in results.variants]
    tasks = {axis.value: axis.label for group in results.groups("task") for axis in group.axes if axis.name == "task"}
    found += [(clip(label, 80), "task", "", f"accuracy.html#{urlencode({'task': value})}") for value, label in sorted(tasks.items())]
    found += [(clip(name, 80), "machine", "", machine_href(name)) for name in sorted({r.machine for r in results.records})]
    found += [(name, "claim", clip(claim.statement, 120), f"claims.html#claim-{name}") for name, claim in sorted(sources.claims.items())]
    return found
