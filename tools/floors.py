"""The floors of the mechanism library, measured: ratios of calls that alternate in one process, and the seconds that `check` takes.

    make floors                                      # on this machine's CPU
    python tools/floors.py --device cuda        # the GPU's own table; needs torch, triton and jaxtyping, nothing else

Exits with 1 when a floor is not met.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator

from _ratios import Bench, Row

LENGTHS = (2048, 4096, 8192, 16384, 32768)


MODES = ("forward", "training")


def on_cpu() -> Iterator[Row]:
    """The table of two cores: float32, batch 1, 4 heads, head_dim 64 unless said."""
    bench = Bench(4096)
    for mode, floor in zip(MODES, (3.5, 3.0), strict=True):
        measured = bench.ratio(bench.call("orthogonal_qr", mode), bench.call("orthogonal", mode))
        yield Row(f"orthogonal_qr / orthogonal, {mode}, 4,096", measured, at_least=floor)
    for seq_len, floor in ((4096, 6.0), (16384, 20.0)):
        bench = Bench(seq_len)
        for mode in MODES:
            measured = bench.ratio(bench.call("softmax", mode), bench.call("orthogonal", mode))
            yield Row(f"softmax / orthogonal, {mode}, {seq_len:,}", measured, at_least=floor)
    bench = Bench(49, head_dim=16, batch_size=64)
    measured = bench.ratio(bench.call("orthogonal", "training"), bench.call("softmax", "training"))
    yield Row("orthogonal / softmax, training, 49, head_dim 16, batch 64", measured, at_most=2.2)
    yield from orthogonal_growth()
    bench = Bench(4096)
    for mode, floor in zip(MODES, (1.3, 1.6), strict=True):
        measured = bench.ratio(bench.call("polynomial", mode), bench.call("softmax", mode))
        yield Row(f"polynomial / softmax, degree 3, {mode}, 4,096", measured, at_most=floor)
    for name in ("relu", "squared_relu", "sigmoid", "softmax_one", "sink"):
        measured = bench.ratio(bench.call(name, "forward"), bench.call("softmax", "forward"))
        yield Row(f"{name} / softmax, forward, 4,096", measured, at_most=1.2)
    for name in ("taylor", "power"):
        measured = bench.ratio(bench.call(name, "training"), bench.call("softmax", "training"))
        yield Row(f"{name} / softmax, training, 4,096", measured, at_most=1.0)
    bench = Bench(16384)
    for mode in MODES:
        measured = bench.peak("polynomial", mode) / bench.input_bytes
        yield Row(f"polynomial, degree 3, {mode}, 16,384: peak extra memory over q, k, v", measured, at_most=4.0)
    for degree, head_dim, floor in ((2, 32, 6.0), (2, 64, 1.5), (3, 16, 2.0)):
        bench = Bench(16384, head_dim)
        measured = bench.ratio(bench.call("softmax", "forward"), bench.call("polynomial", "forward", degree=degree))
        yield Row(f"softmax / polynomial, degree {degree}, head_dim {head_dim}, forward, 16,384", measured, at_least=floor)
    yield from linear_growth()
    yield from checks()


def linear_growth() -> Iterator[Row]:
    """Exponents of the time of windows, features and recurrences in their chunked form, causal; a window against all keys."""
    from attnbench.stats import exponent

    benches = {seq_len: Bench(seq_len) for seq_len in LENGTHS if seq_len <= 16384}
    calls = [benches[16384].call(name, "forward", causal=True) for name in ("softmax", "sliding_window")]
    yield Row("softmax / sliding_window of 512, causal, forward, 16,384", benches[16384].ratio(*calls), at_least=6.0)
    for name in ("sliding_window", "retention", "gla", "mamba2", "deltanet", "gated_deltanet", "hedgehog"):
        seconds = [bench.seconds(bench.call(name, "forward", causal=True)) for bench in benches.values()]
        growth = exponent(list(benches), seconds).value
        yield Row(f"{name}, causal, forward, 2,048 to 16,384: exponent of time", growth, at_most=1.15, unit="")


def orthogonal_growth() -> Iterator[Row]:
    """Exponents of orthogonal's time and peak memory in seq_len."""
    from attnbench.stats import exponent

    for mode in MODES:
        seconds, peaks = [], []
        for seq_len in LENGTHS:
            bench = Bench(seq_len)
            seconds.append(bench.seconds(bench.call("orthogonal", mode)))
            peaks.append(bench.peak("orthogonal", mode))
        span = f"orthogonal, {mode}, {LENGTHS[0]:,} to {LENGTHS[-1]:,}: exponent of"
        yield Row(f"{span} time", exponent(LENGTHS, seconds).value, at_most=1.15, unit="")
        yield Row(f"{span} peak memory", exponent(LENGTHS, peaks).value, at_most=1.05, unit="")


def checks() -> Iterator[Row]:
    """Time of `attnbench check` for every variant, each a command of its own as a user types it, and of all in one command."""
    import attnbench

    seconds = {}
    for name in attnbench.names("variants"):
        started = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "attnbench", "check", name, "--json"], capture_output=True, text=True, errors="replace", check=False
        )
        seconds[name] = time.perf_counter() - started
        if done.returncode:
            failed = [one["name"] for one in json.loads(done.stdout or "{}").get("checks", []) if one["status"] == "failed"]
            yield Row(
                f"attnbench check {name}: exit code ({', '.join(failed) or done.stderr[-200:]})",
                float(done.returncode),
                at_most=0.0,
                unit="",
            )
    slowest = max(seconds, key=seconds.__getitem__)
    yield Row(f"attnbench check, the slowest of {len(seconds)} ({slowest})", seconds[slowest], at_most=20.0, unit="s")
    yield Row(f"attnbench check, all {len(seconds)}, a command each", sum(seconds.values()), at_most=180.0, unit="s")
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "attnbench", "check", "--all", "--json"], stdout=subprocess.DEVNULL, check=False)
    yield Row("attnbench check --all, one command", time.perf_counter() - started, at_most=180.0, unit="s")


def on_cuda() -> Iterator[Row]:
    """The table of an H200: bfloat16, batch 4, 16 heads, head_dim 64."""
    for seq_len in (4096, 16384):
        bench = Bench(seq_len, num_heads=16, batch_size=4, device="cuda", dtype="bfloat16")
        for mode, floor in zip(MODES, (1.1, 1.3), strict=True):
            measured = bench.ratio(bench.call("polynomial", mode), bench.call("softmax", mode))
            yield Row(f"polynomial / softmax, degree 3, {mode}, {seq_len:,}", measured, at_most=floor)
        for mode in MODES:
            # One N x N matrix in bfloat16 would be seq_len / 192 times the bytes of q, k and v together.
            yield Row(
                f"polynomial, {mode}, {seq_len:,}: peak extra memory over q, k, v",
                bench.peak("polynomial", mode) / bench.input_bytes,
                at_most=4.0,
            )
    for mode in MODES:
        measured = bench.ratio(bench.call("softmax", mode), bench.call("orthogonal", mode))
        yield Row(f"softmax / orthogonal, {mode}, 16,384", measured, at_least=5.0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    device = parser.parse_args().device
    import torch

    from attnbench.measurement.memory import warm_profiler

    if device == "cuda" and not torch.cuda.is_available():
        parser.error("torch sees no CUDA device here")
    warm_profiler()
    where = torch.cuda.get_device_name() if device == "cuda" else f"{torch.get_num_threads()} threads"
    print(f"torch {torch.__version__}, {where}", flush=True)
    missed = 0
    for row in on_cuda() if device == "cuda" else on_cpu():
        print(row, flush=True)
        missed += not row.holds
    print(f"{missed} floors not met" if missed else "every floor holds")
    return int(missed > 0)


if __name__ == "__main__":
    from attnbench.cli.output import write_any_letter

    write_any_letter()
    sys.exit(main())
