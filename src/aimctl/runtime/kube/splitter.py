"""Splits chunks of any size into lines, which are the events of a watch.

Pure and synchronous. A line may span any number of chunks, and a chunk may contain any number of lines; the work is
linear in the number of bytes. The length of a line is limited, so that a faulty peer cannot fill the memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from aimctl.runtime.kube.errors import WatchLineTooLong

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["MAX_LINE_BYTES", "LineSplitter"]

MAX_LINE_BYTES = 16 * 1024 * 1024
"""Far above etcd's default limit of 1.5 MiB for an object, and small enough for the memory of a pod."""


@final
class LineSplitter:
    """Splits a byte stream at newlines.

    Invariant: the lines returned, joined by newlines, followed by :attr:`rest`, are exactly the bytes fed.
    """

    def __init__(self, limit_bytes: int = MAX_LINE_BYTES) -> None:
        self._limit = limit_bytes
        self._parts: list[bytes] = []
        self._size = 0

    @property
    def rest(self) -> bytes:
        """The bytes after the last newline."""
        return b"".join(self._parts)

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The lines that ``chunk`` completes, without newlines. Consume all of them before the next call.

        Raises:
            WatchLineTooLong: a line, complete or not, exceeds the limit; the lines before it are yielded first.
        """
        lines = chunk.split(b"\n")
        tail = lines.pop()
        for line in lines:
            if self._parts:
                self._keep(line)
                whole = b"".join(self._parts)
                self._parts.clear()
                self._size = 0
                yield whole
            elif len(line) > self._limit:
                raise WatchLineTooLong(self._limit)
            else:
                yield line
        if tail:
            self._keep(tail)

    def _keep(self, part: bytes) -> None:
        self._size += len(part)
        if self._size > self._limit:
            self._parts.clear()
            raise WatchLineTooLong(self._limit)
        self._parts.append(part)
