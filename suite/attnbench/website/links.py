"""Where things stand on the site: files, and places in them. Names never change as a store grows, so that links stay good."""

from __future__ import annotations

from attnbench.store.record import Record
from attnbench.website.palette import slug


def cell_file(record: Record) -> str:
    """The page that holds a cell, with those whose ids end alike: some 256 pages, however many cells there are."""
    return f"cells/{slug(record.id)[-2:]}.html"


def cell_anchor(record: Record, session: str = "") -> str:
    """The cell's place on that page; session: of an earlier measurement of it."""
    return f"cell-{slug(record.id)}.{slug(record.machine)}" + (f".{slug(session)}" if session else "")


def cell_href(record: Record) -> str:
    return f"{cell_file(record)}#{cell_anchor(record)}"


def variant_file(variant: str) -> str:
    return f"variants/{slug(variant)}.html"


def machine_place(machine: str) -> str:
    return f"machine-{slug(machine)}"


def machine_href(machine: str) -> str:
    return f"machines.html#{machine_place(machine)}"
