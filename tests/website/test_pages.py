"""What the pages say of records: failures, machines, seeds, and what is missing."""

from __future__ import annotations

import dataclasses
import io
import re
from html import escape, unescape
from pathlib import Path

import pytest
from rich.console import Console

from attnbench import registry
from attnbench.errors import BadInput
from attnbench.spec.protocol import NEWEST
from attnbench.website.formula import formula_html
from attnbench.website.links import cell_anchor, cell_file, cell_href
from attnbench.website.pages.variants import declared_facts
from attnbench.website.publish import publish, render
from attnbench.website.results import Results
from helpers import site_records
from helpers.site_records import Files, html, shown, task_spec, trained
from helpers.site_sources import SOURCES, page_of


def test_failures_are_shown_with_their_reason_and_without_a_rank(usual: Files) -> None:
    told = "<summary>out of memory</summary><p>tried to allocate 3.0 GiB</p><pre><code>attnbench run --rerun --cell "
    assert told in shown(usual, "index", "board")
    assert told in html(usual)["variants/polynomial.html"]
    failed = page_of(site_records.all_failed(), "index.html")
    assert ">–</td>" in failed and "because" in failed
    assert "1×" not in failed


def test_settings_are_never_mixed() -> None:
    """The default table holds one machine, device, dtype and masking: the GPU's times are in another view."""
    slow = [r for r in site_records.usual() if r.machine == "example"]
    both, alone = (page_of(records, "index.html") for records in (site_records.usual(), slow))
    table = re.compile(r"<tbody>.*?</tbody>", re.DOTALL)
    assert len(table.findall(both)) > 1
    assert table.findall(both) == table.findall(alone)


def test_a_page_begins_with_the_machine_that_is_asked_for(tmp_path: Path) -> None:
    def heading(first: str | None) -> str:
        return re.findall(r"Kernel, training[^<\"]*", page_of(site_records.usual(), "index.html", first))[0]

    assert "· example, cpu, " in heading(None) and "· example, cpu, " in heading("example")
    assert "· big-gpu, cuda, " in heading("big-gpu")
    site_records.stored(tmp_path / "results", site_records.usual()[:1])
    with pytest.raises(BadInput, match="did you mean 'example'"):
        publish(tmp_path / "results", tmp_path / "dist", Console(file=io.StringIO()), "exmple")


def test_one_seed_is_not_ranked_and_says_so() -> None:
    page = page_of([r for r in site_records.usual() if r.spec.track == "task" and r.spec.seed == 0], "accuracy.html")
    assert "1 seed, no interval" in page
    rows = re.findall(r'<tr><td class="number"><details class="tell"><summary>(.*?)</summary><div class="told"><p>(.*?)</p>', page)
    assert rows[0] == ("1–5", "It cannot be told from orthogonal, polynomial, softmax, softmax_math.")
    assert [rank for rank, _ in rows] == ["1–5"] * 5


def test_a_recorded_variant_that_is_not_registered_has_a_page(usual: Files) -> None:
    page = html(usual)["variants/my_file.html"]
    assert "Not registered" in page
    assert "attnbench run --rerun --cell" in page


def test_every_cell_is_shown_in_full_with_the_command_that_measures_it_again(usual: Files) -> None:
    records, pages = site_records.usual(), html(usual)
    articles = {
        (path, place): article
        for path, page in pages.items()
        for place, article in re.findall(r'<article class="cell" id="([^"]*)">(.*?)</article>', page, re.DOTALL)
    }
    assert articles.keys() == {(cell_file(record), cell_anchor(record)) for record in records}
    for record in records:
        article = articles[cell_file(record), cell_anchor(record)]
        for told in (record.command, record.reason or "", *record.measurements):
            assert escape(told) in article


def test_a_cell_measured_before_leads_to_what_it_gave_then() -> None:
    newest, *_ = site_records.kernel("softmax")
    before = dataclasses.replace(newest, session="20261101T060000Z-def456", started_at="2026-11-01T06:00:00Z")
    before = dataclasses.replace(before, measurements={"forward_s": [0.123456]})
    page = page_of([newest, before], cell_file(newest))
    places = [cell_anchor(newest), cell_anchor(before, before.session)]
    assert re.findall(r'<article class="cell" id="([^"]*)">', page) == places
    assert f'<li><a href="#{places[1]}">2026-11-01T06:00:00Z, session 20261101T060000Z-def456</a></li>' in page
    assert ["123\u2009ms" in article for article in page.split("</article>")[:2]] == [False, True]


def test_each_seed_of_a_result_leads_to_its_own_cell() -> None:
    spec = task_spec(variant="softmax", task="mnist", block="residual", num_layers=2, epochs=3, lr=3e-3)
    failed, *specs = [dataclasses.replace(spec, seed=seed) for seed in range(3)]
    given = {"50.0\u2009%": trained(specs[0], accuracy=[0.5]), "75.0\u2009%": trained(specs[1], accuracy=[0.75])}
    page = page_of([site_records.record(failed, "oom"), *given.values()], "variants/softmax.html")
    for told, record in given.items():
        assert f'<a href="../{cell_href(record)}">{told}</a>' in page


def test_what_has_no_matrix_is_told_from_what_overflowed() -> None:
    records = []
    for each in site_records.usual():
        found = dict(each.measurements)
        if each.spec.track == "depth" and each.spec.variant in ("softmax", "polynomial"):
            found = {**found, "diverged": [float(each.spec.variant == "polynomial")]}
            del found["attention_frobenius"]
        records.append(dataclasses.replace(each, measurements=found))
    page = page_of(records, "depth.html")
    assert "softmax: no dense matrix to look at" in page
    assert "polynomial: not finite at 1, 4, 16 layers" in page


def test_stacks_of_before_the_residual_are_drawn_without_it() -> None:
    """Where no record of a setting has it there is no chart; where some have, it says which have not."""
    usual = site_records.usual()

    def without(names: tuple[str, ...]) -> str:
        records = []
        for each in usual:
            old = each.spec.track == "depth" and each.spec.variant in names
            kept = {name: values for name, values in each.measurements.items() if not (old and name == "dong_residual")}
            records.append(dataclasses.replace(each, measurements=kept))
        return page_of(records, "depth.html")

    some, none = without(("softmax",)), without(tuple({each.spec.variant for each in usual}))
    assert "Residual, skipless" in some and "softmax: not measured" in some
    assert "Residual, skipless" not in none and "Effective rank, skipless" in none and "not measured" not in none


def test_trials_are_no_results() -> None:
    """A trial's validation value, which no result has, is in its cell, on its variant's page, and among what was tried of rates."""
    spec = task_spec(variant="softmax", task="mnist", block="residual", num_layers=2, epochs=3, lr_grid="0.003")
    trial = trained(dataclasses.replace(spec, lr=3e-3, lr_grid=None, seed=1000, evaluate="validation"), validation_accuracy=[0.98765])
    result = trained(dataclasses.replace(spec, lr=3e-3), validation_accuracy=[0.5])
    assert Results([trial], SOURCES.declared).groups("task") == []
    with_it, without = render([trial, result], SOURCES), render([result], SOURCES)
    page = with_it["variants/softmax.html"].decode()
    assert "Tuning trials" in page and "98.8\u2009%" in page
    assert "Tuning trials" not in without["variants/softmax.html"].decode()
    cell = cell_file(trial).removesuffix(".html")
    telling = {path for path, content in with_it.items() if "98.8\u2009%".encode() in content or b"0.98765" in content}
    of_rates = {path for path in with_it if path == "accuracy.html" or path.startswith("data/accuracy-task-")}
    assert telling == {"variants/softmax.html", f"{cell}.html", f"{cell}.js", *of_rates}
    assert "Learning rates" in with_it["accuracy.html"].decode() and "Learning rates" not in without["accuracy.html"].decode()
    views = {path for path in with_it.keys() | without.keys() if path.startswith("data/")} - {"data/machines.js"}
    assert len(views) > 10
    for path in (*sorted(views - of_rates), "compare.html", "claims.html"):
        assert with_it[path] == without[path], path


def test_how_long_training_is_can_be_seen() -> None:
    """The budgets of the pilot with the one in use, what is reached in equal time, and who still gains at the end."""
    of_budget = {"task": "mnist", "block": "residual", "num_layers": 2, "protocol": NEWEST.name, "lr": 3e-3}
    pilot = [
        trained(
            task_spec(variant="softmax", seed=seed, epochs=epochs, evaluate="validation", **of_budget),
            validation_accuracy=[0.8 + epochs / 100 + seed / 1e5], diverged=[0.0], majority_share=[0.1],
        )
        for seed in (1000, 1001) for epochs in (2, 4, 8)
    ]  # fmt: skip
    tuned = {**of_budget, "lr_grid": "0.001 0.003 0.01"}
    curve = {"step": [0.0, 1.0, 2.0, 3.0, 4.0], "validation_accuracy": [0.1, 0.5, 0.6, 0.7, 0.75]}
    runs = [
        dataclasses.replace(
            trained(
                task_spec(variant=variant, seed=seed, epochs=epochs, **tuned, **axes),
                accuracy=[0.8 + epochs / 50], train_s=[float(epochs)],
            ),
            curve=curve if variant == "orthogonal" else {},
        )
        for variant in ("softmax", "orthogonal") for seed in range(2) for epochs, axes in ((4, {}), (2, {"tuned_epochs": 4}))
    ]  # fmt: skip
    page = page_of(pilot + runs, "accuracy.html")
    for title in ("Validation accuracy of softmax against the budget, mnist", "Test accuracy in equal time, mnist"):
        assert f"<h3>{title}</h3>" in page, title
    assert "The budget here is 4 epochs. The margin is 1.0 percentage points. Twice as many epochs still gain 4.0 percentage" in page
    assert "of 2 and 4 epochs, whose rate is that of the whole budget" in page
    assert "in the last quarter of training these gained more than the margin of the protocol: orthogonal 5.0 percentage points." in page
    plain = page_of(runs[:1], "accuracy.html")
    assert "against the budget" not in plain and "in equal time" not in plain and "Still learning" not in plain


def test_the_condition_of_attention_alone_stands_beside_that_of_the_blocks(usual: Files) -> None:
    assert "<small>attention alone</small>" in shown(usual, "index", "board")
    titles = re.findall(r"<h3>(.*?)</h3>", unescape(usual["depth.html"].decode()))
    conditions = [title for title in titles if title.startswith("Condition")]
    whats, blocks = ("Condition number", "Condition, attention alone"), ("residual", "skipless")
    assert conditions == [f"{what}, {block}" for what in whats for block in blocks]


@pytest.mark.parametrize("name", SOURCES.declared)
def test_the_formula_of_every_mechanism_is_mathml(name: str) -> None:
    assert formula_html(SOURCES.declared[name].formula).startswith("<math ")


@pytest.mark.parametrize("formula", ["mean(V)", "softmax(Q Kᵀ / √d) V", r"\frac{", r"\text{<b>}"])
def test_a_formula_that_is_no_latex_is_shown_as_it_was_written(formula: str) -> None:
    assert formula_html(formula) == f"<code>{escape(formula)}</code>"


def test_a_mechanism_without_a_backward_pass_says_so_on_its_page() -> None:
    declared = registry.load("variants", "softmax")
    titles = {False: "none; cells that train are skipped", True: None}
    for training, told in titles.items():
        facts = {fact.name: fact.value for fact in declared_facts(dataclasses.replace(declared, training=training))}
        assert facts.get("Backward pass") == told
