"""Contract checks of a variant: the correctness subset, which is the gate before any number, and the full check.

Each check is a function of the subject that returns a finding; one that raises has failed, and the others still run.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import torch

from attnbench import registry
from attnbench.errors import Unavailable, Unsupported, is_out_of_memory, text_of
from attnbench.measurement import compiler
from attnbench.measurement.checks import (
    agreement,
    decode,
    gradients,
    grouped,
    growth,
    independence,
    invariants,
    precision,
    range,
    rows,
    tokens,
    tools,
)
from attnbench.measurement.checks.finding import failed, skipped
from attnbench.measurement.checks.subject import Subject
from attnbench.measurement.checks.torch_threads import one_thread
from attnbench.registry.process_settings import refusal, undone
from attnbench.spec.construct import check_params, load_variant
from attnbench.store.environment import anonymous
from attnbench.store.fingerprint import check_fingerprint
from attnbench.store.report import Finding, Report

Check = Callable[[Subject], Finding]
Stage = Callable[[str], None]

CORRECTNESS: Mapping[str, Check] = {
    "build": agreement.build,
    "deterministic": independence.deterministic,
    "shape": agreement.shape,
    "matrix": agreement.matrix,
    "reference": agreement.reference,
    "lengths": agreement.lengths,
    "rows": rows.rows,
    "float32": precision.float32,
    "bfloat16": precision.bfloat16,
    "float16": precision.float16,
    "finite": range.finite,
    "gradients": gradients.gradcheck,
    "causal": tokens.causal,
    "causal_prefix": tokens.causal_prefix,
    "decode": decode.decode,
    "padding": tokens.padding,
    "padding_alone": tokens.padding_alone,
    "equivariance": tokens.equivariance,
    "batch": independence.batch,
    "heads": independence.heads,
    "grouped": grouped.grouped,
    "earlier_calls": independence.earlier_calls,
    "unchanged": independence.unchanged,
    "strides": independence.strides,
    "row_sums": invariants.row_sums,
    "orthogonality": invariants.orthogonality,
}
# Without these there is nothing for the others to look at, and this is said of them.
PREREQUISITES: Mapping[str, str] = {
    "build": "it cannot be built",
    "deterministic": "not looked at: the same call gives something else each time",
}
THOROUGH: Mapping[str, Check] = {
    "long": precision.long,
    "time": growth.time_exponent,
    "memory": growth.memory_exponent,
    "compile": tools.compiled,
    "vmap": tools.vmapped,
}


def check(source: str, params: Mapping[str, Any], device: str, full: bool, stage: Stage = lambda name: None) -> Report:
    """Check a variant, by name or path of a file, with some of its parameters. `stage` is called with the name of each check that begins.

    Raises BadInput for what cannot be loaded or a parameter it does not have, and Unavailable when it cannot run here.
    """
    stage("load")
    compiler.prepare()
    compiler.allow_many_forms()
    variant = load_variant(source)
    check_params(source, variant, params)
    if device == "cuda" and not torch.cuda.is_available():
        raise Unavailable("torch sees no CUDA device here; check with --device cpu, or install a CUDA build of torch")
    given = {**variant.params, **params}
    subject = Subject(source, variant, given, device)
    chosen = {**CORRECTNESS, **THOROUGH} if full else CORRECTNESS
    with one_thread():
        findings = _carry_out_all(chosen, subject, stage)
    return Report(
        variant=registry.stem(source),
        fingerprint=check_fingerprint(source, given, device),
        device=device,
        params=given,
        checks=findings,
    )


def _carry_out_all(chosen: Mapping[str, Check], subject: Subject, stage: Stage) -> list[Finding]:
    """The findings of some checks, in order; those that a prerequisite leaves nothing to look at are skipped."""
    findings: list[Finding] = []
    pointless: str | None = None
    for name, function in chosen.items():
        stage(name)
        found, ended = _carry_out(function, subject, name) if pointless is None else (skipped(pointless), True)
        findings.append(dataclasses.replace(found, name=name, detail=anonymous(found.detail)))
        if found.status == "failed" and (ended or name == "build"):
            pointless = pointless or PREREQUISITES.get(name)
    return findings


def _carry_out(function: Check, subject: Subject, name: str) -> tuple[Finding, bool]:
    """The finding of a check, and whether the check came to its end; one that raises has failed, and one that changes a setting."""
    with undone() as told:
        # A mechanism without a backward pass may refuse whatever asks for one.
        with_gradients = name == "build" or subject.has_gradients()
    with torch.set_grad_enabled(with_gradients), undone() as told_later:
        found, ended = _found(function, subject, name)
    told = told or told_later
    if not told:
        return found, ended
    besides = f"; besides, {found.detail}" if found.status == "failed" else ""
    return failed(f"it {refusal(told)}{besides}"), False


def _found(function: Check, subject: Subject, name: str) -> tuple[Finding, bool]:
    """As `_carry_out`, whatever the settings are afterwards."""
    try:
        return function(subject), True
    except Unavailable:
        raise
    except Exception as error:  # whatever a third party's mechanism does
        if is_out_of_memory(error):  # says nothing of the mechanism: the same check may hold where there is more
            raise
        absent = compiler.absence(error)
        if absent is not None:
            raise Unavailable(absent) from error
        hint = f"; {gradients.HINT}" if name == "gradients" and not isinstance(error, Unsupported) else ""
        return failed(f"it raises {_name_of(error)}: {' '.join(text_of(error).split())[:300]}{hint}"), False


def _name_of(error: Exception) -> str:
    """The name of an error's class, with its module where that is torch's, which has an Unsupported of its own."""
    kind = type(error)
    return f"{kind.__module__}.{kind.__name__}" if kind.__module__.startswith("torch.") else kind.__name__
