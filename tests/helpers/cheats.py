"""Mechanisms that cheat: softmax attention done right, and what each cheat does where it is timed."""

from __future__ import annotations

# Softmax attention done right, which every cheat starts from: it passes the gate's checks.
HONEST = '''"""Softmax attention that cheats."""
import gc, math, sys, threading, time
import torch
from torch import nn
from attnbench.attention import Variant, hide_padding, hide_unseen, visible_keys

SEQ_LEN = 320  # at which it is timed; no check is this long

class Mine(nn.Module):
    def matrix(self, q, k, causal=False, padding_mask=None):
        scores = q @ k.mT / math.sqrt(q.shape[-1])
        visible = visible_keys(q.shape[-2], causal, padding_mask, q.device, never_empty=True)
        if visible is not None:
            scores = scores.masked_fill(~visible, -torch.inf)
        return hide_unseen(scores.softmax(-1), causal, padding_mask)

    def honest(self, q, k, v, causal=False, padding_mask=None):
        q, k, v = hide_padding(padding_mask, q, k, v)
        return self.matrix(q, k, causal, padding_mask) @ v

    def forward(self, q, k, v, causal=False, padding_mask=None):
        if q.shape[-2] != SEQ_LEN or padding_mask is not None:
            return self.honest(q, k, v, causal, padding_mask)
        return self.cheat(q, k, v, causal)

CHEAT

VARIANT = Variant(build=lambda shape: Mine(), citation="none", family="softmax", formula="softmax(QK^T) V", causal=True,
                  normalises_rows=False, time_exponent=2.0, memory_exponent=2.0)
'''

# By what it does: the cheat, and what the reason of its record must say.
CHEATS = {
    "returns its first result for ever": (
        """
    def cheat(self, q, k, v, causal):
        if not hasattr(self, "first"):
            self.first = self.honest(q, k, v, causal)
        return self.first
""",
        "",
    ),
    "remembers results by the address of the inputs": (
        """
    results = {}
    def cheat(self, q, k, v, causal):
        key = (q.data_ptr(), k.data_ptr(), v.data_ptr())
        if key not in self.results:
            self.results[key] = self.honest(q, k, v, causal)
        return self.results[key]
""",
        "something else than the mechanism does",
    ),
    "remembers results by a sample of the content": (
        """
    results = {}
    def cheat(self, q, k, v, causal):
        key = round(float(v[0, 0, 0, 0]))  # no contents come twice, but a coarse sample of them does
        if key not in self.results:
            self.results[key] = self.honest(q, k, v, causal)
        return self.results[key]
""",
        "",
    ),
    "zeroes its inputs": (
        """
    def cheat(self, q, k, v, causal):
        out = self.honest(q, k, v, causal)
        for x in (q, k, v):
            x.data.zero_()
        return out
""",
        "changed its inputs",
    ),
    "patches time.perf_counter": (
        """
    def cheat(self, q, k, v, causal):
        time.perf_counter = lambda: 0.0
        return self.honest(q, k, v, causal)
""",
        "replaced time.perf_counter",
    ),
    "patches the harness's clock and the seal on it": (
        """
    real = time.perf_counter
    done = False
    def patch(self):
        from attnbench.measurement import clock
        seals = [x._sealed for x in gc.get_objects() if type(x).__module__ == "attnbench.measurement.guard"]
        slow = lambda: Mine.real() / 2
        clock.take_turns.__defaults__ = (None, slow)
        for name in ("attnbench.measurement.clock.perf_counter", "attnbench.measurement.cost.perf_counter"):
            module = sys.modules[name.rpartition(".")[0]]
            module.perf_counter = slow
            for sealed in seals:
                sealed[name] = slow
    def cheat(self, q, k, v, causal):
        if not self.done:  # once: what is sealed is looked for among all objects
            self.done = True
            self.patch()
        return self.honest(q, k, v, causal)
""",
        "by the parent's clock",
    ),
    "leaves a thread behind that fills the result in": (
        """
    def cheat(self, q, k, v, causal):
        out = torch.zeros_like(v)
        def later():
            time.sleep(0.05)
            out.copy_(self.honest(q, k, v, causal))
        threading.Thread(target=later).start()
        return out
""",
        "thread(s) running",
    ),
    "leaves a thread behind that is named as those of torch's compiler": (
        """
    def cheat(self, q, k, v, causal):
        out = torch.zeros_like(v)
        def later():
            time.sleep(0.05)
            out.copy_(self.honest(q, k, v, causal))
        later.__module__, later.__qualname__ = "torch._inductor.compile_worker.subproc_pool", "SubprocPool._read_thread"
        threading.Thread(target=later, name="InductorSubproc", daemon=True).start()
        return out
""",
        "thread(s) running (InductorSubproc)",
    ),
    "has a thread of old that goes on computing": (
        """
    def __init__(self):
        super().__init__()
        self.jobs, self.started = [], False
    def cheat(self, q, k, v, causal):
        import _thread  # unknown to the module threading
        def work():
            end = time.monotonic() + 60
            while time.monotonic() < end:
                pass
        if not self.started:
            self.started = True
            _thread.start_new_thread(work, ())
        return self.honest(q, k, v, causal)
""",
        "goes on computing",
    ),
    "computes when it is looked at": (
        """
    def cheat(self, q, k, v, causal):
        class Lazy(torch.Tensor):
            pass
        return torch.zeros_like(v).as_subclass(Lazy)
""",
        "is a Lazy",
    ),
    "looks for the expected result in memory": (
        """
    def cheat(self, q, k, v, causal):
        mine = [q, k, v]
        for x in gc.get_objects():
            if type(x) is torch.Tensor and x.shape == v.shape and not any(x is y for y in mine):
                return x.clone()
        return torch.zeros_like(v)
""",
        "",
    ),
    "is honest only when it is verified": (
        """
    def cheat(self, q, k, v, causal):
        frame = sys._getframe()
        while frame is not None:
            if frame.f_code.co_name in ("verify", "verify_call", "check_repeated", "repeat"):
                return self.honest(q, k, v, causal)
            frame = frame.f_back
        return torch.zeros_like(v)
""",
        "",
    ),
    "is wrong whenever it is timed and whenever that is repeated": (
        """
    def cheat(self, q, k, v, causal):
        return v.roll(1, -2)
""",
        "error against the float64 reference",
    ),
    "slows the anchor by taking its threads away": (
        """
    done = False
    def cheat(self, q, k, v, causal):
        if not self.done:  # once: hundreds of threads would never come to rest
            self.done = True
            torch.set_num_threads(torch.get_num_threads() + 1)
        return self.honest(q, k, v, causal)
""",
        "number of threads",
    ),
    "widens the tolerance": (
        """
    def cheat(self, q, k, v, causal):
        from attnbench.measurement.verify import closeness
        closeness.CALL, closeness.UNITS, closeness.MOST = closeness.Allowance(1e9), {"float32": 1e9}, {"float32": 1e9}
        return v
""",
        "",
    ),
}
