"""One server process of a test: started with a log file, watched while it comes up, killed by its own id.

* It never outlives us: the kernel kills it when the thread that started it ends (Linux, through setpriv),
  and an exit handler does so elsewhere. So start components from a thread that lasts, the main one as a rule.
* It ignores the terminal: a Ctrl-C reaches the tests, which then end it in their own order.
* It belongs to no event loop: fixtures of a wider scope and their tests may run on several. That is why
  this is a polled `Popen` and not `asyncio.subprocess`, whose processes die with their loop.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import shutil
import signal
import subprocess
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

_POLL_SECONDS = 0.02
_LOG_LINES = 20


class ComponentError(Exception):
    """A component ended or did not get ready; the text carries the last lines of its log."""


class Component:
    """A server process by the name of `name`; `log` gathers the output of all its lives."""

    def __init__(self, name: str, log: Path) -> None:
        self.name = name
        self.log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        """Whether the process is there; says nothing about whether it serves."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._process.pid if self._process and self.running else None

    def start(self, argv: Sequence[str]) -> None:
        """Start the process; the one before must have ended."""
        if self.running:
            raise ComponentError(f"{self.name} runs already")
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*_tied_to_us(), *argv],
                cwd=self.log.parent,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        atexit.register(self.kill_now)

    async def kill(self) -> None:
        """End it at once, as a crash would, and wait until it is gone; harmless when it is not running."""
        self.kill_now()
        if self._process:
            await asyncio.to_thread(self._process.wait)
        atexit.unregister(self.kill_now)

    async def terminate(self) -> int:
        """Send SIGTERM and wait for the end, without a limit; return the exit code, which is negative for a signal."""
        if self._process is None:
            raise ComponentError(f"{self.name} was not started")
        if self.running:
            self._process.send_signal(signal.SIGTERM)
        code = await asyncio.to_thread(self._process.wait)
        atexit.unregister(self.kill_now)
        return code

    async def wait_until(self, what: str, check: Callable[[], Awaitable[bool]], *, within: float) -> None:
        """Poll `check` until it says yes.

        Raises:
            ComponentError: The process ended meanwhile, or `within` seconds went by.
        """
        deadline = time.monotonic() + within
        while not await check():
            if not self.running:
                status = self._process.returncode if self._process else "not started"
                raise ComponentError(f"{self.name} ended ({status}) before {what}\n{self.log_tail()}")
            if time.monotonic() > deadline:
                raise ComponentError(f"{self.name}: no {what} within {within:g} s\n{self.log_tail()}")
            await asyncio.sleep(_POLL_SECONDS)

    def log_tail(self, lines: int = _LOG_LINES) -> str:
        """The last lines of the log, for people."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join([f"--- end of {self.log.name} ---", *text.splitlines()[-lines:]])

    def kill_now(self) -> None:
        """End it at once, as a crash would, without waiting; harmless when it is not running."""
        if self._process and self.running:
            # Popen knows whether the id is still this process's: it is the one who reaps it.
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGKILL)


def _tied_to_us() -> list[str]:
    """A prefix under which a command ends with us; a `preexec_fn` would be unsafe beside threads."""
    setpriv = shutil.which("setpriv")
    # Should we end before setpriv has told the kernel, nobody would act on it: hence the shell, which looks.
    look = 'test "$PPID" = "$0" && exec "$@"'
    return [setpriv, "--pdeathsig", "KILL", "--", "sh", "-c", look, str(os.getpid())] if setpriv else []
