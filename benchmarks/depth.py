"""A stack of blocks by num_layers: time, alone and against softmax, and memory of a training step, conditioning at initialisation."""

from attnbench.measurement import preload as preload
from attnbench.runner import asv


class Depth(asv.Benchmark):
    track = "depth"

    def time_step(self, *cell):
        pass  # one sample a process, the median of the harness's, by runner.asv.ReplayClock

    def track_anchor_ratio(self, *cell):
        return self.value("anchor_ratio")

    def track_peak_memory(self, *cell):
        return self.value("peak_memory_bytes")

    def track_jacobian_condition(self, *cell):
        return self.value("jacobian_condition")

    track_anchor_ratio.unit = "x"
    track_peak_memory.unit = "bytes"
    track_jacobian_condition.unit = "condition number"
