"""Show an answer again at each change: as a live view on a terminal, otherwise one page or document after another.

Contract: with ``--watch``, JSON is one document a line, and YAML one document after another. A failure after the first
answer is shown, and the question is asked again.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from aimctl.cli.errors import CommandError, complain
from aimctl.cli.rendering.screens import Format, dumps

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aimctl.cli.rendering.screens import Page, Screen
    from aimctl.runtime.clock import Clock

__all__ = ["watch"]

INTERVAL_SECONDS = 2.0
"""Pause between two answers."""

_LOAD_FACTOR = 5.0
"""After a slow answer the pause grows by this multiple of the extra time, to spare a large cluster."""

_LONGEST_PAUSE = 60.0


async def watch(ask: Callable[[], Awaitable[Page]], screen: Screen, clock: Clock) -> int:
    """Ask and show until interrupted.

    Raises:
        CommandError: the first question failed.
        ReaderGone: the reader of standard output has ended.
    """
    page = await ask()
    if screen.format is Format.table and screen.console.is_terminal:
        return await _live(ask, screen, clock, page)
    shown: dict[str, Any] | None = None
    while True:
        data = {key: value for key, value in page.data.items() if key != "observedAt"}
        if data != shown:
            _print(screen, page, first=shown is None)
            sys.stdout.flush()
            shown = data
        started = clock.monotonic()
        await clock.sleep(INTERVAL_SECONDS)
        try:
            page = await ask()
        except CommandError as error:
            complain(str(error))
        await clock.sleep(_extra_pause(clock.monotonic() - started))


def _print(screen: Screen, page: Page, *, first: bool) -> None:
    if screen.format is Format.json:
        print(dumps(page.data))
        return
    if screen.format is Format.yaml:
        print("" if first else "---\n", end="")
    else:
        print(f"{'' if first else chr(10)}--- {page.data.get('observedAt', '')}")
    screen.write(page)


async def _live(ask: Callable[[], Awaitable[Page]], screen: Screen, clock: Clock, page: Page) -> int:
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
                    page, trouble = await ask(), ""
                except CommandError as error:
                    trouble = f"as of {page.data.get('observedAt', '')}: {error}"
                await clock.sleep(_extra_pause(clock.monotonic() - started))
    finally:
        # The terminal keeps the whole page, not the excerpt.
        screen.show(page)
        if trouble:
            complain(trouble)


def _extra_pause(seconds: float) -> float:
    """The pause beyond the interval; none after a quick answer."""
    spent = seconds - INTERVAL_SECONDS
    return min(_LONGEST_PAUSE, spent * _LOAD_FACTOR) if spent > 0.5 else 0.0
