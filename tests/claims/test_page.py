"""The claims page shows of each claim the verdict, the standing with its reason, and what it rests on; and which claims are not tested."""

from __future__ import annotations

import dataclasses
import html

from attnbench.claims._untested import UNTESTED
from attnbench.website.results import Results
from attnbench.website.site import Site
from helpers.claim_data import PLANTED, claim
from helpers.site_sources import SOURCES

NAMES = ("damping_hurts_depth", "initial_norm_matters")


def test_the_page_shows_what_a_verdict_rests_on() -> None:
    records = list(PLANTED[NAMES[0]]["not reproduced"]())
    sources = dataclasses.replace(SOURCES, claims={name: claim(name) for name in NAMES})
    site = Site(Results(records, SOURCES.declared, shipped=SOURCES.summaries), sources)
    page = next(text for path, text in site.front() if path == "claims.html")
    said = html.unescape(page.decode() if isinstance(page, bytes) else page)
    for name in NAMES:
        whole = claim(name)
        assert all(text in said for text in (whole.quote, whole.source, whole.evaluated, whole.rule, whole.power, whole.statement))
    assert "Not reproduced in this setting" in said and "Our question, not the paper’s claim." in said
    assert "damping_hurts_depth.py at commit 0000000" in said and "No record counts yet" in said  # why either is exploratory
    assert all(each.what in said and each.why in said for each in UNTESTED)
