"""Standard output, which may be full, closed, or read by nobody any more.

Contract: below :func:`guarded`, whatever is printed has left the process once it is flushed, or there is an exception
that says why not, whoever printed it: the commands, or typer its help. After that the stream takes everything and keeps
nothing, so that Python does not complain once more when it closes it.
"""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO, cast, final

from aimctl.cli import CommandError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["HungUp", "guarded"]


class HungUp(Exception):  # noqa: N818 - it is no error that a reader has seen enough
    """The reader has seen enough (``| head``)."""


@contextmanager
def guarded() -> Iterator[None]:
    """Inside the block, and at its end, a print that fails raises one of these.

    Raises:
        HungUp: the reader is gone.
        CommandError: it cannot be written.
    """
    before = sys.stdout
    if before is None:  # so it is where a shell closed it (``>&-``); the first socket would take its number
        before = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123,SIM115 - it lives as long as the process
    sys.stdout = cast("TextIO", _Guarded(before))
    try:
        yield
        sys.stdout.flush()
    finally:
        sys.stdout = before


@final
class _Guarded:
    """A text stream, but for its failures."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        if text == "":
            return 0  # typer tries whether it may, and swallows what comes of it
        with self._telling():
            return self._stream.write(text)

    def flush(self) -> None:
        with self._telling():
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            self._discard()
            raise HungUp from None
        except OSError as error:
            self._discard()
            raise CommandError(
                f"cannot write to standard output: {error.strerror or error}; send it to another file or device"
            ) from error

    def _discard(self) -> None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())
