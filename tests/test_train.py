"""The training engine: reproducible, honest about divergence, and blind to the test part until the end."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

import attnbench
from attnbench.model import Architecture, Classifier
from attnbench.train import Outcome, Recipe, evaluate, step, train
from attnbench.workload import Parts, Split

SEQ_LEN, VOCABULARY, CLASSES = 5, 11, 3
ROWS = {"train": 97, "validation": 23, "test": 31}


def draw_split(rows: int, seed: int, vocabulary: int = VOCABULARY) -> Split:
    """The class is the first token modulo 3; some of the tail is padding."""
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randint(0, vocabulary, (rows, SEQ_LEN), generator=generator)
    lengths = torch.randint(2, SEQ_LEN + 1, (rows, 1), generator=generator)
    return Split(inputs, inputs[:, 0] % CLASSES, torch.arange(SEQ_LEN) >= lengths)


def draw_parts() -> Parts:
    return Parts(*(draw_split(rows, seed) for seed, rows in enumerate(ROWS.values())))


def separable(rows: int, seed: int) -> Split:
    """Every token of a row is its class: nothing could be easier."""
    targets = torch.randint(0, CLASSES, (rows,), generator=torch.Generator().manual_seed(seed))
    return Split(targets[:, None].repeat(1, SEQ_LEN), targets)


def recipe(epochs: int = 2, lr: float = 1e-2, batch_size: int = 16, seed: int = 0) -> Recipe:
    return Recipe(epochs=epochs, lr=lr, batch_size=batch_size, seed=seed)


def build_model(seed: int = 0, name: str = "softmax", block: str = "residual") -> Classifier:
    torch.manual_seed(seed)
    architecture = Architecture(
        block=block,
        num_layers=1,
        num_heads=2,
        d_model=8,
        build_attention=lambda layer_index: attnbench.build(name, 2, 4, seq_len=SEQ_LEN, d_model=8),
    )
    return Classifier(architecture, nn.Embedding(VOCABULARY, 8), SEQ_LEN, CLASSES)


def run(model: nn.Module, parts: Parts | None = None, chosen: Recipe | None = None) -> Outcome:
    return train(model, parts or draw_parts(), SEQ_LEN, chosen or recipe(), lambda done: None)


class Watched(nn.Module):
    """A linear classifier that writes down every batch it sees, and whether it was training."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.embedding = nn.Embedding(1000, width)
        self.head = nn.Linear(width, CLASSES)
        self.batches: list[tuple[bool, list[int]]] = []

    def forward(self, inputs: Tensor, padding_mask: Tensor | None = None) -> Tensor:
        self.batches.append((self.training, inputs[:, 0].tolist()))
        return self.head(self.embedding(inputs).mean(1))

    def seen(self, training: bool) -> list[int]:
        return [row for was_training, rows in self.batches if was_training == training for row in rows]


def numbered() -> Parts:
    """Parts whose every row holds its own number: training 0.., validation 200.., test 300.. ."""

    def split(rows: int, start: int) -> Split:
        numbers = torch.arange(start, start + rows)
        return Split(numbers[:, None].repeat(1, SEQ_LEN), numbers % CLASSES)

    return Parts(split(97, 0), split(23, 200), split(300, 300))


class BreaksDown(nn.Module):
    """Gives logits and then, from one call in training on, what is not finite: as its loss, or in its gradient alone."""

    def __init__(self, after: int, where: str) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(CLASSES))
        self.calls, self.after, self.where = 0, after, where

    def forward(self, inputs: Tensor, padding_mask: Tensor | None = None) -> Tensor:
        self.calls += self.training
        logits = self.weight.expand(len(inputs), -1)
        if not self.training or self.calls <= self.after:
            return logits
        if self.where == "loss":
            return logits * math.nan
        return logits + (self.weight - self.weight.detach()).abs().sqrt()  # zero, with an infinite derivative


@pytest.mark.parametrize("block", ["residual", "skipless"])
@pytest.mark.parametrize("name", ["softmax", "orthogonal", "polynomial"])
def test_a_seed_fixes_every_bit(name: str, block: str) -> None:
    first, second = build_model(name=name, block=block), build_model(name=name, block=block)
    one = run(first)
    torch.manual_seed(999)  # the state of the global generator must not matter
    two = run(second)
    assert one.curve.train_loss == two.curve.train_loss
    assert one.curve.validation_accuracy == two.curve.validation_accuracy
    assert one.accuracy == two.accuracy
    assert all(torch.equal(x, second.state_dict()[key]) for key, x in first.state_dict().items())


def test_another_seed_gives_another_run() -> None:
    base = run(build_model()).curve.train_loss
    assert run(build_model(), chosen=recipe(seed=1)).curve.train_loss != base
    assert run(build_model(seed=1)).curve.train_loss != base


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


def test_the_test_part_is_read_once_and_only_at_the_end() -> None:
    model, epochs_done = Watched(), []
    train(model, numbered(), SEQ_LEN, recipe(epochs=3), lambda done: epochs_done.append((done, len(model.batches))))
    batches_of_training = epochs_done[-1][1]
    before = [row for _, rows in model.batches[:batches_of_training] for row in rows]
    after = [row for _, rows in model.batches[batches_of_training:] for row in rows]
    assert max(before) < 300
    assert after == list(range(300, 600))
    assert not any(training for training, _ in model.batches[batches_of_training:])
    assert [done for done, _ in epochs_done] == [1, 2, 3]


def test_validation_follows_every_epoch_and_teaches_nothing() -> None:
    model = Watched()
    run(model, numbered(), recipe(epochs=3))
    assert max(model.seen(training=True)) < 97
    assert model.seen(training=False) == list(range(200, 223)) * 3 + list(range(300, 600))


def test_the_outcome_holds_one_point_an_epoch() -> None:
    outcome = run(build_model(), chosen=recipe(epochs=3, batch_size=16))
    assert outcome.curve.step == [7, 14, 21]  # 97 rows in batches of 16
    assert len(outcome.curve.train_loss) == len(outcome.curve.validation_accuracy) == 3
    walls = [wall for wall in outcome.curve.wall_s if wall is not None]
    assert walls == sorted(walls) and walls[0] > 0.0 and outcome.train_s == walls[-1]
    assert outcome.validation_accuracy == outcome.curve.validation_accuracy[-1]
    assert outcome.training_tokens_per_s == pytest.approx(3 * 97 * SEQ_LEN / outcome.train_s)
    assert outcome.inference_tokens_per_s > 0.0
    assert not outcome.diverged


@pytest.mark.parametrize("after", [0, 3, 7, 13])  # the first step, within an epoch, the start of the next, the very last step
def test_a_loss_that_is_not_finite_ends_training_as_diverged(after: int) -> None:
    outcome = run(BreaksDown(after, "loss"), chosen=recipe(epochs=2))
    assert outcome.diverged
    assert 0.0 <= outcome.accuracy <= 1.0
    assert len(outcome.curve.step) == (1 if after < 7 else 2)
    assert outcome.curve.train_loss[-1] is None
    assert all(loss is not None for loss in outcome.curve.train_loss[:-1])


@pytest.mark.parametrize("after", [3, 13])  # within an epoch, and the very last step, after which no loss is taken
def test_weights_that_are_not_finite_are_divergence_too(after: int) -> None:
    model = BreaksDown(after, "gradient")
    outcome = run(model, chosen=recipe(epochs=2))
    assert not model.weight.isfinite().all()
    assert outcome.diverged
    assert 0.0 <= outcome.accuracy <= 1.0


def test_an_absurd_learning_rate_is_divergence_and_no_error() -> None:
    outcome = run(build_model(name="polynomial", block="skipless"), chosen=recipe(epochs=3, lr=1e30))
    assert outcome.diverged and 0.0 <= outcome.accuracy <= 1.0


@pytest.mark.parametrize("name", ["softmax", "orthogonal", "polynomial"])
def test_a_trivial_problem_is_learned(name: str) -> None:
    parts = Parts(*(separable(rows, seed) for seed, rows in enumerate(ROWS.values())))
    outcome = run(build_model(name=name), parts, recipe(epochs=8, lr=2e-2))
    assert outcome.accuracy == 1.0 and outcome.validation_accuracy == 1.0
    first, last = outcome.curve.train_loss[0], outcome.curve.train_loss[-1]
    assert first is not None and last is not None and last < 0.1 < first


def test_accuracy_by_hand() -> None:
    """One in three rows is right, over more rows than one batch of evaluation holds."""
    model = Watched()
    with torch.no_grad():
        model.head.weight.zero_()
        model.head.bias.copy_(torch.tensor([0.0, 1.0, 0.0]))
    accuracy, seconds = evaluate(model, numbered().test)
    assert accuracy == pytest.approx(1 / 3) and seconds > 0.0


def test_padding_reaches_the_model_row_by_row() -> None:
    """What stands under padding changes neither the loss nor the accuracy."""
    data, model = draw_split(40, seed=4), build_model()
    assert data.padding_mask is not None
    changed = Split((data.inputs + 3 * data.padding_mask) % VOCABULARY, data.targets, data.padding_mask)
    rows = torch.tensor([31, 2, 17])
    torch.testing.assert_close(step(model, data, rows), step(model, changed, rows))
    assert evaluate(model, data)[0] == evaluate(model, changed)[0]
    assert not torch.equal(data.inputs, changed.inputs)


def test_a_step_leaves_the_gradient_of_its_own_rows_alone() -> None:
    data, model = draw_split(40, seed=4), build_model()
    step(model, data, torch.arange(10))
    step(model, data, torch.arange(10, 20))
    twice = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    loss = step(model, data, torch.arange(10, 20))
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
    first_step = (moved[1] - moved[0]).abs()
    torch.testing.assert_close(first_step, torch.full((CLASSES,), 0.05), rtol=1e-4, atol=0.0)
