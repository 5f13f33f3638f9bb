"""What the engine measures: accuracy and bits per byte, over what is asked and nothing else."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from attnbench.training.evaluate import evaluate
from attnbench.training.train import step
from attnbench.workload import IGNORED, Split
from helpers.small_training import CLASSES, VOCABULARY, BreaksDown, Watched, accuracy, build_model, draw_parts, draw_split, numbered, recipe


def test_accuracy_by_hand() -> None:
    """One in three rows is right, over more rows than one batch of evaluation holds."""
    model = Watched()
    with torch.no_grad():
        model.head.weight.zero_()
        model.head.bias.copy_(torch.tensor([0.0, 1.0, 0.0]))
    assert evaluate(model, numbered().test, recipe()).value == pytest.approx(1 / 3)


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
    found = evaluate(PerToken(math.log(2)), asked(), chosen)
    assert found.value == pytest.approx(1.5) and found.loss == pytest.approx(1.5 * math.log(2))
    assert evaluate(PerToken(1.0), asked(), recipe()).value == 0.5
    loss = step(PerToken(math.log(2)), asked(), torch.arange(7), chosen)
    assert float(loss) == pytest.approx(1.5 * math.log(2))


def test_a_model_that_answers_nothing_scores_as_one_that_knows_nothing() -> None:
    model = BreaksDown(after=0, where="loss")
    with torch.no_grad():
        model.weight.fill_(math.nan)
    assert accuracy(model, draw_parts().test) == 1 / CLASSES
    found = evaluate(PerToken(math.nan), asked(), recipe(metric="bits_per_byte"))
    assert found.value == math.log2(CLASSES) and math.isnan(found.loss)
    assert found.by_block(torch.arange(300) % 2) == pytest.approx([math.log2(CLASSES)] * 2)


def test_padding_reaches_the_model_row_by_row() -> None:
    """What stands under padding changes neither the loss nor the accuracy."""
    data, model = draw_split(40, seed=4), build_model()
    assert data.padding_mask is not None
    changed = Split((data.inputs + 3 * data.padding_mask) % VOCABULARY, data.targets, data.padding_mask)
    rows = torch.tensor([31, 2, 17])
    torch.testing.assert_close(step(model, data, rows, recipe()), step(model, changed, rows, recipe()))
    assert accuracy(model, data) == accuracy(model, changed)
    assert not torch.equal(data.inputs, changed.inputs)
