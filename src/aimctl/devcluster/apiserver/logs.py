"""How the API server reads container logs: the interface that the node implements.

The server has no knowledge of nodes. The code that runs the nodes passes a :class:`LogSource` in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime

__all__ = ["LogKey", "LogOptions", "LogSource", "NoSuchLog", "NotStarted"]


class NoSuchLog(LookupError):  # noqa: N818 - results in HTTP 404
    """The node has no such pod, container or earlier run."""


class NotStarted(Exception):  # noqa: N818 - results in HTTP 400
    """The container has not run yet. The text is the kubelet's message."""


class LogKey(NamedTuple):
    """One container of one pod."""

    namespace: str
    pod: str
    container: str


@dataclass(frozen=True, slots=True)
class LogOptions:
    """``PodLogOptions``: which part of a log is read."""

    tail_lines: int | None = None
    limit_bytes: int | None = None
    since_seconds: float | None = None
    since_time: datetime | None = None
    timestamps: bool = False
    previous: bool = False


class LogSource(Protocol):
    """Reads container logs. Both methods raise NoSuchLog and NotStarted."""

    def read(self, key: LogKey, options: LogOptions) -> bytes:
        """The log as it is now."""
        ...

    def follow(self, key: LogKey, options: LogOptions) -> AsyncIterator[bytes]:
        """The log as it is now, then what is added to it, until the container ends."""
        ...
