"""The check `decode`: the template with a decode form holds, each fault put into it is found, and what cannot decode is skipped."""

from __future__ import annotations

from pathlib import Path

import pytest

import attnbench
from attnbench.measurement.checks import CORRECTNESS
from attnbench.measurement.checks.decode import LENGTH, decode
from attnbench.measurement.checks.finding import Finding
from attnbench.measurement.checks.subject import Subject
from attnbench.measurement.checks.torch_threads import one_thread
from attnbench.spec.construct import load_variant

TEMPLATE = (
    (Path(attnbench.__file__).parent / "variants" / "_template.py").read_text().replace("import math\n", "import math\n\nimport torch\n", 1)
)
BEFORE = "    def matrix(self"
DECODING = """    def init_state(self, batch_size):
        return None

    def prefill(self, q, k, v):
        return k, v

    def step(self, q, k, v, state):
        keys, values = (k, v) if state is None else (torch.cat([a, b], 2) for a, b in zip(state, (k, v)))
        weights = (q @ keys.mT / math.sqrt(q.shape[-1])).softmax(-1)
        return weights @ values, (keys, values)

"""
CAT = "keys, values = (k, v) if state is None else (torch.cat([a, b], 2) for a, b in zip(state, (k, v)))"
OUT, NEXT = "return weights @ values", "\n        "
ROOT = "math.sqrt(q.shape[-1])).softmax"

# What is put in the place of what in the decode form, and what the finding must say.
FAULTS = {
    "another scale": ({ROOT: "math.sqrt(1 + q.shape[-1])).softmax"}, "float64"),
    "the newest token is not seen": ({"q @ keys.mT": "q @ (keys * (keys.shape[2] > 1)).roll(1, 2).mT"}, "float64"),
    "room for 32 tokens": ({CAT: f"{CAT}{NEXT}keys, values = keys[:, :, -32:], values[:, :, -32:]"}, "float64"),
    "room for 40 tokens": ({CAT: f"{CAT}{NEXT}keys, values = keys[:, :, -40:], values[:, :, -40:]"}, "float64"),
    "the module holds the state": (
        {CAT: f"state = getattr(self, 'held', None){NEXT}{CAT}{NEXT}self.held = (keys, values)"},
        "float64, stepping again from the same states",  # beyond the first token two sequences in turn are wrong too
    ),
    "the state grows in place": (
        {
            "return None": "return []",
            "return k, v": "return [(k, v)]",
            CAT: "state.append((k, v)); keys, values = (torch.cat(x, 2) for x in zip(*state))",
            "(keys, values)\n\n": "state\n\n",
        },
        "float64, stepping again from the same states",
    ),
    "prefill forgets a token": ({"return k, v": "return k[:, :, 1:], v[:, :, 1:]"}, "float64, from a state of 1 tokens"),
    "prefill is of another scale": ({"return k, v": "return k * 1.001, v"}, "float64, from a state of"),
    "the query is scaled in place": ({"q @ keys.mT": "q.mul_(1.001) @ keys.mT"}, "float64"),
    "few bits in float32": ({"q @ keys.mT": "(q.bfloat16().float() if q.dtype == torch.float32 else q) @ keys.mT"}, "float32"),
    "sequences are mixed": ({"return weights @ values": "return weights.mean(0, True) @ values"}, "float64"),
    "float64 for everybody": (
        {OUT: "return (weights @ values).double()"},
        "gives out [2, 3, 1, 5] torch.float64 for v [2, 3, 1, 5] torch.float32",
    ),
    "an output of every token": ({OUT: "return (weights @ values).expand_as(values)"}, "gives out [2, 3, 2, 5] torch.float64"),
    "not a number": ({OUT: "return weights @ values / 0"}, "is not a finite number"),
    "no step": ({"def step": "def stride"}, "it has init_state, prefill, and a decode form is init_state and step"),
}


def checked(folder: Path, text: str) -> Finding:
    file = folder / "broken.py"
    file.write_text(text)
    with one_thread():
        return decode(Subject(str(file), load_variant(str(file)), {}))


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found(fault: str, tmp_path: Path) -> None:
    changes, said = FAULTS[fault]
    text = DECODING
    for old, new in changes.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    finding = checked(tmp_path, TEMPLATE.replace(BEFORE, text + BEFORE))
    assert finding.status == "failed", finding.detail
    assert said in finding.detail


def test_a_decode_form_without_fault_holds(tmp_path: Path) -> None:
    finding = checked(tmp_path, TEMPLATE.replace(BEFORE, DECODING + BEFORE))
    assert finding.status == "passed", finding.detail
    assert finding.value is not None and 0.0 < finding.value < 1e-6


def test_what_cannot_decode_is_skipped_with_a_reason(tmp_path: Path) -> None:
    finding = checked(tmp_path, TEMPLATE)
    assert (finding.status, finding.detail) == ("skipped", "it has no decode form: no init_state(batch_size) and step(q, k, v, state)")
    (tmp_path / "other").mkdir()
    finding = checked(tmp_path / "other", TEMPLATE.replace("causal=True,", "causal=False,"))
    assert (finding.status, finding.detail) == ("skipped", "it has no causal form")


def test_hidden_states_reach_step_and_prefill(tmp_path: Path) -> None:
    """A mechanism whose values are those of the hidden state."""
    text = DECODING.replace("v):", "v, hidden):").replace("state):", "state, hidden):")
    own = "v = v + hidden.unflatten(2, (v.shape[1], -1)).transpose(1, 2)"
    text = text.replace("return k, v", f"{own}; return k, v").replace(CAT, f"{own}\n        {CAT}")
    template = TEMPLATE.replace("PaddingMask | None = None) -> Heads:", "PaddingMask | None = None, hidden=None) -> Heads:")
    template = template.replace("(v,) = hide", f"{own}; (v,) = hide").replace("causal=True,", "causal=True, needs_hidden=True,")
    finding = checked(tmp_path, template.replace(BEFORE, text + BEFORE))
    assert finding.status == "passed", finding.detail


def test_it_is_part_of_the_gate() -> None:
    assert CORRECTNESS["decode"] is decode
    assert LENGTH % 2 == 1
