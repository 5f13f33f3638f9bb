"""Cells, two of them beside each other, the comparison of mechanisms, search, claims and sources in a browser."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import get_args

from playwright.sync_api import expect

from attnbench import registry
from attnbench.claim import Verdict, verdict_text
from attnbench.store.metrics import ENDINGS, METRICS, is_time
from helpers.site_page import Watched

KERNEL = "track=kernel&hardware=example&device=cpu&causal=no&mode=forward&seq_len=128"


def test_a_number_leads_to_its_cell_with_record_samples_and_command(shown: Watched, tmp_path: Path) -> None:
    page = shown.open("index", KERNEL)
    shown.until("document.querySelector('[data-section=board] caption').textContent.includes('seq_len 128 ')")
    page.locator("[data-section=board] tbody tr", has_text="softmax").first.locator("td a").first.click()
    page.wait_for_url("**/cells/*.html#cell-*")
    article = page.locator("article.cell:visible")
    expect(article).to_have_count(1)
    expect(article.locator(".command")).to_contain_text("attnbench run --rerun --cell")
    page.locator(".tools svg.main-svg").first.wait_for()
    shown.shows("document.querySelector('article:not([hidden]) [data-figure^=samples]').data?.[0].x.length", 12)
    article.locator("summary", has_text="Environment in full").click()
    expect(article).to_contain_text("Example 9000", use_inner_text=True)
    with page.expect_download() as waiting:
        article.get_by_role("button", name="Record as JSON").click()
    waiting.value.save_as(tmp_path / "record.json")
    record = json.loads((tmp_path / "record.json").read_text())
    assert record["spec"]["seq_len"] == 128 and len(record["measurements"]["forward_s"]) == 12


def test_two_cells_are_set_beside_each_other(shown: Watched) -> None:
    page = shown.open("index", KERNEL)
    shown.until("document.querySelector('[data-section=board] caption').textContent.includes('seq_len 128 ')")
    links = {
        name: page.locator("[data-section=board] tbody tr", has=page.get_by_role("link", name=name, exact=True)).locator("td a").first
        for name in ("softmax", "orthogonal")
    }
    addresses = {name: link.evaluate("(link) => link.href") for name, link in links.items()}
    page.goto(addresses["orthogonal"])
    page.get_by_role("button", name="Keep this cell to compare").click()
    page.goto(addresses["softmax"])
    page.get_by_role("button", name="Compare with the kept cell").click()
    page.locator("h2", has_text="Compared with").wait_for()
    tools = page.locator(".tools:visible")
    expect(tools).to_contain_text("spec.variant")
    expect(tools).to_contain_text("What is the same")
    ratio = tools.locator("tr", has_text="forward_s").first.locator("td").last.inner_text()
    assert ratio.endswith("×") and 2 < float(ratio[:-1]) < 6  # 4e-7 * 128 ** 1.02 over 1e-9 * 128 ** 2
    shown.shows("document.querySelector('article:not([hidden]) [data-figure^=samples]').data?.length", 2)
    address = page.url
    page.goto("about:blank")
    page.goto(address)
    page.locator("h2", has_text="Compared with").wait_for()
    page.locator("input[name=other]:visible").fill("nonsense")
    page.get_by_role("button", name="Compare", exact=True).click()
    expect(page.locator("input[name=other]:visible")).to_have_attribute("placeholder", re.compile("copy the address"))
    page.evaluate("location.hash = location.hash.split('&')[0] + '&with=cell-0000000000000000.nowhere'")
    shown.until("/no such cell|could not be loaded/.test(document.querySelector('article:not([hidden]) .tools')?.textContent)")
    shown.faults.clear()  # a file that is not there was asked for


def test_odd_addresses_do_no_harm(shown: Watched) -> None:
    page = shown.open("index", KERNEL)
    address = page.locator("[data-section=board] td a").first.evaluate("(link) => link.href")
    for odd in ("#%", "#cell-%", "&with=%", "&with=../../x", "&with=<img>"):
        page.goto("about:blank")
        page.goto(address.split("#")[0] + odd if odd.startswith("#") else address + odd)
        expect(page.locator("article.cell:visible").first).to_be_visible()
    page = shown.open("index", f"{KERNEL}&q=orth")
    shown.until("document.querySelectorAll('[data-section=board] tbody tr:not([hidden])').length === 1")
    page.locator("a.skip").focus()
    page.keyboard.press("Enter")
    page.wait_for_timeout(100)
    assert page.locator("[data-section=board] tbody tr:visible").count() == 1  # to skip to the content changes nothing else


def test_earlier_measurements_of_a_cell_are_kept(shown: Watched) -> None:
    page = shown.open("variants/softmax")
    page.goto(page.locator("#kernel ~ .scroll").first.locator("td a").first.evaluate("(link) => link.href"))
    expect(page.locator("article.cell:visible")).to_have_count(1)
    if not page.locator("article.cell:visible ul a").count():  # the other mode of the same row was measured twice
        page.goto(shown.open("variants/softmax").locator("#kernel ~ .scroll").first.locator("td a").nth(1).evaluate("(link) => link.href"))
    page.locator("article.cell:visible ul a", has_text="2026-11-20").click()
    expect(page.locator("article.cell:visible")).to_contain_text("20261120T060000Z-abc000", use_inner_text=True)


def test_mechanisms_are_compared_with_the_first_that_was_chosen(shown: Watched) -> None:
    page = shown.open("compare", "track=kernel&hardware=example&device=cpu&causal=no&measure=time")
    heads = page.locator("[data-section=compare] thead th:visible")
    expect(heads).to_have_text(["Setting", "softmax", "orthogonal", "polynomial"])
    first = page.locator("[data-section=compare] tbody tr", has_text="seq_len 2,048").first
    expect(first.locator("td:visible .beside")).to_have_text(["baseline", "better", "worse"])
    page.locator("fieldset.picker label", has_text="softmax").first.locator("input").uncheck()
    page.locator("fieldset.picker label", has_text="softmax_math").locator("input").check()
    expect(heads).to_have_text(["Setting", "orthogonal", "polynomial", "softmax_math"])
    expect(page).to_have_url(re.compile("v=orthogonal"))
    expect(first.locator("td:visible .beside").first).to_have_text("baseline")
    page.locator("fieldset.picker label", has_text="my_file").locator("input").check()
    shown.until("location.hash.includes('my_file')")
    page.locator("select[name=track]").select_option("task")
    expect(page.locator("[data-section=compare] caption")).to_have_text(re.compile("^Test results"))
    expect(page.locator("[data-section=compare] tbody")).to_contain_text("undecided")
    address = page.url
    page.goto("about:blank")
    page.goto(address)
    expect(heads.nth(1)).to_have_text("orthogonal")


def test_choices_that_follow_one_another_at_once_are_all_kept(shown: Watched) -> None:
    """Before the browser tells of the address of the first."""
    page = shown.open("compare", "track=kernel&hardware=example&device=cpu&causal=no&measure=time")
    page.locator("fieldset.picker input").first.wait_for()
    page.evaluate(
        "for (const name of ['softmax', 'softmax_math', 'my_file'])"
        " [...document.querySelectorAll('fieldset.picker input')].find(({ value }) => value === name).click()"
    )
    expect(page.locator("[data-section=compare] thead th:visible")).to_have_text(
        ["Setting", "orthogonal", "polynomial", "softmax_math", "my_file"]
    )
    shown.page.go_back()
    expect(page.locator("[data-section=compare] thead th:visible")).to_have_text(["Setting", "orthogonal", "polynomial", "softmax_math"])


def test_search_finds_pages_mechanisms_tasks_machines_and_claims(shown: Watched) -> None:
    page = shown.open("cells/00") if (shown.site / "cells" / "00.html").exists() else shown.open("variants/softmax")
    field = page.locator("input[name=find]")
    expected = {
        "compare": ("page", "compare.html"), "softmax_m": ("variant", "variants/softmax_math.html"),
        "sotu_lm": ("task", "accuracy.html#task="), "big-gpu": ("machine", "machines.html#machine-big-gpu"),
        "loses_rank": ("claim", "claims.html#claim-softmax_loses_rank"),
    }  # fmt: skip
    for text, (kind, target) in expected.items():
        field.fill(text)
        first = page.locator("#found a").first
        expect(first).to_have_attribute("href", re.compile(re.escape(target)))
        expect(first).to_contain_text(kind)
    field.fill("nothing like it")
    expect(page.locator("p.found")).to_contain_text("Nothing of that name")
    field.press("Escape")
    expect(page.locator("#found")).to_be_hidden()
    field.fill("softmax")
    expect(page.locator("#found a").first).to_be_visible()
    field.press("ArrowDown")
    field.press("Enter")
    page.wait_for_url("**/variants/softmax_math.html")


def test_claims_have_verdict_rule_paper_and_evidence(shown: Watched) -> None:
    page = shown.open("claims", "claim-softmax_norm_is_bounded")
    section = page.locator("#claim-softmax_norm_is_bounded")
    assert section.locator(".verdict").inner_text() in [verdict_text(verdict).capitalize() for verdict in get_args(Verdict)]
    assert "exploratory" in section.inner_text()
    assert "arXiv 2410.18613" in section.inner_text() and "Rule" in section.inner_text()
    assert page.locator("section.claim").count() == len(registry.builtin("claims"))


def test_a_formula_is_mathml_and_the_source_is_shown(shown: Watched) -> None:
    page = shown.open("variants/polynomial")
    formula = page.locator("dd.formula math")
    assert formula.count() == 1 and "msqrt" in formula.inner_html()
    page.get_by_role("link", name="its file").click()
    page.wait_for_url("**/sources/polynomial.html")
    expect(page.locator("pre.source")).to_contain_text("VARIANT = Variant(")


def test_scripts_write_numbers_by_the_table_of_metrics(shown: Watched) -> None:
    page = shown.open(next(file.relative_to(shown.site).with_suffix("").as_posix() for file in (shown.site / "cells").glob("*.html")))
    names = [
        *METRICS,
        *(f"their{of.name}" for of in ENDINGS),
        "score",
        "constructor",
        "curve.effective_rank_layer_3",
        "curve.their_s_layer_3",
    ]
    assert page.evaluate("(names) => names.map(attnbench.format.isTime)", names) == [is_time(name) for name in names]
    told = {
        ("forward_s", 0.00123): "1.23 ms", ("peak_memory_bytes", 4096): "4.00 KiB", ("parameters", 12345): "12,300",
        ("training_tokens_per_s", 140_000): "140,000 tokens/s", ("validation_accuracy", 0.5): "50.0 %", ("majority_share", 0.11): "11.0 %",
        ("bits_per_byte", 2.34567): "2.346 bits/byte", ("unigram_bits", 4): "4.000 bits/byte", ("roofline_fraction", 0.5): "0.500",
        ("their_s", 2): "2.00 s", ("their_accuracy", 0.5): "50.0 %", ("flops_per_s", 2): "2.00",
    }  # fmt: skip
    for (name, value), text in told.items():
        found = page.evaluate("([name, value]) => attnbench.format.shown(name, value)", [name, value])
        assert found.replace("\u2009", " ") == text, name
