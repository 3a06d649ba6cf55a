"""The ``aimctl`` command.

Contract: results go to standard output, everything else to standard error. A failure prints one line that starts with
``aimctl:``, names the problem and the remedy, and ends with a code of :mod:`aimctl.cli.exits`. The exit code is correct
even if standard error is closed or full.
"""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from typer.exceptions import TyperException

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code.

    Args:
        argv: the arguments; None for those of the process.
    """
    from typer.exceptions import Abort, TyperException

    from aimctl.cli.app import app
    from aimctl.cli.errors import CommandError
    from aimctl.cli.streams import ReaderGone, guarded

    # A shell may have closed standard error (``2>&-``); print would then write to standard output.
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123,SIM115 - open until the process ends
    try:
        with guarded():
            code = app(
                args=list(argv) if argv is not None else None, prog_name="aimctl", standalone_mode=False
            )
    except TyperException as error:
        _fail(_with_value(error), error.exit_code)
    except CommandError as error:
        _fail(str(error), error.exit_code)
    except ReaderGone:
        sys.exit(1)
    except (Abort, KeyboardInterrupt):
        sys.exit(130)
    sys.exit(code if isinstance(code, int) else 0)


def _with_value(error: TyperException) -> str:
    """Typer's text with the rejected value, or the command that shows what may be given."""
    from pydantic import ValidationError

    text = error.format_message().rstrip(".").replace("Value error, ", "")
    text = re.sub(r"(argument|value for) '([a-z_]+)'", lambda found: f"{found[1]} {found[2].upper()}", text)
    cause, context = error.__cause__, getattr(error, "ctx", None)
    if isinstance(cause, ValidationError):
        given = cause.errors()[0]["input"]
        return text if repr(given) in text else f"{text} (given: {given!r})"
    if context is not None and not text.startswith("Invalid value"):
        return f"{text}{' ' if text.endswith('?') else '; '}see: {context.command_path} -h"
    return text


def _fail(message: str, code: int) -> NoReturn:
    from aimctl.cli.errors import complain

    complain(message)
    sys.exit(code)
