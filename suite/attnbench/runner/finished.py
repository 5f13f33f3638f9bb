"""Whether a cell is finished: whether it has a record that measuring it again could not change."""

from __future__ import annotations

from collections.abc import Mapping

from attnbench.runner.cell import NOT_TRIED, Cell, Key
from attnbench.runner.gate import Gate
from attnbench.runner.jobs import Limits
from attnbench.runner.larger_sizes import RanOut
from attnbench.runner.limits import memory_budget_bytes
from attnbench.runner.outside import may_lie_outside
from attnbench.store.disturbed import disturbance
from attnbench.store.record import Record

WIDER = 1.05  # times the memory of before, from which on it counts as more


class Finished:
    """The finished cells of a machine.

    records: the newest record of every cell that was measured with as many threads and on the same GPU as a cell would be now, by id and
    fingerprint, and of training runs those that other machines made as well (Store.finished, here.Machine). limits: of this run; beside: of
    what runs beside others, if not the same. session: records of it count as they are, so that a session tries nothing twice; none if
    empty. busy: whether this run measures on a busy machine all the same, and therefore takes as finished what such a run measured. memory:
    of the machine in bytes; None if it is this one.

    A record counts unless a wider limit, something that was missing, other checks of the variant, or a smaller size that succeeded since
    may change it: a cell that ran out of time is due again under a longer limit, an unavailable one always, one that ended in an error
    where the cause may lie outside it, and a kernel or depth cell that other programs disturbed while it was timed.
    """

    def __init__(
        self,
        records: Mapping[Key, Record],
        gate: Gate,
        limits: Limits,
        session: str = "",
        busy: bool = False,
        beside: Limits | None = None,
        memory: int | None = None,
    ) -> None:
        self._records, self._gate, self._limits, self._session, self._busy = records, gate, limits, session, busy
        self._beside, self._memory = beside or limits, memory
        self.ran_out = RanOut(record for record in records.values() if is_settled(record, limits, memory))

    def record(self, cell: Cell) -> Record | None:
        """The record for which a cell is not run again; None where it is due."""
        record = self._records.get(cell.key)
        if record is None or _is_stale(record, cell, self._gate, self.ran_out):
            return None
        allowed = self._busy and record.environment.get("busy_allowed") is True
        limits = self._limits if cell.spec.is_timed else self._beside
        counts = is_settled(record, limits, self._memory) and (allowed or not is_disturbed(record))
        return record if counts or record.session == self._session else None

    def retries(self, cell: Cell) -> bool:
        """Whether a cell is due again although it ended in an error, because the cause may lie outside it."""
        record = self._records.get(cell.key)
        return record is not None and may_lie_outside(record) and self.record(cell) is None


def is_disturbed(record: Record) -> bool:
    """Whether a record's cell is to be measured again because of what else ran; of a training run no time counts."""
    return record.spec.is_timed and disturbance(record) is not None


def is_settled(record: Record, limits: Limits, memory: int | None = None) -> bool:
    """Whether measuring again would end alike. It may not where something was missing or out of order, or the limit is wider now."""
    if record.status == "timeout":
        return limits.timeout_s <= float(record.environment.get("timeout_s", 0.0))
    if record.status == "oom":
        return limits.memory_share <= float(record.environment.get("memory_share", 0.0)) and not _has_more_memory(record, limits, memory)
    return record.status != "unavailable" and not may_lie_outside(record)


def _has_more_memory(record: Record, limits: Limits, memory: int | None) -> bool:
    """Whether a cell has more memory now than when a record was made: in another container, or without a limit of the shell that ran it.

    The memory of a machine differs by a little from start to start of its system. Older records do not say.
    """
    then, now = record.environment.get("memory_budget_bytes"), memory_budget_bytes(limits, memory)
    return record.spec.device == "cpu" and isinstance(then, (int, float)) and now is not None and now > WIDER * then


def _is_stale(record: Record, cell: Cell, gate: Gate, ran_out: RanOut) -> bool:
    """Whether the reason why a record's cell was not measured has gone: the checks may have changed, or a smaller size succeeded."""
    if cell.refused is not None:
        return (record.status, record.reason) != (cell.refused.status, cell.refused.reason)
    if record.stage == NOT_TRIED:
        return record.status != "skipped" or ran_out.why_not(cell.spec, cell.fingerprint) is None
    if (record.status, record.stage) != ("incorrect", "check"):
        return False
    known = gate.known(cell.check_request)
    return known is None or known.ok
