"""A device that has kernels as a GPU has, on a machine without one: what times kernels runs on it as it is."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from attnbench.measurement.device import Interval, Run

SPAN_S = 0.003  # that every replay takes by this device's clock
INTERVALS: tuple[Interval, ...] = ((10_000, 1_010_000), (510_000, 1_510_000), (3_000_000, 3_500_000))  # of every call: 2 ms busy
BUSY_S = 0.002


@dataclass
class DeviceWithKernels:
    """Calls run on the processor; `log` holds, in order, what was asked of the device.

    captures: whether a call can be captured. replays: whether a replay computes anew, as a graph does, or leaves its output as it was.
    """

    captures: bool = True
    replays: bool = True
    log: list[str] = field(default_factory=list)

    @property
    def kernels(self) -> DeviceWithKernels:
        return self

    def synchronise(self) -> None:
        self.log.append("synchronise")

    def flusher(self) -> Run:
        return lambda: self.log.append("flush")

    def capture(self, run: Run) -> Run:
        self.log.append("capture")
        result = run()
        if not self.captures:
            raise RuntimeError("operation not permitted when stream is capturing")
        assert isinstance(result, Tensor)

        def replay() -> Tensor:
            self.log.append("replay")
            if self.replays:
                again = run()
                assert isinstance(again, Tensor)
                with torch.no_grad():
                    result.copy_(again)
            return result

        return replay

    def span(self, run: Run, flush: Run) -> tuple[object, float]:
        flush()
        self.log.append("span")
        return run(), SPAN_S

    def intervals(self, run: Run, flush: Run) -> tuple[object, list[Interval]]:
        flush()
        self.log.append("profile")
        return run(), list(INTERVALS)
