"""The settings of torch that one file could change for everybody: how each is read, and put back."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
from torch.nn.modules import module as modules

Pair = tuple[Callable[[], Any], Callable[[Any], object] | None]  # reads a value, and puts it back; None where nothing can

_FLAGS = (
    "backends.cuda.matmul.allow_fp16_reduced_precision_reduction",
    "backends.cuda.matmul.allow_bf16_reduced_precision_reduction",
    "backends.cuda.matmul.allow_fp16_accumulation",
    "backends.cuda.matmul.fp32_precision",
    "backends.cudnn.enabled",
    "backends.cudnn.benchmark",
    "backends.cudnn.deterministic",
    "backends.cudnn.allow_tf32",
    "backends.cudnn.conv.fp32_precision",
    "backends.cudnn.rnn.fp32_precision",
    "backends.mkldnn.enabled",
    "backends.mkldnn.deterministic",
    "backends.mkldnn.matmul.fp32_precision",
    "backends.mkldnn.conv.fp32_precision",
    "backends.mkldnn.rnn.fp32_precision",
    "backends.opt_einsum.enabled",
    "backends.opt_einsum.strategy",
    "backends.fp32_precision",
    "utils.deterministic.fill_uninitialized_memory",
)


def found() -> dict[str, Pair]:
    """Every setting by its name, in words where torch has several functions for it."""
    cuda, fast_path = torch.backends.cuda, torch.backends.mha
    named: dict[str, Pair] = {
        "torch's default dtype": (torch.get_default_dtype, torch.set_default_dtype),
        "torch's default device": (torch.get_default_device, _set_default_device),
        "torch's number of threads": (torch.get_num_threads, torch.set_num_threads),
        "torch's number of interop threads": (torch.get_num_interop_threads, None),
        "torch's grad mode": (torch.is_grad_enabled, torch.set_grad_enabled),
        "torch's inference mode": (torch.is_inference_mode_enabled, None),
        "deterministic algorithms (debug mode)": (torch.get_deterministic_debug_mode, torch.set_deterministic_debug_mode),
        "anomaly mode": (
            lambda: (torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()),
            lambda modes: torch.autograd.set_detect_anomaly(*modes),
        ),
        "autocast of the CPU": _autocast("cpu"),
        "autocast of CUDA": _autocast("cuda"),
        "the cache of autocast": (torch.is_autocast_cache_enabled, torch.set_autocast_cache_enabled),
        "the fast path of torch.nn.MultiheadAttention": (fast_path.get_fastpath_enabled, fast_path.set_fastpath_enabled),
        "float32 matmul precision": (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
        "flash attention": (cuda.flash_sdp_enabled, cuda.enable_flash_sdp),
        "memory-efficient attention": (cuda.mem_efficient_sdp_enabled, cuda.enable_mem_efficient_sdp),
        "attention by its definition (math)": (cuda.math_sdp_enabled, cuda.enable_math_sdp),
        "attention of cuDNN": (cuda.cudnn_sdp_enabled, cuda.enable_cudnn_sdp),
        "reduced precision of attention": (cuda.fp16_bf16_reduction_math_sdp_allowed, cuda.allow_fp16_bf16_reduction_math_sdp),
        "the order of fused attentions": (torch._C._get_sdp_priority_order, torch._C._set_sdp_priority_order),
        "hooks of all modules": (_module_hooks, None),
    }
    return named | {f"torch.{name}": _attribute(name) for name in _FLAGS if _is_there(name)}


def _set_default_device(device: torch.device) -> None:
    torch.set_default_device(None if device.type == "cpu" else device)  # with None no function of torch is intercepted


def _autocast(device: str) -> Pair:
    def write(value: tuple[bool, torch.dtype]) -> None:
        torch.set_autocast_enabled(device, value[0])
        torch.set_autocast_dtype(device, value[1])

    return lambda: (torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)), write


def _module_hooks() -> int:
    return sum(len(hooks) for name, hooks in vars(modules).items() if name.startswith("_global_") and isinstance(hooks, dict))


def _is_there(name: str) -> bool:
    """Whether this version of torch has a flag."""
    try:
        operator.attrgetter(name)(torch)
    except AttributeError:
        return False
    except RuntimeError:  # it has, and will not say now: the flag was set by its old and by its new name
        return True
    return True


def _attribute(name: str) -> Pair:
    """A flag that is an attribute. Of a precision "none" means "ieee", which torch makes of it at times."""
    owner, _, last = name.rpartition(".")

    def read() -> Any:
        value = operator.attrgetter(name)(torch)
        return "ieee" if value == "none" else value

    return read, lambda value: setattr(operator.attrgetter(owner)(torch), last, value)
