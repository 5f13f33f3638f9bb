"""The data dictionary of an export: what the columns of the frame and the metrics in its rows mean."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, get_type_hints

from attnbench.analysis.frame import COLUMNS
from attnbench.spec.axes import Spec
from attnbench.store.metrics import METRICS
from attnbench.store.schema import json_schema

if TYPE_CHECKING:
    import pandas as pd

TYPES = ("text", "integer", "number", "boolean", "object", "list of numbers")


@dataclass(frozen=True)
class Column:
    """A column of the frame. type: one of TYPES. A value may be missing, except on an axis that every track has."""

    type: str
    meaning: str


# Columns whose meaning is not in the schema of a record, or cannot be understood there without its neighbours.
_OWN = MappingProxyType(
    {
        "task_params": Column(
            "text", 'the parameters of the task\'s difficulty that are not its defaults, "pairs 16" for example; else missing'
        ),
        "d_model": Column("integer", "width of the model, num_heads * head_dim"),
        "id": Column("text", "hash of the spec, 16 hex digits; of asv's rows that of the axes that asv shows, without default parameters"),
        "cell": Column(
            "text", "the id, but of a cell whose learning rate was chosen by trials that before the choice, so that all choices share it"
        ),
        "session": Column("text", "the run that measured this cell; asv for rows that come from results/asv and not from a record"),
        "duration_s": Column("number", "seconds from started_at to the cell's end"),
        "by": Column("text", "who ran it: a public handle, local, or pytest-benchmark for an imported time"),
        "trust": Column("text", "how far the numbers can be trusted: self, as reported, or rerun, measured again by the project"),
        "architecture": Column("text", "architecture of the machine's processor, such as x86_64"),
        "attnbench_commit": Column("text", "commit of the installed attnbench, 40 hex digits"),
        "dirty": Column("number", "1 where attnbench's code was changed since that commit, 0 where not; missing where unknown"),
        "protocol_fingerprint": Column(
            "text", "of a training run, the fingerprint of what its protocol said when it was made; missing in older records"
        ),
        "torch": Column("text", "version of torch"),
        "threads": Column(
            "number", "torch's threads on the CPU, or the share of one processor that a quota allowed; missing where unknown"
        ),
        "gpu": Column("text", "the GPU's own name; missing on the CPU, and where the record does not say which of several it was"),
        "timing": Column(
            "text",
            "the rule of the rounds: settled; alone for pytest-benchmark's; missing for the rule before. Apart for a training run, the "
            "steps of which are timed apart",
        ),
        "implementation": Column("text", "the mechanism's code on that device: tuned, compiled or reference; missing where unknown"),
        "not_compared": Column(
            "text", "why the output was not compared with its definition, for which the cell has no rank; missing where it was"
        ),
        "flagged": Column("text", "why the times of the cell do not rank, such as other programs' load; missing where they do"),
        "drift": Column("text", "why the seconds of the cell do not rank, but its ratios to softmax in the same rounds do; else missing"),
        "slower": Column("number", "by which factor the machine was slower near the cell than in most of its session; 1 where unknown"),
        "at_edge": Column(
            "number",
            "1 where the learning rate is the least or the greatest that was tried, so that it is chosen and not tuned, 0 where it is not; "
            "missing where none was chosen",
        ),
        "metric": Column("text", "what was measured; missing where the record holds no measurement"),
        "unit": Column(
            "text", "unit of value and samples: s, B, FLOP, token/s, bit/B, nat, 1/s for other rates, or 1 for counts, shares and ratios"
        ),
        "clock": Column("text", "of a time, wall (what a user waits for) or device (the span on the GPU); else missing"),
        "value": Column("number", "the median of the samples; of a training curve the last of them; missing without samples"),
        "samples": Column(
            "list of numbers", "every sample in the order of measuring; of a training curve its numbers in the order of epochs"
        ),
    }
)


@cache
def columns() -> Mapping[str, Column]:
    """Every column of the frame, in its order."""
    definitions = json_schema()["$defs"]
    axes, fields = definitions["Spec"]["properties"], definitions["Record"]["properties"]
    hints = get_type_hints(Spec)
    found = {field.name: Column(_type(hints[field.name]), axes[field.name]["description"]) for field in dataclasses.fields(Spec)}
    found |= {name: Column("text", fields[name]["description"]) for name in COLUMNS if name in fields}
    return MappingProxyType({name: {**found, **_OWN}[name] for name in COLUMNS})


def dictionary() -> pd.DataFrame:
    """A table with a row for each column of the frame and each metric: kind ("column" or "metric"), name, type or unit, meaning."""
    import pandas as pd

    rows = [("column", name, column.type, column.meaning) for name, column in columns().items()]
    rows += [("metric", metric.name, metric.unit, metric.meaning) for metric in METRICS.values()]
    return pd.DataFrame(rows, columns=["kind", "name", "type", "meaning"])


def _type(hint: Any) -> str:
    """The type of an axis, from its annotation, "X | None" or X."""
    names = {str: "text", bool: "boolean", int: "integer", float: "number"}
    return next((name for kind, name in names.items() if hint in (kind, kind | None)), "object")
