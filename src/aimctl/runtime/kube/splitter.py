"""Lines out of chunks of any size: how watch events arrive.

Pure and synchronous. A line may come in any number of chunks and a chunk may hold any number of lines; the
work is linear in the bytes. There is no limit on a line but the stated cap, so that a broken peer cannot fill
the memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from aimctl.runtime.kube.errors import WatchLineTooLong

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["MAX_LINE_BYTES", "LineSplitter"]

MAX_LINE_BYTES = 16 * 1024 * 1024
"""Far above the 1.5 MiB that etcd takes for an object by default, far below what hurts."""


@final
class LineSplitter:
    """Cuts a byte stream at newlines.

    Invariant: the lines given out, joined by newlines, and :attr:`rest` are exactly what was fed.
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
        """The lines that ``chunk`` completes, without their newline. Consume all of them before feeding
        again.

        Raises:
            WatchLineTooLong: after the lines before it, for a line above the limit, whole or not.
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
