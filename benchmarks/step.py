"""One training step of a task's model, alone on the machine: time, alone and against softmax, and peak memory."""

from attnbench.measurement import preload as preload
from attnbench.runner import asv


class Step(asv.Benchmark):
    track = "step"

    def time_step(self, *cell):
        pass  # one sample a process, the median of the harness's, by runner.asv.ReplayClock

    def track_anchor_ratio(self, *cell):
        return self.value("anchor_ratio")

    def track_peak_memory(self, *cell):
        return self.value("peak_memory_bytes")

    track_anchor_ratio.unit = "x"
    track_peak_memory.unit = "bytes"
