"""What a metric of a record or its training curve is: unit, meaning, and which of two values is the better one.

The table of them is metric_table.py, the only one: the store's rules, the analysis, the runner and the pages all read it here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from types import MappingProxyType

from attnbench.store.metric_table import CONDITIONS, TABLE, Metric
from attnbench.store.metric_table import CURVE as CURVE
from attnbench.store.metric_table import ENDINGS as ENDINGS
from attnbench.store.metric_table import RESULTS as RESULTS
from attnbench.store.metric_table import SATURATED as SATURATED

METRICS: Mapping[str, Metric] = MappingProxyType({metric.name: metric for metric in TABLE})


def general(name: str) -> str:
    """The name of a metric in METRICS, where all layers share one entry.

    >>> general("curve.effective_rank_layer_12")
    'curve.effective_rank_layer_N'
    """
    return re.sub(r"_layer_\d+$", "_layer_N", name)


@lru_cache(2**12)
def metric(name: str) -> Metric:
    """The metric of a name ("curve.NAME" for a column of a training curve); if METRICS lacks it, a metric made by its ending.

    >>> metric("curve.effective_rank_layer_12").name, metric("their_tokens_per_s").unit, metric("their_score").unit
    ('curve.effective_rank_layer_N', 'token/s', '1')
    """
    shared = general(name)
    if shared in METRICS:
        return METRICS[shared]
    ending = next((known for known in ENDINGS if shared.removesuffix("_layer_N").endswith(known.name)), Metric("", "1"))
    return replace(ending, name=name)


def as_meant(name: str, samples: list[float]) -> list[float]:
    """The samples of a metric as it is meant today.

    A condition number below one, which there is none of, was stored for a Jacobian of zeros: it is saturated.

    >>> as_meant("jacobian_condition", [0.0, 17.0]), as_meant("effective_rank", [0.0])
    ([1000000000000000.0, 17.0], [0.0])
    """
    return [SATURATED if x < 1.0 else x for x in samples] if name in CONDITIONS else samples


def as_plain() -> dict[str, list[dict[str, str | bool]]]:
    """METRICS and ENDINGS as JSON values, by which the scripts of pages format numbers."""
    tables = {"known": METRICS.values(), "endings": ENDINGS}
    return {table: [{"name": of.name, "unit": of.unit, "in_percent": of.in_percent} for of in found] for table, found in tables.items()}


def unit(name: str) -> str:
    """The unit of a metric.

    >>> unit("forward_s"), unit("peak_memory_bytes"), unit("accuracy"), unit("curve.wall_s")
    ('s', 'B', '1', 's')
    """
    return metric(name).unit


def is_time(name: str) -> bool:
    """Whether a metric is a duration, in seconds, and not a rate."""
    return metric(name).is_time


def higher_is_better(name: str) -> bool:
    """Whether the larger value of a metric is better; False where the smaller is, and where neither is."""
    return metric(name).higher_is_better is True
