"""The trainer: reproducible, honest about divergence, and blind to everything but what it is given."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from attnbench.training.evaluate import evaluate
from attnbench.training.train import Callbacks, rows_of_epoch, step, steps_to_target, train
from attnbench.workload import Parts, Split, majority_share
from helpers.small_training import (
    CLASSES,
    ROWS,
    VOCABULARY,
    BreaksDown,
    Watched,
    accuracy,
    build_model,
    draw_parts,
    draw_split,
    numbered,
    recipe,
    run,
    same_weights,
    separable,
)  # fmt: skip


@pytest.mark.parametrize("block", ["residual", "skipless"])
@pytest.mark.parametrize("name", ["softmax", "orthogonal", "polynomial"])
def test_a_seed_fixes_every_bit(name: str, block: str) -> None:
    first, second = build_model(name=name, block=block), build_model(name=name, block=block)
    one = run(first)
    torch.manual_seed(999)  # the state of the global generator must not matter
    two = run(second)
    assert {**one.curve, "wall_s": None} == {**two.curve, "wall_s": None}
    assert same_weights(first, second)


def test_another_seed_gives_another_run() -> None:
    base = run(build_model()).curve["train_loss"]
    assert run(build_model(), chosen=recipe(seed=1)).curve["train_loss"] != base
    assert run(build_model(seed=1)).curve["train_loss"] != base


def test_the_order_of_rows_depends_on_the_seed_alone() -> None:
    def order(seed: int, width: int = 4, lr: float = 1e-2) -> list[int]:
        torch.manual_seed(width)
        model = Watched(width)
        run(model, numbered(), recipe(seed=seed, lr=lr))
        return model.seen(training=True)

    assert order(0) == order(0, width=7, lr=1.0)
    assert order(0) != order(1)
    epochs = order(0)[:97], order(0)[97:]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(97))
    assert epochs[0] != epochs[1]


def test_validation_is_looked_at_before_and_after_every_epoch_and_teaches_nothing() -> None:
    model, done = Watched(), list[tuple[int, int]]()
    parts = numbered()
    train(
        model, parts.train, parts.validation, recipe(epochs=3), Callbacks(on_epoch=lambda epoch: done.append((epoch, len(model.batches))))
    )
    assert [epoch for epoch, _ in done] == [0, 1, 2, 3]
    assert [batches for _, batches in done] == [1, 9, 17, 25]  # 97 rows are seven batches of 16, and one of validation
    assert max(model.seen(training=True)) < 97
    assert model.seen(training=False) == list(range(200, 223)) * 4


@pytest.mark.parametrize(("total", "per_epoch"), [(10, 10), (10, 3), (10, 25), (7, 7), (12, 5)])
def test_an_epoch_goes_on_where_the_last_one_ended(total: int, per_epoch: int) -> None:
    """Every row is shown once before any is shown twice, whatever an epoch's length is."""
    epochs = [rows_of_epoch(total, per_epoch, seed=3, epoch=epoch) for epoch in range(8)]
    assert all(len(rows) == per_epoch for rows in epochs)
    stream = torch.cat(epochs).tolist()
    for start in range(0, len(stream) - total + 1, total):
        assert sorted(stream[start : start + total]) == list(range(total))
    assert stream[:total] != stream[total : 2 * total]
    assert stream != torch.cat([rows_of_epoch(total, per_epoch, seed=4, epoch=epoch) for epoch in range(8)]).tolist()


def test_the_curve_holds_one_entry_before_training_and_one_an_epoch() -> None:
    model, parts, seen = build_model(), draw_parts(), list[nn.Module]()

    def probe(probed: nn.Module) -> dict[str, float]:
        seen.append(probed)
        return {"norm": math.nan if len(seen) == 2 else float(len(seen))}

    trained = train(model, parts.train, parts.validation, recipe(epochs=3), Callbacks(probe=probe))
    assert trained.curve["step"] == [0, 7, 14, 21]  # 97 rows in batches of 16
    assert trained.curve["norm"] == [1.0, None, 3.0, 4.0] and all(probed is model for probed in seen)
    assert trained.curve["train_loss"][0] is None
    losses = [loss for loss in trained.curve["train_loss"][1:] if loss is not None]
    assert len(losses) == 3
    walls = [wall for wall in trained.curve["wall_s"] if wall is not None]
    assert walls == sorted(walls) and walls[0] == 0.0 < walls[1] and trained.train_s == walls[-1]
    assert trained.curve["validation_accuracy"][-1] == accuracy(model, parts.validation)
    assert trained.rows == 3 * 97 and not trained.diverged


def test_steps_to_target_is_the_end_of_the_first_epoch_that_reaches_it() -> None:
    curve: dict[str, list[float | None]] = {"step": [0.0, 2.0, 4.0, 6.0], "validation_accuracy": [0.1, None, 0.9, 0.8]}
    assert steps_to_target(curve, "accuracy", 0.8) == 4.0
    assert steps_to_target(curve, "accuracy", 0.95) is None
    curve["validation_bits_per_byte"] = [8.0, 4.0, 3.0, 2.0]
    assert steps_to_target(curve, "bits_per_byte", 3.5) == 4.0
    assert steps_to_target(curve, "bits_per_byte", 1.9) is None


@pytest.mark.parametrize("after", [0, 3, 7, 13])  # the first step, within an epoch, the start of the next, the very last step
def test_a_loss_that_is_not_finite_ends_training_as_diverged(after: int) -> None:
    trained = run(BreaksDown(after, "loss"), chosen=recipe(epochs=2))
    assert trained.diverged
    assert len(trained.curve["step"]) == (2 if after < 7 else 3)
    assert trained.curve["train_loss"][-1] is None
    assert all(loss is not None for loss in trained.curve["train_loss"][1:-1])


@pytest.mark.parametrize("after", [3, 13])  # within an epoch, and the very last step, after which no loss is taken
def test_weights_that_are_not_finite_are_divergence_too(after: int) -> None:
    model = BreaksDown(after, "gradient")
    assert run(model, chosen=recipe(epochs=2)).diverged
    assert not model.weight.isfinite().all()


def test_an_absurd_learning_rate_is_divergence_and_no_error() -> None:
    model = build_model(name="polynomial", block="skipless")
    assert run(model, chosen=recipe(epochs=3, lr=1e30)).diverged
    assert accuracy(model, draw_parts().test) == 1 / CLASSES


def test_on_a_trivial_problem_softmax_learns_more_than_the_majority() -> None:
    """The sanity of the trainer; what other mechanisms learn is theirs."""
    parts, model = Parts(*(separable(rows, seed) for seed, rows in enumerate(ROWS.values()))), build_model(name="softmax")
    trained = run(model, parts, recipe(epochs=8, lr=2e-2))
    first, last = trained.curve["train_loss"][1], trained.curve["train_loss"][-1]
    assert first is not None and last is not None and last < first
    assert accuracy(model, parts.test) > majority_share(parts.test.targets)


def test_a_causal_recipe_reaches_the_mechanism() -> None:
    """What comes later changes no earlier answer."""
    torch.manual_seed(0)
    model = build_model(per_token=True)
    data = draw_split(4, seed=1)
    inputs = data.inputs.clone()
    inputs[:, -1] = (inputs[:, -1] + 1) % VOCABULARY
    one, other = (model(x, causal=True) for x in (data.inputs, inputs))
    assert torch.equal(one[:, :-1], other[:, :-1]) and not torch.equal(one[:, -1], other[:, -1])
    targets = torch.zeros_like(inputs)
    losses = [step(model, Split(data.inputs, targets), torch.arange(4), recipe(causal=causal)) for causal in (False, True)]
    assert losses[0] != losses[1]


def test_mixed_precision_trains_weights_that_stay_in_float32() -> None:
    parts, model = Parts(*(separable(rows, seed) for seed, rows in enumerate(ROWS.values()))), build_model()
    half = recipe(epochs=8, lr=2e-2, mixed_precision=True)
    trained = run(model, parts, half)
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert evaluate(model, parts.test, half).value == 1.0
    assert trained.curve["train_loss"] != run(build_model(), parts, recipe(epochs=8, lr=2e-2)).curve["train_loss"]


def test_only_matrices_decay() -> None:
    """A weight that no answer depends on shrinks if it is a matrix, and stays if it is a vector."""
    model = BreaksDown(after=10**6, where="loss")
    model.matrix, model.vector = nn.Parameter(torch.ones(2, 2)), nn.Parameter(torch.ones(2))
    model.register_forward_hook(lambda module, _inputs, out: out + 0.0 * (module.matrix.sum() + module.vector.sum()))
    run(model)
    assert (model.matrix < 1.0).all() and (model.vector == 1.0).all()


def test_a_step_leaves_the_gradient_of_its_own_rows_alone() -> None:
    data, model = draw_split(40, seed=4), build_model()
    step(model, data, torch.arange(10), recipe())
    step(model, data, torch.arange(10, 20), recipe())
    twice = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    loss = step(model, data, torch.arange(10, 20), recipe())
    assert not loss.requires_grad
    once = [p.grad for p in model.parameters() if p.grad is not None]
    assert once and all(torch.equal(x, y) for x, y in zip(once, twice, strict=True))


def test_the_schedule_scales_the_first_update() -> None:
    """AdamW's first step is lr times the sign of the gradient: with 20 steps and a warm-up of 2, half of lr."""
    parts = Parts(*(separable(rows, seed) for seed, rows in enumerate((10, 6, 6))))
    model = BreaksDown(after=10**6, where="loss")
    moved = []
    model.register_forward_pre_hook(lambda module, _: moved.append(module.weight.detach().clone()))
    run(model, parts, recipe(epochs=20, lr=0.1, batch_size=10))
    first_step = (moved[2] - moved[1]).abs()
    torch.testing.assert_close(first_step, torch.full((CLASSES,), 0.05), rtol=1e-4, atol=0.0)
