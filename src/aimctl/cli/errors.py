"""The error that ends a command, and the one line on standard error that reports it."""

from __future__ import annotations

import os
import sys

__all__ = ["CommandError", "complain"]


class CommandError(Exception):
    """A failure to report in one line. ``exit_code`` is one of :mod:`aimctl.cli.exits`."""

    def __init__(self, message: str, *, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def complain(message: str) -> None:
    """Print one line to standard error. If that stream is closed or full, only the exit code reports the failure."""
    try:
        print(f"aimctl: {' '.join(message.split())}", file=sys.stderr, flush=True)
    except OSError:
        # Python flushes the stream again at exit; a second failure there would change the exit code.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
