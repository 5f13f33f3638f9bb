"""What the columns of the frame and the metrics in its rows mean: the dictionary for who reads an export without the code."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, get_type_hints

from attnbench.analysis.frame import COLUMNS, CURVE, unit
from attnbench.spec.axes import Spec
from attnbench.store.schema import json_schema

if TYPE_CHECKING:
    import pandas as pd

TYPES = ("text", "integer", "number", "boolean", "object", "list of numbers")


@dataclass(frozen=True)
class Column:
    """A column of the frame. type: one of TYPES; any but an axis that every track has may be missing."""

    type: str
    meaning: str


# Columns whose meaning the schema of a record does not tell, or not without its neighbours.
_OWN = MappingProxyType(
    {
        "d_model": Column("integer", "width of the model, num_heads * head_dim"),
        "id": Column("text", "hash of the spec, 16 hex digits; of asv's rows that of the axes that asv shows, without default parameters"),
        "cell": Column("text", "the id, but of a cell whose learning rate was tuned that before the choice, so that all choices share it"),
        "session": Column("text", "the run that measured this cell; asv for rows that come from results/asv and not from a record"),
        "duration_s": Column("number", "seconds from started_at to the cell's end"),
        "by": Column("text", "who ran it: a public handle, local, or pytest-benchmark for an imported time"),
        "trust": Column("text", "how far the numbers can be trusted: self, as reported, or rerun, measured again by the project"),
        "attnbench_commit": Column("text", "commit of the installed attnbench, 40 hex digits"),
        "torch": Column("text", "version of torch"),
        "flagged": Column("text", "why the times of the session do not rank; missing where they do"),
        "metric": Column("text", "what was measured; missing where the record holds no measurement"),
        "unit": Column("text", "unit of value and samples: s, B, FLOP, token/s, bit/B, nat, or 1 for counts, shares and ratios"),
        "clock": Column("text", "of a time, wall (what a user waits for) or device (the span on the GPU); else missing"),
        "value": Column("number", "the median of the samples; of a training curve the last of them; missing without samples"),
        "samples": Column(
            "list of numbers", "every sample in the order of measuring; of a training curve its numbers in the order of epochs"
        ),
    }
)

_CALL = "of one call of the mechanism or step of the stack"
METRICS: Mapping[str, str] = MappingProxyType(
    {
        "forward_s": f"seconds {_CALL}, forward only, without gradients",
        "training_s": f"seconds {_CALL}, forward and backward",
        "decode_s": "seconds to decode one token against the state that the seq_len - 1 tokens before it left",
        "forward_device_s": f"seconds {_CALL}, forward only, between two events on the GPU",
        "training_device_s": f"seconds {_CALL}, forward and backward, between two events on the GPU",
        "decode_device_s": "seconds to decode one token, between two events on the GPU",
        "first_call_s": "seconds of the process's first call, in which kernels are compiled and tuned",
        "anchor_s": "seconds of softmax in the same shape and mode, taking turns with the cell's own call",
        "anchor_ratio": "time over that of softmax in the same round, so that a slow machine divides out; below 1 is faster than softmax",
        "drift_anchor_s": "seconds of one fixed softmax call, timed beside every cell to see whether the machine kept its speed",
        "peak_memory_bytes": "most bytes allocated at once during a call or training step, over what was allocated before it",
        "peak_rss_bytes": "bytes by which the process's physical memory grew with its first call, libraries and arenas included",
        "theory_bytes": "bytes that a forward pass allocates by what the mechanism claims",
        "state_bytes": "bytes of the state that decoding keeps after seq_len - 1 tokens",
        "flops": f"floating-point operations {_CALL}, as counted from the operators that ran",
        "roofline_fraction": "share of the machine's peak that the median call achieved, by whichever binds: products or memory",
        "error": "largest relative error (Frobenius norm) of output and gradients against the float64 reference",
        "parameters": "number of trainable parameters of the whole model",
        "mechanism_parameters": "number of trainable parameters that the mechanisms bring, by which models of two mechanisms differ",
        "diagnosed_seq_len": "tokens of the input on which the stack was looked at before training",
        "jacobian_condition": "condition number of the Jacobian of the stack's output by its input at initialisation; at most 1e15",
        "attention_jacobian_condition": "the same of the stack's attention alone, without its other parts",
        "effective_rank": "exp of the entropy of the output tokens' normalised singular values; 1 when all tokens are parallel",
        "attention_frobenius": "Frobenius norm of the attention matrix; a sample a head in a kernel cell, a layer (mean of heads) in depth",
        "orthogonality_error": "Frobenius norm of A^T A - I of the attention matrix A; samples as of attention_frobenius",
        "gradient_norm": "norm of all parameters' gradients together, of a step at initialisation",
        "accuracy": "share of right answers on the test part, after training",
        "bits_per_byte": "cross-entropy on the test part after training, in bits a byte; less is better",
        "validation_accuracy": "share of right answers on the validation part after the last epoch",
        "validation_bits_per_byte": "cross-entropy on the validation part after the last epoch, in bits a byte; less is better",
        "target_accuracy": "accuracy on the validation part whose first reaching is timed",
        "target_bits_per_byte": "bits a byte on the validation part whose first reaching is timed",
        "majority_share": "share of the most frequent answer of the test part: the accuracy of knowing nothing else",
        "unigram_bits": "entropy of the test part's answers, in bits a byte: what knowing only how frequent each is gives",
        "train_s": "seconds spent training, evaluation left out",
        "time_to_target_s": "seconds of training until the target was reached; missing where it never was",
        "training_tokens_per_s": "tokens a second in training",
        "inference_tokens_per_s": "tokens a second in evaluating the test part",
        "diverged": "1 if a number stopped being finite (in training, this ends it), else 0",
        "resumptions": "how often training went on from a checkpoint",
        "curve.step": "steps of the optimiser that were done",
        "curve.wall_s": "seconds spent training so far, evaluation left out",
        "curve.train_loss": "mean loss over the epoch's steps, in nats; there is none before training",
        "curve.validation_accuracy": "share of right answers on the validation part, before training and after each epoch",
        "curve.validation_bits_per_byte": "cross-entropy on the validation part in bits a byte, before training and after each epoch",
        "curve.attention_frobenius_layer_N": "Frobenius norm of layer N's attention matrix, mean over heads and a few rows of validation",
        "curve.effective_rank_layer_N": "effective rank of the tokens that layer N gives, mean over a few rows of validation",
    }
)


def general(metric: str) -> str:
    """The name under which METRICS has a metric, for all layers the same.

    >>> general("curve.effective_rank_layer_12")
    'curve.effective_rank_layer_N'
    """
    return re.sub(r"_layer_\d+$", "_layer_N", metric) if metric.startswith(CURVE) else metric


@cache
def columns() -> Mapping[str, Column]:
    """Every column of the frame, in its order."""
    definitions = json_schema()["$defs"]
    axes, fields = definitions["Spec"]["properties"], definitions["Record"]["properties"]
    hints = get_type_hints(Spec)
    found = {field.name: Column(_type(hints[field.name]), axes[field.name]["description"]) for field in dataclasses.fields(Spec)}
    found |= {name: Column("text", fields[name]["description"]) for name in COLUMNS if name in fields}
    return MappingProxyType({name: {**found, **_OWN}[name] for name in COLUMNS})


def dictionary() -> pd.DataFrame:
    """A row for each column of the frame and each metric: kind ("column" or "metric"), name, type (of a metric its unit), meaning."""
    import pandas as pd

    rows = [("column", name, column.type, column.meaning) for name, column in columns().items()]
    rows += [("metric", name, unit(name), meaning) for name, meaning in METRICS.items()]
    return pd.DataFrame(rows, columns=["kind", "name", "type", "meaning"])


def _type(hint: Any) -> str:
    """The type of an axis, from its annotation, "X | None" or X."""
    names = {str: "text", bool: "boolean", int: "integer", float: "number"}
    return next((name for kind, name in names.items() if hint in (kind, kind | None)), "object")
