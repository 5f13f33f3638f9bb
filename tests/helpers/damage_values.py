"""The values by which records are damaged: of other types and sizes, and such as a record may have, however unlikely."""

from __future__ import annotations

from typing import Any

TEXTS = (
    "", " ", "x", "nan", "Infinity", "\0", "\n", "two\nlines\r\n", "\x1b[2J", "\ud800", "half \udfff", "ж" * 3000, "[/]", "[bold]", "[red",
    ":smile:", "</script><b>", "../../up", "a/b", "con", "NUL.txt", "trailing.", "é", "e\u0301", "\u202e", "\u2028", "9" * 5000, "-1",
    "true",
    "2026-02-30T00:00:00Z", "0000-00-00T00:00:00Z", "9999-12-31T23:59:59Z", "softmax", "Softmax", "mnist", "float8", "cuda", "0.001 0.003",
    "inf", "1e999 -1", "depth", "validation", "curve.x", "forward_s", "accuracy",
)  # fmt: skip
NUMBERS = (
    0, 1, -1, 2, 3, 7, 64, 1000, 2**31, 2**53, 2**53 + 1, 2**62, 2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1, 10**30,
    10**400, 0.0,
    -0.0, 0.5, 1.5, -2.5, 1e-9, 1e9, 1e100, 1e149, 1e150, 1e200, 1e308, -1e308, 1.7976931348623157e308, 5e-324, 1e-300, 1e-149,
)  # fmt: skip
OTHERS: tuple[Any, ...] = (
    None, True, False, float("nan"), float("inf"), [], {}, [None], [[]], [{}], {"a": 1}, {"": None}, [1, "a", None], [1e308] * 3, [1e-320,
    1e300], [0.0], [-1.0, 1.0], [1.0],
    [1.0] * 1000, ["x"], [True], {"name": [1]}, [{"name": 7}], [{"name": "x", "memory.total": None}],
)  # fmt: skip

# Values that a record may have.
SAMPLES = (0.0, -0.0, 1.0, -1.0, 0.5, 2.0, 1e-149, -1e-149, 1e-30, 1e-9, 1e9, 1e30, 1e149, -1e149, 1e15, 0.25, 1 / 3)
METRICS = (
    "accuracy", "bits_per_byte", "validation_accuracy", "diverged", "forward_s", "training_s", "decode_s", "train_s", "anchor_ratio", "x",
    "peak_memory_bytes", "drift_anchor_s", "time_to_target_s", "majority_share", "unigram_bits", "jacobian_condition", "a,b", "é", "[/]",
    "effective_rank_layer_1", "attention_frobenius_layer_" + "9" * 30, "validation_bits_per_byte", "step", "wall_s", "state_bytes",
)  # fmt: skip
SIZES = (1, 2, 3, 7, 64, 4096, 2**31, 2**53)
AXES: dict[str, tuple[Any, ...]] = {
    "variant": ("softmax", "orthogonal", "Softmax", "con", "[/]", "a|b", "é", "e\u0301", "ж" * 300, "x" * 100_000, "../../up", "a,b\"c'"),
    "params": ({}, {"degree": True}, {"degree": 1}, {"degree": 1.0}, {"a": []}, {"a": None}, {"a": [1, "x", None]}, {"é": "\n\0"},
    {"a": 2**63 - 1}),
    "batch_size": SIZES, "num_heads": SIZES[:6], "head_dim": SIZES[:6], "seq_len": SIZES, "num_layers": SIZES, "epochs": SIZES,
    "seed": (-1, 0, 1, 1000, 2**53, -(2**63)), "lr": (None, 5e-324, 1e-9, 0.1, 1.0, 1e308), "causal": (True, False),
    "padded": (0, 0.25, 1 / 3, 0.999), "num_kv_heads": (None, 1, 2, 3, 2**53), "token_shift": (True, False),
    "init_norm": (1, 5e-324, 0.5, 1 / 3, 1e308), "positions": ("learned", "none", "rotary"), "weight_decay": (0, 0.05, 1e308),
    "protocol": ("2026-11", "2026-12", "x", "é", "[/]"), "test_seq_len": (None, 1, 2**53), "tuned_epochs": (None, 1, 2**53),
    "task_params": (None, {}, {"pairs": 16}, {"é": "\n\0"}, {"a": [1, "x", None]}),
    "lr_grid": (None, "", " ", "0.001 0.003", "x", "inf nan", "-1"), "data": (None, "x", "embedded:0", ":"), "dtype": ("bfloat16",
    "float16"),
    "task": ("mnist", "x", "sotu_lm", "con", "é"), "evaluate": ("test", "validation"), "mode": ("forward", "training", "prefill", "decode"),
    "device": ("cuda", "cpu"), "block": ("residual", "skipless"),
}  # fmt: skip
FIELDS: dict[str, tuple[Any, ...]] = {
    "status": ("ok", "skipped", "unavailable", "incorrect", "oom", "timeout", "error"),
    "reason": (None, "", "\n", "\n\n", "two\nlines", "\x1b[2J", "[/]", "x" * 10_000), "stage": (None, "", "time", "\n"),
    "started_at": ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2026-11-22T00:00:00Z"), "duration_s": (0, 1e149, 5e-324),
    "command": ("", "\0"),
    "origin": ({}, {"by": "pytest-benchmark"}, {"by": ""}, {"trust": "rerun"}), "measurements": ({}, {"x": [1.0]}), "curve": ({},
    {"step": []}),
    "clocks": ({}, {"forward_s": "device"}), "stages_s": ({}, {"time": 0.0}), "environment": ({},), "fingerprint": ("x", "0" * 16),
}  # fmt: skip
FACTS: dict[str, tuple[Any, ...]] = {
    "torch": (None, "2.13.0", "x", "é", "[/]", " "), "drift_anchor_baseline_s": (1e-149, 1e149, 1), "threads": (None, 0, 2**53),
    "gpus": (None, [], [{}]),
    "timeout_s": (0, 1e149), "memory_bytes": (None, 0, 1e149), "commit": (None, "", "x", "[/]"), "dirty": (None, True),
    "load_average": (0, 1e149),
    "anything": ([[[1]]], {"a": {"b": None}}, "\0", -(2**63), 1e308),
}  # fmt: skip
