"""The numbers behind a view of plots, a row for each cell, for readers who download them as a file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from attnbench.analysis.samples import BASELINE, positive, single
from attnbench.store.record import Record
from attnbench.website.results import Results
from attnbench.website.tables.table import Value, bounds_data
from attnbench.website.times import by_rounds, call_seconds, over_softmax

STATE = (
    "jacobian_condition", "attention_jacobian_condition", "effective_rank", "dong_residual", "attention_frobenius", "gradient_norm",
    "diverged",
)  # fmt: skip


def cost_rows(results: Results, records: Iterable[Record], state: Sequence[str] = ()) -> list[dict[str, Value]]:
    """The costs of every cell, with bounds where they have any. state: names of further metrics, which are averaged over layers."""
    found = list[dict[str, Value]]()
    records = list(records)
    bases = {_size(r): call_seconds(results, r) for r in records if results.label(r) == BASELINE}
    for record in records:
        s = record.spec
        row: dict[str, Value] = {
            "name": results.label(record), "variant": s.variant, "mode": s.mode, "block": s.block, "num_layers": s.num_layers,
            "seq_len": s.seq_len, "status": record.status, "reason": record.reason, "trust": record.origin.trust, "cell": record.id,
        }  # fmt: skip
        time = call_seconds(results, record)
        row |= bounds_data("time_s", time)
        relative = over_softmax(results, record, bases.get(_size(record)))
        row |= {**bounds_data("time_ratio", relative), "time_ratio_by_rounds": bool(relative and by_rounds(results, record)) or None}
        tokens = s.batch_size * (1 if s.mode == "decode" else s.seq_len or 1)
        row["tokens_per_s"] = tokens / time.value if time else None
        memory = positive(record, "peak_memory_bytes")
        row["peak_memory_bytes"] = memory.value if memory else None
        for metric in state:
            row[metric] = single(record, metric)
        found.append({name: value for name, value in row.items() if value is not None})
    return found


def _size(record: Record) -> tuple[object, ...]:
    s = record.spec
    return s.mode, s.block, s.num_layers, s.seq_len
