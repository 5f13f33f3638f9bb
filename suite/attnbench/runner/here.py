"""What a cell would run on now: how many threads, and which GPU."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from attnbench.spec.axes import Spec
from attnbench.store import environment, hardware
from attnbench.store.probe import fact, output_of
from attnbench.store.ran_on import only_gpu, ran_on
from attnbench.store.record import Record

ASK_TORCH = """
import json, torch
found = torch.accelerator.current_accelerator(check_available=True)
gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
print(json.dumps({"accelerator": found.type if found else None, "gpu": gpu, "hip": torch.version.hip, "cuda": torch.version.cuda}))
"""
TORCH_S = 120.0  # that torch may take to start, from a cold disk


@dataclass(frozen=True)
class TorchSays:
    """What torch says of its devices.

    accelerator: the kind that it found ("cuda", "mps", "xpu"), None without one. gpu: the name of the GPU in use, on CUDA or ROCm.
    hip, cuda: the version of ROCm or CUDA that it was built for.
    """

    accelerator: str | None = None
    gpu: str | None = None
    hip: str | None = None
    cuda: str | None = None


@cache
def torch_says() -> TorchSays | None:
    """What torch says of its devices, asked in a process of its own, for a driver may hang; None where torch gives no answer."""
    said = output_of([sys.executable, "-P", "-c", ASK_TORCH], TORCH_S)
    return fact(lambda: TorchSays(**json.loads((said or "").rpartition("\n")[2])))


@cache
def gpu() -> str | None:
    """The name of the GPU that a cell will run on; None where there is none.

    torch is asked, since CUDA_VISIBLE_DEVICES and CUDA's order decide; not where all GPUs have one name.
    """
    asked = None if (shared := only_gpu(hardware.gpus())) else torch_says()
    return shared or (asked.gpu if asked else None)


def threads_of(spec: Spec) -> int:
    """The threads of a cell's process: those of the machine where its times count, and one for a training run, by protocol.

    With one, a run gives the same accuracy beside others, and on every machine with the same torch and instructions.
    """
    return environment.physical_cores() if spec.is_timed else 1


def facts(spec: Spec) -> dict[str, object]:
    """The environment of a record of a cell that begins now."""
    return _facts(spec.device, threads_of(spec))


def _facts(device: str, threads: int) -> dict[str, object]:
    found = {**environment.describe(), "threads": threads}
    name = gpu() if device == "cuda" else None
    return found if name is None else {**found, "gpu": name}


def threads() -> float:
    """How many threads a cell on the CPU whose times count would have now, or which share of one processor."""
    found = ran_on("cpu", _facts("cpu", environment.physical_cores())).threads
    return environment.physical_cores() if found is None else found


def is_fast_here(spec: Spec) -> bool:
    """Whether a preset's cell is for this machine: one in bfloat16 is not for a processor without instructions for it."""
    return (spec.track, spec.device, spec.dtype) != ("kernel", "cpu", "bfloat16") or hardware.has_fast_bfloat16()


def ran_here() -> Callable[[Record], bool]:
    """A function that says whether a record of this machine was measured with as many threads as a cell has now, and on the same GPU.

    Where there is no GPU now, a record of any counts: to measure again would give nothing. So does one that does not say its threads.
    """
    part_now, trained_alike = cache(lambda device: ran_on(device, _facts(device, environment.physical_cores()))), _trained_alike()

    def counts(record: Record) -> bool:
        device = record.spec.device
        if not record.spec.is_timed:
            return trained_alike(record)
        now, then = part_now(device), ran_on(device, record.environment)
        return then.threads in (None, now.threads) and (device != "cuda" or _same_gpu(record))

    return counts


def counts_elsewhere() -> Callable[[Record], bool]:
    """A function that says whether another machine's record of a training run serves here as well, so that it is not made again.

    It does if the run succeeded under the protocol that makes its accuracy one of this machine's too: one thread, the same build of torch,
    the same architecture, and the same GPU if any. How a run failed elsewhere tells nothing.
    """
    trained_alike = _trained_alike()
    return lambda record: not record.spec.is_timed and record.status == "ok" and trained_alike(record)


def _trained_alike() -> Callable[[Record], bool]:
    """A function that says whether the result of a training run may stand beside those of this machine."""
    mine = environment.describe()

    def alike(record: Record) -> bool:
        theirs = record.environment
        if theirs.get("threads") != threads_of(record.spec) or any(theirs.get(name) != mine[name] for name in ("torch", "architecture")):
            return False
        return record.spec.device != "cuda" or _same_gpu(record)

    return alike


def _same_gpu(record: Record) -> bool:
    """Whether a record is of the GPU that is used now; any is where there is none now, for to measure again would give nothing."""
    own = gpu() or ""
    names = {ran_on("cuda", record.environment).gpu, only_gpu(record.environment.get("gpus"))}  # an older record has the second alone
    return not own or own in names
