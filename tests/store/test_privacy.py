"""What a published text may say, and what it may not."""

from __future__ import annotations

import pytest

from attnbench.store import privacy


@pytest.mark.parametrize(
    "text",
    [
        "a ratio of 3/4, and/or 10 tokens/s",
        "see https://pytorch.org/docs/stable",
        "scores@v.to(dtype) and q@k.mT",
        'File "functional.py", line 2950, in layer_norm',
        'attnbench run --rerun --cell \'{"track":"kernel"}\' --variant mine.py',
        "Linux 6.18.44",
        "root",
    ],
)
def test_what_gives_nothing_away(text: str) -> None:
    assert privacy.private(text) is None


@pytest.mark.parametrize(
    "text", ["/tmp/x.py", "(/usr/lib/python3/x.py)", "~/x", "file:///home/alice", "D:\\work\\x", "by alice.b+c@mail.example.co.uk."]
)
def test_what_gives_something_away(text: str) -> None:
    assert privacy.private(f"before {text}") is not None


@pytest.mark.parametrize(
    ("host", "user", "told"),
    [
        ("alices-box.lan", "bob", ["alices-box.lan", "alices-box", "bob"]),
        ("localhost", "root", []),
        ("ci", "1000", []),
    ],
)
def test_names_of_this_host_and_user_are_private_unless_they_stand_for_nobody(host: str, user: str, told: list[str]) -> None:
    search = privacy.pattern(host, user).search
    for name in ("alices-box.lan", "alices-box", "bob", "localhost", "root", "ci", "1000"):
        assert (search(f"on {name}: no space") is not None) is (name in told)
    assert search("alices-boxes, bobsled, pre-bob and localhosts") is None
