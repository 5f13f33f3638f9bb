"""One attention call by seq_len: time, alone and against softmax, peak memory, FLOPs. Which: ATTNBENCH_PRESET, ATTNBENCH_DEVICE."""

from attnbench.measurement import preload as preload
from attnbench.runner import asv


class Kernel(asv.Benchmark):
    track = "kernel"

    def time_call(self, *cell):
        pass  # one sample a process, the median of the harness's, by runner.asv.ReplayClock

    def track_anchor_ratio(self, *cell):
        return self.value("anchor_ratio")

    def track_peak_memory(self, *cell):
        return self.value("peak_memory_bytes")

    def track_flops(self, *cell):
        return self.value("flops")

    track_anchor_ratio.unit = "x"
    track_peak_memory.unit = "bytes"
    track_flops.unit = "FLOP"
