"""What a reader does on the leaderboard: choose, sort, filter, share, download, ask why; with a keyboard alone as well."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

from playwright.sync_api import Page, expect

from helpers.site_page import Watched, every_view

CAPTION = "document.querySelector('[data-section=board] caption').textContent"
KERNEL = "track=kernel&hardware=example&device=cpu&causal=no&mode=training&seq_len=8192"


def names(page: Page) -> list[str]:
    """The mechanisms of the table that can be seen, in order."""
    return [name for row in page.locator("[data-section=board] tbody tr:visible th").all() if (name := row.inner_text().strip())]


def table(file: Path) -> list[dict[str, str]]:
    """The rows of a CSV file."""
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_the_table_stands_above_the_controls(shown: Watched) -> None:
    page = shown.open("index")
    board, controls = (page.locator(of).bounding_box() for of in ("[data-section=board] table", "form.controls"))
    assert board and controls and board["y"] < controls["y"] and board["y"] < 300


def test_the_hash_holds_the_view_and_back_goes_back(shown: Watched) -> None:
    page = shown.open("index")
    default = names(page)
    page.locator("select[name=seq_len]").select_option("128")
    shown.until(f"{CAPTION}.includes('seq_len 128 ')")
    assert "seq_len=128" in page.url
    page.locator("select[name=track]").select_option("task")
    shown.until(f"{CAPTION}.startsWith('Task')")
    page.go_back()
    shown.until(f"{CAPTION}.includes('seq_len 128 ')")
    short, address = names(page), page.url
    page.goto("about:blank")
    page.goto(address)
    shown.until(f"{CAPTION}.includes('seq_len 128 ')")
    assert names(page) == short
    usual = shown.open("index").locator("[data-section=board] caption").inner_text()
    expect(shown.open("index", "seq_len=nonsense&<img src=x>=1").locator("[data-section=board] caption")).to_have_text(usual)
    assert names(page) == default


# Shows one view after the other, none of which has the caption of the one before; of each the caption and the number of rows.
SEEN = """async (views) => {
  const table = () => document.querySelector("[data-section=board] table");
  const seen = [];
  for (const view of views) {
    const before = table().caption.textContent;
    location.hash = view;
    for (let waited = 0; table().caption.textContent === before && waited < 1000; waited += 1) {
      await new Promise((done) => setTimeout(done, 10));
    }
    seen.push([table().caption.textContent, table().tBodies[0].rows.length]);
  }
  return seen;
}"""


def test_every_view_can_be_shown(shown: Watched) -> None:
    page = shown.open("index")
    views = every_view(page, "board")
    assert len(views) > 10
    seen = page.evaluate(SEEN, views[::-1])
    assert len({caption for caption, _ in seen}) == len(views)
    assert all(rows > 0 for _, rows in seen)


def test_columns_sort_both_ways_and_back_and_the_address_keeps_it(shown: Watched) -> None:
    page = shown.open("index", KERNEL)
    usual = names(page)
    memory = page.locator("th[data-key=peak_memory_bytes]")
    memory.get_by_role("button").click()
    shown.until("document.querySelector('th[aria-sort=ascending]')")
    rising = names(page)
    measured = page.evaluate(
        "[...document.querySelectorAll('[data-section=board] tbody tr')].filter((row) => !row.querySelector('.why')).length"
    )
    assert rising != usual and rising[0] == "orthogonal"
    memory.get_by_role("button").click()
    shown.until("document.querySelector('th[aria-sort=descending]')")
    assert names(page)[:measured] == rising[:measured][::-1]
    assert names(page)[measured:] == rising[measured:]  # what has no value is last, whichever way
    address = page.url
    assert "sort=-peak_memory_bytes" in address
    page.goto("about:blank")
    page.goto(address)
    shown.until("document.querySelector('th[aria-sort=descending]')")
    memory.get_by_role("button").click()
    shown.until("!document.querySelector('th[aria-sort]')")
    assert names(page) == usual


def test_words_filter_rows_and_lines(shown: Watched) -> None:
    page = shown.open("index", KERNEL)
    page.locator("#plots svg.main-svg").first.wait_for()
    lines = "document.querySelector('#plots [data-figure]').data.length"
    shown.until(f"{lines} > 2")
    page.locator("input[name=q]").fill("orth polyn")
    shown.until(f"document.querySelectorAll('[data-section=board] tbody tr:not([hidden])').length === 2 && {lines} < 4")
    assert sorted(names(page)) == ["orthogonal", "polynomial"]
    expect(page.locator("form.controls output")).to_have_text("2 of 5 shown")
    expect(page).to_have_url(re.compile(r"q=orth\+polyn"))
    page.reload()
    shown.until("document.querySelectorAll('[data-section=board] tbody tr:not([hidden])').length === 2")
    expect(page.locator("input[name=q]")).to_have_value("orth polyn")


def test_nothing_is_offered_that_no_record_can_hold_yet(shown: Watched) -> None:
    """Whether the project measured a record again is a field that nothing writes: an old link that asks for it shows all."""
    page = shown.open("index", f"{KERNEL}&trust=rerun")
    assert page.locator("select[name=trust]").count() == 0 and "Trust" not in page.locator("thead").first.inner_text()
    assert len(names(page)) == 5


def test_why_and_how_to_try_again_is_told_on_demand(shown: Watched) -> None:
    page = shown.open("index", KERNEL)
    why = page.locator("details.why").first
    assert not why.locator("pre").is_visible()
    why.locator("summary").click()
    expect(why).to_contain_text("tried to allocate 3.0 GiB", use_inner_text=True)
    expect(why).to_contain_text("attnbench run --rerun --cell", use_inner_text=True)
    why.get_by_role("link", name="The cell in full").click()
    page.wait_for_url("**/cells/*.html#cell-*")
    expect(page.locator("article.cell:visible .status")).to_have_text("out of memory")


def test_the_view_can_be_taken_away(shown: Watched, tmp_path: Path) -> None:
    page = shown.open("index", f"{KERNEL}&q=softmax&sort=name")
    shown.until("document.querySelectorAll('[data-section=board] tbody tr:not([hidden])').length === 2")
    files = {}
    for kind in ("csv", "json"):
        with page.expect_download() as waiting:
            page.locator(f"button[data-save={kind}]").click()
        files[kind] = tmp_path / waiting.value.suggested_filename
        waiting.value.save_as(files[kind])
    rows = table(files["csv"])
    document = json.loads(files["json"].read_text())
    assert [row["name"] for row in rows] == [row["name"] for row in document["rows"]] == ["softmax", "softmax_math"]
    assert rows[0]["seq_len"] == "8192" and rows[0]["hardware"] == "example"
    assert float(rows[0]["time_s"]) == document["rows"][0]["time_s"] > 0.1
    assert float(rows[0]["time_s_low"]) < float(rows[0]["time_s"]) < float(rows[0]["time_s_high"])
    assert rows[1]["status"] == "oom" and rows[1]["time_s"] == ""
    assert "seq_len 8,192" in document["setting"]
    page = shown.open("scaling")
    with page.expect_download() as waiting:
        page.locator("button[data-save=csv]").click()
    waiting.value.save_as(tmp_path / "scaling.csv")
    lengths = {row["seq_len"] for row in table(tmp_path / "scaling.csv")}
    assert {"128", "8192"} <= lengths
    assert (shown.site / "data" / "attnbench.parquet").stat().st_size > 10_000


def test_a_spreadsheet_gets_no_formula(shown: Watched) -> None:
    page = shown.open("index")
    with page.expect_download() as waiting:
        page.evaluate(
            "attnbench.tables.save('csv', 'x', {setting: '', axes: {}, rows: [{name: '=HYPERLINK(1)', note: 'a,\"b', n: -1.5}]}, {}, [])"
        )
    assert Path(waiting.value.path()).read_text() == 'name,note,n\n\'=HYPERLINK(1),"a,""b",-1.5\n'


def test_a_link_to_the_view_can_be_copied(shown: Watched) -> None:
    page = shown.open("index", KERNEL)
    page.locator("select[name=seq_len]").select_option("512")
    shown.until(f"{CAPTION}.includes('seq_len 512 ')")
    page.locator("button[data-link]").click()
    shown.until("/Link (copied|is in the address bar)/.test(document.querySelector('button[data-link]').textContent)")
    assert re.search(r"#.*seq_len=512", page.url)


def test_a_keyboard_is_enough(shown: Watched) -> None:
    page = shown.open("index", KERNEL)
    page.keyboard.press("Tab")
    shown.shows("document.activeElement.className", "skip")
    page.keyboard.press("/")
    shown.shows("document.activeElement.name", "find")
    page.keyboard.type("poly")
    page.locator("#found a").first.wait_for()
    page.keyboard.press("Enter")
    page.wait_for_url("**/variants/polynomial.html")
    page = shown.open("index", KERNEL)
    page.locator("th[data-key=peak_memory_bytes] button").focus()
    page.keyboard.press("Enter")
    shown.until("document.querySelector('th[aria-sort=ascending]')")
    shown.shows("document.activeElement.className", "sort")  # and stays there
    page.locator("select[name=seq_len]").focus()
    page.keyboard.press("ArrowDown")
    shown.until(f"!{CAPTION}.includes('seq_len 8,192')")
    shown.shows("document.activeElement.name", "seq_len")
    assert not page.evaluate(
        "[...document.querySelectorAll('a, button, select, input, summary')].some((one) => one.tabIndex < 0 && one.checkVisibility())"
    )
