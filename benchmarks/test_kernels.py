"""Every mechanism's kernel under pytest-benchmark, for the developer's loop: forward and training, 256 and 1,024 tokens, on the CPU.

    pytest benchmarks --benchmark-only                                      all of them, a few minutes
    pytest benchmarks --benchmark-only -k "polynomial and forward"          by any part of a name such as polynomial-forward-1024
    pytest benchmarks --benchmark-only -k "[softmax- or [orthogonal-"       exactly these mechanisms
    pytest benchmarks --benchmark-only -k polynomial --benchmark-autosave   then edit, and the same with --benchmark-compare
    pytest benchmarks --benchmark-only --benchmark-json=FILE                then attnbench import-pytest-benchmark FILE

No pytest is imported at the top: asv imports every module of this folder, and its environments have none.
"""

import itertools

from attnbench import registry
from attnbench.errors import Unavailable
from attnbench.runner.pytest_benchmark import benchmark_kernel
from attnbench.spec.axes import Spec

SEQ_LENS, MODES = (256, 1024), ("forward", "training")


def pytest_generate_tests(metafunc):
    cells = [(variant, mode, n) for n, mode, variant in itertools.product(SEQ_LENS, MODES, registry.names("variants"))]
    metafunc.parametrize(("variant", "mode", "seq_len"), cells)


def test_kernel(benchmark, variant, mode, seq_len):
    benchmark.group = f"{mode}, {seq_len:,} tokens"
    try:
        benchmark_kernel(benchmark, Spec(track="kernel", variant=variant, mode=mode, seq_len=seq_len))
    except Unavailable as why:
        import pytest

        pytest.skip(str(why))
