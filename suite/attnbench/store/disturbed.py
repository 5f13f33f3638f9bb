"""Whether other programs used the processors while a cell was timed, so much that its times do not count."""

from __future__ import annotations

from attnbench.store.record import Record

# In processors. With one of two cores kept busy by another process, polynomial attention went from 1.0 to 0.07 times softmax's speed and
# orthogonal at 16,384 tokens from 52 to 3.5 times, in ratios to a softmax that was timed in turn with them: load does not cancel.
ALLOWED_LOAD = 0.1


def is_disturbing(other_load: float, steal: float) -> bool:
    """Whether what others used of the processors, and what a hypervisor took of them, is more than times can bear. Both in processors."""
    return other_load + steal > ALLOWED_LOAD


def used_by_others(other_load: float, steal: float) -> str:
    """What others used, in words.

    >>> used_by_others(0.97, 0.004)
    'other processes used 0.97 of a core'
    >>> used_by_others(1.5, 0.25)
    'other processes used 1.50 cores, and 0.25 of a core was stolen by the hypervisor'
    """
    stolen = f", and {_cores(steal)} {'was' if steal <= 1 else 'were'} stolen by the hypervisor" if steal >= 0.01 else ""
    return f"other processes used {_cores(other_load)}{stolen}"


def disturbance(record: Record) -> str | None:
    """Why the times of a record do not count; None where they do, and where it is not known what others used (older records, macOS).

    A kernel or depth cell of which this is said has no rank and is due again; of a task cell it is said of its times alone.
    """
    known = [record.environment.get(fact) for fact in ("other_load", "steal")]
    other, steal = (float(value) if isinstance(value, (int, float)) else 0.0 for value in known)
    if not is_disturbing(other, steal):
        return None
    return f"{used_by_others(other, steal)} while it was timed; {ALLOWED_LOAD:g} is allowed"


def _cores(number: float) -> str:
    return f"{number:.2f} of a core" if number <= 1 else f"{number:.2f} cores"
