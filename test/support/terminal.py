"""A command on a pseudo-terminal, which can be resized and receives key presses."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from typing import TYPE_CHECKING, Self

from support.commands import clean_environment

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Terminal"]

_SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_HOME = "\x1b[H"


class Terminal:
    """``aimctl`` with a terminal. Leaving it kills the process by its id.

    Args:
        args: the command line.
        rows, columns: size of the terminal.
        keys: whether the terminal is standard input as well.
    """

    def __init__(self, *args: str | Path, rows: int = 24, columns: int = 80, keys: bool = True) -> None:
        self._screen, inner = pty.openpty()
        self.resize(rows, columns)
        environment = clean_environment(TERM="xterm", NO_COLOR="1")
        # They take precedence over the size of the terminal, and readline exports them.
        for fixed in ("COLUMNS", "LINES"):
            environment.pop(fixed, None)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "aimctl.cli", *map(str, args)],
            stdin=inner if keys else subprocess.DEVNULL,
            stdout=inner,
            stderr=inner,
            env=environment,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(1, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - it takes no locks
        )
        os.close(inner)
        self._raw = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(10)
        os.close(self._screen)

    @property
    def text(self) -> str:
        """Everything that was written, with the sequences that control the terminal."""
        return self._raw.decode(errors="replace").replace("\r\n", "\n")

    @property
    def frame(self) -> str:
        """What a full-screen program shows: the text since it last began at the upper left corner."""
        lines = _SEQUENCE.sub("", self.text.rpartition(_HOME)[2]).splitlines()
        return "\n".join(line.rstrip() for line in lines)

    @property
    def left(self) -> str:
        """What is written after the end of a full-screen program."""
        return _SEQUENCE.sub("", self.text.rpartition("\x1b[?1049l")[2])

    def resize(self, rows: int, columns: int) -> None:
        """Change the size."""
        fcntl.ioctl(self._screen, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def press(self, keys: str) -> None:
        """Send what the terminal sends for key presses."""
        os.write(self._screen, keys.encode())

    def wait_for(self, words: str, seconds: float = 30) -> str:
        """The frame with these words, complete: a terminal delivers a long frame in parts."""
        end = time.monotonic() + seconds
        while words not in self.frame:
            assert time.monotonic() < end, f"not within {seconds:g} s: {words!r} in\n{self.frame}"
            assert self._read(0.2) is not None or words in self.frame, f"it ended with\n{self.text}"
        while self._read(0.1):
            pass
        return self.frame

    def interrupt(self) -> int:
        """Send Ctrl-C and return the exit code."""
        self._process.send_signal(signal.SIGINT)
        return self.end()

    def end(self) -> int:
        """Wait for the end and return the exit code. On a busy machine the first output takes long."""
        end = time.monotonic() + 60
        while self._read(1) is not None and time.monotonic() < end:
            pass
        return self._process.wait(10)

    def _read(self, seconds: float) -> bool | None:
        """Read what arrives in this time. False if that is nothing; None if the terminal has no writer any more."""
        if not select.select([self._screen], [], [], seconds)[0]:
            return False
        try:
            more = os.read(self._screen, 65536)
        except OSError:
            return None
        self._raw += more
        return True if more else None
