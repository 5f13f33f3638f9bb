"""Checks that a mechanism leaves alone, while it is measured, the clocks, the harness, and the processor once it has returned."""

from __future__ import annotations

import inspect
import sys
import threading
import time
from typing import Any

import torch
import torch.profiler
import torch.utils.flop_counter

from attnbench.errors import Incorrect
from attnbench.measurement.threads import left_at_work, others_runnable
from attnbench.registry import process_settings

# What the harness uses of torch where it draws inputs, measures and verifies: the names of each owner.
_TORCH: dict[Any, str] = {
    torch: "Generator arange cat empty empty_like equal finfo full_like linalg maximum no_grad ones randn randn_like set_grad_enabled"
    " tensor zeros zeros_like",
    torch.Tensor: "__add__ __bool__ __float__ __getitem__ __gt__ __invert__ __matmul__ __mul__ __ne__ __radd__ __rmul__ __setitem__ __sub__"
    " __truediv__ abs add_ all any argmax backward clone contiguous copy_ detach double dtype flatten float grad isfinite masked_select max"
    " mean mul_ nan_to_num narrow nonzero norm numel requires_grad_ shape split square sum to tolist",
    torch.autograd: "backward grad",
    torch.cuda: "CUDAGraph Event graph max_memory_allocated memory_allocated reset_peak_memory_stats synchronize",
    torch.linalg: "vector_norm",
    torch.profiler: "profile",
    torch.utils.flop_counter: "FlopCounterMode",
}
IDLE_WINDOW_S, LOOKS, PATIENCE = 0.01, 5, 50  # windows; the threads of OpenMP spin for a few milliseconds after their work
_MECHANISMS = ("attnbench.variants", "attnbench.kernels", "attnbench.tasks")


def _present() -> dict[str, object]:
    """Everything that is sealed, by name, as it is now: the harness with its classes, the clocks, and what torch does for it."""
    harness = {name: x for name, x in sys.modules.items() if name.startswith("attnbench.") and not name.startswith(_MECHANISMS)}
    owners: dict[str, Any] = dict(harness)
    for place, module in harness.items():
        mine = ((name, x) for name, x in vars(module).items() if inspect.isclass(x) and x.__module__ == place)
        owners |= {f"{place}.{name}": x for name, x in mine}
    found = {f"{place}.{name}": x for place, owner in owners.items() for name, x in vars(owner).items() if not name.startswith("__")}
    found |= {f"{m.__name__}.{name}": x for m in (time, threading) for name, x in vars(m).items() if callable(x)}
    return found | {f"{owner.__name__}.{name}": getattr(owner, name) for owner, names in _TORCH.items() for name in names.split()}


class Guard:
    """Watches one cell's process, from before its mechanism is loaded. Every method raises Incorrect for what no mechanism may do.

    What can be caught in the mechanism's own process is caught here. Besides, the parent compares clocks (plausibility.py), and no
    result counts that cannot be computed again from the same inputs (timed.py).
    """

    def __init__(self) -> None:
        self._threads = set(threading.enumerate())
        self._settings = process_settings.values()
        self._sealed = _present()

    def check_threads(self) -> None:
        """Check that no Python thread runs on when a call has returned; those of autograd and of torch's compiler may."""
        more = left_at_work(self._threads)
        if more:
            raise Incorrect(f"the call returned and left {len(more)} thread(s) running ({more[0]}); finish all work before returning")

    def check_idle(self) -> None:
        """Check that the process comes to rest: work that goes on after a call has returned was not timed.

        The settings come first, for hundreds of threads that a mechanism had torch start do not come to rest either.
        """
        self._check_settings()
        if not any(_is_at_rest() for _ in range(PATIENCE)):
            waited_s = PATIENCE * IDLE_WINDOW_S
            raise Incorrect(f"the process goes on computing {waited_s:g} s after the last call returned; finish all work before returning")

    def check_seal(self) -> None:
        """Check that the settings of the process, the clocks, and the code that measures and verifies, are what they were."""
        self._check_settings()
        now = _present()  # what was loaded since does not matter
        broken = sorted(name for name, x in self._sealed.items() if now.get(name) is not x)
        if broken:
            raise Incorrect(f"the mechanism replaced {', '.join(broken[:3])}; it must leave the clocks and the harness alone")

    def _check_settings(self) -> None:
        changed = process_settings.changes(self._settings)
        if changed:
            raise Incorrect(f"the mechanism changed {', '.join(changed[:3])}; leave it as it is")


def _is_at_rest() -> bool:
    """Whether the other threads of this process neither use the processors for half of a short while nor wait for them.

    That they wait counts because on a busy machine a thread that computes without a pause may be given less than half a processor. What
    this thread uses does not count: on a slow machine looking at many threads takes it more than half of the while.
    """
    began, seen = _used_by_others_s(), 0
    for _ in range(LOOKS):
        time.sleep(IDLE_WINDOW_S / LOOKS)
        seen += bool(others_runnable())
    return _used_by_others_s() - began < IDLE_WINDOW_S / 2 and seen <= LOOKS / 2


def _used_by_others_s() -> float:
    """The seconds of processor that all other threads of this process have used."""
    return time.process_time() - time.thread_time()
