"""The dictionary: every column and every metric that occurs is explained, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import attnbench
from attnbench.analysis import frame
from attnbench.analysis.columns import TYPES, columns, dictionary
from attnbench.spec.axis_values import MODES
from attnbench.store.metrics import METRICS, general
from attnbench.store.store import Store
from helpers.paths import REPO
from helpers.records import make_record


def test_every_column_is_explained_and_nothing_else() -> None:
    assert tuple(columns()) == frame.COLUMNS
    assert {column.type for column in columns().values()} == set(TYPES)
    assert all(len(column.meaning) > 10 for column in columns().values())


def test_types_are_those_of_the_frame(results: Path) -> None:
    Store(results).append(make_record())
    found = attnbench.load(results).dtypes
    kinds = {"text": "str", "boolean": "bool", "object": "object", "list of numbers": "object"}
    for name, column in columns().items():
        allowed = {"integer": {"int64", "float64"}, "number": {"int64", "float64"}}.get(column.type) or {kinds[column.type]}
        assert str(found[name]) in allowed, name


def test_every_metric_of_the_records_is_explained() -> None:
    table = frame.load(REPO / "results", [], curves=True)
    assert {general(metric) for metric in table.metric.dropna().unique()} <= set(METRICS)
    assert table.metric.str.startswith("curve.").any()


def test_every_metric_of_the_sources_is_explained_and_nothing_else() -> None:
    """Names under which samples are kept, and those that stand as keys of what is added to them."""
    package = REPO / "suite" / "attnbench"
    names = ("runner/plausibility.py", "runner/session.py", "training/diagnose.py", "training/train.py")
    texts = [file.read_text() for file in (*package.glob("measurement/**/*.py"), *(package / name for name in names))]
    subscripts = {name for text in texts for name in re.findall(r'samples\["(\w+)"\] = ', text)}
    assert subscripts and subscripts <= set(METRICS)
    keys = {name for text in texts for name in re.findall(r'"(\w+)"', text)}
    made = {f"{what}_{metric}" for what in ("validation", "target") for metric in ("accuracy", "bits_per_byte")}
    made |= {f"{mode}{clock}" for mode in MODES for clock in ("_s", "_kernel_s", "_device_s")}
    results = ("accuracy", "bits_per_byte")
    made |= {"softmax_ratio", *results, *(f"{metric}{how}" for metric in results for how in ("_by_block", "_at_2x", "_at_4x"))}
    measures = ("attention_frobenius", "largest_frobenius", "orthogonality_error", "effective_rank", "dong_residual")
    made |= {f"{measure}_layer_N" for measure in measures} | {"validation_majority_share", "validation_unigram_bits"}
    made |= {
        "training_flops",
        "train_s",
        "time_to_target_s",
        "training_tokens_per_s",
        "inference_tokens_per_s",
    }  # of older records, and of training_time.py
    assert {metric.removeprefix("curve.") for metric in METRICS} <= keys | made


def test_the_dictionary_is_a_table() -> None:
    table = dictionary()
    assert list(table.columns) == ["kind", "name", "type", "meaning"]
    assert table.kind.value_counts().to_dict() == {"column": len(frame.COLUMNS), "metric": len(METRICS)}
    assert not table.duplicated(["kind", "name"]).any() and table.notna().all(axis=None)
    units = table[table.kind == "metric"].set_index("name").type
    assert units[["forward_s", "curve.wall_s", "curve.train_loss", "flops"]].tolist() == ["s", "s", "nat", "FLOP"]
