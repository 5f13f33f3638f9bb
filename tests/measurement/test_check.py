"""What a check does with a mechanism; that it holds for every registered variant is in tests/variants/test_contract.py."""

from __future__ import annotations

import json
import math
import tempfile
from pathlib import Path

import pytest
import torch

from attnbench.errors import BadInput, Unavailable
from attnbench.measurement.checks import CORRECTNESS, THOROUGH, check
from attnbench.measurement.checks.finding import Finding, Worst
from attnbench.measurement.checks.subject import Subject
from attnbench.spec.construct import load_variant
from attnbench.store.report import Report, as_json, decode, encode

VALUES = '''"""The values as they are: A = I."""
from torch import nn
from attnbench.attention import BadInput, Unsupported, Variant, hide_padding

class Values(nn.Module):
    def forward(self, q, k, v, causal=False, padding_mask=None, hidden=None):
        if causal:
            raise Unsupported("values have no causal form")
        {body}
        return hide_padding(padding_mask, v)[0]

VARIANT = Variant(**{{"build": lambda shape, fine: Values(), **dict({more})}}, citation="none", family="other", formula="V",
                  causal=False, equivariant=True, normalises_rows=True, time_exponent=1.0, memory_exponent=1.0, params=dict(fine=True))
'''


def write(folder: Path, body: str = "pass", more: str = "") -> str:
    file = Path(tempfile.mkdtemp(dir=folder)) / "values.py"  # another path each time: a file is loaded once
    file.write_text(VALUES.format(body=body, more=more))
    return str(file)


def checked(folder: Path, body: str = "pass", more: str = "", stages: list[str] | None = None) -> Report:
    return check(write(folder, body, more), {}, "cpu", full=False, stage=(stages if stages is not None else []).append)


def found(report: Report, name: str) -> Finding:
    return next(finding for finding in report.checks if finding.name == name)


def test_what_a_mechanism_has_not_is_skipped_with_a_reason(tmp_path: Path) -> None:
    stages: list[str] = []
    report = checked(tmp_path, stages=stages)
    assert report.ok
    skipped = {finding.name: finding.detail for finding in report.checks if finding.status == "skipped"}
    assert skipped.keys() == {"matrix", "reference", "rows", "causal_prefix", "grouped", "orthogonality", "decode"}
    assert all(skipped.values())
    assert stages == ["load", *CORRECTNESS]


def test_a_check_that_raises_has_failed_and_the_others_run(tmp_path: Path) -> None:
    body = "if padding_mask is not None: open('/srv/alice/private/notes.txt')"
    report = checked(tmp_path, body)
    assert {"shape", "padding", "padding_alone"} <= set(report.failed())
    assert found(report, "batch").status == "passed"
    assert "FileNotFoundError" in found(report, "padding").detail
    assert "notes.txt" in found(report, "padding").detail
    assert "alice" not in encode(report).decode()


@pytest.mark.parametrize(("build", "said"), [("3 / 0", "ZeroDivisionError"), ("print", "build gives a builtin_function_or_method")])
def test_what_cannot_be_built_fails_once(build: str, said: str, tmp_path: Path) -> None:
    report = checked(tmp_path, more=f"build=lambda shape, fine: {build}")
    assert report.failed() == ["build"]
    assert said in report.checks[0].detail
    assert {finding.status for finding in report.checks[1:]} == {"skipped"}


def test_half_precision_may_be_missing_but_nothing_else(tmp_path: Path) -> None:
    half = "if v.dtype.itemsize == 2: raise Unsupported('values want float32')"
    report = checked(tmp_path, half)
    assert report.ok
    assert (found(report, "float16").status, found(report, "float16").detail) == ("skipped", "values want float32")
    everything = checked(tmp_path, "raise Unsupported('no form at all')")
    assert set(everything.failed()) >= {"shape", "lengths", "float32", "gradients", "padding", "batch"}


def test_a_mechanism_with_hidden_states_is_given_them(tmp_path: Path) -> None:
    body = "assert hidden.shape == (len(v), v.shape[2], v.shape[1] * v.shape[3]); v = v + 0 * hidden[:, None, :, :1]"
    assert checked(tmp_path, body, "needs_hidden=True").ok
    body = body.replace("0 * hidden", "hidden.cumsum(0)")
    assert "batch" in checked(tmp_path, body, "needs_hidden=True").failed()


def test_heads_that_work_in_groups_may_mix(tmp_path: Path) -> None:
    body = "v = v + v.unflatten(1, (-1, 2)).flip(2).flatten(1, 2)"
    assert checked(tmp_path, body, "head_group=2, ").failed() == ["row_sums"]
    assert "shape" in checked(tmp_path, body).failed()  # three heads do not pair


def test_parameters_reach_the_mechanism_and_its_fingerprint(tmp_path: Path) -> None:
    first, second = (check("polynomial", {"degree": degree}, "cpu", full=False) for degree in (2, 3))
    assert first.ok and second.ok
    assert (first.params["degree"], second.params["degree"]) == (2, 3)
    assert first.fingerprint != second.fingerprint
    with pytest.raises(BadInput, match="did you mean 'degree'"):
        check("polynomial", {"degre": 2}, "cpu", full=False)


def test_what_cannot_run_here_is_no_failed_check(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="no_such_package"):
        checked(tmp_path, more="needs=('no_such_package',)")
    if not torch.cuda.is_available():
        with pytest.raises(Unavailable, match="no CUDA device"):
            check("softmax", {}, "cuda", full=False)


def test_a_limit_that_is_no_number_excuses_nothing() -> None:
    worst = Worst("error")
    worst.see(1e-9, 1e-5, "fine")
    worst.see(5.0, math.nan, "no limit")
    assert worst.finding().status == "failed"


def test_running_out_of_memory_is_no_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def starve(subject: Subject) -> Finding:
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes")

    monkeypatch.setattr("attnbench.measurement.checks.CORRECTNESS", {"build": CORRECTNESS["build"], "shape": starve})
    with pytest.raises(RuntimeError, match="allocate memory"):
        check("softmax", {}, "cpu", full=False)


def test_reported_checks_decide_nothing(tmp_path: Path) -> None:
    source = write(tmp_path, "v = v * (1.0 if float(v.sum()) else 2.0)")
    finding = THOROUGH["vmap"](Subject(source, load_variant(source), {"fine": True}))
    assert finding.status == "reported" and "does not work: RuntimeError: vmap" in finding.detail
    assert Report(variant="mine", fingerprint=None, device="cpu", checks=[finding]).ok
    assert not set(CORRECTNESS) & set(THOROUGH)


def test_a_report_is_strict_json_and_survives_it() -> None:
    report = Report(
        variant="mine",
        fingerprint="0" * 16,
        device="cpu",
        params={"degree": 3},
        checks=[Finding(name="batch", status="failed", detail="„naïve“ 中 \u2028", value=0.5, allowed=1e-5)],
    )
    assert decode(encode(report)) == report
    told = json.loads(json.dumps(as_json(report), allow_nan=False))
    assert (told["variant"], told["fingerprint"], told["ok"], told["checks"][0]["name"]) == ("mine", "0" * 16, False, "batch")
    assert decode(encode(report)[:-20]) is None
    assert decode(b'{"schema": 1}') is None
    assert decode(encode(report).replace(b'"schema": 1', b'"schema": 99')) is None
