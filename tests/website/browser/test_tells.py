"""Words that open to what they mean, by touch, mouse, focus and without scripts; tables that fade where they are cut."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Browser, Page, expect

from helpers.site_page import Watched

RANK = "[data-section=board] tbody td:first-child details.tell"
TOLD = f"{RANK} .told"
OPEN = "document.querySelector('details.tell[open] .told')?.checkVisibility()"


def tells(page: Page, text: str) -> None:
    """What stands open above the page has these words."""
    expect(page.locator("details.tell[open] .told")).to_contain_text(text)


def test_a_click_opens_a_word_and_a_click_elsewhere_or_escape_closes_it(crowded: Watched) -> None:
    page = crowded.open("index")
    page.locator(f"{RANK} summary").first.click()
    crowded.until(OPEN)
    tells(page, "It cannot be told from ")
    page.locator("[data-section=board] th details.tell summary", has_text="of peak").click()
    crowded.until("document.querySelectorAll('details.tell[open]').length === 1")
    tells(page, "Model FLOPs utilisation")
    assert page.locator("[data-section=board] th[aria-sort]").count() == 0  # to ask what a column is does not sort by it
    page.keyboard.press("Escape")
    expect(page.locator("details.tell[open]")).to_have_count(0)
    page.locator(f"{RANK} summary").first.click()
    page.locator("h1").click()
    expect(page.locator("details.tell[open]")).to_have_count(0)


def test_the_mouse_opens_a_word_and_a_click_keeps_it_open(crowded: Watched) -> None:
    page = crowded.open("index")
    word = page.locator("[data-section=board] .words summary", has_text="against itself")
    word.hover()
    crowded.until(OPEN)
    page.locator("h1").hover()
    crowded.until("!document.querySelector('details.tell[open]')")
    word.hover()
    crowded.until(OPEN)
    word.click()
    page.locator("h1").hover()
    page.wait_for_timeout(400)  # longer than it takes to close
    tells(page, "cannot tell apart")


def test_the_focus_opens_a_word_and_the_next_one_closes_it(crowded: Watched) -> None:
    page = crowded.open("index")
    page.locator(f"{RANK} summary").first.focus()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Tab")
    crowded.until(OPEN)
    tells(page, "It cannot be told from ")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    crowded.until(f"!document.querySelector({RANK!r} + '[open]')")


def test_a_word_opens_under_a_finger_and_stays_within_a_phone(browser: Browser, crowd: Path) -> None:
    with browser.new_context(has_touch=True, viewport={"width": 390, "height": 800}) as context:
        page = context.new_page()
        page.goto((crowd / "index.html").as_uri())
        page.locator(f"{RANK} summary").first.tap()
        expect(page.locator("details.tell[open] .told")).to_be_visible()
        box = page.locator("details.tell[open] .told").bounding_box()
        assert box and box["x"] >= 0 and box["x"] + box["width"] <= 390 and box["y"] + box["height"] <= 800


def test_words_open_without_scripts(browser: Browser, crowd: Path) -> None:
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto((crowd / "index.html").as_uri())
        assert not page.locator(TOLD).first.is_visible()
        page.locator(f"{RANK} summary").first.click()
        expect(page.locator(TOLD).first).to_be_visible()


def test_a_table_fades_where_it_is_cut_and_not_at_its_end(crowded: Watched) -> None:
    page = crowded.open("index")
    page.set_viewport_size({"width": 390, "height": 800})
    crowded.until("document.querySelector('[data-section=board] .scroll.cut')")
    mask = "getComputedStyle(document.querySelector('[data-section=board] .scroll')).maskImage"
    crowded.until(f"{mask}.includes('linear-gradient')")
    page.evaluate("document.querySelector('[data-section=board] .scroll').scrollLeft = 1e6")
    crowded.until("!document.querySelector('[data-section=board] .scroll.cut')")
    crowded.shows(mask, "none")
    page.set_viewport_size({"width": 1200, "height": 800})
    page.locator("select[name=seq_len]").select_option("256")  # a table that came later
    crowded.until("document.querySelector('[data-section=board] caption').textContent.includes('seq_len 256 ')")
    page.set_viewport_size({"width": 390, "height": 800})
    crowded.until("document.querySelector('[data-section=board] .scroll.cut')")
