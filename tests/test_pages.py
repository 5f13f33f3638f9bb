"""What the pages say of records: failures, machines, seeds, and what is missing."""

from __future__ import annotations

import dataclasses
import io
import re
from pathlib import Path

import pytest
from rich.console import Console

import site_records
from attnbench.errors import BadInput
from attnbench.publish import load_sources, publish, render
from attnbench.store import Store
from site_records import html

SOURCES = load_sources()


def test_failures_are_shown_with_their_reason_and_without_a_rank() -> None:
    files = render(site_records.usual(), SOURCES)
    assert "out of memory" in files["data/index.js"].decode()
    assert "tried to allocate 3.0 GiB" in html(files)["variants/polynomial.html"]
    failed = html(render(site_records.all_failed(), SOURCES))["index.html"]
    assert ">–</td>" in failed and "because" in failed
    assert "1×" not in failed


def test_settings_are_never_mixed() -> None:
    """The default table holds one machine, device, dtype and masking: the GPU's times are in another view."""
    slow = [r for r in site_records.usual() if r.machine == "example"]
    both = html(render(site_records.usual(), SOURCES))["index.html"]
    alone = html(render(slow, SOURCES))["index.html"]
    table = re.compile(r"<tbody>.*?</tbody>", re.DOTALL)
    assert table.findall(both) == table.findall(alone)


def test_a_page_begins_with_the_machine_that_is_asked_for(tmp_path: Path) -> None:
    def heading(first: str | None) -> str:
        return re.findall(r"Kernel, training[^<]*", html(render(site_records.usual(), SOURCES, first=first))["index.html"])[0]

    assert "example (cpu)" in heading(None) and "example (cpu)" in heading("example")
    assert "big-gpu (cuda)" in heading("big-gpu")
    Store(tmp_path / "results").append(site_records.usual()[0])
    with pytest.raises(BadInput, match="did you mean 'example'"):
        publish(tmp_path / "results", tmp_path / "dist", Console(file=io.StringIO()), "exmple")


def test_one_seed_is_not_ranked_and_says_so() -> None:
    page = html(render([r for r in site_records.usual() if r.spec.track == "task" and r.spec.seed == 0], SOURCES))["accuracy.html"]
    assert "1 seed, no interval" in page
    assert re.findall(r'<td class="number">(\d+–?\d*)</td>', page)[:1] == ["1–5"]


def test_a_recorded_variant_that_is_not_registered_has_a_page() -> None:
    page = html(render(site_records.usual(), SOURCES))["variants/my_file.html"]
    assert "Not registered" in page
    assert "attnbench run --rerun --cell" in page


def test_what_has_no_matrix_is_told_from_what_overflowed() -> None:
    records = []
    for each in site_records.usual():
        found = dict(each.measurements)
        if each.spec.track == "depth" and each.spec.variant in ("softmax", "polynomial"):
            found = {**found, "diverged": [float(each.spec.variant == "polynomial")]}
            del found["attention_frobenius"]
        records.append(dataclasses.replace(each, measurements=found))
    page = html(render(records, SOURCES))["depth.html"]
    assert "softmax: no dense matrix to look at" in page
    assert "polynomial: not finite at 1, 4, 16 layers" in page
