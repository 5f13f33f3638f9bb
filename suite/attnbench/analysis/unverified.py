"""What follows for a cell whose output was not compared with its definition: it has no rank, unless the definition itself fails there."""

from __future__ import annotations

from attnbench.store.facts import TIMING
from attnbench.store.record import Record

FACT = "not_compared"  # in the environment of a record: why verification compared nothing
UNVERIFIED = "its output was not compared with its definition"
DEFINITION_FAILS = "not finite in float32"  # what the fact says where the definition gives no numbers to compare with


def unverified(said: object, timing: object) -> str | None:
    """Why a cell has no rank that says of itself why it was not compared; None where it may have one.

    said: its fact. timing: the rule of its rounds; cells of the rule before the present one were compared otherwise.
    """
    if not isinstance(said, str) or timing != TIMING or DEFINITION_FAILS in said:
        return None
    return f"{UNVERIFIED}: {said}"


def unverifiable(said: object) -> str | None:
    """What must be said beside the rank of a cell that cannot be compared, because the definition itself fails; None of all others."""
    return f"not compared: {said}" if isinstance(said, str) and DEFINITION_FAILS in said else None


def unverified_record(record: Record) -> str | None:
    """Why a record has no rank for want of a comparison; None where it may have one."""
    return unverified(record.environment.get(FACT), record.environment.get("timing"))
