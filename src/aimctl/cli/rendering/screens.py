"""An answer on its way to a terminal, a file or a program: as a table, JSON or YAML.

Contract:
    * Colour and wrapping only on a terminal; ``NO_COLOR`` and ``COLUMNS`` are honoured. In a pipe nothing is wrapped.
    * JSON and YAML documents have a ``schema`` and always the same keys; docs/cli.md describes them.
    * If the reader ends (``| head``), the output ends without an error.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, final

from aimctl.cli.exits import DONE
from aimctl.cli.rendering.scrolling import Window
from aimctl.cli.streams import ReaderGone

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import Console
    from rich.text import Text

__all__ = ["Format", "Page", "Screen", "dumps"]


class Format(StrEnum):
    """The format of an answer."""

    table = "table"
    json = "json"
    yaml = "yaml"


def _no_rows(_: int | None) -> Sequence[Text]:
    return ()


@final
@dataclass(frozen=True, slots=True)
class Page:
    """One answer.

    Attributes:
        data: the document.
        rows: lines for a reader, for a width.
        foot: lines below them, which a live view never omits.
        worst_first: the rows with what is not Ready first, for a live view without room for all; None: as ``rows``.
        notes: remarks for a reader, such as missing permissions.
        code: the exit code.
    """

    data: dict[str, Any]
    rows: Callable[[int | None], Sequence[Text]]
    foot: Callable[[int | None], Sequence[Text]] = _no_rows
    worst_first: Callable[[int | None], Sequence[Text]] | None = None
    notes: tuple[str, ...] = ()
    code: int = DONE


class Screen:
    """Standard output in one format."""

    def __init__(self, format_: Format) -> None:
        from rich.console import Console

        self.format = format_
        columns = os.environ.get("COLUMNS", "")
        tty = sys.stdout.isatty()
        self.width: int | None = int(columns) if columns.isdecimal() and int(columns) > 0 else None
        self.console: Console = Console(
            highlight=False,
            markup=False,
            emoji=False,
            soft_wrap=True,
            width=self.width or (None if tty else 10**6),
        )
        if self.width is None and tty:
            self.width = self.console.width

    def show(self, page: Page) -> None:
        """Write the page; stop without an error if the reader ends."""
        with suppress(ReaderGone):
            self.write(page)
            sys.stdout.flush()

    def write(self, page: Page) -> None:
        """Write the page.

        Raises:
            ReaderGone: the reader has ended.
        """
        if self.format is Format.table:
            self.console.print(self.text(page), soft_wrap=True)
        elif self.format is Format.json:
            print(dumps(page.data, indent=2))
        else:
            import yaml

            sys.stdout.write(yaml.safe_dump(page.data, sort_keys=False, allow_unicode=_utf8(), width=100))

    def text(self, page: Page) -> Text:
        """The whole page for a reader."""
        return self._joined([*page.rows(self.width), *self._below(page)])

    def excerpt(
        self, page: Page, height: int, trouble: str = "", window: Window | None = None, keys: str = ""
    ) -> Text:
        """The part of the page that a live view of ``height`` lines has room for.

        ``trouble`` comes first and the foot is always complete. If the rows do not fit, those that are not Ready come
        first, the window selects the rows, and a line says which ones are shown. Lines are cut at the width.

        Args:
            page: the page.
            height: of the terminal.
            trouble: why the page is not up to date.
            window: which rows to show; default: the first ones.
            keys: how to show others; "" if that is not possible.
        """
        from rich.text import Text

        from aimctl.cli.rendering.tables import paragraph

        head = [*paragraph(trouble, self.width, style="red"), Text()] if trouble else []
        rows, below = list(page.rows(self.width)), self._below(page)
        room = max(1, height - len(head) - len(below) - 1)
        if len(rows) > room:
            rows = list((page.worst_first or page.rows)(self.width))
            window = Window() if window is None else window
            shown = rows[window.fit(len(rows), room - 1)]
            rows = [*shown, Text("; ".join(filter(None, (window.text, keys))), "dim")]
        elif window is not None:
            window.fit(len(rows), len(rows))
        return self._joined([*head, *rows, *below], live=True)

    def _below(self, page: Page) -> list[Text]:
        from rich.text import Text

        from aimctl.cli.rendering.tables import paragraph

        notes = [line for note in page.notes for line in paragraph(note, self.width, style="yellow")]
        return [*page.foot(self.width), *([Text(), *notes] if notes else [])]

    def _joined(self, rows: Sequence[Text], *, live: bool = False) -> Text:
        from rich.text import Text

        from aimctl.cli.rendering.tables import cut

        ascii_only = self.console.options.ascii_only
        if ascii_only:
            rows = [_ascii(row) for row in rows]
        if live:
            rows = [cut(row, self.width, "..." if ascii_only else "…") for row in rows]
        return Text("\n").join(rows)


def dumps(data: dict[str, Any], indent: int | None = None) -> str:
    """JSON that standard output can encode, with escapes for all characters that may control a terminal."""
    text = json.dumps(data, indent=indent, ensure_ascii=not _utf8())
    return "".join(char if char == "\n" or char.isprintable() else json.dumps(char)[1:-1] for char in text)


def _utf8() -> bool:
    return (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"


_GUIDES = str.maketrans({"│": "|", "├": "|", "└": "`", "─": "-", "…": "~"})


def _ascii(row: Text) -> Text:
    out = row.copy()
    out.plain = row.plain.translate(_GUIDES).encode("ascii", "replace").decode()
    return out
