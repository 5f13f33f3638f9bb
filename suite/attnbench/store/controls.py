"""Controls: what a classical model without attention reaches on a task; a file for each in the folder controls of a results folder.

A control depends on no machine, torch, threads or seed, so that one stands beside the records of all. tools/controls.py measures them.
"""

from __future__ import annotations

import codecs
import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec

from attnbench.errors import AttnbenchError, BadInput
from attnbench.spec.plain import Param, is_name, plain_params, shown
from attnbench.store import names
from attnbench.store.facts import Name, Share, Text, Whole
from attnbench.store.files import write_whole
from attnbench.store.record import is_utc
from attnbench.store.store import Problem

SCHEMA = 1
FOLDER = "controls"
_ROUNDING = 1e-6  # share of a value by which the mean of its blocks may differ
_INVALID = (msgspec.DecodeError, ValueError, BadInput, RecursionError)


@dataclass(frozen=True, kw_only=True)
class Control:
    """What a classical model reached on a task.

    task_params: the parameters of the task's difficulty that are not its defaults. independent_of: those that the control does not depend
    on, whatever their values: the side of a patch changes nothing for a regression on pixels.
    data, data_fingerprint: as in a spec, and of every tensor. causal: the form that the control belongs to; None for every form.
    model: in words. chosen: in words, what was chosen by the loss on the validation part.
    value, validation_value: the metric on the test part and on the validation part.
    by_block, asked_by_block: the metric in each block of rows of the test part, see workload.block_of_rows, and how many answers are asked
    there; None where none is.
    versions: of the packages that made it. commit, dirty: of attnbench's code, as in a record. command: it measures this control again.
    """

    schema: int = SCHEMA
    task: Name
    task_params: dict[str, bool | int | float | str] = field(default_factory=dict)
    independent_of: tuple[Name, ...] = ()
    data: Name
    data_fingerprint: Name
    causal: bool | None = None
    model: Name
    metric: Literal["accuracy", "bits_per_byte"]
    value: Share
    validation_value: Share
    chosen: Text
    by_block: tuple[Share | None, ...]
    asked_by_block: tuple[Whole, ...]
    versions: dict[str, Text | None] = field(default_factory=dict)
    commit: Text | None = None
    dirty: bool | None = None
    measured_at: Text
    command: Text


class UnreadableControl(ValueError):
    """Raised for a document that is no control; the message says why."""


def encode(control: Control) -> bytes:
    """The control as a JSON document."""
    return msgspec.json.format(msgspec.json.encode(control, order="deterministic"), indent=1) + b"\n"


def decode(document: bytes) -> Control:
    """The control in a document that `encode` wrote.

    Raises UnreadableControl for anything else, such as a damaged file, one of another schema, or one whose numbers contradict each other.
    """
    try:
        control = msgspec.json.decode(document.removeprefix(codecs.BOM_UTF8), type=Control, strict=True)
        plain_params(control.task_params, "the task")
    except _INVALID as error:
        raise UnreadableControl(str(error)) from error
    why = _misfit(control)
    if why is not None:
        raise UnreadableControl(why)
    return control


def _misfit(control: Control) -> str | None:
    """Why a control of the right shape is none; None if it is one."""
    if control.schema != SCHEMA:
        return f"its schema is {control.schema}; this version reads {SCHEMA}"
    for name in (control.task, control.data, control.data_fingerprint, control.model):
        if not is_name(name):
            return f"it has the name {shown(name)}; a name is a text of one line"
    if not is_utc(control.measured_at):
        return f"measured_at is {shown(control.measured_at)}; write UTC as 2026-11-22T06:00:00Z"
    if overlap := control.task_params.keys() & set(control.independent_of):
        return f"it has a value of {', '.join(sorted(overlap))}, and does not depend on it"
    if control.metric == "accuracy" and max(control.value, control.validation_value, *_values(control)) > 1:
        return "an accuracy is above 1"
    pairs = list(zip(control.by_block, control.asked_by_block, strict=False))
    asked = sum(control.asked_by_block)
    if len(control.by_block) != len(control.asked_by_block) or any((value is None) != (of == 0) for value, of in pairs) or not asked:
        return "its blocks have no value, or no number of answers, where they should"
    mean = sum(value * of for value, of in pairs if value is not None) / asked
    if not math.isclose(mean, control.value, rel_tol=_ROUNDING, abs_tol=_ROUNDING):
        return f"its value is {control.value}, and the mean of its blocks {mean}"
    return None


def _values(control: Control) -> list[float]:
    return [value for value in control.by_block if value is not None]


def file_of(results: Path, control: Control) -> Path:
    """The file of a control in a results folder: TASK.json, with what is not the default after the name, such as mqar-pairs_16.json."""
    return results / FOLDER / f"{_name(control)}.json"


def _name(control: Control) -> str:
    """The name of a control's file. Where it would be none on every system, or that of another control too, a hash follows the task."""
    values = {name: json.dumps(value).strip('"') for name, value in sorted(control.task_params.items())}
    source = ["hub"] if control.data.startswith("hub") else []
    form = [] if control.causal is None else ["causal" if control.causal else "bidirectional"]
    name = "-".join([control.task, *(f"{name}_{value}" for name, value in values.items()), *source, *form])
    if names.refusal(name) is not None or any(set(value) & set("-_") for value in values.values()):
        said = json.dumps([control.task, control.task_params, control.data.partition(":")[0], control.causal], sort_keys=True)
        return f"{control.task}-{hashlib.sha256(said.encode()).hexdigest()[:8]}"
    return name


def store_control(results: Path, control: Control) -> Path:
    """Store a control in place of its older measurement; the file.

    Raises BadInput for one that could not be read back, and AttnbenchError when the file cannot be written.
    """
    document = encode(control)
    try:
        decode(document)
    except UnreadableControl as error:
        raise BadInput(f"this control of {shown(control.task)} could not be read back, so it is not stored: {error}") from error
    why = names.refusal(_name(control))
    if why is not None:
        raise BadInput(f"the task {shown(control.task)} cannot name a file; {why}")
    file = file_of(results, control)
    try:
        write_whole(file, document)
    except OSError as error:
        raise AttnbenchError(f"the control cannot be stored in {file} ({error.strerror}); make room there, or give --results") from error
    return file


def read_controls(results: Path, problems: list[Problem] | None = None) -> list[Control]:
    """The controls of a results folder in the order of their files' names; none where there is no folder.

    A file that is no control, or a copy of one under another name, is skipped and added to `problems`.
    """
    found, faults = [], [] if problems is None else problems
    for file in sorted((results / FOLDER).glob("*.json")):
        try:
            control = decode(file.read_bytes())
        except OSError as error:
            faults.append(Problem(file, None, f"it cannot be read: {error.strerror or error}"))
        except UnreadableControl as error:
            faults.append(Problem(file, None, f"it is no control ({error}); delete it, and measure it again: python tools/controls.py"))
        else:
            own = file_of(results, control)
            if own == file:
                found.append(control)
            else:
                faults.append(Problem(file, None, f"it is the control whose file is {own.name}; delete it, or give it that name"))
    return found


def control_of(
    controls: Iterable[Control],
    task: str,
    task_params: Mapping[str, Param] | None,
    data: str | None,
    causal: bool,
    data_fingerprint: str | None = None,
) -> Control | None:
    """The control that stands beside the records of a task; None where there is none.

    task_params: those that are not the defaults, as in a spec; None or empty where all are. data_fingerprint: of the records' data, where
    they say it: the task may read the same files in another way since. A control of this form comes before one of every form.
    """
    fitting = []
    for control in controls:
        params: dict[str, Any] = {name: value for name, value in (task_params or {}).items() if name not in control.independent_of}
        same_data = data == control.data and data_fingerprint in (None, control.data_fingerprint)
        if same_data and (control.task, control.task_params) == (task, params) and control.causal in (None, causal):
            fitting.append(control)
    return min(fitting, key=lambda control: control.causal is None, default=None)
