"""A model trained on a task: errors on the test part (asv takes less for better), steps to the target, peak memory of a step."""

from attnbench.measurement import preload as preload
from attnbench.runner import asv


class Task(asv.Benchmark):
    track = "task"

    def track_error_rate(self, *cell):
        return 1.0 - self.value("accuracy")

    def track_steps_to_target(self, *cell):
        return self.value("steps_to_target")

    def track_peak_memory(self, *cell):
        return self.value("peak_memory_bytes")

    track_error_rate.unit = "share wrong"
    track_steps_to_target.unit = "steps"
    track_peak_memory.unit = "bytes"
