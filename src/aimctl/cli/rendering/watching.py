"""Show an answer again at each change: as a live view on a terminal, otherwise one page or document after another.

Contract:
    * With ``--watch``, JSON is one document a line, and YAML one document after another. A failure after the first
      answer is shown, and the question is asked again.
    * A live view fills the terminal and is drawn again when the terminal is resized. Keys scroll it if standard input
      is a terminal. At the end the terminal is as before, with the whole page below.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from aimctl.cli.errors import CommandError, complain
from aimctl.cli.rendering.keyboard import reading_keys
from aimctl.cli.rendering.screens import Format, dumps
from aimctl.cli.rendering.scrolling import HELP, QUIT, Window

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from aimctl.cli.rendering.screens import Page, Screen
    from aimctl.runtime.clock import Clock

__all__ = ["watch"]

INTERVAL_SECONDS = 2.0
"""Pause between two answers."""

_LOAD_FACTOR = 5.0
"""After a slow answer the pause grows by this multiple of the extra time, to spare a large cluster."""

_LONGEST_PAUSE = 60.0


async def watch(ask: Callable[[], Awaitable[Page]], screen: Screen, clock: Clock) -> int:
    """Ask and show until interrupted; on a terminal also until ``q``, with the exit code of the last answer.

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
    view = _View(page)
    try:
        async with asyncio.TaskGroup() as tasks:
            asking = tasks.create_task(_keep_asking(ask, clock, view), name="watch")
            await _draw(screen, view)
            asking.cancel()
    finally:
        # The terminal keeps the whole page, not the excerpt.
        if screen.console.is_terminal:
            screen.width = screen.console.width
        screen.show(view.page)
        if view.trouble:
            complain(view.trouble)
    return view.page.code


class _View:
    """What a live view shows, and an event for each change of it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.trouble = ""
        self.window = Window()
        self.quit = False
        self.changed = asyncio.Event()

    def press(self, command: str) -> None:
        """Carry out the command of a key."""
        self.window.move(command)
        self.quit = self.quit or command == QUIT
        self.changed.set()


async def _draw(screen: Screen, view: _View) -> None:
    """Draw at each change, and when the terminal is resized, until the user quits."""
    from rich.live import Live

    with (
        reading_keys(view.press) as keys,
        Live(console=screen.console, auto_refresh=False, screen=True) as live,
        _noticing_size(view.changed.set),
    ):
        while not view.quit:
            screen.width, height = screen.console.size
            text = screen.excerpt(view.page, height, view.trouble, view.window, HELP if keys else "")
            live.update(text, refresh=True)
            await view.changed.wait()
            view.changed.clear()


@contextmanager
def _noticing_size(changed: Callable[[], None]) -> Iterator[None]:
    """Call ``changed`` when the terminal is resized, if the platform and the event loop report that."""
    loop = asyncio.get_running_loop()
    try:
        loop.add_signal_handler(signal.SIGWINCH, changed)
    except (AttributeError, NotImplementedError, RuntimeError, ValueError):
        # There is no such signal, or it is reported to the main thread only. The next answer shows the new size.
        yield
        return
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGWINCH)


async def _keep_asking(ask: Callable[[], Awaitable[Page]], clock: Clock, view: _View) -> None:
    while True:
        started = clock.monotonic()
        await clock.sleep(INTERVAL_SECONDS)
        try:
            view.page, view.trouble = await ask(), ""
        except CommandError as error:
            view.trouble = f"as of {view.page.data.get('observedAt', '')}: {error}"
        view.changed.set()
        await clock.sleep(_extra_pause(clock.monotonic() - started))


def _extra_pause(seconds: float) -> float:
    """The pause beyond the interval; none after a quick answer."""
    spent = seconds - INTERVAL_SECONDS
    return min(_LONGEST_PAUSE, spent * _LOAD_FACTOR) if spent > 0.5 else 0.0
