"""What the documents promise exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer.main

import attnbench
from attnbench import cli
from helpers.paths import REPO

DOCUMENTS = ["README.md", "CONTRIBUTING.md", "site/pages/method.md", "site/pages/submit.md", "site/pages/about.md"]


def commands(text: str) -> list[list[str]]:
    """The words of every attnbench command line in a document's code."""
    return [line.split("#")[0].split() for line in re.findall(r"^(attnbench .*)$|`(attnbench .+?)`", text, re.M) for line in line if line]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_command_and_option_exists(document: str) -> None:
    group = typer.main.get_command(cli.app)
    for name, *arguments in (words[1:] for words in commands((REPO / document).read_text())):
        assert name in group.commands, f"{document}: attnbench {name}"  # type: ignore[attr-defined]
        known = {option for parameter in group.commands[name].params for option in parameter.opts}  # type: ignore[attr-defined]
        for argument in arguments:
            if argument.startswith("--"):
                assert argument in known, f"{document}: attnbench {name} {argument}"


def test_readme_names_every_mechanism() -> None:
    readme = (REPO / "README.md").read_text()
    assert all(f"| `{name}` |" in readme for name in attnbench.names("variants"))


@pytest.mark.parametrize("document", DOCUMENTS)
def test_relative_links_lead_somewhere(document: str) -> None:
    source = REPO / document
    for link in re.findall(r"\]\(([^)#:]+)\)", source.read_text()):
        if not link.endswith(".html"):
            assert (source.parent / link).exists(), f"{document}: {link}"


def test_contributing_is_short_and_its_mechanism_parses() -> None:
    text = (REPO / "CONTRIBUTING.md").read_text()
    assert len(text.splitlines()) <= 60
    (code,) = re.findall(r"```python\n(.*?)```", text, re.S)
    compile(code, "CONTRIBUTING.md", "exec")


def test_make_targets_of_the_readme_exist() -> None:
    makefile = Path(REPO / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)", (REPO / "README.md").read_text(), re.M):
        assert f"\n{target}:" in makefile
