"""What a cell would run on now, on this machine or another: how many threads, and which GPU."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from attnbench.spec import protocol
from attnbench.spec.axes import Spec
from attnbench.store import environment, hardware
from attnbench.store.facts import APART
from attnbench.store.probe import fact, output_of
from attnbench.store.ran_on import RanOn, only_gpu, ran_on
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
    return environment.physical_cores() if spec.is_timed else protocol.load(spec.protocol).threads or 1


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


@dataclass(frozen=True)
class Machine:
    """What a cell whose times count would run on now.

    name: in records. facts: the environment of such a record. device: of the cells. has_fast_bfloat16: whether its processor has
    instructions for that.
    """

    name: str
    device: str
    facts: Mapping[str, Any]
    has_fast_bfloat16: bool

    @property
    def part(self) -> RanOn:
        """The threads, and the GPU."""
        return ran_on(self.device, self.facts)

    def is_for(self, spec: Spec) -> bool:
        """Whether a preset's cell is for this machine: one in bfloat16 is not for a processor without instructions for it."""
        return (spec.track, spec.device, spec.dtype) != ("kernel", "cpu", "bfloat16") or self.has_fast_bfloat16

    def measured(self, record: Record) -> bool:
        """Whether a record of this machine was measured with as many threads as a cell would have now, and on the same GPU.

        Where there is no GPU now, a record of any counts: to measure again would give nothing. So does one that does not say its threads.
        """
        device = record.spec.device
        if not record.spec.is_timed:
            return self._trained_alike(record)
        if device != self.device:
            return True  # this run measures nothing there
        then = ran_on(device, record.environment)
        return then.threads in (None, self.part.threads) and (device != "cuda" or self._same_gpu(record))

    def can_use(self, record: Record) -> bool:
        """Whether another machine's record of a training run serves here as well, so that it is not made again.

        It does if the run succeeded under the protocol that makes its accuracy one of this machine's too, with one thread, by the same
        build of torch, on the same architecture, and the same GPU if any. How a run failed elsewhere tells nothing.
        """
        return not record.spec.is_timed and record.status == "ok" and self._trained_alike(record)

    def _trained_alike(self, record: Record) -> bool:
        theirs = record.environment
        if theirs.get("timing") != APART or any(theirs.get(name) != self.facts.get(name) for name in ("torch", "architecture")):
            return False
        return record.spec.device != "cuda" or self._same_gpu(record)

    def _same_gpu(self, record: Record) -> bool:
        own = self.part.gpu
        names = {ran_on("cuda", record.environment).gpu, only_gpu(record.environment.get("gpus"))}  # an older record has the second alone
        return not own or own in names


def this_machine(device: str) -> Machine:
    """The machine that this process runs on."""
    return Machine(
        environment.machine_name(), device, _facts(device, environment.physical_cores()), device == "cpu" and hardware.has_fast_bfloat16()
    )
