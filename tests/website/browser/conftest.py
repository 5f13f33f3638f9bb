"""The browser of these tests, one for all of them. Where there is none they are skipped; on a CI machine (CI=true) they fail."""

from helpers.site_browser import browser, shown, site, tab, watch

__all__ = ["browser", "shown", "site", "tab", "watch"]
