"""Loads the inputs of the site besides the store: templates, assets, pages, and the registered variants and claims."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from attnbench import registry
from attnbench.attention import Variant
from attnbench.claim import Claim
from attnbench.errors import AttnbenchError, BadInput
from attnbench.spec.construct import load_variant


@dataclass(frozen=True)
class Sources:
    """Templates, assets, pages, claims, and the declarations, summaries and files of variants, each by name."""

    templates: Path
    assets: Mapping[str, bytes]
    pages: Mapping[str, str]
    declared: Mapping[str, Variant]
    summaries: Mapping[str, str]
    files: Mapping[str, str]
    claims: Mapping[str, Claim]


def load_sources() -> Sources:
    """The site's templates, assets and pages, and every registered variant and claim that can be imported."""
    root = site_source()
    declared, files, names = dict[str, Variant](), dict[str, str](), registry.names("variants")
    for name in names:
        try:
            declared[name] = load_variant(name)
            files[name] = registry.source("variants", name).read_text(encoding="utf-8", errors="replace")
        except BadInput:  # a plug-in that cannot be imported here has a page of records without a declaration
            continue
    return Sources(
        templates=root / "templates",
        assets={f"assets/{file.name}": file.read_bytes() for file in sorted((root / "assets").iterdir()) if not file.name.startswith(".")},
        pages={file.stem: file.read_text(encoding="utf-8") for file in sorted((root / "pages").glob("*.md"))},
        declared=declared,
        summaries={name: registry.summary("variants", name) for name in names},
        files=files,
        claims=_claims(),
    )


def _claims() -> dict[str, Claim]:
    found = {}
    for name in registry.names("claims"):
        try:
            claim = registry.load("claims", name)
        except AttnbenchError:  # a plug-in that cannot be imported here; `attnbench claims` says why
            continue
        if isinstance(claim, Claim):
            found[name] = claim
    return found


def site_source() -> Path:
    """The folder with templates/, assets/ and pages/: inside an installed wheel, else the repository's site/.

    Raises BadInput when neither is there.
    """
    package = Path(__file__).parents[1]
    for folder in (package / "_site", package.parents[1] / "site"):
        if (folder / "templates").is_dir():
            return folder
    raise BadInput("the site's templates are not installed; install attnbench from a wheel, or from a checkout with `pip install -e .`")
