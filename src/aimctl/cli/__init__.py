"""The ``aimctl`` command.

Contract: results go to standard output, everything else to standard error. A failure prints one line that starts with
``aimctl:`` and says what is wrong and what helps. The exit codes are those of :mod:`aimctl.cli.exits`, also where
standard error is closed or full.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from typer.exceptions import TyperException

__all__ = ["CommandError", "complain", "main"]


class CommandError(Exception):
    """A failure whose text is the one line a person should read. ``exit_code`` is 1 unless told."""

    def __init__(self, message: str, *, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    from typer.exceptions import Abort, TyperException

    from aimctl.cli.app import app
    from aimctl.cli.stdout import HungUp, guarded

    # A shell may have closed it (``2>&-``); print would take standard output instead.
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123,SIM115 - as long as the process
    try:
        with guarded():
            code = app(
                args=list(argv) if argv is not None else None, prog_name="aimctl", standalone_mode=False
            )
    except TyperException as error:
        _fail(_with_value(error), error.exit_code)
    except CommandError as error:
        _fail(str(error), error.exit_code)
    except HungUp:
        sys.exit(1)
    except (Abort, KeyboardInterrupt):
        sys.exit(130)
    sys.exit(code if isinstance(code, int) else 0)


def complain(message: str) -> None:
    """Say it on standard error, in one line. Where that takes nothing, the exit code has to say enough."""
    try:
        print(f"aimctl: {' '.join(message.split())}", file=sys.stderr, flush=True)
    except OSError:
        # What is left in the stream has to go somewhere when Python closes it, or that decides the exit code.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def _with_value(error: TyperException) -> str:
    """Typer's text, with the value that was refused: its own names only flag and rule."""
    from pydantic import ValidationError

    text = error.format_message().rstrip(".").replace("Value error, ", "")
    cause = error.__cause__
    if isinstance(cause, ValidationError):
        given = cause.errors()[0]["input"]
        return text if repr(given) in text else f"{text} (given: {given!r})"
    return text


def _fail(message: str, code: int) -> NoReturn:
    complain(message)
    sys.exit(code)
