"""The pages of cells: what each cell was, its numbers, its machine and code, and the command that measures it again.

Cells whose ids end alike share a page, which can be read without scripts. A script beside each page holds the same records as they are
stored; with it the page draws raw samples and compares any two cells.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from html import escape

import msgspec
from markupsafe import Markup

from attnbench.analysis.labels import clip
from attnbench.analysis.number_format import plain, seconds, size
from attnbench.analysis.own_softmax import of_session, own_seconds
from attnbench.analysis.samples import is_trial, status_word, values
from attnbench.analysis.settings import Setting, bench_of
from attnbench.analysis.task_metrics import METRICS as TASK_METRICS
from attnbench.stats import median_interval
from attnbench.store.metrics import metric as metric_of
from attnbench.store.ran_on import ran_on
from attnbench.store.record import Record
from attnbench.website.groups import MODES
from attnbench.website.links import cell_anchor, cell_file, machine_href, variant_file
from attnbench.website.pages.cell_facts import trust_facts
from attnbench.website.results import Results
from attnbench.website.tables.html import tell_html
from attnbench.website.tables.table import interval_text
from attnbench.website.words import WORDS

LONGEST = 4000  # characters of a reason or command
CAPTION = "Measurements: medians, with the interval of this process’s samples alone where a time has several"
_HEAD = "".join(f'<th scope="col">{title}</th>' for title in ("Metric", "Value", "Interval", "Samples"))
_BEFORE_ROWS = (
    f'<div class="scroll" tabindex="0" role="region" aria-label="Measurements"><table class="metrics"><caption><span>{CAPTION}</span>'
    f"</caption><thead><tr>{_HEAD}</tr></thead><tbody>"
)
SHOWN = 16  # most values that are listed one by one
_SHOWN_BY_UNIT = {"s": seconds, "B": size}


def cell_pages(results: Results) -> Iterator[tuple[str, Markup, bytes]]:
    """Yield every page of cells: its file, its content, and the script beside it."""
    earlier: dict[tuple[Setting, str], list[Record]] = {}
    newest = {id(record) for record in results.records}
    for record in results.sessions:
        if id(record) not in newest:
            earlier.setdefault((bench_of(record), record.id), []).append(record)
    own = own_seconds(results.sessions, results.label)
    pages: dict[str, list[Record]] = {}
    for record in results.records:
        pages.setdefault(cell_file(record), []).append(record)
    for file, records in sorted(pages.items()):
        articles, lines = [], []
        for record in records:
            before = earlier.get((bench_of(record), record.id), [])[::-1]
            anchors = [cell_anchor(record), *(cell_anchor(record, of.session) for of in before)]
            beside = [of_session(own, of) for of in (record, *before)]
            articles.append(_article(results, record, anchors[0], beside[0], list(zip(anchors[1:], before, strict=True))))
            articles += [_article(results, *of, []) for of in zip(before, anchors[1:], beside[1:], strict=True)]
            lines += [_line(anchor, of) for anchor, of in zip(anchors, (record, *before), strict=True)]
        yield file, Markup("".join(articles)), b"".join(lines)


def _line(anchor: str, record: Record) -> bytes:
    return b"attnbench.cell(%s,%s);\n" % (json.dumps(anchor).encode(), msgspec.json.encode(record, order="deterministic"))


def _article(results: Results, record: Record, anchor: str, base_s: float | None, before: Sequence[tuple[str, Record]]) -> str:
    label = clip(results.label(record), 80)
    reason = f'<p class="reason">{escape(clip(record.reason, LONGEST))}</p>' if record.reason else ""
    trial = "<p>A tuning trial: it was judged on the validation part, and stands in no table of results.</p>" if is_trial(record) else ""
    links = (
        f'<a href="../{variant_file(record.spec.variant)}">{escape(label)}</a> on '
        f'<a href="../{machine_href(record.machine)}">{escape(clip(record.machine, 80))}</a>'
    )
    return (
        f'<article class="cell" id="{anchor}"><h2>{escape(clip(cell_title(results, record), 300))} '
        f'<span class="status {record.status}">{status_word(record)}</span></h2>{reason}{trial}<p class="crumb">{links}</p>'
        f'<pre class="command"><code>{escape(clip(record.command, LONGEST))}</code></pre>{_metrics(record)}'
        f"{_judged_by(record, base_s)}{_facts(record)}{_before(before)}</article>\n"
    )


def cell_title(results: Results, record: Record) -> str:
    """A line that says what the cell was."""
    s = record.spec
    label = results.label(record)
    found = f"{s.label()} · {s.device}, {s.dtype}, {'causal' if s.causal else 'bidirectional'} · batch {s.batch_size}"
    return f"{found}, {s.heads_label()}" + (f" · {label}" if label != s.variant else "")


def _metrics(record: Record) -> str:
    rows = []
    own = (*(f"{mode}_s" for mode in MODES), *(f"{mode}_kernel_s" for mode in MODES), "anchor_ratio", "mfu", "accuracy", "bits_per_byte")
    for metric in sorted(record.measurements, key=lambda name: (name not in own, name)):
        samples = values(record, metric)
        if samples:
            value, interval = metric_text(metric, samples)
            rows.append(f"<tr>{_metric_head(metric)}<td>{value}</td><td>{interval}</td><td>{len(samples)}</td></tr>")
    return f"{_BEFORE_ROWS}{''.join(rows)}</tbody></table></div>" if rows else "<p>It gave no measurement.</p>"


@lru_cache(1024)
def _metric_head(metric: str) -> str:
    return f'<th scope="row" title="{escape(metric_of(metric).meaning)}">{escape(clip(metric, 80))}</th>'


@lru_cache(1024)
def _shown(metric: str) -> tuple[Callable[[float], str], bool]:
    """The format of a metric, and whether its samples repeat one measurement, so that a median makes sense."""
    named = TASK_METRICS.get(metric.removeprefix("validation_").removeprefix("target_"))
    of = metric_of(metric)
    return named.told if named else _SHOWN_BY_UNIT.get(of.unit, plain), of.is_time or metric == "anchor_ratio"


def metric_text(metric: str, samples: Sequence[float]) -> tuple[str, str]:
    """A metric's value with its unit, and its interval; for a metric by layer or head, each value."""
    show, is_repeated = _shown(metric)
    if len(samples) == 1:
        return show(samples[0]), ""
    if is_repeated:
        interval = median_interval(samples)
        return show(interval.value), interval_text(interval, show)
    told = ", ".join(map(show, samples[:SHOWN]))
    return told + (f" and {len(samples) - SHOWN} more" if len(samples) > SHOWN else ""), "of layers or heads"


def _judged_by(record: Record, base_s: float | None) -> str:
    """The facts by which the numbers can be judged; "" where the record has none."""
    rows = [
        f"<div><dt>{tell_html(name) if name in WORDS else name}</dt><dd>{escape(told)}</dd></div>"
        for name, told in trust_facts(record, base_s)
    ]
    return f'<h3>What to judge it by</h3><dl class="facts-list wide">{"".join(rows)}</dl>' if rows else ""


def _facts(record: Record) -> str:
    e = record.environment
    commit = str(e.get("commit") or "unknown") + (" with local changes" if e.get("dirty") else "")
    found = (
        ("cell", record.id), ("session", record.session), ("measured", record.started_at),
        ("took", seconds(record.duration_s)), ("commit", commit), ("torch", str(e.get("torch") or "unknown")),
        ("threads", str(e.get("threads") or "unknown")), ("GPU", ran_on(record.spec.device, e).gpu), ("sources", record.fingerprint),
        ("origin", f"{record.origin.by}, {record.origin.trust}"), ("stage", record.stage or ""),
    )  # fmt: skip
    rows = [f"<div><dt>{name}</dt><dd>{escape(clip(value, LONGEST))}</dd></div>" for name, value in found if value]
    return f'<dl class="facts-list">{"".join(rows)}</dl>'


def _before(before: Sequence[tuple[str, Record]]) -> str:
    """Links to earlier measurements of the same cell."""
    if not before:
        return ""
    links = [
        f'<li><a href="#{anchor}">{escape(f"{clip(of.started_at, 60)}, session {clip(of.session, 60)}")}</a></li>' for anchor, of in before
    ]
    return f"<h3>Measured before</h3><ul>{''.join(links)}</ul>"
