"""A model trained on a task: training time, errors on the test part (asv takes less for better), peak memory of a step."""

from attnbench.measurement import preload as preload
from attnbench.runner import asv


class Task(asv.Benchmark):
    track = "task"
    seconds = "train_s"

    def time_training(self, *cell):
        pass  # one sample a process, the median of the harness's, by runner.asv.ReplayClock

    def track_error_rate(self, *cell):
        return 1.0 - self.value("accuracy")

    def track_peak_memory(self, *cell):
        return self.value("peak_memory_bytes")

    track_error_rate.unit = "share wrong"
    track_peak_memory.unit = "bytes"
