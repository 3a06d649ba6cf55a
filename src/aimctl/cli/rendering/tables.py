"""Paragraphs and tables as lines of styled text.

Contract:
    * Pure: a width in columns in, lines out. A width of None stands for a pipe or a file: nothing is wrapped.
    * Texts from the cluster are cleaned, and never read as markup.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, Self, TypeVar, final

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from aimctl.cli.rendering.values import clean

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = ["Cell", "blocks", "cut", "paragraph", "table", "walk"]

_NARROWEST = 12
"""Columns that a table's column keeps, however narrow the terminal is."""

_NARROWEST_TEXT = 8
"""Columns that a text keeps beside its tree guides."""

_BREAK = re.compile(r"(?<=[-/])|(?<=[a-z])(?=[A-Z])")
"""Where a long word may be broken: after a hyphen or slash, and between the words of a CamelCase one."""


class _Tree(Protocol):
    @property
    def children(self) -> Sequence[Self]: ...


N = TypeVar("N", bound=_Tree)


@final
@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of a table.

    Attributes:
        text: one line; cleaned when it is shown.
        style: of the text.
        first: tree guides before the first line.
        rest: tree guides before further lines.
    """

    text: str
    style: str = ""
    first: str = ""
    rest: str = ""


def walk(node: N, first: str = "", rest: str = "") -> Iterator[tuple[N, str, str]]:
    """A node and all below it, each with the guides before its first line and before further lines."""
    yield node, first, rest + ("│  " if node.children else "")
    for number, child in enumerate(node.children, 1):
        last = number == len(node.children)
        yield from walk(child, rest + ("└─ " if last else "├─ "), rest + ("   " if last else "│  "))


def paragraph(text: str, width: int | None, *, indent: str = "", style: str = "") -> list[Text]:
    """The text wrapped at words, each line after ``indent``."""
    words = clean(text)
    room = 10**6 if width is None else max(20, width - cell_len(indent))
    return [Text(indent).append(piece, style) for piece in _fold(words, room, room)]


def table(headers: Sequence[str], rows: Iterable[Sequence[Cell | str]], width: int | None) -> list[Text]:
    """Columns side by side. While they do not fit, the widest column is folded, at a space where that is possible."""
    return [
        line
        for block in blocks([[Cell(header, "bold") for header in headers], *rows], width)
        for line in block
    ]


def blocks(rows: Iterable[Sequence[Cell | str]], width: int | None) -> list[list[Text]]:
    """A table as one list of lines for each row; all rows have the same columns."""
    cells = [[one if isinstance(one, Cell) else Cell(one) for one in row] for row in rows]
    widths = _widths(cells, width) if cells else []
    out = []
    for row in cells:
        columns = [_lines(cell, room) for cell, room in zip(row, widths, strict=True)]
        blank = [Text(cell.rest, "dim") for cell in row]
        out.append(
            [
                _line(
                    [
                        lines[number] if number < len(lines) else empty
                        for lines, empty in zip(columns, blank, strict=True)
                    ],
                    widths,
                )
                for number in range(max(len(lines) for lines in columns))
            ]
        )
    return out


def _widths(rows: Sequence[Sequence[Cell]], width: int | None) -> list[int]:
    """The width of each column. Columns of several words give way before columns of long names."""
    widths, words, least = [], [], []
    for column in zip(*rows, strict=True):
        texts = [(cell_len(cell.first), clean(cell.text)) for cell in column]
        widths.append(max(guide + cell_len(text) for guide, text in texts))
        words.append(max(guide + cell_len(word) for guide, text in texts for word in text.split(" ")))
        guides = max(max(cell_len(cell.first), cell_len(cell.rest)) for cell in column)
        least.append(max(_NARROWEST, guides + _NARROWEST_TEXT if guides else 0))
    while width is not None and sum(widths) + 2 * (len(widths) - 1) > width:
        tight = [room if room > low else 0 for room, low in zip(widths, least, strict=True)]
        if not any(tight):
            break
        loose = [room if room > word else 0 for room, word in zip(tight, words, strict=True)]
        widths[loose.index(max(loose)) if any(loose) else tight.index(max(tight))] -= 1
    return widths


def _lines(cell: Cell, room: int) -> list[Text]:
    first, rest = (max(_NARROWEST_TEXT, room - cell_len(guide)) for guide in (cell.first, cell.rest))
    pieces = _fold(clean(cell.text), first, rest)
    return [
        Text(cell.rest if number else cell.first, "dim").append_text(Text(piece, cell.style))
        for number, piece in enumerate(pieces)
    ]


def _line(cells: Sequence[Text], widths: Sequence[int]) -> Text:
    line = Text()
    for cell, room in zip(cells, widths, strict=True):
        line.append_text(cell).append(" " * (room - cell_len(cell.plain) + 2))
    line.rstrip()
    return line


def cut(line: Text, width: int | None, mark: str = "…") -> Text:
    """The line in at most ``width`` columns, cut between two words; ``mark`` stands for what is missing."""
    if width is None or line.cell_len <= width:
        return line
    out = line.copy()
    out.truncate(max(1, width - len(mark)))
    space = out.plain.rfind(" ", len(out.plain) * 2 // 3)
    if space > 0 and not line.plain[len(out.plain)].isspace():
        out.right_crop(len(out.plain) - space)
    return out.append(mark)


def _fold(text: str, first: int, rest: int) -> list[str]:
    """The text in pieces of at most ``first`` columns, then ``rest``.

    It is broken at a space; a word that is longer than a piece is broken at a :data:`_BREAK`, or anywhere.
    """
    pieces, room = [], first
    while cell_len(text) > room:
        cut = len(set_cell_size(text, room).rstrip())
        space = text.rfind(" ", 0, cut + 1) + 1
        mark = max(
            (found.end() for found in _BREAK.finditer(text, 0, cut + 1) if found.end() <= cut), default=0
        )
        fits = cell_len(text[space:].split(" ", 1)[0]) <= rest
        cut = space if space and fits else max(space, mark) or cut
        pieces.append(text[:cut].rstrip())
        text = text[cut:].lstrip()
        room = rest
    return [*pieces, text]
