"""The addresses of cells and other things on the site. They do not change as a store grows, so that links stay valid."""

from __future__ import annotations

import hashlib

from attnbench.analysis.settings import bench_of
from attnbench.store.record import Record
from attnbench.website.palette import slug


def cell_file(record: Record) -> str:
    """The page that holds a cell, together with the cells whose ids end alike: about 256 pages for any number of cells."""
    return f"cells/{slug(record.id)[-2:]}.html"


def cell_anchor(record: Record, session: str = "") -> str:
    """The anchor of a cell on that page: a cell that was measured with another number of threads, GPU or torch has its own.

    session: for an earlier measurement of the cell, the session that made it.
    """
    bench = hashlib.sha256("\0".join(bench_of(record)).encode("utf-8", "replace")).hexdigest()[:6]
    return f"cell-{slug(record.id)}.{slug(record.machine)}-{bench}" + (f".{slug(session)}" if session else "")


def cell_href(record: Record) -> str:
    return f"{cell_file(record)}#{cell_anchor(record)}"


def variant_file(variant: str) -> str:
    return f"variants/{slug(variant)}.html"


def machine_place(machine: str) -> str:
    return f"machine-{slug(machine)}"


def machine_href(machine: str) -> str:
    return f"machines.html#{machine_place(machine)}"
