"""Standard output that may be full or closed, or whose reader may have ended.

Contract: inside :func:`guarded`, a failed write or flush raises an exception, whichever code printed (a command, or
typer its help). After such a failure the stream discards everything, so that Python reports nothing when it closes it.
"""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO, cast, final

from aimctl.cli.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ReaderGone", "guarded"]


class ReaderGone(Exception):  # noqa: N818 - not an error: the reader has seen enough
    """The reader of standard output has ended (``| head``)."""


@contextmanager
def guarded() -> Iterator[None]:
    """Replace standard output inside the block, and flush it at the end.

    Raises:
        ReaderGone: the reader has ended.
        CommandError: the output cannot be written.
    """
    before = sys.stdout
    if before is None:  # a shell closed it (``>&-``); the first socket would get its file descriptor
        before = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123,SIM115 - open until the process ends
    sys.stdout = cast("TextIO", _Guarded(before))
    try:
        yield
        sys.stdout.flush()
    finally:
        sys.stdout = before


@final
class _Guarded:
    """A text stream whose failures are exceptions of this module."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        if text == "":
            return 0  # typer writes an empty text to test the stream, and ignores failures
        with self._translated():
            return self._stream.write(text)

    def flush(self) -> None:
        with self._translated():
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            self._discard()
            raise ReaderGone from None
        except OSError as error:
            self._discard()
            raise CommandError(
                f"cannot write to standard output: {error.strerror or error}; send it to another file or device"
            ) from error

    def _discard(self) -> None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())
