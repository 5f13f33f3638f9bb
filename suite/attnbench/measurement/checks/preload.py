"""Imported once by the process that forks full checks, for what each of them would do again, in seconds.

That is the first use of torch.compile, with gradients, and of vmap, and reading the harness's own source for the fingerprint of a report.
No backward pass is run, which may start threads that a forked process would lack; to trace one is enough.
"""

from __future__ import annotations

import torch

from attnbench.store.fingerprint import check_fingerprint

torch.compile(lambda x: x + 1, backend="aot_eager")(torch.zeros(1, requires_grad=True))
torch.func.vmap(lambda x: x + 1)(torch.zeros(1))
check_fingerprint("softmax", {}, "cpu")
