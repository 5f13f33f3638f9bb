"""Logistic regression on what a row holds, without order or place of its tokens unless said; used by controls.py.

Its strength of regularisation is chosen by the loss on the validation part: half-decades of scikit-learn's C, up or down as long as the
loss falls, for every way to make numbers of a row.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Make = Callable[[Any], Any]  # features of a part, dense or sparse, [rows, features]

STEPS = 500  # of L-BFGS at the most
TOLERANCE = 1e-4
HALF_DECADES = tuple(float(f"{digit}e{power}") for power in range(-5, 5) for digit in (1, 3))
START = HALF_DECADES.index(1.0)
LEAST = 1e-15  # probability
BYTES = 256
LONGEST_N_GRAM = 4
HASH_BITS, KNUTH = 18, np.uint64(0x9E3779B97F4A7C15)  # multiplicative hashing: the upper bits of a product
PLACES_UP_TO = 20_000  # features; a token at a place is one, which is of use where rows are as many as these


@dataclass(frozen=True)
class Fitted:
    """A regression: on what, made into numbers how, with which C, its loss on the validation part in nats, and whether its steps ended."""

    holds: str
    features: str
    c: float
    loss: float
    ended: bool
    model: Any
    make: Make

    def right(self, part: Any) -> Floats:
        """1 for each row of a part that it classifies rightly, else 0."""
        answers: Floats = self.model.predict(self.make(part))
        return 1.0 * (answers == part.targets.numpy())

    def __str__(self) -> str:
        told = [self.features, f"C {self.c:g}", "" if self.ended else f"stopped after {STEPS} steps"]
        return ", ".join(filter(None, told))


def fit(task: Any, parts: Any, say: Callable[[str], None]) -> Fitted:
    """The regression with the least loss on the validation part, of all ways to make numbers of a row of this task.

    Raises BadInput where the training part has one class alone.
    """
    from attnbench.errors import BadInput

    if len(parts.train.targets.unique()) < 2:
        raise BadInput("all rows of the training part are of one class; a regression needs two at least")
    return min((_walk(*how, parts, say) for how in features(task, parts.train)), key=lambda fitted: fitted.loss)


def features(task: Any, training: Any) -> Iterator[tuple[str, str, Make]]:
    """The ways to make numbers of a row: what they tell of it, how, and the function of a part."""
    if task.vocabulary is None:
        yield "pixels", "", pixels
    elif task.kind != "language":
        yield "tokens", "counts", lambda part: counts(part, task.vocabulary)
        if task.seq_len * task.vocabulary <= PLACES_UP_TO:
            yield "tokens", "a token at each place", lambda part: at_places(part, task.vocabulary)
    elif task.vocabulary <= BYTES:
        yield "a bag of byte n-grams", f"tf-idf, n to {LONGEST_N_GRAM}", tf_idf(training, n_grams)
    else:
        yield "a bag of words", "counts", lambda part: counts(part, task.vocabulary)
        yield "a bag of words", "tf-idf", tf_idf(training, lambda part: counts(part, task.vocabulary))


def pixels(part: Any) -> Any:
    """[rows, pixels] from 0 to 1."""
    return part.inputs.flatten(1).numpy().astype(np.float32) / 255


def counts(part: Any, vocabulary: int) -> Any:
    """How often each row has each token, [rows, vocabulary], padding left out."""
    return _sparse([(part.inputs.numpy(), _shown(part))], vocabulary)


def at_places(part: Any, vocabulary: int) -> Any:
    """1 for the token at each place, [rows, seq_len * vocabulary], padding left out."""
    tokens = part.inputs.numpy()
    return _sparse([(tokens + vocabulary * np.arange(tokens.shape[1]), _shown(part))], tokens.shape[1] * vocabulary)


def n_grams(part: Any) -> Any:
    """How often each row has each sequence of up to LONGEST_N_GRAM bytes, [rows, 2^18]; those that share a hash are counted together."""
    tokens, shown = part.inputs.numpy().astype(np.uint64), _shown(part)
    code, kept = np.zeros_like(tokens), np.ones_like(shown)
    found = []
    for n in range(1, LONGEST_N_GRAM + 1):
        last = slice(n - 1, None)
        code = code[:, : code.shape[1] - (n > 1)] * np.uint64(BYTES + 1) + tokens[:, last] + np.uint64(1)
        kept = kept[:, : kept.shape[1] - (n > 1)] & shown[:, last]
        found.append(((code * KNUTH) >> np.uint64(64 - HASH_BITS), kept))
    return _sparse(found, 2**HASH_BITS)


def tf_idf(training: Any, counted: Make) -> Make:
    """Logarithms of counts, times how rare each is among the rows of the training part; rows of length 1."""
    from sklearn.feature_extraction.text import TfidfTransformer

    weights = TfidfTransformer(sublinear_tf=True).fit(counted(training))
    return lambda part: weights.transform(counted(part))


def _shown(part: Any) -> Any:
    return np.ones(part.inputs.shape, dtype=bool) if part.padding_mask is None else ~part.padding_mask.numpy()


def _sparse(found: list[tuple[Any, Any]], columns: int) -> Any:
    """How often each row has each column, from arrays of columns, each with which of them count."""
    from scipy.sparse import csr_array

    rows = np.concatenate([np.nonzero(kept)[0] for _, kept in found]).astype(np.int32)
    places = np.concatenate([column[kept] for column, kept in found]).astype(np.int32)
    counted = csr_array((np.ones(len(rows)), (rows, places)), shape=(len(found[0][0]), columns))
    counted.sum_duplicates()
    return counted


def _walk(holds: str, name: str, make: Make, parts: Any, say: Callable[[str], None]) -> Fitted:
    """The best C: from START downward or upward, as long as the loss on the validation part falls."""
    training, validation = make(parts.train), make(parts.validation)
    tried: dict[int, Fitted] = {}

    def at(place: int) -> Fitted:
        if place not in tried:
            began = time.perf_counter()
            model, loss = _fitted(HALF_DECADES[place], (training, parts.train.targets), (validation, parts.validation.targets))
            ended = int(model.n_iter_.max()) < STEPS
            tried[place] = Fitted(holds, name, HALF_DECADES[place], loss, ended, model, make)
            say(f"{tried[place]}: loss {tried[place].loss:.4f} on the validation part, {time.perf_counter() - began:.1f} s")
        return tried[place]

    best = START
    while True:
        near = [place for place in (best - 1, best, best + 1) if 0 <= place < len(HALF_DECADES)]
        better = min(near, key=lambda place: at(place).loss)
        if better == best:
            return tried[best]
        best = better


def _fitted(c: float, training: tuple[Any, Any], validation: tuple[Any, Any]) -> tuple[Any, float]:
    """The regression of features and targets, and its loss on those of the validation part."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=c, max_iter=STEPS, tol=TOLERANCE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # what is chosen says it
        model.fit(training[0], training[1].numpy())
    of_classes, targets = model.predict_proba(validation[0]), validation[1].numpy()
    place = np.minimum(np.searchsorted(model.classes_, targets), len(model.classes_) - 1)
    right = np.where(model.classes_[place] == targets, of_classes[np.arange(len(targets)), place], 0.0)  # a class that training lacks
    return model, float(-np.log(np.maximum(right.astype(np.float64), LEAST)).mean())
