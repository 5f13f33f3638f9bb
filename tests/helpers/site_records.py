"""Records for the tests of the site: small, made up, with every status, several machines, and names that mean harm."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from attnbench.spec.axes import Spec
from attnbench.store import facts
from attnbench.store.metrics import is_time
from attnbench.store.record import Record, Status, is_utc
from attnbench.store.store import Store
from helpers.records import make_record

LENGTHS = (128, 512, 2048, 8192)
COST = {"softmax": (1e-9, 2.0), "softmax_math": (3e-9, 2.05), "orthogonal": (4e-7, 1.02), "polynomial": (4e-9, 2.1)}
SKILL = {"orthogonal": 0.02, "polynomial": -0.02, "my_file": -0.05}
GRID, CHANCE = "0.001 0.003", 0.114
HUGE = 1e308
LONG = "ж\"'`\u202e" * 2000  # 10,000 letters, quotes and marks that turn the line round
BOTH = ("forward", "training")
HOSTILE = "</script><img src=x onerror=alert(1)>../../../evil"
Files = dict[str, bytes]  # of a site, by their paths
ENVIRONMENT = {
    "cpu": "Example 9000", "cores": 8, "logical_cores": 16, "threads": 8, "memory_bytes": 64 * 2**30, "gpus": [], "os": "Linux 6.1",
    "python": "3.11.7", "torch": "2.13.0", "commit": "0123456789abcdef0123456789abcdef01234567", "dirty": False,
}  # fmt: skip


def record(spec: Spec, status: Status = "ok", machine: str = "example", started_at: str = "2026-11-22T06:00:00Z", **fields: Any) -> Record:
    """A record of a spec, with plausible provenance."""
    given: dict[str, Any] = {
        "machine": machine, "session": "20261122T060000Z-abc123", "status": status, "measurements": {}, "environment": ENVIRONMENT,
        "started_at": started_at, "command": f"attnbench run --rerun --cell '{spec.compact()}'",
    }  # fmt: skip
    if "measurements" in fields:
        fields["measurements"] = {"drift_anchor_s": samples(0.005), **fields["measurements"]}
    return make_record(spec, **{**given, **fields})


def samples(middle: float, count: int = 12) -> list[float]:
    """Samples around a middle, always the same ones."""
    return [middle * (1 + 0.01 * math.sin(1 + 7 * i)) for i in range(count)]


def kernel(variant: str, machine: str = "example", device: str = "cpu") -> Iterator[Record]:
    """Both modes at every length; softmax_math and polynomial run out of memory at the longest."""
    scale, power = COST.get(variant, (2e-9, 1.5))
    for mode in ("forward", "training"):
        for seq_len in LENGTHS:
            spec = Spec(track="kernel", variant=variant, mode=mode, seq_len=seq_len, device=device)
            if variant in ("softmax_math", "polynomial") and seq_len == LENGTHS[-1]:
                yield record(spec, "oom", machine, reason="tried to allocate 3.0 GiB", stage="memory")
                continue
            middle = scale * seq_len**power * (3 if mode == "training" else 1)
            yield record(spec, machine=machine, measurements={f"{mode}_s": samples(middle), "peak_memory_bytes": [1000.0 * seq_len**power]})


def depth(variant: str) -> Iterator[Record]:
    """Residual and skipless at three depths; the skipless Jacobian saturates."""
    for block in ("residual", "skipless"):
        for layers in (1, 4, 16):
            spec = Spec(track="depth", variant=variant, seq_len=64, block=block, num_layers=layers, head_dim=16, batch_size=4)
            condition = min(1e15, 30.0 ** (layers if block == "skipless" else 1))
            found = {
                "training_s": samples(0.002 * layers), "peak_memory_bytes": [1e6 * layers], "parameters": [33e3 * layers],
                "jacobian_condition": [condition], "effective_rank": [1 + 12 / layers], "gradient_norm": [0.5 * layers],
                "attention_frobenius": [1.5] * layers, "attention_jacobian_condition": [condition**0.5], "dong_residual": [0.9**layers],
            }  # fmt: skip
            yield record(spec, measurements=found)


def task(variant: str) -> Iterator[Record]:
    """Both metrics, rates that were tuned, with the trials, or given, residual blocks and skipless ones of two depths.

    No rate suits softmax_math without skips, and somebody's file reaches no target.
    """
    given = {"variant": variant, "task": "mnist", "data": "embedded:06bf3045", "block": "residual", "num_layers": 2, "epochs": 3}
    tuned = {**given, "lr_grid": GRID}
    for axes, seeds in (
        (tuned, 3),
        ({**given, "task": "sotu_era", "lr": 3e-3}, 1),
        ({**tuned, "task": "sotu_lm", "causal": True}, 3),
        *(({**tuned, "block": "skipless", "num_layers": layers, "epochs": 2}, 2) for layers in (6, 12)),
    ):
        rates = [float(rate) for rate in str(axes.get("lr_grid", "")).split()]
        tried = [task_spec(**{**axes, "lr": rate, "lr_grid": None}, seed=1000, evaluate="validation") for rate in rates]
        if variant == "softmax_math" and axes["block"] == "skipless":
            yield from (record(spec, "timeout", reason="600 s were not enough", stage="train, epoch 1 of 2") for spec in tried)
            reason = "no rate could be tried; lr 0.001 timeout: 600 s were not enough"
            yield from (record(task_spec(**axes, seed=seed), "skipped", reason=reason) for seed in range(seeds))
            continue
        yield from (trained(spec) for spec in tried)
        best = {"lr": rates[len(variant) % 2]} if rates else {}
        yield from (trained(task_spec(**{**axes, **best}, seed=seed)) for seed in range(seeds))


def task_spec(**axes: Any) -> Spec:
    return Spec(**{"track": "task", "head_dim": 16, "batch_size": 64, **axes})


def trained(spec: Spec, **more: list[float]) -> Record:
    """What training gives: 0.9 and less in residual blocks; deep ones without skips learn nothing, and a polynomial diverges."""
    layers, skill = spec.num_layers or 1, SKILL.get(spec.variant, 0.0) + 0.004 * (spec.seed % 7) - (0.2 if spec.lr == 1e-3 else 0.0) / 10
    keeps_rank = spec.block == "residual" or spec.variant == "orthogonal"
    learnt = 0.9 + skill if keeps_rank else max(CHANCE, 0.9 + skill - 0.07 * layers)
    metric, chance, result, nothing = "accuracy", "majority_share", learnt, CHANCE
    if spec.task == "sotu_lm":
        metric, chance, result, nothing = "bits_per_byte", "unigram_bits", 4.5 - 2.2 * learnt, 4.5
    epochs = range((spec.epochs or 1) + 1)
    per_epoch_s = 0.5 + 0.2 * layers + 0.03 * len(spec.variant)
    curve: dict[str, list[float | None]] = {
        "step": [57.0 * epoch for epoch in epochs], "wall_s": [per_epoch_s * epoch for epoch in epochs],
        "train_loss": [None, *(2.3 * 0.4**epoch for epoch in epochs[1:])],
        f"validation_{metric}": [nothing + (result - nothing) * (1 - 0.3**epoch) for epoch in epochs],
    }  # fmt: skip
    for layer in range(1, layers + 1):
        rank = 12.0 - 0.2 * layer + 30 * skill if keeps_rank else 1 + (11 + 9 * skill) * 0.6**layer
        curve[f"effective_rank_layer_{layer}"] = [rank + 0.4 * epoch for epoch in epochs]
        curve[f"dong_residual_layer_{layer}"] = [0.9 if keeps_rank else 0.5**layer for _ in epochs]
        if spec.variant != "my_file":  # it has no matrix
            curve[f"attention_frobenius_layer_{layer}"] = [7.0 if spec.variant == "orthogonal" else 1.2 + 0.1 * epoch for epoch in epochs]
    found = {
        f"validation_{metric}": [result], "train_s": [per_epoch_s * epochs[-1]], "training_tokens_per_s": [1.4e5],
        "peak_memory_bytes": [3e7], "parameters": [1e5], "mechanism_parameters": [64.0 if spec.variant == "polynomial" else 0.0],
        "diverged": [float(spec.variant == "polynomial" and spec.seed == 1 and learnt == CHANCE)],
    }  # fmt: skip
    if spec.variant != "my_file" and spec.seed != 1 and keeps_rank:
        found["time_to_target_s"] = [per_epoch_s * epochs[-2]]
    if spec.evaluate == "test":
        found |= {metric: [result], chance: [nothing], "inference_tokens_per_s": [3.5e5]}
    return record(spec, measurements={**found, **more}, curve=curve)


def usual() -> list[Record]:
    """A store such as a reader meets: four mechanisms and somebody's file on one machine, two of them on a second."""
    found: list[Record] = []
    for variant in (*COST, "my_file"):
        found += [*kernel(variant), *depth(variant), *task(variant)]
    for variant in ("softmax", "orthogonal"):
        found += kernel(variant, machine="big-gpu", device="cuda")
    causal = Spec(track="kernel", variant="orthogonal", seq_len=512, causal=True)
    found.append(record(causal, "skipped", reason="orthogonal has no causal form: a triangular orthogonal matrix is diagonal"))
    found.append(record(Spec(track="kernel", variant="softmax", seq_len=512, causal=True), measurements={"training_s": samples(0.01)}))
    late = Spec(track="kernel", variant="my_file", seq_len=32768)
    found.append(record(late, "timeout", reason="600 s were not enough", stage="time"))
    return found


def all_failed() -> list[Record]:
    """Nothing but failures, one of each kind."""
    statuses: tuple[Status, ...] = ("skipped", "unavailable", "incorrect", "oom", "timeout", "error")
    specs = [
        Spec(track="kernel", variant="softmax", seq_len=128),
        Spec(track="depth", variant="softmax", seq_len=64, block="residual", num_layers=2),
        Spec(track="task", variant="softmax", task="mnist", block="residual", num_layers=2, epochs=1, lr=0.1),
    ]
    return [
        record(Spec(**{**spec.axes(), "variant": f"v{i}"}), status, reason="because") for spec in specs for i, status in enumerate(statuses)
    ]


def hostile() -> list[Record]:
    """Names, reasons, commands and environments that would do harm where they are not escaped, beside an honest record."""
    spec = Spec(track="kernel", variant=HOSTILE, seq_len=128, params={HOSTILE: HOSTILE})
    other = Spec(track="kernel", variant="../../../../tmp/evil.py", seq_len=512)
    learnt = {"accuracy": [0.5], "train_s": [1.0], "majority_share": [HUGE], "time_to_target_s": [-1.0], "mechanism_parameters": []}
    curve: dict[str, list[float | None]] = {
        "wall_s": [0.0, 1.0], "step": [None, HUGE], "train_loss": [2.0, None, 3.0], "validation_accuracy": [HUGE], HOSTILE: [1.0],
        "effective_rank_layer_99999": [HUGE, 2.0], "effective_rank_layer_" + "9" * 5000: [1.0], "attention_frobenius_layer_1": [],
        "attention_frobenius_layer_2": [HUGE, HUGE], "attention_frobenius_layer_3": [HUGE, 1.0],
    }  # fmt: skip
    trained = [
        task_spec(variant=HOSTILE, task=HOSTILE, data=HOSTILE, block=block, num_layers=layers, epochs=1, lr=0.1, lr_grid=HOSTILE)
        for block, layers in (("residual", 1), ("skipless", 10**12), ("skipless", 3))
    ]
    environment = {**ENVIRONMENT, "cpu": HOSTILE, "gpus": [{"name": HOSTILE}], "commit": HOSTILE, "torch": HOSTILE, "memory_bytes": HOSTILE}
    shared: dict[str, Any] = {"environment": environment, "command": HOSTILE, "reason": HOSTILE, "stage": HOSTILE, "session": HOSTILE}
    times = {"training_s": samples(0.01), HOSTILE: [1.0]}
    return [
        record(spec, machine=HOSTILE, id=HOSTILE, measurements=times, started_at=HOSTILE, **shared),
        record(other, "error", machine="../../up", **shared),
        *(record(spec, measurements=learnt, curve=curve, **shared) for spec in trained),
        *(record(Spec(track="kernel", variant=LONG, mode=mode, seq_len=128), measurements={f"{mode}_s": samples(0.01)}) for mode in BOTH),
        record(task_spec(variant=LONG, task=LONG, data=LONG, block="residual", num_layers=1, epochs=1, lr=0.1), measurements=learnt),
        record(task_spec(variant=HOSTILE, task=HOSTILE, block="residual", num_layers=10**12, epochs=1, lr_grid=HOSTILE), "skipped"),
        record(Spec(track="kernel", variant="softmax", seq_len=128), measurements={"training_s": [0.0, -1.0], "peak_memory_bytes": []}),
        record(Spec(track="kernel", variant="softmax", seq_len=256), measurements={"training_s": [1e149], "peak_memory_bytes": [1e308]}),
        record(Spec(track="kernel", variant="huge", seq_len=256), measurements={"training_s": [1e-149], "peak_memory_bytes": [5e-324]}),
        record(Spec(track="kernel", variant="huge", seq_len=2**53), "oom"),
    ]


def stored(folder: Path, records: Iterable[Record]) -> Path:
    """A results folder that holds the records, each without what no store holds."""
    for each in records:
        Store(folder).append(_storable(each))
    return folder


def _storable(each: Record) -> Record:
    """The record as far as it can be read back: the site may be given others all the same, by `render`."""
    known = facts.fitting(each.environment)
    began = each.started_at if is_utc(each.started_at) else "2026-11-22T06:00:00Z"
    can_be = {metric: -facts.LARGEST if not is_time(metric) else 1 / facts.LARGEST for metric in each.measurements}
    measured = {metric: of for metric, of in each.measurements.items() if all(can_be[metric] < x < facts.LARGEST for x in of)}
    curve = {name: [None if x is None or abs(x) >= facts.LARGEST else x for x in of] for name, of in each.curve.items()}
    return dataclasses.replace(each, environment=known, started_at=began, measurements=measured, curve=curve)


def html(files: Files) -> dict[str, str]:
    """The pages among a site's files, as text."""
    return {name: content.decode() for name, content in files.items() if name.endswith(".html")}


def calls(script: bytes) -> list[tuple[str, list[Any]]]:
    """What a script of data hands over, a call a line: "index", "chunk", "cell", "metrics" or "search", and its arguments, all JSON."""
    found = []
    for line in script.decode().removesuffix("\n").split("\n"):
        call = re.fullmatch(r"attnbench\.(?:(index|chunk|cell)\((.*)\)|(metrics|search) = (.*));", line)
        assert call, f"no data: {line[:100]}"
        found.append((call[1] or call[3], json.loads(f"[{call[2] or call[4]}]")))
    return found


def index_of(files: Files, page: str) -> dict[str, Any]:
    """The index of a page's views."""
    ((name, (index,)),) = calls(files[f"data/{page}.js"])
    assert (name, index["page"]) == ("index", page)
    return dict(index)


def chunks_of(files: Files, page: str) -> list[dict[str, Any]]:
    """A page's views, in the files that its index names."""
    found = []
    for chunk in index_of(files, page)["chunks"]:
        ((name, (given,)),) = calls(files[f"data/{page}-{chunk}.js"])
        assert (name, given["name"]) == ("chunk", chunk)
        found.append(given)
    return found


def shown(files: Files, page: str, section: str) -> str:
    """All that a section of a page can show, as HTML; its first view is in the page itself."""
    views = [view for chunk in chunks_of(files, page) for view in chunk["sections"].get(section, [])]
    return "\n".join([files[f"{page}.html"].decode(), *(view["html"] for view in views)])
