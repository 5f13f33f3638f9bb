"""What a cell does, inside its own process: build, warm up, time, measure memory, verify."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

import torch
from torch import Tensor, nn

from attnbench import diagnose, measure, registry
from attnbench.attention import Variant
from attnbench.construct import construct
from attnbench.errors import Unavailable
from attnbench.model import Architecture, Classifier, Patches, Stack, unit_rms
from attnbench.spec import Spec
from attnbench.train import Recipe, step, train
from attnbench.verify import Incorrect, check_error
from attnbench.workload import Parts, Split, Task, majority_share

ROTATED_BYTES = 512 * 2**20
DIAGNOSED_SEQ_LEN = 16


@dataclass
class Measurement:
    """Raw samples by metric, units in the names, and the training curve if there is one."""

    samples: dict[str, list[float]] = field(default_factory=dict)
    curve: dict[str, list[float | None]] = field(default_factory=dict)


Stage = Callable[[str], None]


def measure_cell(spec: Spec, variant_source: str, task_source: str | None, stage: Stage) -> Measurement:
    """Everything a spec asks for. `stage` is told what is going on, so that a killed cell can say where it was.

    Raises Unsupported, Unavailable, Incorrect, torch's out-of-memory errors, or whatever the mechanism raises.
    """
    stage("build")
    if spec.device == "cuda" and not torch.cuda.is_available():
        raise Unavailable("torch sees no CUDA device here; run with --device cpu, or install a CUDA build of torch")
    torch.manual_seed(spec.seed)
    if spec.track == "kernel":
        return _kernel(spec, variant_source, stage)
    if spec.track == "depth":
        return _depth(spec, variant_source, stage)
    return _task(spec, variant_source, task_source or str(spec.task), stage)


def _kernel(spec: Spec, source: str, stage: Stage) -> Measurement:
    assert spec.seq_len is not None
    dtype = getattr(torch, spec.dtype)
    context = {"seq_len": spec.seq_len, "d_model": spec.d_model, "layer_index": 0, "num_layers": 1}
    module = construct(source, spec.num_heads, spec.head_dim, context, spec.params).to(spec.device, dtype)
    shape = (spec.batch_size, spec.num_heads, spec.seq_len, spec.head_dim)
    set_bytes = 3 * math.prod(shape) * dtype.itemsize
    sets = max(1, min(4, ROTATED_BYTES // set_bytes))
    training = spec.mode == "training"
    inputs = [tuple(torch.randn(shape, device=spec.device, dtype=dtype, requires_grad=training) for _ in range(3)) for _ in range(sets)]
    upstream = torch.randn(shape, device=spec.device, dtype=dtype)
    variant: Variant = registry.load("variants", source)
    wide = (spec.batch_size, spec.seq_len, spec.num_heads * spec.head_dim)
    hidden = [
        {"hidden": torch.randn(wide, device=spec.device, dtype=dtype, requires_grad=training)} if variant.needs_hidden else {}
        for _ in range(sets)
    ]

    def forward(i: int) -> Tensor:
        with torch.no_grad():
            out: Tensor = module(*inputs[i % sets], causal=spec.causal, **hidden[i % sets])
        return out

    def forward_and_backward(i: int) -> None:
        chosen, more = inputs[i % sets], hidden[i % sets]
        for x in (*chosen, *more.values(), *module.parameters()):
            x.grad = None
        module(*chosen, causal=spec.causal, **more).backward(upstream)

    def clear() -> None:
        for x in (*(x for chosen in inputs for x in chosen), *(x for more in hidden for x in more.values()), *module.parameters()):
            x.grad = None

    result = _cost(forward_and_backward if training else forward, clear, spec, stage)
    stage("verify")
    if not forward(0).isfinite().all():
        raise Incorrect("the output holds values that are not finite, for unit-variance inputs")
    q, k, v = inputs[0]
    error = check_error(variant, module, q, k, v, spec.causal, gradients=training)
    if error is not None:
        result.samples["error"] = [error]
    return result


def _depth(spec: Spec, source: str, stage: Stage) -> Measurement:
    stack = Stack(_architecture(spec, source, seq_len=spec.seq_len)).to(spec.device)
    shape = (spec.batch_size, spec.seq_len or 1, spec.d_model)
    inputs = [unit_rms(torch.randn(shape, device=spec.device)) for _ in range(4)]

    def forward(i: int) -> Tensor:
        with torch.no_grad():
            out: Tensor = stack(inputs[i % 4])
        return out

    def forward_and_backward(i: int) -> None:
        stack.zero_grad(set_to_none=True)
        stack(inputs[i % 4]).square().mean().backward()

    result = _cost(forward_and_backward if spec.mode == "training" else forward, stack.zero_grad, spec, stage)
    stage("diagnose")
    forward_and_backward(0)
    gradient = diagnose.gradient_norm(stack)
    stack.zero_grad(set_to_none=True)
    exact = Stack(_architecture(spec, source, seq_len=DIAGNOSED_SEQ_LEN)).to(spec.device).double()
    tokens = unit_rms(torch.randn(1, DIAGNOSED_SEQ_LEN, spec.d_model, device=spec.device, dtype=torch.float64))
    result.samples["parameters"] = [float(_parameters(stack))]
    result.samples["diagnosed_seq_len"] = [float(DIAGNOSED_SEQ_LEN)]
    result.samples["jacobian_condition"] = [diagnose.jacobian_condition(exact, tokens[0])]
    with torch.no_grad():
        result.samples["effective_rank"] = [diagnose.effective_rank(exact(tokens)[0])]
    result.samples |= diagnose.attention_norms(exact, tokens)
    result.samples["gradient_norm"] = [gradient]
    return _without_infinities(result)


def _without_infinities(result: Measurement) -> Measurement:
    """Metrics that are not finite left out, and `diverged` 1 if there were any: JSON has no NaN, and a chart no place for it."""
    finite = {name: values for name, values in result.samples.items() if all(map(math.isfinite, values))}
    return Measurement({**finite, "diverged": [float(len(finite) < len(result.samples))]}, result.curve)


def _task(spec: Spec, source: str, task_source: str, stage: Stage) -> Measurement:
    assert spec.epochs is not None and spec.lr is not None
    stage("load data")
    task: Task = registry.load("tasks", task_source)
    parts = _to_device(task.load(), spec.device)
    stage("build")
    torch.manual_seed(spec.seed)
    architecture = _architecture(spec, source, seq_len=task.seq_len)
    embedding = Patches(task.patch, spec.d_model) if task.patch else nn.Embedding(task.vocabulary or 256, spec.d_model)
    model = Classifier(architecture, embedding, task.seq_len, task.num_classes).to(spec.device)
    recipe = Recipe(epochs=spec.epochs, lr=spec.lr, batch_size=spec.batch_size, seed=spec.seed)

    rows = torch.arange(min(spec.batch_size, len(parts.train)), device=spec.device)
    stage("warm up")
    step(copy.deepcopy(model), parts.train, rows)

    def on_epoch(done: int) -> None:
        stage(f"train, epoch {done} of {recipe.epochs}")

    on_epoch(0)
    outcome = train(model, parts, task.seq_len, recipe, on_epoch)
    stage("memory")
    model.zero_grad(set_to_none=True)
    peak = measure.peak_memory_bytes(lambda _: step(model, parts.train, rows), spec.device)
    samples = {
        task.metric: [outcome.accuracy],
        f"validation_{task.metric}": [outcome.validation_accuracy],
        "majority_share": [majority_share(parts.test.targets)],
        "train_s": [outcome.train_s],
        "training_tokens_per_s": [outcome.training_tokens_per_s],
        "inference_tokens_per_s": [outcome.inference_tokens_per_s],
        "peak_memory_bytes": [peak],
        "parameters": [float(_parameters(model))],
        "diverged": [float(outcome.diverged)],
    }
    return Measurement(samples, asdict(outcome.curve))


def _cost(call: measure.Call, clear: Callable[[], object], spec: Spec, stage: Stage) -> Measurement:
    """Time, then peak memory, then FLOPs of a call, each in a pass of its own."""
    result = Measurement()
    stage("warm up")
    measure.warm_up(call, spec.device)
    stage("time")
    result.samples[f"{spec.mode}_s"] = measure.wall_clock_s(call, spec.device)
    stage("memory")
    clear()
    result.samples["peak_memory_bytes"] = [measure.peak_memory_bytes(call, spec.device)]
    stage("flops")
    clear()
    result.samples["flops"] = [measure.flops(call)]
    clear()
    return result


def _architecture(spec: Spec, source: str, seq_len: int | None) -> Architecture:
    variant: Variant = registry.load("variants", source)

    def build_attention(layer_index: int) -> nn.Module:
        context = {
            "seq_len": seq_len, "d_model": spec.d_model, "layer_index": layer_index, "num_layers": spec.num_layers,
        }  # fmt: skip
        return construct(source, spec.num_heads, spec.head_dim, context, spec.params)

    assert spec.block is not None and spec.num_layers is not None
    return Architecture(
        block=spec.block,
        num_layers=spec.num_layers,
        num_heads=spec.num_heads,
        d_model=spec.d_model,
        build_attention=build_attention,
        needs_hidden=variant.needs_hidden,
    )


def _to_device(parts: Parts, device: str) -> Parts:
    def move(split: Split) -> Split:
        mask = None if split.padding_mask is None else split.padding_mask.to(device)
        return Split(split.inputs.to(device), split.targets.to(device), mask, split.groups)

    return Parts(move(parts.train), move(parts.validation), move(parts.test))


def _parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())
