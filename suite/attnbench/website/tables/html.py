"""Writes tables as HTML; in Python and not in a template, for speed: a large store has a million cells."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from markupsafe import Markup

from attnbench.analysis.labels import clip
from attnbench.website.tables.table import Bar, Cell, Column, Table, Word
from attnbench.website.words import WORDS

LONGEST = 400  # characters of a cell


def table_html(table: Table, root: str, number: int | None = None) -> Markup:
    """The HTML of a table, in a region that scrolls by itself. root: relative path to the site's top; number: its index in its view."""
    caption = _text(clip(table.caption, LONGEST))
    tag = "<table>" if number is None else f'<table data-table="{number}">'
    head = "".join(map(_column, table.columns))
    body = "".join([f"<tr>{_row(row, root)}</tr>\n" for row in table.rows])
    resolution = f'<p class="resolution">{_text(table.resolution)}</p>\n' if table.resolution else ""
    notes = "".join([f'<p class="note">{_text(note)}</p>\n' for note in table.notes])
    return Markup(
        f'<div class="scroll" tabindex="0" role="region" aria-label="{caption}">\n{tag}\n<caption><span>{caption}</span></caption>\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>\n</table>\n</div>\n{resolution}{notes}"
    )


def tell_html(text: str, told: Sequence[str] = ()) -> Markup:
    """The HTML of a word that opens to what it means: a tap, a click, a key, the mouse or the focus opens it, without scripts the first
    three. told: paragraphs; none if the word is one of WORDS."""
    paragraphs = "".join(f"<p>{_text(paragraph)}</p>" for paragraph in told or (WORDS[text],))
    return Markup(f'<details class="tell"><summary>{_text(text)}</summary><div class="told">{paragraphs}</div></details>')


def _column(column: Column) -> str:
    key = f' data-key="{_text(column.key)}"{" data-falling" if column.falling else ""}' if column.key else ""
    small = f"<small>{_text(column.small)}</small>" if column.small else ""
    if column.told:
        small = f'<div class="words">{tell_html(column.small, (column.told,))}</div>'
    return f'<th scope="col" class="{column.kind}"{key}>{_text(column.title)}{small}</th>'


def _row(row: Sequence[Cell], root: str) -> str:
    return "".join([_cell(cell, root) for cell in row])


def _cell(cell: Cell, root: str) -> str:
    kind = cell.kind
    tag, scope = ("th", ' scope="row"') if kind.startswith(("variant", "head")) else ("td", "")
    span = f' colspan="{cell.span}"' if cell.span > 1 else ""
    title = f' title="{_text(cell.title)}"' if cell.title and cell.bar is None else ""
    return f'<{tag}{scope} class="{kind}"{span}{title}>{_content(cell, root)}</{tag}>'


def _content(cell: Cell, root: str) -> str:
    if cell.more:
        return _on_demand(cell, root)
    text = _text(cell.text if len(cell.text) <= LONGEST or isinstance(cell.text, Markup) else clip(cell.text, LONGEST))
    if cell.bar is not None:
        return f"{_bar(cell.bar)}<small>{text}</small>"
    if cell.told:
        text = str(tell_html(Markup(text), cell.told))
    elif cell.href:
        target = cell.href if cell.href.startswith("#") else root + cell.href
        text = f'<a href="{_text(target)}">{text}</a>'
    mark = ""
    if cell.style is not None:
        mark = (
            f'<svg class="mark" viewBox="0 0 12 12" aria-hidden="true"><path style="fill:{cell.style.colour}" d="{cell.style.path}"/></svg>'
        )
    small = f"<small>{_text(cell.small)}</small>" if cell.small else ""
    return mark + text + small + _words(cell.words)


def _words(words: Sequence[Word]) -> str:
    told = " · ".join([tell_html(word.text, word.told) if word.told else _text(word.text) for word in words])
    return f'<div class="words">{told}</div>' if told else ""


def _on_demand(cell: Cell, root: str) -> str:
    reason, command = cell.more
    return (
        f'<details class="why"><summary>{_text(cell.text)}</summary><p>{_text(reason)}</p><pre><code>{_text(command)}</code></pre>'
        f'<p><a href="{_text(root + cell.href)}">The cell in full</a></p></details>'
    )


def _bar(bar: Bar) -> str:
    base = "" if bar.base is None else f'<i class="base" style="left:{bar.base}%"></i>'
    width = max(bar.high - bar.low, 0)
    span = f'<i class="range" style="left:{bar.low}%;width:{width:.2f}%"></i>'
    return f'<span class="bar" aria-hidden="true">{base}{span}<i class="dot" style="left:{bar.value}%"></i></span>'


def _text(text: str) -> str:
    """Text escaped for HTML; Markup is left unchanged."""
    return str(text) if isinstance(text, Markup) else escape(text)
