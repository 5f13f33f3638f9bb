"""A model trained on a task: training time, accuracy on the test part, peak memory of a step."""

from attnbench import face
from attnbench import preload as preload


class Task(face.Benchmark):
    track = "task"
    seconds = "train_s"

    def time_training(self, *cell):
        pass  # the harness's samples, by face.ReplayClock

    def track_accuracy(self, *cell):
        return self.value("accuracy")

    def track_peak_memory(self, *cell):
        return self.value("peak_memory_bytes")

    track_accuracy.unit = "share correct"
    track_peak_memory.unit = "bytes"
