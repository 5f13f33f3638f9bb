"""Peak memory: exact where the allocator is asked, the same in every process, and sane where the system is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor

import attnbench
from attnbench.measurement.cell_result import Stage
from attnbench.measurement.memory import ResidentPeak, held_bytes, peak_memory_bytes
from attnbench.runner.jobs import CellJob, Limits
from attnbench.runner.parent import run_in_child
from helpers.changed_template import FORWARD, NEXT, write
from helpers.misbehaving import Errand
from helpers.records import make_spec

pytestmark = pytest.mark.alone

NUM_HEADS, HEAD_DIM = 4, 64
MIB = 2**20


def tensor_bytes(rows: int, columns: int) -> int:
    """Of a float32 matrix for each head."""
    return NUM_HEADS * rows * columns * 4


def call_of(variant: str, seq_len: int, mode: str = "forward") -> Callable[[int], Tensor]:
    """A warm call of a mechanism, without gradients or forward and backward, whose gradients are cleared."""
    training = mode == "training"
    inputs = [torch.randn(1, NUM_HEADS, seq_len, HEAD_DIM, requires_grad=training) for _ in range(3)]
    upstream = torch.randn(1, NUM_HEADS, seq_len, HEAD_DIM)
    module = attnbench.build(variant, NUM_HEADS, HEAD_DIM, seq_len=seq_len)

    def call(_: int) -> Tensor:
        with torch.set_grad_enabled(training):
            out: Tensor = module(*inputs)
            if training:
                out.backward(upstream)
        return out

    call(0)
    for x in (*inputs, *module.parameters()):
        x.grad = None
    return call


@pytest.mark.parametrize("seq_len", [257, 512, 1024])
def test_naive_softmax_takes_its_score_matrices_and_output_and_no_more(seq_len: int) -> None:
    """The scores and their softmax live at once, then the softmax and the output; two matrices are the larger."""
    call = call_of("softmax_math", seq_len)
    matrix, output = tensor_bytes(seq_len, seq_len), tensor_bytes(seq_len, HEAD_DIM)
    assert peak_memory_bytes(call, "cpu") == pytest.approx(max(2 * matrix, matrix + output), rel=0.05)
    assert held_bytes(call, "cpu") == output


@pytest.mark.parametrize("seq_len", [17, 31])
def test_where_the_output_is_larger_than_a_matrix_it_counts(seq_len: int) -> None:
    call = call_of("softmax_math", seq_len)
    expected = tensor_bytes(seq_len, seq_len) + tensor_bytes(seq_len, HEAD_DIM)
    assert peak_memory_bytes(call, "cpu") == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("mode", ["forward", "training"])
@pytest.mark.parametrize(("variant", "at_most"), [("orthogonal", 4.2), ("polynomial", 4.2), ("softmax_math", 16.8)])
def test_memory_of_four_times_the_length_grows_as_claimed(variant: str, at_most: float, mode: str) -> None:
    """Linear for orthogonal and polynomial; naive softmax, which is quadratic, shows that this can be told."""
    shorter, longer = (peak_memory_bytes(call_of(variant, seq_len, mode), "cpu") for seq_len in (256, 1024))
    assert longer / shorter <= at_most
    assert at_most < 5 or longer / shorter > 12


@pytest.mark.parametrize(
    ("variant", "mode"),
    [
        pytest.param("softmax_math", "training", marks=pytest.mark.long),
        ("orthogonal", "training"),
        pytest.param("polynomial", "forward", marks=pytest.mark.long),
    ],
)
def test_two_processes_find_the_same_peak(variant: str, mode: str) -> None:
    job = CellJob(make_spec(variant=variant, seq_len=256, mode=mode), variant, None, 1, Limits())
    results = [run_in_child(job, "forkserver") for _ in range(2)]
    assert [result.status for result in results] == ["ok", "ok"], results
    one, other = (result.value.samples["peak_memory_bytes"][0] for result in results)
    assert one > 0
    assert abs(one - other) <= 0.01 * one


def test_a_call_that_frees_older_memory_is_a_fault() -> None:
    held: list[Tensor] = []
    peak_memory_bytes(lambda _: held.append(torch.ones(10_000)), "cpu")  # the profiler knows only what it saw made
    with pytest.raises(RuntimeError, match="freed memory that was allocated before"):
        peak_memory_bytes(lambda _: held.clear(), "cpu")


def test_the_peak_is_the_most_at_once_and_not_the_sum() -> None:
    def call(_: int) -> None:
        first = torch.ones(3 * MIB // 4)
        del first
        second, third = torch.ones(2 * MIB // 4), torch.ones(2 * MIB // 4)
        del second, third

    assert peak_memory_bytes(call, "cpu") == 4 * MIB


def test_what_a_call_returns_is_held_to_the_byte_whatever_its_form() -> None:
    def make(_: int) -> object:
        passing = torch.ones(1000)
        return {"sums": [passing * 2, (passing[:10].double(),)], "view": passing.new_zeros(5, 7)[1:], "count": 3}

    assert held_bytes(make, "cpu") == 1000 * 4 + 10 * 8 + 5 * 7 * 4
    assert held_bytes(lambda _: None, "cpu") == 0


@dataclass(frozen=True)
class Growth(Errand):
    """What the watch says of memory before it, untouched, touched and freed again, in a process whose heap holds nothing to reuse."""

    def work(self, stage: Stage) -> list[float | None]:
        before = torch.ones(256 * MIB // 4)
        del before
        watch = ResidentPeak()
        found = [watch.bytes()]
        tensor = torch.empty(64 * MIB // 4)
        found.append(watch.bytes())
        tensor.fill_(1.0)
        found.append(watch.bytes())
        del tensor
        return [*found, watch.bytes()]


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="this system cannot set the high-water mark back")
def test_the_resident_peak_sees_memory_that_is_touched_and_nothing_of_before() -> None:
    before, untouched, touched, freed = run_in_child(Growth(), "forkserver").value
    assert before < 8 * MIB
    assert untouched < 8 * MIB
    assert 60 * MIB < touched < 80 * MIB
    assert 60 * MIB < freed < 80 * MIB, "a peak stays"


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="this system cannot set the high-water mark back")
@pytest.mark.parametrize("hidden", [pytest.param(False, marks=pytest.mark.long), True], ids=["torch's alone", "numpy's too"])
def test_memory_that_torch_does_not_see_shows_beside_what_it_sees(tmp_path: Path, hidden: bool) -> None:
    """Both are of one call, over what was held before: where all is torch's they differ by libraries and arenas, tens of MiB."""
    more = f"import numpy; held = numpy.ones({192 * MIB // 8}){NEXT}" if hidden else ""
    source = write(tmp_path, {FORWARD: f"{more}{FORWARD}"})
    result = run_in_child(CellJob(make_spec(variant="mine", seq_len=2048), source, None, 1, Limits()), "forkserver")
    assert result.status == "ok", result
    seen, grown = (result.value.samples[metric][0] for metric in ("peak_memory_bytes", "peak_rss_bytes"))
    assert seen > 128 * MIB  # scores and weights of four heads
    assert (grown - seen > 96 * MIB) == hidden
