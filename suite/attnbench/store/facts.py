"""The facts in a record's environment: the types of those that are read, and the bounds of all others."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any, TypedDict

import msgspec
from msgspec import Meta

from attnbench.spec.plain import COUNTED, WHOLE

LARGEST = 1e150  # no measurement is larger, and the ratio of two smaller numbers is finite
ONE_LINE = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$(?!\n)"  # in Python's notation as in ECMAScript's, which a JSON schema uses
DRIFT_BASELINE = "drift_anchor_baseline_s"  # the anchor's median when the machine's peaks were measured
ALONE = "alone"  # timed by pytest-benchmark, without neighbours and without a call before each
APART = "apart"  # of a training run, beside which others may run: its steps are timed apart, in step cells; older ones measured their times
TIMING = "settled"  # by which rule rounds are timed: each call after untimed ones of the same function; older records do not say
DEEPEST = 8  # levels of lists and objects
_SCALARS = (str, int, bool, float, type(None))

Number = Annotated[float, Meta(gt=-LARGEST, lt=LARGEST)]
Positive = Annotated[float, Meta(gt=0, lt=LARGEST)]
Share = Annotated[float, Meta(ge=0, lt=LARGEST)]
Whole = Annotated[int, Meta(ge=0, le=COUNTED)]
Text = Annotated[str, Meta(pattern=ONE_LINE)]
Name = Annotated[str, Meta(pattern=ONE_LINE, min_length=1)]


class Environment(TypedDict, total=False):
    """The facts that commands and pages read. Each may be missing; a record may hold others besides."""

    cpu: Text | None
    cores: Whole | None
    logical_cores: Whole | None
    threads: Whole | None
    processor_quota: Positive | None
    caches_bytes: dict[str, Whole] | None
    clock_mhz: Share | None
    max_clock_mhz: Share | None
    governor: Text | None
    memory_bytes: Share | None
    memory_budget_bytes: Share | None
    gpus: list[dict[str, Text]] | None
    gpu: Text | None
    os: Text | None
    architecture: Text | None
    libc: Text | None
    python: Text | None
    torch: Name | None  # an empty one would be a setting of its own beside those where it is not known
    cuda_version: Text | None
    cudnn_version: Text | None
    hip_version: Text | None
    triton: Text | None
    attnbench: Text | None
    commit: Text | None
    dirty: bool | None
    load_average: Share | None
    timeout_s: Share
    memory_share: Share
    drift_anchor_baseline_s: Positive
    data_fingerprint: Text | None
    timing: Text  # TIMING or ALONE; of a training run APART
    protocol: Text  # of a training run, the fingerprint of the protocol that its spec names
    kernel_clock: Text  # how the seconds of a GPU's kernels were taken: graph or profiler
    softmax_backend: Text  # the kernel that softmax used: flash, efficient, cudnn or math
    implementation: Text  # of the mechanism on the device: tuned, compiled or reference
    not_compared: Text  # why the output was not compared with its definition
    other_load: Share  # processors that other processes used while the cell was timed
    steal: Share  # processors that a hypervisor took meanwhile
    involuntary_switches: Whole  # of the cell's threads meanwhile: how often another one was given their processor
    jobs: Whole  # how many that are not timed might run at once on its machine
    beside: Whole  # of a training run, the most that did run at once with it
    busy_allowed: bool  # whether the run was told to measure beside other programs


def misfit(environment: Mapping[str, Any]) -> str | None:
    """Why a record may not have this environment; None if it may."""
    # The records of a session share nearly all facts, so only what has not been seen to fit is looked at.
    new = {name: of for name, of in environment.items() if type(of) not in _SCALARS or not _fits(name, type(of).__name__, of)}
    return _misfit(new) if new else None


@lru_cache(4096)
def _fits(name: str, kind: str, value: object) -> bool:
    """Whether a record may have a fact. kind: the value's type, because 1, 1.0 and True are equal."""
    return _misfit({name: value}) is None


def _misfit(environment: Mapping[str, Any]) -> str | None:
    try:
        msgspec.convert(environment, Environment, strict=True)
    except msgspec.ValidationError as error:
        return f"its environment does not fit: {error}"
    return next((f"its environment does not fit: {why} - at `$.{name}`" for name, of in environment.items() if (why := _unfit(of))), None)


def fitting(environment: Mapping[str, Any]) -> dict[str, Any]:
    """The facts that a record may hold; one that does not fit is left out."""
    return {name: value for name, value in environment.items() if misfit({name: value}) is None}


def _unfit(value: object, depth: int = 1) -> str | None:
    """Why no record holds a value, whatever its name: not all that is JSON can be written again, or shown."""
    if isinstance(value, (dict, list)):
        if depth > DEEPEST:
            return f"it is nested more than {DEEPEST} deep"
        inner = value.values() if isinstance(value, dict) else value
        return next((why for of in inner if (why := _unfit(of, depth + 1))), None)
    if isinstance(value, int) and not -WHOLE <= value < WHOLE:
        return "a whole number needs more than 64 bits"
    return None if value is None or isinstance(value, (bool, int, float, str)) else f"a {type(value).__name__} is no JSON value"
