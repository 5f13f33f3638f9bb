"""The one table of metrics, and what the names of others tell."""

from __future__ import annotations

import pytest

from attnbench import workload
from attnbench.spec.axis_values import MODES
from attnbench.store.metric_table import CONDITIONS, SATURATED, TABLE
from attnbench.store.metrics import ENDINGS, METRICS, RESULTS, Metric, as_meant, higher_is_better, is_time, metric, unit

UNITS = {"s", "B", "FLOP", "token/s", "bit/B", "nat", "1"}


def test_every_metric_has_one_name_a_unit_and_a_meaning() -> None:
    assert len(METRICS) == len(TABLE)
    assert {of.unit for of in METRICS.values()} == UNITS
    assert all(len(of.meaning) > 10 and of.name == name for name, of in METRICS.items())
    assert all(of.unit == "1" for of in METRICS.values() if of.in_percent)


def test_every_mode_has_its_times_of_every_clock() -> None:
    assert {name for name in METRICS if name.partition("_")[0] in MODES and is_time(name)} == {
        *(f"{mode}{clock}_s" for mode in MODES for clock in ("", "_kernel")),
        *(f"{mode}_device_s" for mode in ("forward", "training", "decode")),  # of old records
    }


def test_a_task_may_declare_what_the_table_knows_to_order() -> None:
    assert workload.METRICS == RESULTS
    assert {name: metric(name).higher_is_better for name in RESULTS} == {"accuracy": True, "bits_per_byte": False}


@pytest.mark.parametrize("name", METRICS)
def test_the_ending_of_a_name_never_contradicts_the_table(name: str) -> None:
    """So that a metric of a third party, which has only its name, is read as ours of a like name are."""
    ending = next((of for of in ENDINGS if name.endswith(of.name)), None)
    if ending is not None:
        assert (METRICS[name].unit, METRICS[name].in_percent) == (ending.unit, ending.in_percent)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("warming_s", "s"),
        ("tokens_per_s", "token/s"),
        ("their_tokens_per_s", "token/s"),
        ("flops_per_s", "1/s"),
        ("their_bytes", "B"),
        ("test_bits_per_byte", "bit/B"),
        ("curve.their_s", "s"),
        ("curve.their_s_layer_3", "s"),
        ("score", "1"),
        ("s", "1"),
    ],
)
def test_a_name_that_the_table_lacks_tells_its_unit_by_its_ending(name: str, told: str) -> None:
    assert metric(name) == Metric(name, told)
    assert unit(name) == told and is_time(name) == (told == "s") and not higher_is_better(name)


@pytest.mark.parametrize("name", ["curve.effective_rank_layer_3", "curve.effective_rank_layer_12", "curve.dong_residual_layer_3"])
def test_layers_share_a_metric(name: str) -> None:
    assert metric(name) is METRICS[name.rstrip("0123456789") + "N"]


def test_a_rate_is_no_time_and_more_of_it_is_better() -> None:
    assert not is_time("training_tokens_per_s") and higher_is_better("training_tokens_per_s")
    assert is_time("train_s") and not higher_is_better("train_s")
    assert metric("parameters").higher_is_better is None and not higher_is_better("parameters")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("forward_s", "s"),
        ("forward_device_s", "s"),
        ("anchor_s", "s"),
        ("drift_anchor_s", "s"),
        ("first_call_s", "s"),
        ("training_tokens_per_s", "token/s"),
        ("peak_memory_bytes", "B"),
        ("peak_rss_bytes", "B"),
        ("theory_bytes", "B"),
        ("flops", "FLOP"),
        ("accuracy", "1"),
        ("bits_per_byte", "bit/B"),
        ("validation_bits_per_byte", "bit/B"),
        ("unigram_bits", "bit/B"),
        ("majority_share", "1"),
        ("time_to_target_s", "s"),
        ("mechanism_parameters", "1"),
        ("attention_jacobian_condition", "1"),
        ("anchor_ratio", "1"),
        ("roofline_fraction", "1"),
        ("curve.wall_s", "s"),
        ("curve.train_loss", "nat"),
        ("curve.validation_bits_per_byte", "bit/B"),
        ("curve.attention_frobenius_layer_12", "1"),
        ("dong_residual", "1"),
    ],
)
def test_units_come_from_names(name: str, told: str) -> None:
    assert unit(name) == told


def test_a_condition_below_one_is_read_as_saturated() -> None:
    """As it was stored for a Jacobian of zeros, and would be the best of all."""
    assert all(name in METRICS for name in CONDITIONS)
    for name in CONDITIONS:
        assert as_meant(name, [0.0, 1.0, 5.0]) == [SATURATED, 1.0, 5.0]
    assert as_meant("gradient_norm", [0.0]) == [0.0]
