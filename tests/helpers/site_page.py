"""A page of a site in a browser, and what is asked of it in the tests."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import Page, expect

from helpers.misbehaving import PATIENCE_S

# What follows an action follows a moment later, at a busy moment much later: `expect` of a locator, `until` and `shows` wait for it,
# where a value read at once is the one of before.
expect.set_options(timeout=1000 * PATIENCE_S)


@dataclass
class Watched:
    """A page of a site, and a list that fills with whatever goes wrong."""

    page: Page
    site: Path
    faults: list[str] = field(default_factory=list)

    def open(self, name: str, state: str = "") -> Page:
        """Go to a page anew, whatever was shown."""
        self.page.goto("about:blank")
        self.page.goto((self.site / f"{name}.html").as_uri() + (f"#{state}" if state else ""))
        return self.page

    def until(self, expression: str) -> None:
        """Wait until an expression holds. Playwright's own wait needs eval, which the policy of the pages forbids."""
        deadline = time.monotonic() + PATIENCE_S
        while not self.page.evaluate(expression):
            assert time.monotonic() < deadline, f"never came true: {expression}"
            self.page.wait_for_timeout(20)

    def shows(self, expression: str, value: object) -> None:
        """Wait until an expression has a value."""
        deadline = time.monotonic() + PATIENCE_S
        while (found := self.page.evaluate(expression)) != value and time.monotonic() < deadline:
            self.page.wait_for_timeout(20)
        assert found == value, expression


def every_view(page: Page, section: str = "") -> list[str]:
    """The states of all views of a page, or of one section."""
    views = f"attnbench.page.sections[{section!r}]" if section else "Object.values(window.attnbench.page?.sections ?? {}).flat()"
    found: list[str] = page.evaluate(
        f"{views}.map((codes) => new URLSearchParams(attnbench.page.axes.flatMap(({{ name, values }}, place) => "
        "(codes[place] < 0 ? [] : [[name, values[codes[place]][0]]]))).toString())"
    )
    return found
