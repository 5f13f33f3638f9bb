"""Claims of the papers that are not tested here, and why."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Untested:
    """A claim that is not tested. paper: whose it is, with its source; why: it is not."""

    what: str
    paper: str
    why: str


_ORTHOGONAL = "Zhang and Martens 2026, arXiv 2602.05996 v1"
_POLYNOMIAL = "Saratchandran and others 2024, arXiv 2410.18613 v3"
_LARGE = "it takes weeks of a large GPU, and data that are not offline"

UNTESTED = (
    Untested("Polynomial attention matches softmax on ImageNet-1k, in ViT, DeiT, Swin and XCiT.", _POLYNOMIAL, _LARGE),
    Untested("Polynomial attention matches softmax in detection and segmentation, as reported.", _POLYNOMIAL, _LARGE),
    Untested(
        "Polynomial attention wins two of the five tasks of Long Range Arena.",
        _POLYNOMIAL,
        "at their full lengths of 1,024 to 16,384 tokens they need a GPU; listops and pathfinder are here, and no model here is yet shown "
        "to learn them",
    ),
    Untested(
        "The gradient of softmax is bounded: ‖∇softmax(A)‖_F ≤ 2√N.",
        _POLYNOMIAL,
        "the gradient of the attention matrix by its scores, N² by N² numbers, is not measured; it is a theorem of softmax alone",
    ),
    Untested(
        "Our question, which its premise raises: does clamping the norm of softmax's attention matrix change what is learnt?",
        _POLYNOMIAL,
        "it needs a mechanism that no paper defines, and its bound would have to be chosen here",
    ),
    Untested(
        "Skipless orthogonal attention trains as fast as the model with skips, as reported.",
        _ORTHOGONAL,
        "training is compared at its end alone",
    ),
    Untested(
        "Reduced QR and Newton-Schulz give the same attention as the exponential.",
        _ORTHOGONAL,
        "it is checked, not judged: attnbench check orthogonal_qr orthogonal_newton_schulz",
    ),
    Untested(
        "Attention loses rank doubly exponentially; skips and MLPs stop it.",
        "Dong, Cordonnier, Loukas 2021, arXiv 2103.03404 v2",
        "the rate needs stacks without an MLP, which no preset has; that rank falls is tested",
    ),
    Untested(
        "Based recovers the recall of softmax along a frontier of state size.",
        "Arora and others 2024, arXiv 2402.18668 v2",
        "the mixture of linear and sliding-window layers is not here, nor a range of state sizes",
    ),
    Untested(
        "Sigmoid attention is 17 % faster than FlashAttention-2 on an H100, and matches softmax in speech.",
        "Ramapuram and others 2024, arXiv 2409.04431 v2",
        "the fused kernel is not ours, and there is no speech offline",
    ),
    Untested(
        "Scalable softmax learns faster in pretraining and finds key information in long contexts.",
        "Nakanishi 2025, arXiv 2501.19399 v1",
        "pretraining on 1,024 tokens needs a GPU for days; length is tested at 64 to 256 bytes",
    ),
    Untested(
        "Orthogonal attention keeps improving at 32 layers, where softmax collapses.",
        "Miglior, Gravina, Bacciu 2026, arXiv 2609.39739",
        "32 layers take nights of two cores; 12 are tested",
    ),
)
