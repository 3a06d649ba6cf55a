"""Layout and colour: trees, tables and explanations as lines of styled text.

Contract:
    * Pure: width in, lines out. ``width`` is None for a pipe or a file, where nothing is wrapped or cut.
    * Texts of the cluster are cleaned before they are shown, and are never read as markup.
    * Nothing is told by colour alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from aimctl.cli.lines import Level, brief, clean, place, span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from aimctl.cli.lines import Line

__all__ = ["explanation", "paragraph", "summary", "table", "tree"]

STYLES = {
    Level.GOOD: "green",
    Level.BUSY: "cyan",
    Level.WAITS: "yellow",
    Level.BAD: "red",
    Level.UNKNOWN: "magenta",
}
_WORDS = {
    "AIMService": "service",
    "AIMServiceTemplate": "template",
    "AIMClusterServiceTemplate": "cluster template",
    "AIMTemplateCache": "cache",
    "AIMModelCache": "model cache",
    "AIMModel": "model",
    "AIMClusterModel": "cluster model",
    "InferenceService": "inference service",
    "Job": "job",
}
_NARROWEST = 18
"""Columns that an object's name gets at least."""

_BRIEF = 160
"""Characters that a terminal gets of a message that repeats what stands below it."""

_ROOMY = 60
"""Columns of an object's name from which on it is rather folded than the reasons put below."""


def tree(
    groups: Iterable[tuple[str, Sequence[Line]]],
    width: int | None,
    age: Callable[[str | None], float | None],
    *,
    again: str = "above",
) -> list[Text]:
    """Groups of lines under their titles, in four columns: object, state, reason, and the age under its name.
    ``again`` says where what is only named is told about.

    Where the reasons do not fit beside the objects, they go on lines of their own.
    """
    rows: list[tuple[str, str, Line | None, str]] = []
    for title, lines in groups:
        if not lines:
            continue
        if rows:
            rows.append(("", "", None, ""))
        rows.append(("", "", None, title))
        for line in lines:
            rows += _rows(line, "", "")
    state = max((len(line.state) for *_, line, _ in rows if line is not None), default=0)
    reasons = max((len(_reason(line)) for *_, line, _ in rows if line is not None), default=0)
    objects = max(
        (cell_len(first + _object(line, again)) for first, _, line, _ in rows if line is not None), default=0
    )
    ages = 5
    beside = width is None or min(objects, _ROOMY) + state + reasons + ages + 6 <= width
    room = objects
    if width is not None:
        room = min(objects, max(_NARROWEST, width - state - ages - 4 - (reasons + 2 if beside else 0)))
    layout = _Layout(room, state, reasons if beside else None, age, again)
    out: list[Text] = []
    for first, rest, row, title in rows:
        out += [Text(title, style="bold")] if row is None else _row(row, first, rest, layout)
    return _with_age(out, layout)


@final
@dataclass(frozen=True, slots=True)
class _Layout:
    """Widths of the columns; no reasons where they stand on lines of their own."""

    room: int
    state: int
    reasons: int | None
    age: Callable[[str | None], float | None]
    again: str


def _with_age(rows: list[Text], layout: _Layout) -> list[Text]:
    """The name of the last column, beside the first title or, where that is too long, above it."""
    if not rows:
        return rows
    start = layout.room + layout.state + 4 + (0 if layout.reasons is None else layout.reasons + 2)
    title = rows[0] if cell_len(rows[0].plain) + 2 <= start else Text()
    head = title.copy().append(" " * (start - cell_len(title.plain))).append("AGE", "bold")
    return [head, *rows[title is rows[0] :]]


def _rows(line: Line, first: str, rest: str) -> list[tuple[str, str, Line | None, str]]:
    """A line and those below it, each with the guides before its first row and before further ones."""
    below = "│  " if line.children else ""
    out: list[tuple[str, str, Line | None, str]] = [(first, rest + below, line, "")]
    for number, child in enumerate(line.children):
        last = number == len(line.children) - 1
        out += _rows(child, rest + ("└─ " if last else "├─ "), rest + ("   " if last else "│  "))
    return out


def _row(line: Line, first: str, rest: str, layout: _Layout) -> list[Text]:
    room = layout.room
    pieces = _fold(
        _object(line, layout.again), max(8, room - cell_len(first)), max(8, room - cell_len(rest)), "-/"
    )
    out = []
    for number, piece in enumerate(pieces):
        text = _guided(rest if number else first)
        text.append(piece, "dim" if line.reference else "")
        if number == 0:
            text.append(" " * (room - cell_len(text.plain) + 2))
            text.append(line.state.ljust(layout.state), STYLES[line.level])
            if layout.reasons is not None:
                text.append("  " + _reason(line).ljust(layout.reasons))
            text.append("  " + span(layout.age(line.created)))
        text.rstrip()
        out.append(text)
    reason = _reason(line)
    if layout.reasons is None and reason:
        out.append(_guided(rest + "  ").append(reason, "italic"))
    return out


def _guided(guide: str) -> Text:
    return Text().append(guide, "dim")


def _object(line: Line, again: str) -> str:
    said = again if line.reference else clean(line.note)
    note = f" ({said})" if said else ""
    word = _WORDS.get(line.kind, line.kind)
    if line.kind == "Job" and line.note:
        return f"{line.note} job"  # its name is made of the name of what it is for
    if line.kind == "InferenceService":
        return f"{word} {clean(line.note)}".rstrip()  # it has the name of its service
    return f"{word} {line.name}{note}"


def _reason(line: Line) -> str:
    percent = f" {line.progress.percent}%" if line.progress is not None and not line.good else ""
    return "" if line.good or line.reference else f"{line.reason}{percent}"


def _fold(text: str, first: int, rest: int, marks: str = "") -> list[str]:
    """The text in pieces: the first of at most ``first`` columns, further ones of ``rest``; broken at a space, and only
    inside a word that is longer than a piece after one of the marks, or anywhere.
    """
    pieces, room = [], first
    while cell_len(text) > room:
        cut = len(set_cell_size(text, room).rstrip())
        space = text.rfind(" ", 0, cut + 1) + 1
        mark = max((text.rfind(mark, 0, cut) + 1 for mark in marks), default=0)
        fits = cell_len(text[space:].split(" ", 1)[0]) <= rest
        cut = space if space and fits else max(space, mark) or cut
        pieces.append(text[:cut].rstrip())
        text = text[cut:].lstrip()
        room = rest
    return [*pieces, text]


def paragraph(text: str, width: int | None, first: str = "", rest: str = "", style: str = "") -> list[Text]:
    """Words, wrapped, after guides."""
    words = clean(text)
    if width is None:
        pieces = [words]
    else:
        pieces = _fold(words, max(20, width - cell_len(first)), max(20, width - cell_len(rest)))
    out = []
    for number, piece in enumerate(pieces):
        out.append(_guided(rest if number else first).append(piece, style))
    return out


def explanation(root: Line, width: int | None, age: Callable[[str | None], float | None]) -> list[Text]:
    """A line and all below it: object, state and reason, then the message and the commands of what is not well."""
    return _explained(root, "", "", width, age)


def _explained(
    line: Line, first: str, rest: str, width: int | None, age: Callable[[str | None], float | None]
) -> list[Text]:
    body = rest + ("│    " if line.children else "     ")
    out = _flowing(_head(line, age), first, body, width)
    if line.message and (not line.good or line.kind in {"AIMModel", "AIMClusterModel"}):
        # What is told below in full need not be told here too.
        below = any(True for child in line.children for _ in child.causes())
        limit = _BRIEF if below and width is not None else None
        out += paragraph(brief(line.message, limit), width, body, body)
    for command in line.commands:
        out.append(_guided(body).append("$ " + clean(command), "blue"))
    for number, child in enumerate(line.children):
        last = number == len(line.children) - 1
        out += _explained(
            child, rest + ("└─ " if last else "├─ "), rest + ("   " if last else "│  "), width, age
        )
    return out


def _head(line: Line, age: Callable[[str | None], float | None]) -> list[Text]:
    """The pieces of an object's first row."""
    out = [
        Text(f"{line.kind} ").append(place(line.namespace, line.name), "bold"),
        Text(line.state, STYLES[line.level]),
    ]
    if not line.good:
        since = age(line.since)
        out += [Text(text) for text in (line.reason, "" if since is None else f"for {span(since)}") if text]
    if line.note:
        out.append(Text(f"({clean(line.note)})", "dim"))
    return out


def _flowing(pieces: Sequence[Text], first: str, rest: str, width: int | None) -> list[Text]:
    """Pieces side by side, and in the next row where they do not fit."""
    out, row, used = [], _guided(first), 0
    for whole in pieces:
        room = 10**6 if width is None else max(8, width - cell_len(rest))
        for number, part in enumerate(_fold(whole.plain, room, room, "-/")):
            piece = whole if part == whole.plain else Text(part, whole.style)
            full = width is not None and cell_len(row.plain) + 2 + cell_len(part) > width
            if used and (number or full):
                out.append(row)
                row, used = _guided(rest), 0
            row = row.append("  " if used else "").append_text(piece)
            used += 1
    return [*out, row]


def table(headers: Sequence[str], rows: Sequence[Sequence[str | Text]], width: int | None) -> list[Text]:
    """Columns side by side; where they do not fit, the widest is folded, one of several words rather than a name."""
    cells = [[one if isinstance(one, Text) else Text(clean(one)) for one in row] for row in rows]
    widths = [
        max(cell_len(header), *(cell_len(row[number].plain) for row in cells), 0)
        for number, header in enumerate(headers)
    ]
    if width is not None:
        words = [
            max((cell_len(word) for row in cells for word in row[number].plain.split(" ")), default=0)
            for number in range(len(headers))
        ]
        while sum(widths) + 2 * (len(widths) - 1) > width and max(widths) > 12:
            loose = [room if room > max(word, 12) else 0 for room, word in zip(widths, words, strict=True)]
            widths[loose.index(max(loose)) if any(loose) else widths.index(max(widths))] -= 1
    out = [_joined([[Text(header, style="bold")] for header in headers], widths)]
    for row in cells:
        folded = [_folded(cell, room) for cell, room in zip(row, widths, strict=True)]
        out += [
            _joined([[pieces[number]] if number < len(pieces) else [Text()] for pieces in folded], widths)
            for number in range(max(len(pieces) for pieces in folded))
        ]
    return out


def _folded(cell: Text, room: int) -> list[Text]:
    return [Text(piece, style=cell.style) for piece in _fold(cell.plain, room, room, "-/")]


def _joined(columns: Sequence[Sequence[Text]], widths: Sequence[int]) -> Text:
    line = Text()
    for number, (column, room) in enumerate(zip(columns, widths, strict=True)):
        cell = column[0]
        if number:
            line.append("  ")
        line.append_text(cell)
        line.append(" " * (room - cell_len(cell.plain)))
    line.rstrip()
    return line


def summary(states: Mapping[str, Mapping[str, int]]) -> str:
    """``2 services: 1 Running, 1 Starting; 3 templates: 3 Ready``; "" for nothing."""
    clauses = []
    for kind, words in _PLURALS.items():
        count = states.get(kind)
        if count:
            total = sum(count.values())
            each = ", ".join(f"{number} {state}" for state, number in sorted(count.items(), key=_by_count))
            clauses.append(f"{total} {words[total != 1]}: {each}")
    return "; ".join(clauses)


_PLURALS = {
    "AIMService": ("service", "services"),
    "AIMServiceTemplate": ("template", "templates"),
    "AIMClusterServiceTemplate": ("cluster template", "cluster templates"),
    "AIMTemplateCache": ("cache", "caches"),
    "AIMModelCache": ("model cache", "model caches"),
    "AIMModel": ("model", "models"),
    "AIMClusterModel": ("cluster model", "cluster models"),
}


def _by_count(entry: tuple[str, int]) -> tuple[int, str]:
    return -entry[1], entry[0]
