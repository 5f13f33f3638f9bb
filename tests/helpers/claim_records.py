"""Makes records for claims, of numbers that are given: costs that grow by a power, norms, conditions, and tuned runs about a score."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from attnbench.spec.protocol import NEWEST
from attnbench.store.facts import APART
from attnbench.store.record import Record
from helpers.records import make_record, make_spec

SEEDS = NEWEST.claim_seeds
EPOCHS = 8  # the budget of every task
Records = Iterator[Record]
KNOWN = {"torch": "2.13.0", "cpu": "a processor", "commit": "0" * 40, "dirty": False, "threads": 2}
TRAINED = {**KNOWN, "threads": 1, "architecture": "x86_64", "timing": APART, "protocol": NEWEST.fingerprint()}
NOISE = (-1.0, -0.6, -0.3, -0.1, 0.1, 0.3, 0.6, 1.0)  # of eight seeds, of mean 0
QUADRATIC = {"degree": 2, "scale": "learned"}
PATCHES = {"mnist": {"patch": 2}, "fashion_mnist": {"patch": 2}}
BITS = ("sotu_mlm", "sotu_lm")
LENGTHS = (256, 512, 1024, 2048, 4096)


def kernel(variant: str, seq_len: int, seed: int, measured: Mapping[str, Sequence[float]], **axes: Any) -> Record:
    spec = make_spec(variant=variant, seq_len=seq_len, seed=seed, **axes)
    given = {"drift_anchor_s": [1e-3], **{name: list(samples) for name, samples in measured.items()}}
    return make_record(spec, measurements=given, environment=KNOWN)


def stacked(variant: str, num_layers: int, seed: int, metric: str, value: float) -> Record:
    spec = make_spec(track="depth", variant=variant, block="skipless", num_layers=num_layers, seq_len=64, mode="training", seed=seed)
    return make_record(spec, measurements={metric: [value]}, environment=KNOWN)


def run(variant: str, task: str, seed: int, score: float | None, more: Mapping[str, Sequence[float]] = {}, **axes: Any) -> Record:
    """A tuned run of the newest protocol. score: its test metric; None for a run that diverged, and has none."""
    curve = axes.pop("curve", {})
    given = {
        "track": "task", "task": task, "data": "embedded:00000000", "block": "residual", "num_layers": 2, "epochs": EPOCHS, "lr": 3e-3,
        "lr_grid": "0.001 0.003 0.01", "protocol": NEWEST.name, "seq_len": None, "mode": "training", "num_heads": 4, "head_dim": 16,
        "task_params": PATCHES.get(task), **axes,
    }  # fmt: skip
    spec = make_spec(variant=variant, seed=seed, **given)
    metric, nothing = ("bits_per_byte", "unigram_bits") if task in BITS else ("accuracy", "majority_share")
    scored = {} if score is None else {metric: [score]}
    base = {nothing: [4.0 if task in BITS else 0.1], "row_tokens": [100.0], "diverged": [float(score is None)]}
    measured = {**scored, **base, **{name: list(of) for name, of in more.items()}}
    return make_record(spec, measurements=measured, environment=TRAINED, curve=curve)


def runs(variant: str, task: str, score: float, spread: float = 0.002, **axes: Any) -> Records:
    """Runs of all seeds about a score."""
    for seed in range(SEEDS):
        yield run(variant, task, seed, score + spread * NOISE[seed], **axes)


def compared(task: str, arms: Mapping[str, float], spread: float = 0.1) -> Records:
    """Runs of softmax, the controls and other arms on a task, each ahead of 0.8, or of 2 bits, by so many of the protocol's margins.

    spread: in margins.
    """
    margin = NEWEST.margins["bits_per_byte" if task in BITS else "accuracy"]
    for arm, lead in {"softmax": 0.0, "identity": FAR, "uniform": FAR, **arms}.items():
        variant, axes = ARMS.get(arm, (arm, {}))
        score = 2.0 - margin * lead if task in BITS else 0.8 + margin * lead
        yield from runs(variant, task, score, spread * margin, **axes)


ARMS: dict[str, tuple[str, dict[str, Any]]] = {
    "quadratic": ("polynomial", {"params": QUADRATIC}),
    "softmax, half": ("softmax", {"init_norm": 0.5}),
    "polynomial, half": ("polynomial", {"init_norm": 0.5}),
    "quadratic, half": ("polynomial", {"params": QUADRATIC, "init_norm": 0.5}),
}
FAR = -20.0  # margins, of a control behind
FAMILIES = (("mnist", "fashion_mnist"), ("sotu_era",), ("sotu_mlm",))


def joined(*parts: Records) -> Records:
    for part in parts:
        yield from part


def costs(orthogonal: float, softmax: float, bend: float = 0.0, memory: float | None = None) -> Records:
    """Kernel cells whose times grow with these exponents. bend: by which factor every other length departs."""
    for seed in range(3):
        for mode in ("forward", "training"):
            for place, n in enumerate(LENGTHS):
                off = 1 + bend * (place % 2)
                for variant, power in (("orthogonal", orthogonal), ("softmax", softmax)):
                    time = 1e-9 * n**power * off * (1 + 0.001 * seed)
                    bytes_ = 10.0 * n ** (memory if memory is not None else power)
                    samples = [time, time * 1.001, time * 0.999]
                    yield kernel(variant, n, seed, {f"{mode}_s": samples, "peak_memory_bytes": [bytes_]}, mode=mode)


def depths(metric: str, values: Mapping[str, Callable[[int, int], float]]) -> Records:
    """Stacks of 2, 6 and 12 layers with three seeds. values: of each variant, by depth and seed."""
    for seed in range(3):
        for layers in (2, 6, 12):
            for variant, value in values.items():
                yield stacked(variant, layers, seed, metric, value(layers, seed))


def conditions(orthogonal: Callable[[int], float], softmax: float) -> Records:
    return depths("jacobian_condition", {"orthogonal": lambda _, seed: orthogonal(seed), "softmax": lambda *_: softmax})


def ranks(left: Callable[[int], float]) -> Records:
    """Effective ranks of which the share `left`, by seed, is left at 12 layers."""
    return depths("effective_rank", {"softmax": lambda layers, seed: 32.0 * (left(seed) if layers == 12 else 1.0)})


def matrices(variant: str, metric: str, over_root: float) -> Records:
    """Forward cells whose largest norm is so many times √N."""
    for seed in range(3):
        for n in (256, 1024, 4096):
            yield kernel(variant, n, seed, {metric: [over_root * n**0.5, 0.5 * over_root * n**0.5]})


def growing(scaled: float, unscaled: float, bend: float = 0.0) -> Records:
    """Norms of the polynomial that grow with these exponents."""
    for seed in range(3):
        for place, n in enumerate(LENGTHS):
            off = 1 + bend * (place % 2)
            for params, power in (({}, scaled), ({"scale": 1}, unscaled)):
                yield kernel("polynomial", n, seed, {"attention_frobenius": [off * n**power] * 4}, params=params)


def curves(variant: str, column: str, over_root: Sequence[float], tasks: Sequence[str], **axes: Any) -> Records:
    """Trained models whose largest norm is so many times √N (N = 100), by seed."""
    for task in tasks:
        for seed in range(SEEDS):
            layers = {f"{column}_layer_{layer}": [0.0, 10.0 * over_root[seed] / layer] for layer in (1, 2)}
            yield run(variant, task, seed, 0.8 if task not in BITS else 2.0, curve=layers, **axes)


def orthogonal_trained(over_root: float) -> Records:
    for layers in (6, 12):
        yield from curves("orthogonal", "orthogonality_error", [over_root] * SEEDS, ["mnist"], num_layers=layers, block="skipless")


def softmax_trained(over_root: float) -> Records:
    return curves("softmax", "largest_frobenius", [over_root] * SEEDS, ["mnist", "sotu_mlm"])


def polynomial_trained(cubic: Sequence[float], quadratic: Sequence[float]) -> Records:
    tasks = ["mnist", "sotu_mlm"]
    yield from curves("polynomial", "largest_frobenius", cubic, tasks)
    yield from curves("polynomial", "largest_frobenius", quadratic, tasks, params=QUADRATIC)


def skipless(orthogonal: float, softmax: float, spread: float = 0.002) -> Records:
    """Residual models at 0.9, and skipless ones at these accuracies; 0.1 is chance, so that 0.82 is kept."""
    for layers in (6, 12):
        at = {"num_layers": layers, "task_params": None}
        yield from runs("softmax", "mnist", 0.9, block="residual", **at)
        yield from runs("orthogonal", "mnist", orthogonal, spread, block="skipless", **at)
        yield from runs("softmax", "mnist", softmax, block="skipless", **at)


def against_softmax(tasks: Sequence[str], leads: Mapping[str, float], spread: float = 0.1) -> Records:
    return joined(*(compared(task, {"softmax": 0.0, **leads}, spread) for task in tasks))


def polynomials(cubic: Sequence[float], quadratic: Sequence[float]) -> Records:
    """Polynomials ahead of sigmoid by so many margins, in each family."""
    for tasks, lead, other in zip(FAMILIES, cubic, quadratic, strict=True):
        for task in tasks:
            yield from compared(task, {"sigmoid": 0.0, "polynomial": lead, "quadratic": other})


def started(orthogonal: float, *others: float) -> Records:
    """Skipless models of 12 layers at these accuracies: orthogonal, softmax that starts as it does, Value-SkipInit and shaped."""
    for variant, score in zip(("orthogonal", "softmax_orthogonal_init", "value_skipinit", "shaped"), (orthogonal, *others), strict=True):
        yield from runs(variant, "mnist", score, block="skipless", num_layers=12, task_params=None)


def sigmoids(*leads: float) -> Records:
    """Sigmoid ahead of softmax by so many margins, in each family."""
    return joined(*(against_softmax(tasks, {"sigmoid": lead}) for tasks, lead in zip(FAMILIES, leads, strict=True)))


def halved(softmax: float, cubic: float, quadratic: float, spread: float = 0.1) -> Records:
    """Half the norm ahead by so many margins, in each family for softmax, x³/√N and x²."""
    for tasks in FAMILIES:
        for task in tasks:
            leads = {"softmax": softmax, "polynomial": cubic, "quadratic": quadratic}
            yield from compared(
                task, {name: of for arm, lead in leads.items() for name, of in ((arm, 0.0), (f"{arm}, half", lead))}, spread
            )


def recalled(
    one: str, other: str, forms: Sequence[bool], by: float, by_other: float, softmax: float = 0.9, spread: float = 0.002
) -> Records:
    """Recall of softmax, and of two others behind it by so much. forms: causal, or not."""
    for causal in forms:
        for arm, behind in (("softmax", 0.0), (one, by), (other, by_other)):
            variant, axes = ARMS.get(arm, (arm, {}))
            yield from runs(variant, "mqar", softmax - behind, spread, causal=causal, **{"task_params": {"pairs": 16}, **axes})


def lengthened(twice: float, four_times: float, spread: float = 0.005) -> Records:
    """ssmax ahead of softmax by so many bits at longer lengths."""
    for seed in range(SEEDS):
        for variant, at_2x, at_4x in (("softmax", 2.5, 3.0), ("ssmax", 2.5 - twice, 3.0 - four_times)):
            noise = spread * NOISE[seed]
            more = {"bits_per_byte_at_2x": [at_2x + noise], "bits_per_byte_at_4x": [at_4x + noise]}
            yield run(variant, "sotu_lm", seed, 2.3, more, positions="none", test_seq_len=256, causal=True)


def damped(plain: float, damping: float, spread: float = 0.002) -> Records:
    for score, params in ((plain, {}), (damping, {"damping": 1.0})):
        yield from runs("orthogonal_cayley", "mnist", score, spread, params=params, block="skipless", num_layers=12, task_params=None)
