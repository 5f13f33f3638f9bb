"""The words in rows and pages that readers can open, and what each means."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from attnbench.analysis.drift import LIMIT
from attnbench.claim import EXPLORATORY

WORDS: Mapping[str, str] = MappingProxyType(
    {
        "tuned": "The mechanism’s code spends at least three quarters of its time, at 4,096 tokens, in kernels that were written or tuned "
        "for this device: its own, or those of torch or a vendor. Better code could not make it much faster.",
        "compiled": "The mechanism’s code on this device is plain operations that a compiler joins into fewer kernels: faster than "
        "a reference, and not tuned by hand.",
        "reference": "The mechanism’s code spends more than a quarter of its time in plain operations, one kernel each, or the share is "
        "not known here. A tuned form could be faster, so this time says what the code takes and not what the mechanism could.",
        "launch-bound": "A call takes more than twice the time that the GPU’s kernels in it take: most of it is spent on starting "
        "kernels one by one. Such a time grows with their number and hardly with the sequence length, so it has no "
        "exponent.",
        "exploratory": f"{EXPLORATORY[:1].upper()}{EXPLORATORY[1:]}.",
        "confirmatory": "The claim’s rule stood, byte for byte, in the commits by which all records of what counts were measured, the "
        "oldest, other budgets and trials too.",
        "drift": f"How the machine’s speed changed: the drift anchor, softmax at one fixed shape, is timed before and after every "
        f"cell. Where it changed more than {LIMIT:g}-fold, the cell’s seconds do not count; its ratio to softmax, whose calls took turns "
        "with its own, does.",
        "flagged": "Its times are shown and do not count. What other processes use of the processors does not cancel in a ratio, so a "
        "cell that was disturbed has no rank, and the next run measures it again.",
        "by its rounds": "The calls of softmax that took turns with its own stand in for softmax’s own cells: a change of speed "
        "cancels in such a ratio.",
        "first look": "Measured in one process. Another process of the same code comes out a few percent apart, which one cannot show "
        "by itself: the spread that is known from other cells is added to the interval.",
        "anchor": "Softmax of the same shape and mode, whose calls took turns with the cell’s own. It shows how the machine’s "
        "speed changed; what the cell leaves in the caches can slow it, so a ratio is to softmax’s own cells.",
        "others used": "What other processes used of the processors while the cell was timed. More than a tenth of a core is a "
        "disturbance: the cell has no rank and is measured again.",
        "verified": "Rows of the very output that was timed, at the timed shape, against the mechanism’s definition in float64.",
        "process memory": "Peak memory is counted by torch’s allocator. What the process took from the system beside it, libraries and "
        "buffers of their own, is not in that number.",
        "against itself": "Softmax’s own cells of each process over all of them together. What this interval leaves open, the table "
        "cannot tell apart.",
        "MFU": "Model FLOPs utilisation: the operations that the algorithm needs, recomputation left out, over what the device "
        "could do in that time at the dtype’s measured peak.",
        "kernels": "The seconds of the GPU’s kernels themselves, without the time between them. Rows are ranked by the wall clock, "
        "which is what a user waits for.",
        "process": "Each process measures the cell anew, with other inputs. The value is the median over processes of their medians.",
    }
)
