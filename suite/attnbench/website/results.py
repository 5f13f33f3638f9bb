"""The records as the pages need them: the one that counts for each cell, sorted, in groups that may be compared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from attnbench.analysis.budgets import Ladders, ladders
from attnbench.analysis.drift import Drifts
from attnbench.analysis.frame import frame
from attnbench.analysis.labels import Labels, canonical
from attnbench.analysis.rates import Trials, trials_by_setting
from attnbench.analysis.samples import is_trial, pooled
from attnbench.analysis.settings import newest_of_cells
from attnbench.analysis.standings import Standings
from attnbench.analysis.step_times import step_times
from attnbench.analysis.task_notes import control_beside
from attnbench.analysis.training_time import with_training_time
from attnbench.attention import Variant
from attnbench.spec.axis_values import TRACKS
from attnbench.store.controls import Control
from attnbench.store.newest import newest
from attnbench.store.record import Record
from attnbench.website.groups import Axis, Group, axes, by_variant
from attnbench.website.palette import Style, assign

if TYPE_CHECKING:
    import pandas as pd


class Results:
    """All records of a store, with the declarations of the variants that are registered here.

    records: those of one session in the order of its file; otherwise their order does not matter. first: the machine whose groups come
    first, if any. controls: what models without attention reach on tasks.
    """

    def __init__(
        self,
        records: Iterable[Record],
        declared: Mapping[str, Variant],
        shipped: Iterable[str] = (),
        first: str | None = None,
        controls: Sequence[Control] = (),
    ) -> None:
        self._first = first
        self.controls = controls
        ordered = _by_start(records)
        self._all = ordered
        # The records that the pages show: one per cell and session, the one that counts.
        counting = set(map(id, newest(ordered, lambda record: (record.machine, record.session, record.id))))
        self.sessions = [record for record in ordered if id(record) in counting]
        self.declared = declared
        self._label_of: dict[tuple[str, str], str] = {}
        self._counting = sorted(newest_of_cells(ordered, self.label), key=_order)
        self.drifts = Drifts(ordered)
        families = {name: variant.family for name, variant in declared.items()}
        families = {**{r.spec.variant: "other" for r in self._counting}, **families}
        self.styles: dict[str, Style] = assign(families, shipped)
        self.charts: dict[object, Any] = {}  # charts that several pages show
        self._groups: dict[str, list[Group]] = {}

    @cached_property
    def records(self) -> list[Record]:
        """The record that counts for each cell, training runs with their times on one machine."""
        steps = step_times(self.table, self._labels)
        return [with_training_time(record, self.label(record), steps) for record in self._counting]

    @cached_property
    def trials(self) -> Trials:
        """The tuning trials, by what they share with the runs that rest on them, and by label."""
        return trials_by_setting(self.records, self.label)

    @cached_property
    def ladders(self) -> Ladders:
        """The runs of parts of budgets, with those of the whole."""
        return ladders(record for record in self.records if record.spec.track == "task" and not is_trial(record))

    def control(self, record: Record) -> Control | None:
        """What a model without attention reaches on the task and the data of a record; None where that was not measured."""
        return control_beside(self.controls, record)

    @cached_property
    def table(self) -> pd.DataFrame:
        """All records as a frame, training curves included."""
        return frame(self._all, curves=True)

    @cached_property
    def standings(self) -> Standings:
        """The statistics of all settings."""
        return Standings(self.table, self._labels)

    @cached_property
    def style_of_label(self) -> dict[str, Style]:
        """The style of every mechanism by its label."""
        return {self.label(record): self.styles[record.spec.variant] for record in self.records}

    @cached_property
    def by_variant(self) -> Mapping[str, Sequence[Record]]:
        """The newest records of every mechanism."""
        return by_variant(self.records)

    @cached_property
    def variants(self) -> list[str]:
        """Every recorded variant."""
        return sorted(self.by_variant)

    @cached_property
    def _labels(self) -> Labels:
        return Labels(
            ((r.spec.variant, r.spec.params) for r in self._all), {name: variant.params for name, variant in self.declared.items()}
        )

    def label(self, record: Record) -> str:
        """The variant's name, with the parameters that differ from its defaults."""
        params = record.spec.params
        key = record.spec.variant, canonical(params) if params else ""
        if key not in self._label_of:
            self._label_of[key] = self._labels.label(record.spec.variant, params)
        return self._label_of[key]

    def groups(self, track: str) -> list[Group]:
        """The groups of a track: those with results of the first machine first, then those with most variants, then most results; parts
        of a budget after the whole, and history after all others.

        Without tuning trials.
        """
        if track not in self._groups:
            found: dict[tuple[Axis, ...], list[Record]] = {}
            for record in self.records:
                if record.spec.track == track and not is_trial(record):
                    found.setdefault(axes(record), []).append(record)
            groups = [Group(key, tuple(records if track == "task" else pooled(records, self.label))) for key, records in found.items()]
            self._groups[track] = sorted(
                groups,
                key=lambda g: (
                    all(record.machine != self._first for record in g.records),
                    g.is_history,
                    any(record.spec.tuned_epochs is not None for record in g.records),
                    -len(g.variants),
                    -len(g.records),
                    tuple(axis.value for axis in g.axes),
                ),
            )
        return self._groups[track]


def by_label(results: Results, records: Iterable[Record]) -> dict[str, list[Record]]:
    """The records by the label of their mechanism, in the order given."""
    found: dict[str, list[Record]] = {}
    for record in records:
        found.setdefault(results.label(record), []).append(record)
    return found


def _by_start(records: Iterable[Record]) -> list[Record]:
    """The records, oldest first, those of a session in the order given: there a record counts as begun no earlier than those before."""
    began: dict[tuple[str, str], str] = {}

    def key(record: Record) -> tuple[str, str, str]:
        session = record.machine, record.session
        began[session] = max(began.get(session, ""), record.started_at)
        return began[session], *session

    return sorted(records, key=key)  # `key` depends on being called once for each record, in their order, as sorted does


def _order(record: Record) -> tuple[object, ...]:
    s, params = record.spec, canonical(record.spec.params) if record.spec.params else ""
    return (
        TRACKS.index(s.track), s.variant, params, record.machine, s.device, s.dtype, s.causal, s.batch_size,
        s.num_heads, s.kv_heads, s.head_dim, s.task or "", s.data or "", s.block or "", s.mode, s.num_layers or 0, s.seq_len or 0,
        s.difficulty or "", s.token_shift, s.init_norm, s.positions, s.protocol, s.weight_decay, s.test_seq_len or 0,
        s.epochs or 0, s.tuned_epochs or 0, s.lr or 0.0, s.seed, record.id,
    )  # fmt: skip
