"""Says of an error whether its cause may lie outside the cell: a folder, a limit, a driver, a package that is not here, a kill.

Such an error is met again only if its cause is still there, so the cell is worth another try by the same command. It is decided from what a
record holds, so that the records of older versions count too.
"""

from __future__ import annotations

import builtins
import re

from attnbench.store.record import Record
from attnbench.store.report import Report

STAGES = ("start", "load data")  # of a cell, in which no mechanism runs yet
CHECK = "check"  # how the stages of a check begin
_CHECK_STAGES = tuple(f"{CHECK}: {stage}" for stage in ("start", "load", "end"))
_OF_THE_SYSTEM = tuple(
    name for name, x in vars(builtins).items() if isinstance(x, type) and issubclass(x, (OSError, ImportError, MemoryError, EOFError))
)
# Classes of libraries, by name alone: their own modules need not be here. What a compiler, a cache, a hub or a subprocess raises.
_OF_LIBRARIES = (
    "ArrowInvalid", "ArrowIOError", "BackendCompilerFailed", "BadGzipFile", "BadZipFile", "BrokenProcessPool", "CalledProcessError",
    "CppCompileError", "CUDACompileError", "DatasetGenerationError", "DatasetNotFoundError", "HfHubHTTPError", "HTTPError", "InductorError",
    "InvalidCxxCompiler", "KeyboardInterrupt", "LocalEntryNotFoundError", "NonMatchingSplitsSizesError", "NotImportable",
    "OfflineModeIsEnabled", "SubprocException", "TimeoutExpired", "UnpicklingError", "URLError",
)  # fmt: skip
_RAISED = "it raises "  # begins what a check found whose mechanism raised
# The class of an error, at the beginning of a reason.
_NAMED = re.compile(rf"(?:{_RAISED}|.* cannot be imported: )?(?:[\w.]*\.)?(\w+)(?::|$)")
# What a mechanism does wrong: the words are its own, and those of a system by chance alone.
_OWN = (ArithmeticError, AssertionError, AttributeError, LookupError, NameError, NotImplementedError, SyntaxError, TypeError, ValueError)
_OF_THE_MECHANISM = tuple(name for name, x in vars(builtins).items() if isinstance(x, type) and issubclass(x, _OWN))
# What older versions raised where a hard limit is below theirs: the words of Python's `resource`.
_LIMIT = re.compile(r"ValueError: (?:current limit exceeds|not allowed to raise) maximum limit")
_SAID = re.compile(
    r"\[(?:errno|winerror) \d+\]|(?:permission denied|operation not permitted) \((?:os error )?\d+\)"
    r"|no space left on device|disk quota exceeded|read-only file system|too many open files"
    r"|resource temporarily unavailable|can't start new thread|input/output error|stale file handle|file too large"
    r"|unable to (?:open|mmap|resize|allocate|create) \S*\s?(?:shared memory|file)"
    r"|connection (?:refused|reset|aborted|error)|timed out(?! of\b)|temporary failure in name resolution"
    r"|killed by (?:the )?signal|worker.* exited unexpectedly"
    r"|pytorchstreamreader failed|no nvidia driver|cuda driver|cuda initialization|cuda unknown error|cuda error: (?:initialization|unknown"
    r"|system not yet|all cuda-capable devices|no cuda-capable|out of memory|driver shutting|uncorrectable ecc|invalid device ordinal)"
    r"|cuinit|nvml|no kernel image|_not_initialized|_alloc_failed|lib\S+\.so\S*: cannot open",
    re.IGNORECASE,
)
_WITHOUT_A_WORD = ("died of ", "ended with exit code ", "closed its pipe ", "sent what cannot be read", "killed by ")


def may_lie_outside(record: Record) -> bool:
    """Whether the cause of an error's record may lie outside its cell. False for a record of another status."""
    if record.status != "error":
        return False
    stage = record.stage or ""
    return stage in STAGES or stage.startswith(_CHECK_STAGES) or said_outside(record.reason or "")


def said_outside(reason: str) -> bool:
    """Whether the reason of an error, or what a check found, is of something outside the mechanism; a reason without a word may be."""
    first = reason.strip().partition("\n")[0]
    named = _NAMED.match(first)
    if not first or first.startswith(_WITHOUT_A_WORD):
        return True
    if named is not None and named[1] in (*_OF_THE_SYSTEM, *_OF_LIBRARIES):
        return True
    if named is not None and named[1] in _OF_THE_MECHANISM:
        return _LIMIT.search(first) is not None
    return _SAID.search(first) is not None


def outside_finding(report: Report) -> tuple[str, str] | None:
    """The name and the detail of the first failed check of a report, if its cause may lie outside the mechanism, and no check found wrong
    numbers; else None. An error of a later check may be one that the first led to."""
    failed = [finding for finding in report.checks if finding.status == "failed"]
    if failed and said_outside(failed[0].detail) and all(finding.detail.startswith(_RAISED) for finding in failed):
        return failed[0].name, failed[0].detail
    return None
