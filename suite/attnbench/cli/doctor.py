"""`attnbench doctor`: prints the facts about this machine, what it can run, and its peak rates."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from attnbench import registry
from attnbench.analysis.labels import threads_text
from attnbench.analysis.number_format import size
from attnbench.cli._notices import tell_of_no_commit, tell_of_plugins, tell_of_shared_name
from attnbench.cli.output import print_json
from attnbench.errors import unknown_name
from attnbench.runner import here
from attnbench.runner.can_measure import lacking, require_measuring, why_not
from attnbench.spec import presets
from attnbench.spec.axis_values import DEVICES
from attnbench.store import environment
from attnbench.store.peaks import Peaks, known_peaks, store_peaks


@dataclass(frozen=True)
class Inquiry:
    """The options of the command. peaks: measure and store the peaks of `device`; as_json: print every fact, known peaks included."""

    results: Path
    device: str = "cpu"
    peaks: bool = False
    as_json: bool = False


def show_doctor(inquiry: Inquiry, out: Console, err: Console) -> None:
    """Print the facts about this machine; with `peaks`, measure its peaks, print them as a table and store them.

    Raises BadInput for an unknown device, Unavailable for one that this machine does not have.
    """
    if inquiry.device not in DEVICES:
        raise unknown_name("device", inquiry.device, DEVICES, "attnbench doctor --help")
    if inquiry.peaks:
        require_measuring()
        from attnbench.runner.lock import measurement_lock

        with measurement_lock():
            peaks = _measure(inquiry.device, err)
            if not inquiry.as_json:
                _print_peaks(peaks, out)
            store_peaks(inquiry.results, environment.machine_name(), peaks)
        if not inquiry.as_json:
            return
    tell_of_plugins(registry.GROUPS)
    tell_of_no_commit()
    tell_of_shared_name()
    facts = _facts(inquiry.results)
    if inquiry.as_json:
        print_json(facts)
    else:
        _print_facts(facts, out)


def _measure(device: str, err: Console) -> Peaks:
    from attnbench.runner.roofline import busy, measure_peaks  # here, with all that a measurement needs: describing a machine needs none

    warning = busy()
    if warning is not None:
        err.print(warning, style="yellow", highlight=False)
    waiting: AbstractContextManager[Any] = err.status("") if err.is_terminal else nullcontext()
    with waiting as shown:

        def watch(stage: str) -> None:
            if shown is not None:
                shown.update(f"peaks of this machine: {stage}")

        return measure_peaks(device, "forkserver", watch)


def _print_peaks(peaks: Peaks, out: Console) -> None:
    threads = "" if peaks.device == "cuda" else f", {threads_text(peaks.threads)}"
    out.print(f"{peaks.device_name}{threads}, torch {peaks.torch}, {peaks.measured_at}", highlight=False)
    products = [(dtype, f"{rate / 1e9:,.0f}") for dtype, rate in peaks.flops_per_s.items()]
    out.print(_table(("matrix product", "GFLOP/s"), products))
    out.print(_table(("working set", "GiB/s"), [(size(working_set), f"{rate / 2**30:,.1f}") for working_set, rate in peaks.bandwidth]))
    if peaks.anchor_s:
        out.print(f"drift anchor: {median(peaks.anchor_s) * 1e3:.3g} ms, the median of {len(peaks.anchor_s)} calls", highlight=False)


def _table(titles: tuple[str, str], rows: Sequence[tuple[str, str]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column(titles[0], min_width=16)
    table.add_column(titles[1], justify="right")
    for row in rows:
        table.add_row(*row)
    return table


def _facts(results: Path) -> dict[str, Any]:
    machine, threads, torch = environment.machine_name(), here.threads(), here.torch_says()
    has_cuda = torch is not None and torch.gpu is not None
    known = {device: known_peaks(results, machine, device, threads, here.gpu() if device == "cuda" else None) for device in DEVICES}
    return {
        "machine": machine,
        "machine_is_unique": environment.shared_name() is None,
        **environment.describe(),
        "cuda": has_cuda,
        "devices": _devices(torch),
        "measures": why_not() or lacking() or "everything",
        "presets": presets.fitting(has_cuda),
        "peaks": {device: peaks.as_json() for device, peaks in known.items() if peaks is not None},
    }


def _devices(torch: here.TorchSays | None) -> dict[str, str]:
    """The devices of this torch, each with what attnbench does on it."""
    if torch is None:
        return {"cpu": "not measured: torch gave no answer, see python -c 'import torch'"}
    measured = "not measured on this system" if why_not() else "measured"
    found = {"cpu": measured}
    if torch.gpu is not None and torch.hip:
        found["cuda"] = (
            f"{torch.gpu} through ROCm {torch.hip}, which torch calls cuda: {measured}, but no one has tried it on such a GPU yet"
        )
    elif torch.gpu is not None:
        found["cuda"] = f"{torch.gpu}: {measured}"
    else:
        build = f"CUDA {torch.cuda}" if torch.cuda else f"ROCm {torch.hip}" if torch.hip else "the CPU alone"
        found["cuda"] = f"none here (this torch is built for {build})"
    if torch.accelerator not in (None, *DEVICES):
        found[str(torch.accelerator)] = "not measured: attnbench has no clock and no memory counter for it; cells run on the CPU"
    return found


def _print_facts(facts: dict[str, Any], out: Console) -> None:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold")
    table.add_column()
    for name, value in facts.items():
        table.add_row(name, _fact(name, value))
    out.print(table)
    if not facts["cuda"]:
        out.print("No CUDA device: cells run on the CPU. Name this machine with ATTNBENCH_MACHINE=NAME.", style="dim")


def _fact(name: str, value: object) -> str:
    if name == "peaks" and isinstance(value, dict):
        return "; ".join(f"{device}: measured {peaks['measured_at']}" for device, peaks in value.items()) or "attnbench doctor --peaks"
    if name.endswith("_bytes") and isinstance(value, int):
        return size(value)
    if isinstance(value, dict):
        return ", ".join(f"{key} {_fact(name, item)}" for key, item in value.items()) or "unknown"
    if isinstance(value, list):
        return ", ".join(_fact("", item) for item in value) or "none"
    return "-" if value is None else str(value)
