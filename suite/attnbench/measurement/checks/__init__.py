"""Contract checks of a variant: the correctness subset, which is the gate before any number, and the full check.

Each check is a function of the subject that returns a finding; one that raises has failed, and the others still run.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import torch

from attnbench import registry
from attnbench.errors import Unavailable, is_out_of_memory
from attnbench.measurement.checks import agreement, decode, gradients, growth, independence, invariants, precision, range, tokens, tools
from attnbench.measurement.checks.finding import failed, skipped
from attnbench.measurement.checks.subject import Subject, one_thread
from attnbench.spec.construct import check_params, load_variant
from attnbench.store.environment import anonymous
from attnbench.store.fingerprint import check_fingerprint
from attnbench.store.report import Finding, Report

Check = Callable[[Subject], Finding]
Stage = Callable[[str], None]

CORRECTNESS: Mapping[str, Check] = {
    "build": agreement.build,
    "shape": agreement.shape,
    "matrix": agreement.matrix,
    "reference": agreement.reference,
    "lengths": agreement.lengths,
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
    "deterministic": independence.deterministic,
    "unchanged": independence.unchanged,
    "strides": independence.strides,
    "row_sums": invariants.row_sums,
    "orthogonality": invariants.orthogonality,
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
    variant = load_variant(source)
    check_params(source, variant, params)
    if device == "cuda" and not torch.cuda.is_available():
        raise Unavailable("torch sees no CUDA device here; check with --device cpu, or install a CUDA build of torch")
    given = {**variant.params, **params}
    subject = Subject(source, variant, given, device)
    chosen = {**CORRECTNESS, **THOROUGH} if full else CORRECTNESS
    findings: list[Finding] = []
    with one_thread():
        for name, function in chosen.items():
            stage(name)
            built = not findings or findings[0].status == "passed"  # "build" comes first
            found = _carry_out(function, subject) if built else skipped("it cannot be built")
            findings.append(dataclasses.replace(found, name=name))
    return Report(
        variant=registry.stem(source),
        fingerprint=check_fingerprint(source, given, device),
        device=device,
        params=given,
        checks=findings,
    )


def _carry_out(function: Check, subject: Subject) -> Finding:
    try:
        found = function(subject)
    except Unavailable:
        raise
    except Exception as error:  # whatever a third party's mechanism does
        if is_out_of_memory(error):  # says nothing of the mechanism: the same check may hold where there is more
            raise
        found = failed(f"it raises {type(error).__name__}: {' '.join(str(error).split())[:300]}")
    return dataclasses.replace(found, detail=anonymous(found.detail))
