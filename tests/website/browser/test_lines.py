"""Which lines of plots stand out: the core and what a reader selects, by the legend, a row or the address, with names that can be read."""

from __future__ import annotations

import re
from itertools import combinations

from playwright.sync_api import Page, expect

from helpers.site_page import Watched

CORE = ["orthogonal", "polynomial", "softmax", "softmax_math"]
PLOT = "document.querySelector('#scaling [data-figure]')"
DRAWN = f"{PLOT}?.data"
STRONG = f"{PLOT}.data.filter(({{ opacity }}) => opacity === 1).map(({{ name }}) => name).sort()"
NAMED = f"{PLOT}.layout.annotations.map(({{ text }}) => text).sort()"


def scaling(crowded: Watched, state: str = "") -> Page:
    """The scaling page of ten mechanisms, its first plot drawn."""
    page = crowded.open("scaling", state)
    crowded.until(DRAWN)
    return page


def test_the_core_is_strong_and_named_and_the_rest_is_faint(crowded: Watched) -> None:
    page = scaling(crowded)
    crowded.shows(STRONG, CORE)
    crowded.shows(NAMED, CORE)
    crowded.shows(f"{PLOT}.data.filter(({{ opacity }}) => opacity < 0.5).length", 6)
    pressed = page.locator("#scaling .legend button[aria-pressed=true]")
    expect(pressed).to_have_count(len(CORE))
    assert sorted(pressed.all_inner_texts()) == CORE and page.locator("#scaling .legend button").count() == 10


def test_what_is_selected_is_strong_and_the_address_keeps_it(crowded: Watched) -> None:
    page = scaling(crowded)
    page.locator("#scaling .legend button", has_text="performer").click()
    crowded.until(f"{STRONG}.includes('performer')")
    expect(page).to_have_url(re.compile("pick=.*performer"))
    address = page.url
    page.goto("about:blank")
    page.goto(address)
    crowded.until(f"{DRAWN} && {STRONG}.includes('performer')")
    crowded.shows(STRONG, sorted([*CORE, "performer"]))
    crowded.shows(NAMED, sorted([*CORE, "performer"]))
    expect(page.locator("[data-section=scaling] tr[data-line=performer]")).to_contain_class("picked")
    page.go_back()
    page = scaling(crowded, "pick=gated~nystrom")
    crowded.shows(STRONG, ["gated", "nystrom"])
    page = scaling(crowded, "pick=nobody~<img src=x>")
    crowded.shows(STRONG, page.evaluate(f"{PLOT}.data.map(({{ name }}) => name).sort()"))


def test_a_tap_on_a_row_selects_its_line_and_another_takes_it_back(crowded: Watched) -> None:
    page = scaling(crowded)
    cell = page.locator("[data-section=scaling] tr[data-line=gated] td").last
    cell.click()
    page.locator("h1").hover()  # under the mouse it would be strong anyway
    crowded.until(f"{STRONG}.includes('gated') && {STRONG}.includes('softmax')")
    expect(page).to_have_url(re.compile("pick="))
    cell.click()
    page.locator("h1").hover()
    crowded.until(f"!{STRONG}.includes('gated')")
    expect(page).not_to_have_url(re.compile("pick="))  # the usual selection needs no address


def test_the_mouse_and_the_focus_bring_a_line_forward_with_its_name(crowded: Watched) -> None:
    page = scaling(crowded)
    ahead = f"{PLOT}.layout.annotations.some(({{ text }}) => text === '<b>sigmoid</b>') && {PLOT}.data.at(-1).name === 'sigmoid'"
    page.locator("#scaling .legend button", has_text="sigmoid").hover()
    crowded.until(ahead)
    page.locator("h1").hover()
    crowded.until(f"!({ahead})")
    crowded.shows(STRONG, CORE)
    page.locator("[data-section=scaling] tr[data-line=sigmoid] td").last.hover()
    crowded.until(ahead)
    page.locator("h1").hover()
    crowded.until(f"!({ahead})")
    page.locator("#scaling .legend button").first.focus()
    for _ in range(9):
        page.keyboard.press("Tab")
    crowded.shows("document.activeElement.value", "sigmoid")
    crowded.until(ahead)


def test_names_of_lines_cover_no_other(crowded: Watched) -> None:
    """All ten are selected, of which several end within a pixel of one another."""
    page = scaling(crowded, "pick=" + "~".join([*CORE, "linear_elu", "performer", "sigmoid", "gated", "cosformer", "nystrom"]))
    crowded.until(f"{NAMED}.length === 10")
    boxes = page.evaluate(
        f"[...{PLOT}.querySelectorAll('.annotation-text')].map((text) => text.getBoundingClientRect())"
        ".map(({ left, right, top, bottom }) => [left, right, (top + bottom) / 2])"
    )
    assert len(boxes) == 10
    for one, other in combinations(boxes, 2):
        beside = one[0] < other[1] and other[0] < one[1]
        assert not beside or abs(one[2] - other[2]) >= 13, (one, other)
