"""Key presses on a terminal, without waiting for Enter.

Contract: the mode of the terminal is restored at the end, also after an error. Ctrl-C and Ctrl-Z work as usual. If
standard input is not a terminal, or belongs to a process in the background, no key is read.
"""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from aimctl.cli.rendering.scrolling import Keys

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["reading_keys"]


@contextmanager
def reading_keys(pressed: Callable[[str], None]) -> Iterator[bool]:
    """Call ``pressed`` with the command of each key while the body runs. Yields whether keys are read."""
    try:
        import termios
        import tty
    except ImportError:  # not on this platform
        yield False
        return
    try:
        descriptor = sys.stdin.fileno()
        before = termios.tcgetattr(descriptor)
        in_foreground = os.tcgetpgrp(descriptor) == os.getpgrp()
    except (AttributeError, OSError, ValueError, termios.error):  # closed, or not a terminal
        yield False
        return
    if not in_foreground:
        yield False
        return
    keys, loop = Keys(), asyncio.get_running_loop()

    def read() -> None:
        try:
            piece = os.read(descriptor, 1024)
        except OSError:
            piece = b""
        if not piece:  # the terminal is gone
            loop.remove_reader(descriptor)
        for command in keys(piece.decode("utf-8", "replace")):
            pressed(command)

    tty.setcbreak(descriptor)
    loop.add_reader(descriptor, read)
    try:
        yield True
    finally:
        loop.remove_reader(descriptor)
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
