"""Records that are odd but valid: none of them may keep the site from being built, or a page from telling the truth."""

from __future__ import annotations

import dataclasses
import re
from importlib.metadata import EntryPoint
from statistics import fmean
from typing import Any

import pytest

from attnbench import registry
from attnbench.analysis.standing import Standing
from attnbench.errors import BadInput
from attnbench.spec.axes import Spec
from attnbench.stats import Interval
from attnbench.store.record import Origin, Record
from attnbench.website.publish import load_sources, render
from attnbench.website.results import Results
from helpers import site_records
from helpers.site_records import html
from helpers.site_sources import NO_CLAIMS, SOURCES, page_of

HIGHER, LOWER = (0.795, 0.801, 0.812), (0.795, 0.799, 0.814)


def kernel(variant: str, seconds: float, **fields: Any) -> Record:
    spec = Spec(track="kernel", variant=variant, mode="forward", seq_len=512)
    given = {"forward_s": site_records.samples(seconds), "anchor_ratio": site_records.samples(seconds / 0.01), "peak_memory_bytes": [1e6]}
    return site_records.record(spec, **{"measurements": given, **fields})


@pytest.mark.parametrize("ratios", [[0.0, 1.0, 1.0], [-1.0, 1.0, 1.0], [1e308] * 3])
def test_ratios_that_cannot_be_are_not_drawn(ratios: list[float]) -> None:
    odd = kernel("orthogonal", 0.02, measurements={"forward_s": site_records.samples(0.02), "anchor_ratio": ratios})
    page = page_of([kernel("softmax", 0.01), odd], "index.html")
    assert re.search(r">20\.\d\u2009ms<", page) and re.search(r">2\.0\d×<|>1\.99×<", page)  # over softmax's own cell


@pytest.mark.parametrize("machine", ["²", "9" * 5000, "../../outside", "main", "said", "found"])
def test_machines_may_be_called_anything(machine: str) -> None:
    page = page_of([kernel("softmax", 0.01, machine=machine)], "machines.html")
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids)) and any(place.startswith("machine-") for place in ids)


def test_a_plug_in_that_cannot_be_imported_has_pages_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("broken", "no_such_package.broken", "attnbench.variants")
    monkeypatch.setattr(registry, "_external", lambda group: {"broken": point} if group == "variants" else {})
    with pytest.raises(BadInput, match="variant 'broken' cannot be imported"):
        registry.load("variants", "broken")
    pages = html(render([kernel("softmax", 0.01), kernel("broken", 0.02)], dataclasses.replace(load_sources(), claims={})))
    assert "broken" in pages["index.html"] and "variants/broken.html" in pages


def test_a_cell_whose_defaults_were_written_out_later_is_one_cell() -> None:
    old, new = kernel("polynomial", 0.02), kernel("polynomial", 0.5, started_at="2026-11-23T06:00:00Z", session="20261123T060000Z-abc123")
    defaults = dict(registry.load("variants", "polynomial").params)
    spec = dataclasses.replace(new.spec, params=defaults)
    page = page_of([kernel("softmax", 0.01), old, dataclasses.replace(new, spec=spec, id=spec.key())], "index.html")
    row = page.split(">polynomial</a>")[1].split("</tr>")[0]
    assert re.search(r">50\d\u2009ms<", row) and not re.search(r">20\.\d\u2009ms<", row)


def test_a_single_process_is_no_surer_than_processes_are_alike() -> None:
    """Two processes differ by 1.7 % (sd), so that samples of one, however alike they are, leave at least 3 % open to either side."""
    alike = {"forward_s": [0.02] * 12, "anchor_ratio": [2.0] * 12}
    page = page_of([kernel("softmax", 0.01), kernel("orthogonal", 0.02, measurements=alike)], "index.html")
    row = page.split(">orthogonal</a>")[1].split("</tr>")[0]
    (low, high), *_ = re.findall(r"<small>\[([\d.]+), ([\d.]+)\]</small>", row)
    assert float(low) < 2.0 / 1.03 < 2.0 * 1.03 < float(high)


def test_several_records_are_trusted_as_the_least_of_them() -> None:
    seeds = [r for r in site_records.usual() if r.spec.task == "mnist" and r.spec.block == "residual"]
    seeds = [dataclasses.replace(r, origin=Origin(by="maintainer", trust="rerun")) if r.spec.seed == 0 else r for r in seeds]
    files = render(seeds, NO_CLAIMS)
    (chunk,) = (content.decode() for name, content in files.items() if name.startswith("data/index-task"))
    assert '"trust":"self"' in chunk and '"trust":"rerun"' not in chunk


def test_better_is_told_by_the_value_and_not_by_the_range_of_ranks() -> None:
    """A beats B surely, yet B's ranks may begin before A's: it is undecided against those that beat A."""
    a = Standing((3, 5), (), "accuracy", Interval(0.9, 0.9, 0.9, 0.95), None)
    b = Standing((2, 6), (), "accuracy", Interval(0.8, 0.7, 0.9, 0.95), None)
    assert a.ahead_of(b) and not b.ahead_of(a)
    cost = dataclasses.replace(a, metric="forward_s"), dataclasses.replace(b, metric="forward_s")
    assert cost[1].ahead_of(cost[0])


def test_the_frontier_does_not_hang_on_the_last_digit_of_a_mean() -> None:
    """Both have the same accuracies in sum, and their means differ in the last digit: the dearer of equals is not on the frontier."""
    records = []
    equal = {"orthogonal": (30.0, HIGHER), "softmax": (10.0, LOWER)}
    assert fmean(HIGHER) > fmean(LOWER)
    for variant, (seconds, scores) in equal.items():
        for seed, score in enumerate(scores):
            spec = Spec(track="task", variant=variant, task="mnist", block="residual", num_layers=2, epochs=1, lr=0.1, seed=seed)
            records.append(site_records.record(spec, measurements={"accuracy": [score], "train_s": [seconds + 0.01 * seed]}))
    places = Results(records, SOURCES.declared).standings.frontier("time", records[0])
    assert places["softmax"] == "frontier" and places["orthogonal"] != "frontier"
