"""Every cell in full: what it was, what came out, on what, from which code, and the command that measures it again.

Cells whose ids end alike share a page, which needs no script; beside each page lies a script with the same records as they are stored, from
which the page draws raw samples and compares any two cells.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence

import msgspec
from markupsafe import Markup

from attnbench.columns import METRICS, general
from attnbench.frame import unit
from attnbench.record import Record
from attnbench.render.links import cell_anchor, cell_file, machine_href, variant_file
from attnbench.render.metric import METRICS as TASK_METRICS
from attnbench.render.quantity import count, plain, seconds, size
from attnbench.render.results import Results, is_trial, status_word, values
from attnbench.render.tables import clip, interval_text
from attnbench.stats import median_interval

LONGEST = 4000  # characters of a reason or command
CAPTION = "Measurements: medians, with 99 % intervals where there are several samples of a time"
_HEAD = Markup("").join(Markup('<th scope="col">{}</th>').format(title) for title in ("Metric", "Value", "Interval", "Samples"))
SHOWN = 16  # values that are told one by one
_SHOWN_BY_UNIT = {"s": seconds, "B": size, "FLOP": plain, "token/s": plain}


def cell_pages(results: Results) -> Iterator[tuple[str, Markup, bytes]]:
    """Every page of cells: its file, what stands in it, and the script beside it."""
    earlier: dict[tuple[str, str], list[Record]] = {}
    newest = {id(record) for record in results.records}
    for record in results.sessions:
        if id(record) not in newest:
            earlier.setdefault((record.machine, record.id), []).append(record)
    pages: dict[str, list[Record]] = {}
    for record in results.records:
        pages.setdefault(cell_file(record), []).append(record)
    for file, records in sorted(pages.items()):
        articles, lines = [], []
        for record in records:
            before = earlier.get((record.machine, record.id), [])[::-1]
            anchors = [cell_anchor(record), *(cell_anchor(record, of.session) for of in before)]
            articles.append(_article(results, record, anchors[0], list(zip(anchors[1:], before, strict=True))))
            articles += [_article(results, of, anchor, []) for anchor, of in zip(anchors[1:], before, strict=True)]
            lines += [_line(anchor, of) for anchor, of in zip(anchors, (record, *before), strict=True)]
        yield file, Markup("").join(articles), b"".join(lines)


def _line(anchor: str, record: Record) -> bytes:
    return b"attnbench.cell(%s,%s);\n" % (json.dumps(anchor).encode(), msgspec.json.encode(record, order="deterministic"))


def _article(results: Results, record: Record, anchor: str, before: Sequence[tuple[str, Record]]) -> Markup:
    s = record.spec
    status = Markup('<span class="status {}">{}</span>').format(record.status, status_word(record))
    reason = Markup('<p class="reason">{}</p>').format(clip(record.reason, LONGEST)) if record.reason else ""
    variant = Markup('<a href="../{}">{}</a>').format(variant_file(s.variant), clip(results.label(record), 80))
    trial = (
        Markup("<p>A tuning trial: it was judged on the validation part, and stands in no table of results.</p>")
        if is_trial(record)
        else ""
    )
    return Markup(
        '<article class="cell" id="{anchor}"><h2>{title} {status}</h2>{reason}{trial}'
        '<p class="crumb">{variant} on <a href="../{machine_href}">{machine}</a></p>'
        '<pre class="command"><code>{command}</code></pre>{metrics}{facts}{before}</article>\n'
    ).format(
        anchor=anchor, title=clip(cell_title(results, record), 300), status=status, reason=reason, trial=trial, variant=variant,
        machine_href=machine_href(record.machine), machine=clip(record.machine, 80), command=clip(record.command, LONGEST),
        metrics=_metrics(record), facts=_facts(record), before=_before(before),
    )  # fmt: skip


def cell_title(results: Results, record: Record) -> str:
    """What the cell was, in a line."""
    s = record.spec
    kind = [s.device, s.dtype, "causal" if s.causal else "bidirectional"]
    label = results.label(record)
    return f"{s.label()} · {', '.join(kind)} · batch {s.batch_size}, {s.num_heads} heads of {s.head_dim}" + (
        f" · {label}" if label != s.variant else ""
    )


def _metrics(record: Record) -> Markup:
    rows = []
    for metric in sorted(record.measurements):
        samples = values(record, metric)
        if samples:
            meaning = METRICS.get(general(metric), "")
            shown = metric_text(metric, samples)
            row = Markup('<tr><th scope="row" title="{}">{}</th><td>{}</td><td>{}</td><td>{}</td></tr>')
            rows.append(row.format(meaning, clip(metric, 80), *shown, count(len(samples))))
    if not rows:
        return Markup("<p>It gave no measurement.</p>")
    return Markup(
        '<div class="scroll" tabindex="0" role="region" aria-label="Measurements"><table class="metrics"><caption><span>{}</span></caption>'
        "<thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>"
    ).format(CAPTION, _HEAD, Markup("").join(rows))


def metric_text(metric: str, samples: Sequence[float]) -> tuple[str, str]:
    """A metric's value with its unit, and its interval; of layers and heads each value."""
    show: Callable[[float], str] = _SHOWN_BY_UNIT.get(unit(metric), plain)
    named = TASK_METRICS.get(metric.removeprefix("validation_").removeprefix("target_"))
    if named:
        show = named.told
    if len(samples) == 1:
        return show(samples[0]), ""
    if unit(metric) == "s" or metric == "anchor_ratio":
        interval = median_interval(samples)
        return show(interval.value), interval_text(interval, show)
    told = ", ".join(show(x) for x in samples[:SHOWN])
    return told + (f" and {len(samples) - SHOWN} more" if len(samples) > SHOWN else ""), "of layers or heads"


def _facts(record: Record) -> Markup:
    e = record.environment
    commit = str(e.get("commit") or "unknown") + (" with local changes" if e.get("dirty") else "")
    axes = ", ".join(f"{name} {value}" for name, value in record.spec.chosen().items() if name not in ("track", "variant"))
    found = [
        ("cell", record.id), ("spec", axes), ("session", record.session), ("measured", record.started_at),
        ("took", seconds(record.duration_s)),
        ("commit", commit), ("torch", str(e.get("torch") or "unknown")), ("threads", str(e.get("threads") or "unknown")),
        ("sources", record.fingerprint), ("origin", f"{record.origin.by}, {record.origin.trust}"), ("stage", record.stage or ""),
    ]  # fmt: skip
    rows = [Markup("<div><dt>{}</dt><dd>{}</dd></div>").format(name, clip(value, LONGEST)) for name, value in found if value]
    return Markup('<dl class="facts-list">{}</dl>').format(Markup("").join(rows))


def _before(before: Sequence[tuple[str, Record]]) -> Markup:
    """Links to earlier measurements of the same cell."""
    if not before:
        return Markup("")
    links = [
        Markup('<li><a href="#{}">{}</a></li>').format(anchor, f"{of.started_at}, session {clip(of.session, 60)}") for anchor, of in before
    ]
    return Markup("<h3>Measured before</h3><ul>{}</ul>").format(Markup("").join(links))
