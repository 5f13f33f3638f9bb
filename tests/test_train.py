"""The training engine: reproducible, honest about divergence, and blind to everything but what it is given."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import attnbench
from attnbench.model import Architecture, Transformer
from attnbench.train import Recipe, Trained, Watch, evaluate, rows_of_epoch, step, time_to_target, train
from attnbench.workload import IGNORED, Parts, Split

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


def recipe(**fields: Any) -> Recipe:
    return Recipe(**{"epochs": 2, "lr": 1e-2, "batch_size": 16, "seed": 0, **fields})


def build_model(seed: int = 0, name: str = "softmax", block: str = "residual", per_token: bool = False) -> Transformer:
    torch.manual_seed(seed)
    architecture = Architecture(
        block=block,
        num_layers=1,
        num_heads=2,
        d_model=8,
        build_attention=lambda layer_index: attnbench.build(name, 2, 4, seq_len=SEQ_LEN, d_model=8),
    )
    return Transformer(architecture, nn.Embedding(VOCABULARY, 8), SEQ_LEN, CLASSES, per_token)


def run(model: nn.Module, parts: Parts | None = None, chosen: Recipe | None = None) -> Trained:
    parts = parts or draw_parts()
    return train(model, parts.train, parts.validation, chosen or recipe())


def accuracy(model: nn.Module, split: Split) -> float:
    return evaluate(model, split, recipe())[0]


class Watched(nn.Module):
    """A linear classifier that writes down every batch it sees, and whether it was training."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.embedding = nn.Embedding(1000, width)
        self.head = nn.Linear(width, CLASSES)
        self.batches: list[tuple[bool, list[int]]] = []

    def forward(self, inputs: Tensor, padding_mask: Tensor | None = None, causal: bool = False) -> Tensor:
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

    def forward(self, inputs: Tensor, padding_mask: Tensor | None = None, causal: bool = False) -> Tensor:
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
    assert {**one.curve, "wall_s": None} == {**two.curve, "wall_s": None}
    assert same_weights(first, second)


def same_weights(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(x, other.state_dict()[key]) for key, x in one.state_dict().items())


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
    train(model, parts.train, parts.validation, recipe(epochs=3), Watch(on_epoch=lambda epoch: done.append((epoch, len(model.batches)))))
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

    trained = train(model, parts.train, parts.validation, recipe(epochs=3), Watch(probe=probe))
    assert trained.curve["step"] == [0, 7, 14, 21]  # 97 rows in batches of 16
    assert trained.curve["norm"] == [1.0, None, 3.0, 4.0] and all(probed is model for probed in seen)
    assert trained.curve["train_loss"][0] is None
    losses = [loss for loss in trained.curve["train_loss"][1:] if loss is not None]
    assert len(losses) == 3
    walls = [wall for wall in trained.curve["wall_s"] if wall is not None]
    assert walls == sorted(walls) and walls[0] == 0.0 < walls[1] and trained.train_s == walls[-1]
    assert trained.curve["validation_accuracy"][-1] == accuracy(model, parts.validation)
    assert trained.rows == 3 * 97 and not trained.diverged


def test_time_to_target_is_the_end_of_the_first_epoch_that_reaches_it() -> None:
    curve: dict[str, list[float | None]] = {"wall_s": [0.0, 2.0, 4.0, 6.0], "validation_accuracy": [0.1, None, 0.9, 0.8]}
    assert time_to_target(curve, "accuracy", 0.8) == 4.0
    assert time_to_target(curve, "accuracy", 0.95) is None
    curve["validation_bits_per_byte"] = [8.0, 4.0, 3.0, 2.0]
    assert time_to_target(curve, "bits_per_byte", 3.5) == 4.0
    assert time_to_target(curve, "bits_per_byte", 1.9) is None


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


def test_a_model_that_answers_nothing_scores_as_one_that_knows_nothing() -> None:
    model = BreaksDown(after=0, where="loss")
    with torch.no_grad():
        model.weight.fill_(math.nan)
    assert accuracy(model, draw_parts().test) == 1 / CLASSES
    bits, _ = evaluate(PerToken(math.nan), asked(), recipe(metric="bits_per_byte"))
    assert bits == math.log2(CLASSES)


@pytest.mark.parametrize("name", ["softmax", "orthogonal", "polynomial"])
def test_a_trivial_problem_is_learned(name: str) -> None:
    parts, model = Parts(*(separable(rows, seed) for seed, rows in enumerate(ROWS.values()))), build_model(name=name)
    trained = run(model, parts, recipe(epochs=8, lr=2e-2))
    assert accuracy(model, parts.test) == 1.0 and trained.curve["validation_accuracy"][-1] == 1.0
    first, last = trained.curve["train_loss"][1], trained.curve["train_loss"][-1]
    assert first is not None and last is not None and last < 0.1 < first


class PerToken(nn.Module):
    """The same logits at every position: 0 for all classes but the second, which has its own."""

    def __init__(self, second: float) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.tensor([0.0, second, 0.0]))

    def forward(self, inputs: Tensor, padding_mask: Tensor | None = None, causal: bool = False) -> Tensor:
        return self.logits.expand(*inputs.shape, -1)


def asked() -> Split:
    """Rows of four positions, of which the first and third are asked, with answers 1 and 2."""
    return Split(torch.zeros(300, 4, dtype=torch.int64), torch.tensor([1, IGNORED, 2, IGNORED]).repeat(300, 1))


def test_bits_per_byte_by_hand_over_what_is_asked_alone() -> None:
    """With weights 1 : 2 : 1 the answers 1 and 2 cost one bit and two."""
    chosen = recipe(metric="bits_per_byte")
    bits, seconds = evaluate(PerToken(math.log(2)), asked(), chosen)
    assert bits == pytest.approx(1.5) and seconds > 0.0
    assert evaluate(PerToken(1.0), asked(), recipe())[0] == 0.5
    loss = step(PerToken(math.log(2)), asked(), torch.arange(7), chosen)
    assert float(loss) == pytest.approx(1.5 * math.log(2))


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
    assert evaluate(model, parts.test, half)[0] == 1.0
    assert trained.curve["train_loss"] != run(build_model(), parts, recipe(epochs=8, lr=2e-2)).curve["train_loss"]


def test_only_matrices_decay() -> None:
    """A weight that no answer depends on shrinks if it is a matrix, and stays if it is a vector."""
    model = BreaksDown(after=10**6, where="loss")
    model.matrix, model.vector = nn.Parameter(torch.ones(2, 2)), nn.Parameter(torch.ones(2))
    model.register_forward_hook(lambda module, _inputs, out: out + 0.0 * (module.matrix.sum() + module.vector.sum()))
    run(model)
    assert (model.matrix < 1.0).all() and (model.vector == 1.0).all()


def test_accuracy_by_hand() -> None:
    """One in three rows is right, over more rows than one batch of evaluation holds."""
    model = Watched()
    with torch.no_grad():
        model.head.weight.zero_()
        model.head.bias.copy_(torch.tensor([0.0, 1.0, 0.0]))
    value, seconds = evaluate(model, numbered().test, recipe())
    assert value == pytest.approx(1 / 3) and seconds > 0.0


def test_padding_reaches_the_model_row_by_row() -> None:
    """What stands under padding changes neither the loss nor the accuracy."""
    data, model = draw_split(40, seed=4), build_model()
    assert data.padding_mask is not None
    changed = Split((data.inputs + 3 * data.padding_mask) % VOCABULARY, data.targets, data.padding_mask)
    rows = torch.tensor([31, 2, 17])
    torch.testing.assert_close(step(model, data, rows, recipe()), step(model, changed, rows, recipe()))
    assert accuracy(model, data) == accuracy(model, changed)
    assert not torch.equal(data.inputs, changed.inputs)


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
