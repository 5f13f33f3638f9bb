"""`attnbench show`: the newest record of every cell as terminal tables, one row a variant, failures in their place."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from attnbench.analysis.drift import Drifts, SessionKey
from attnbench.analysis.frame import newest
from attnbench.analysis.labels import Labels
from attnbench.analysis.quantity import count, seconds, size
from attnbench.analysis.scaling import claimed_exponent
from attnbench.analysis.settings import declared_params
from attnbench.cli.filters import Filter as Filter
from attnbench.cli.show_costs import Costs, cost_table, in_labels
from attnbench.cli.show_overall import print_overall
from attnbench.cli.terminal import new_table, print_table
from attnbench.errors import BadInput, unknown_name
from attnbench.spec.axes import Spec
from attnbench.stats import median_interval, rank_ranges, scoring_higher
from attnbench.store.record import Record
from attnbench.store.store import Problem, Store
from attnbench.website.groups import epochs, pooled, rate
from attnbench.website.results import is_trial, over_seeds, rates, single, status_word, values
from attnbench.website.tables.table import rank_text
from attnbench.website.task_metrics import Metric, metric_of

Setting = tuple[object, ...]
Label = Callable[[Record], str]


def show_results(results: Path, wanted: Filter, out: Console, err: Console) -> None:
    """Print the tables of a results folder.

    Raises BadInput when the folder is missing, holds nothing, or has no such track, variant or machine.
    """
    problems: list[Problem] = []
    stored = list(Store(results).read(problems))
    records = newest(stored)
    for problem in problems:
        err.print(f"skipped an unreadable line: {problem}", style="yellow", markup=False, soft_wrap=True)
    if not records:
        raise BadInput(f"{results} holds no records yet; run `attnbench run --results {results}` first")
    for what, of in (("track", attrgetter("spec.track")), ("variant", attrgetter("spec.variant")), ("machine", attrgetter("machine"))):
        name, known = getattr(wanted, what), set(map(of, records))
        if name is not None and name not in known:
            raise unknown_name(what, name, known, f"what {results} holds")
    chosen = [record for record in records if wanted.holds(record)]
    trials = [record for record in chosen if is_trial(record)]
    settings = _grouped((record for record in chosen if not is_trial(record)), _setting)
    flags = Drifts(stored).flags()
    label = _labels(records)
    for rows in settings.values():
        if rows[0].spec.track == "task":
            tried = sum(_tunes(trial, rows[0]) for trial in trials)
            _print(_task_table(rows, label), f"{metric_of(rows).title} and cost", rows, out, tried)
        else:
            _print_costs(rows, label, flags, out)
    print_overall(chosen, out)
    early = [trial for trial in trials if not any(_tunes(trial, rows[0]) for rows in settings.values())]
    for rows in _grouped(early, lambda trial: _setting(trial)[:-1]).values():
        out.print(f"{_trials(len(rows))} and no rate chosen yet: {_title(rows[0].spec)}\n", markup=False, highlight=False)
    for (machine, session), flag in flags.items():
        if any((record.machine, record.session) == (machine, session) for record in chosen):
            out.print(f"flagged: the times of session {session} do not rank: {flag}", style="yellow", markup=False, highlight=False)
    failed = [record for record in chosen if record.status != "ok"]
    for record in failed:
        out.print(f"{record.status}: {record.spec.label()}: {_first_line(record)}", style="yellow", markup=False, highlight=False)


def _setting(record: Record) -> Setting:
    """What rows of one table share: other hardware, versions of torch, dtypes or shapes are never mixed."""
    s = record.spec
    shape = (s.batch_size, s.num_heads, s.head_dim, record.environment.get("torch"))
    if s.track == "kernel":
        return (s.track, record.machine, s.device, s.dtype, s.causal, shape, s.mode)
    if s.track == "depth":
        return (s.track, record.machine, s.device, s.dtype, s.causal, shape, s.seq_len, s.block)
    return (s.track, record.machine, s.device, s.dtype, s.causal, shape, s.task, s.data, s.block, s.num_layers, s.epochs, rate(s))


def _tunes(trial: Record, tuned: Record) -> bool:
    """Whether a trial is one of those by which the rate of a setting was chosen."""
    return _setting(trial)[:-1] == _setting(tuned)[:-1] and rates([trial]) in (tuned.spec.lr_grid or "").split()


def _labels(records: Sequence[Record]) -> Label:
    """Names with what is unusual among their parameters."""
    recorded = [(record.spec.variant, record.spec.params) for record in records]
    labels = Labels(recorded, declared_params({name for name, _ in recorded}))
    return lambda record: labels.label(record.spec.variant, record.spec.params)


def _print_costs(rows: list[Record], label: Label, flags: Mapping[SessionKey, str], out: Console) -> None:
    """Time, then memory, of one setting."""
    spec = rows[0].spec
    along = "seq_len" if spec.track == "kernel" else "num_layers"
    flagged = {replace(record.spec, seed=0).key() for record in rows if (record.machine, record.session) in flags}
    for title, metric, show in (("wall clock", f"{spec.mode}_s", seconds), ("peak memory", "peak_memory_bytes", size)):
        claimed = partial(claimed_exponent, spec.track, spec.mode, metric.endswith("_s"))
        costs = Costs(along, metric, show, metric.endswith("_s"), flagged, claimed)
        table, where = cost_table(in_labels(pooled(rows), label, costs.of), costs)
        _print(table, f"{title} by {along}; {where}", rows, out)


def _places(seeds: Mapping[str, Sequence[Record]], metric: Metric) -> dict[str, tuple[int, int]]:
    """The ranks that each mechanism could have, by tests paired by seed; where a seed failed there is none."""
    sign = 1.0 if metric.more_is_better else -1.0
    found = {label: {r.spec.seed: sign * x for r in of for x in values(r, metric.name)[:1]} for label, of in seeds.items()}
    whole = {label: by_seed for label, by_seed in found.items() if by_seed and all(r.status == "ok" for r in seeds[label])}
    return dict(zip(whole, rank_ranges(scoring_higher(list(whole.values()))), strict=True))


def _task_table(rows: list[Record], label: Label) -> Table:
    metric = metric_of(rows)
    shown: dict[str, Callable[[list[Record]], str]] = {
        "seeds": lambda done: str(len(done)),
        **({"diverged": _diverged} if any(single(record, "diverged") for record in rows) else {}),
        **({"rate": rates} if rows[0].spec.lr_grid is not None else {}),
        "train": lambda done: _typical(done, "train_s", seconds),
        "to target": _time_to_target,
        "tokens/s": lambda done: _typical(done, "training_tokens_per_s", count),
        "memory": lambda done: _typical(done, "peak_memory_bytes", size),
        "params": lambda done: _typical(done, "parameters", count),
        **({"its own": _own_parameters} if any(single(record, "mechanism_parameters") for record in rows) else {}),
    }
    table = new_table("rank", "variant", metric.title, *shown, left=("variant",))
    mechanisms = _grouped(rows, label)
    places = _places(mechanisms, metric)
    last = (10**6, 10**6)
    for variant, own in sorted(mechanisms.items(), key=lambda item: (places.get(item[0], last), item[0])):
        done = [record for record in own if single(record, metric.name) is not None]
        learnt = over_seeds(done, metric.name)
        if learnt is None:
            table.add_row("–", variant, Text(status_word(own[0]), style="yellow"))
            continue
        mean = learnt[0]
        told = metric.show(mean.value) + (f" {metric.spread(mean)}" if mean.confidence else "")
        table.add_row(rank_text(places.get(variant)), variant, told, *(of(done) for of in shown.values()))
    return table


def _diverged(done: list[Record]) -> str:
    return count(sum(bool(single(record, "diverged")) for record in done))


def _own_parameters(done: list[Record]) -> str:
    return _typical(done, "mechanism_parameters", lambda own: f"+{count(own)}")


def _time_to_target(done: list[Record]) -> str:
    """Median over the seeds that reached the target, and how many did if not all."""
    reached = sum(single(record, "time_to_target_s") is not None for record in done)
    if not reached:
        return "never"
    return _typical(done, "time_to_target_s", seconds) + (f" ({reached}/{len(done)})" if reached < len(done) else "")


def _print(table: Table, title: str, rows: list[Record], out: Console, tried: int = 0) -> None:
    spec: Spec = rows[0].spec
    shape = f"batch {spec.batch_size}, {spec.num_heads} heads, head_dim {spec.head_dim}, {spec.dtype}, {spec.device}, {rows[0].machine}"
    if spec.track == "task":
        shape = f"{rate(spec)}, {shape}"
    facts = [metric_of(rows).chance_text(rows) if spec.track == "task" else "", f"{_trials(tried)}." if tried else ""]
    out.print(f"[bold]{escape(_title(spec))} · {title}[/]\n[dim]{escape(shape)}[/]", highlight=False)
    for fact in filter(None, facts):
        out.print(fact, style="dim", markup=False, highlight=False)
    print_table(out, table)
    out.print()


def _title(spec: Spec) -> str:
    """What was run, without the variant."""
    causal = " · causal" if spec.causal else ""
    return {
        "kernel": f"kernel · {spec.mode}{causal}",
        "depth": f"depth · {spec.block} · {spec.mode} · seq_len {spec.seq_len}",
        "task": f"task · {spec.task}{causal} · {spec.block} · {spec.depth_label()} · {epochs(spec)}",
    }[spec.track]


def _trials(number: int) -> str:
    return f"{number} tuning trial{'' if number == 1 else 's'}"


def _typical(records: Iterable[Record], metric: str, show: Callable[[float], str]) -> str:
    """Median over the seeds that have it."""
    found = [value for record in records if (value := single(record, metric)) is not None]
    return show(median_interval(found).value) if found else "-"


def _first_line(record: Record) -> str:
    return (record.reason or "no reason given").splitlines()[0]


def _grouped(records: Iterable[Record], key: Callable[[Record], Any]) -> dict[Any, list[Record]]:
    groups: dict[Any, list[Record]] = {}
    for record in records:
        groups.setdefault(key(record), []).append(record)
    return groups
