"""What the documents promise exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer.main

import attnbench
from attnbench import cli
from helpers.paths import REPO

WITH_COMMANDS = ["README.md", "CONTRIBUTING.md", "site/pages/method.md", "site/pages/submit.md"]
DOCUMENTS = [*WITH_COMMANDS, "site/pages/about.md"]


def commands(text: str) -> list[list[str]]:
    """The words of every attnbench command line in a document's code."""
    return [line.split("#")[0].split() for line in re.findall(r"^(attnbench .*)$|`(attnbench .+?)`", text, re.M) for line in line if line]


@pytest.mark.parametrize("document", WITH_COMMANDS)
def test_every_command_and_option_exists(document: str) -> None:
    group = typer.main.get_command(cli.app)
    found = commands((REPO / document).read_text())
    assert found, f"{document} holds no command, so this test looks at nothing"
    for name, *arguments in (words[1:] for words in found):
        assert name in group.commands, f"{document}: attnbench {name}"  # type: ignore[attr-defined]
        known = {option for parameter in group.commands[name].params for option in parameter.opts}  # type: ignore[attr-defined]
        for argument in arguments:
            if argument.startswith("--"):
                assert argument in known, f"{document}: attnbench {name} {argument}"


def test_readme_names_every_mechanism() -> None:
    readme = (REPO / "README.md").read_text()
    assert all(f"| `{name}` |" in readme for name in attnbench.names("variants"))


def test_relative_links_lead_somewhere() -> None:
    """Those to pages of the site are followed in its own tests."""
    links = [(document, link) for document in DOCUMENTS for link in re.findall(r"\]\(([^)#:]+)\)", (REPO / document).read_text())]
    to_files = [(document, link) for document, link in links if not link.endswith(".html")]
    assert to_files, "no document links to a file, so this test looks at nothing"
    for document, link in to_files:
        assert ((REPO / document).parent / link).exists(), f"{document}: {link}"


def test_contributing_is_short() -> None:
    assert 0 < len((REPO / "CONTRIBUTING.md").read_text().splitlines()) <= 60


def test_make_targets_of_the_readme_exist() -> None:
    makefile = Path(REPO / "Makefile").read_text()
    targets = re.findall(r"^make (\w+)", (REPO / "README.md").read_text(), re.M)
    assert targets
    for target in targets:
        assert f"\n{target}:" in makefile
