"""The contents of the pages that show one of many views at a time: their titles, sections and texts."""

from __future__ import annotations

from collections.abc import Iterator

from attnbench.website.pages import accuracy, board, board_plots, compare, depth, overall, scaling, stacked
from attnbench.website.pages.opening import known_sentence
from attnbench.website.results import Results
from attnbench.website.tables.checks import Checks
from attnbench.website.view import Page, Section

RUN = "attnbench run --preset quick"
STANDARD = "attnbench run --preset standard --track task"


def first_pages(results: Results, checks: Checks) -> Iterator[Page]:
    """Yield all pages with views but Scaling, one at a time, because all charts of a large store need too much memory."""
    yield Page(
        "index.html",
        "Leaderboard",
        "Attention mechanisms compared on time, peak memory and accuracy: one harness, every sample kept, ties shown as ties.",
        [
            Section("board", "", found := board.views(results, checks), RUN),
            Section("plots", "At a glance", board_plots.views(results, found)),
        ],
        known=known_sentence(results),
    )
    yield Page(
        "accuracy.html",
        "Accuracy",
        "What each mechanism learns in the same model, from the same data, in the same number of epochs. Where learning rates were "
        "chosen by trials, each has the one of a few, the same for all, that was best on its validation part.",
        [
            Section("accuracy", "", accuracy.views(results), f"{RUN} --track task"),
            Section("stacked", "With and without skips and norms, by depth", stacked.views(results), STANDARD),
            Section("over-tasks", "Over all tasks", overall.views(results), STANDARD),
        ],
    )
    yield Page(
        "depth.html",
        "Depth",
        "What stacking layers costs, and what state the stack is in before training: with residual connections, and skipless "
        "(no skip, no norm).",
        [Section("depth", "", depth.views(results), f"{RUN} --track depth")],
    )
    yield Page(
        "compare.html",
        "Compare",
        "Any mechanisms side by side, in every setting that they were measured in.",
        [Section("compare", "", compare.views(results), RUN)],
    )


def scaling_page(results: Results) -> Page:
    """How time and memory grow with the sequence length; it takes about as much work as all the others."""
    return Page(
        "scaling.html",
        "Scaling",
        "Time, its ratio to softmax, peak memory and throughput against sequence length, on logarithmic axes: a straight line is a power "
        "law.",
        [Section("scaling", "", scaling.views(results), f"{RUN} --track kernel")],
        ("A cross marks the first length at which a mechanism ran out of memory, an hourglass a timeout, a star an error.",),
    )
