"""The numbers behind a view of plots, a row for each cell, for who takes them away as a file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from attnbench.record import Record
from attnbench.render.results import Results, positive, single
from attnbench.render.tables import Value, bounds_data

STATE = ("jacobian_condition", "attention_jacobian_condition", "effective_rank", "attention_frobenius", "gradient_norm", "diverged")


def cost_rows(results: Results, records: Iterable[Record], state: Sequence[str] = ()) -> list[dict[str, Value]]:
    """Costs of every cell, with bounds where they have any. state: further metrics, means over layers."""
    found = list[dict[str, Value]]()
    for record in records:
        s = record.spec
        row: dict[str, Value] = {
            "name": results.label(record), "variant": s.variant, "mode": s.mode, "block": s.block, "num_layers": s.num_layers,
            "seq_len": s.seq_len, "status": record.status, "reason": record.reason, "trust": record.origin.trust, "cell": record.id,
        }  # fmt: skip
        row |= bounds_data("time_s", positive(record, f"{s.mode}_s"))
        row |= bounds_data("time_ratio", positive(record, "anchor_ratio"))
        memory = positive(record, "peak_memory_bytes")
        row["peak_memory_bytes"] = memory.value if memory else None
        for metric in state:
            row[metric] = single(record, metric)
        found.append({name: value for name, value in row.items() if value is not None})
    return found
