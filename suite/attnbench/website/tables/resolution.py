"""The line below a table of times that says which differences it cannot show, and what a reader must know beside a row's name."""

from __future__ import annotations

from attnbench.analysis.number_format import two_digit_percent
from attnbench.analysis.standing import Standing
from attnbench.analysis.times import BY_TURNS
from attnbench.stats import Interval, Resolution
from attnbench.website.tables.table import Word
from attnbench.website.times import BY_ROUNDS
from attnbench.website.words import WORDS

_NUMBERS = ("no process", "one process", "two processes", "three processes", "four processes", "five processes")


def resolution_text(found: Resolution | None) -> str:
    """The resolution of a table in one line; "" where nothing ranks by time."""
    if found is None:
        return ""
    if not found.processes:
        return _without_softmax(found)
    told = f"Differences below {percent_text(found.factor)} cannot be told apart here: softmax against itself "
    if found.processes > 1:
        told += f"in {processes_text(found.processes)} differs by {percent_text(found.between)}"
    else:
        told = (
            f"A first look, from one process. {told}differs by {percent_text(found.between)} between processes, as known from other cells"
        )
    if found.over_cells is not None:
        told += f", and its time over all cells of this table by {percent_text(found.over_cells)}"
    return f"{told}."


def _without_softmax(found: Resolution) -> str:
    """The line of a table in which softmax has no cell."""
    told = f"Softmax has no cell of its own here. Differences below {percent_text(found.factor)} cannot be told apart: two measurements of "
    told += f"the same code differ by {percent_text(found.between)}, as known from other cells"
    if found.over_cells is not None:
        told += f", and softmax beside the cells of this table by {percent_text(found.over_cells)}"
    return f"{told}."


def against_itself(found: Resolution | None, told: Interval) -> Interval:
    """Softmax's ratio to itself: 1, with what the table cannot tell apart as its interval. told: the ratio where that is not known."""
    return Interval(1.0, 1 / found.factor, found.factor, told.confidence) if found else told


def processes_text(number: int) -> str:
    """A number of processes in words."""
    return _NUMBERS[number] if number < len(_NUMBERS) else f"{number} processes"


def row_words(place: Standing | None, of_table: int) -> tuple[Word, ...]:
    """What must be said of a row beside its name: another session or commit, fewer processes than the table's, and what analysis noted.

    of_table: in how many processes the table's softmax was measured.
    """
    if place is None:
        return ()
    words = [_apart(place.apart)] if place.apart else []
    if place.interval is not None and place.processes < of_table:
        words.append(Word(processes_text(place.processes), (WORDS["first look" if place.processes == 1 else "process"],)))
    return (*words, *map(_noted, place.notes))


def _apart(told: str) -> Word:
    """That a row, or some of its processes, is of another commit, or else session: two words that open to what analysis says of it."""
    row = "This row is" if told.startswith("of ") else "This row has"
    return Word("other commit" if "commit " in told else "other session", (f"{row} {told}; most rows of the table are of another.",))


def _noted(note: str) -> Word:
    """A note of analysis ("launch-bound: a call takes 1 ms ...") as a word that opens to it, and to what the word means."""
    word, _, told = note.partition(": ")
    word = BY_ROUNDS if word == BY_TURNS else word
    meaning = (WORDS[word],) if word in WORDS else ()
    return Word(word, (f"{told[:1].upper()}{told[1:]}.", *meaning) if told else meaning)


def percent_text(factor: float) -> str:
    """By how much a factor differs from one, in percent: two digits, and whole numbers from ten on.

    >>> percent_text(1.0234), percent_text(1.134), percent_text(2.67), percent_text(13.5)
    ('2.3\u2009%', '13\u2009%', '167\u2009%', '1,250\u2009%')
    """
    return two_digit_percent(max(0.001, factor - 1))
