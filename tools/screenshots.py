"""Pictures of every page type, light and dark, as wide as a page and as a phone: python tools/screenshots.py SITE FOLDER."""

from __future__ import annotations

import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

CHROMIUM = "/usr/bin/chromium"
LOOKS = {"light": (1200, "light"), "dark": (1200, "dark"), "phone": (390, "light"), "phone-dark": (390, "dark")}


def pages(site: Path) -> list[Path]:
    """Every page at the top, and one of each folder but asv's."""
    folders = sorted(folder for folder in site.iterdir() if folder.is_dir() and folder.name != "asv")
    first = [file for folder in folders for file in sorted(folder.glob("*.html"))[:1]]
    return [*sorted(site.glob("*.html")), *first]


def shoot(site: Path, out: Path, addresses: list[str]) -> None:
    """One PNG for each page and look. addresses: pages with their states, such as `index.html#track=task`; none for all pages."""
    out.mkdir(parents=True, exist_ok=True)
    targets = addresses or [str(page.relative_to(site)) for page in pages(site)]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
        for look, (width, scheme) in LOOKS.items():
            context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme="dark" if scheme == "dark" else "light")
            page = context.new_page()
            for target in targets:
                name, _, state = target.partition("#")
                page.goto((site / name).as_uri() + (f"#{state}" if state else ""))
                page.wait_for_timeout(300)
                page.evaluate("document.querySelectorAll('[data-figure]').forEach((plot) => attnbench.plots.draw(plot))")  # far ones too
                page.wait_for_timeout(500)
                shown = target.replace("/", "-").replace(".html", "").replace("#", "--").replace("&", "-")
                page.screenshot(path=out / f"{shown}-{look}.png", full_page=True)
                print(out / f"{shown}-{look}.png")
        browser.close()


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(f"usage: {sys.argv[0]} SITE FOLDER [PAGE#STATE ...]")
    shoot(Path(sys.argv[1]).resolve(), Path(sys.argv[2]), sys.argv[3:])
