"""Answers on their way to a terminal, a file or a program: table, JSON or YAML; once, or again at each change.

Contract:
    * Colour and wrapping only on a terminal; ``NO_COLOR`` and ``COLUMNS`` are honoured. In a pipe a row is a line.
    * JSON and YAML have a ``schema`` and the same keys every time; docs/cli.md describes them. With ``--watch``, JSON
      is one document a line and YAML one document after another.
    * A reader that hangs up (``| head``) ends the output quietly.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, final

from aimctl.cli import CommandError, complain
from aimctl.cli.exits import DONE
from aimctl.cli.stdout import HungUp

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from rich.console import Console
    from rich.text import Text

    from aimctl.runtime.clock import Clock

__all__ = ["Format", "Page", "Screen", "watch"]

INTERVAL_SECONDS = 2.0
"""Between two looks of a live view."""

_PATIENCE = 5.0
"""A look that took long is followed by a pause so many times as long: a large cluster is not asked all the time."""


class Format(StrEnum):
    """How answers are written."""

    table = "table"
    json = "json"
    yaml = "yaml"


@final
@dataclass(frozen=True, slots=True)
class Page:
    """One answer.

    Attributes:
        data: for programs.
        rows: for people, in the width that is given.
        foot: rows that stand below them, also where there is no room for all.
        worst_first: the rows with what is not well before the rest, for where there is no room for all.
        notes: for people, on standard error when the answer is for programs.
        code: what the command ends with.
    """

    data: dict[str, Any]
    rows: Callable[[int | None], Sequence[Text]]
    notes: tuple[str, ...] = ()
    code: int = DONE
    foot: Callable[[int | None], Sequence[Text]] = lambda _: ()
    worst_first: Callable[[int | None], Sequence[Text]] | None = None


class Screen:
    """Standard output, as far as it is known what it is."""

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
        """Write it, as far as somebody reads it."""
        with suppress(HungUp):
            self.write(page)
            sys.stdout.flush()

    def text(self, page: Page) -> Text:
        """The page for people, in one piece."""
        return self._joined([*page.rows(self.width), *page.foot(self.width), *self.notes(page)])

    def excerpt(self, page: Page, height: int, trouble: str = "") -> Text:
        """As much of it as a live view of so many rows has room for: what is not well before the rest.

        The trouble stands first, no row of the foot gives way, and what is cut is marked.
        """
        from rich.text import Text

        from aimctl.cli.render import paragraph

        head = [*paragraph(trouble, self.width, style="red"), Text()] if trouble else []
        rows, foot = list(page.rows(self.width)), [*page.foot(self.width), *self.notes(page)]
        room = max(1, height - len(head) - len(foot) - 1)
        if len(rows) > room:
            rows = list((page.worst_first or page.rows)(self.width))
            rows = [*rows[: room - 1], Text(f"... {len(rows) - room + 1} more rows", "dim")]
        return self._joined([*head, *rows, *foot], cut=True)

    def _joined(self, rows: Sequence[Text], *, cut: bool = False) -> Text:
        from rich.text import Text

        ascii_only = self.console.options.ascii_only
        if ascii_only:
            rows = [_ascii(row) for row in rows]
        if cut and self.width is not None:
            rows = [_cut(row, self.width, "..." if ascii_only else "…") for row in rows]
        return Text("\n").join(rows)

    def notes(self, page: Page) -> list[Text]:
        """What stands below it."""
        from rich.text import Text

        from aimctl.cli.render import paragraph

        rows = [row for note in page.notes for row in paragraph(note, self.width, "", "  ", "yellow")]
        return [Text(), *rows] if rows else []

    def write(self, page: Page) -> None:
        """Write it; a reader that hangs up is an exception."""
        if self.format is Format.table:
            self.console.print(self.text(page), soft_wrap=True)
            return
        if self.format is Format.json:
            print(json.dumps(page.data, indent=2, ensure_ascii=not _utf8()))
        else:
            import yaml

            sys.stdout.write(yaml.safe_dump(page.data, sort_keys=False, allow_unicode=_utf8(), width=100))


def _utf8() -> bool:
    return (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"


_GUIDES = str.maketrans("│├└─", "||`-")


def _ascii(row: Text) -> Text:
    out = row.copy()
    plain = row.plain.translate(_GUIDES)
    out.plain = plain.encode("ascii", "replace").decode()
    return out


def _cut(row: Text, width: int, mark: str) -> Text:
    if row.cell_len <= width:
        return row
    out = row.copy()
    out.truncate(max(1, width - len(mark)))
    return out.append(mark)


async def watch(look: Callable[[], Awaitable[Page]], screen: Screen, clock: Clock) -> int:
    """Show the page again whenever it has changed, until interrupted.

    Raises:
        CommandError: the first look failed. Later failures are shown, and tried again.
        HungUp: nobody reads it any more.
    """
    live = screen.format is Format.table and screen.console.is_terminal
    page = await look()
    if live:
        return await _live(look, screen, clock, page)
    shown: dict[str, Any] | None = None
    while True:
        data = {key: value for key, value in page.data.items() if key != "observedAt"}
        if data != shown:
            _print_again(screen, page, first=shown is None)
            sys.stdout.flush()
            shown = data
        started = clock.monotonic()
        await clock.sleep(INTERVAL_SECONDS)
        try:
            page = await look()
        except CommandError as error:
            complain(str(error))
        await clock.sleep(_pause(clock.monotonic() - started))


def _print_again(screen: Screen, page: Page, *, first: bool) -> None:
    match screen.format:
        case Format.json:
            print(json.dumps(page.data, ensure_ascii=not _utf8()))
        case Format.yaml:
            if not first:
                print("---")
            screen.write(page)
        case Format.table:
            if not first:
                print()
            print(f"--- {page.data.get('observedAt', '')}")
            screen.write(page)


async def _live(look: Callable[[], Awaitable[Page]], screen: Screen, clock: Clock, page: Page) -> int:
    from rich.live import Live

    trouble = ""
    try:
        with Live(console=screen.console, auto_refresh=False, transient=True) as live:
            while True:
                screen.width = screen.console.width
                live.update(screen.excerpt(page, screen.console.height, trouble), refresh=True)
                started = clock.monotonic()
                await clock.sleep(INTERVAL_SECONDS)
                try:
                    page, trouble = await look(), ""
                except CommandError as error:
                    trouble = f"as of {page.data.get('observedAt', '')}: {error}"
                await clock.sleep(_pause(clock.monotonic() - started))
    finally:
        # What stays on the terminal is the whole page, and not what there was room for.
        screen.show(page)
        if trouble:
            complain(trouble)


def _pause(seconds: float) -> float:
    """Beyond the interval: none after a quick look."""
    spent = max(0.0, seconds - INTERVAL_SECONDS)
    return min(60.0, spent * _PATIENCE) if spent > 0.5 else 0.0
