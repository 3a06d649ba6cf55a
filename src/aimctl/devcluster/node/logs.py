"""The logs of simulated containers, in memory.

Contract:
    * Reads are those of the kubelet: ``tail_lines`` selects lines at the end, then ``limit_bytes`` limits the result.
      ``follow`` ends when the container ends.
    * A container that has not run raises :class:`NotStarted`, an unknown pod or container :class:`NoSuchLog`.
    * A run may have texts for later times. Each is part of the log from its time on.

Invariant: changes happen only between awaits. A follower gets every byte once, in order.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, final

from aimctl.devcluster.apiserver.logs import LogKey, LogOptions, NoSuchLog, NotStarted
from aimctl.runtime.clock import format_micro_time

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from aimctl.runtime.clock import Clock

__all__ = ["ContainerLogs"]

_MESSAGE_LINES, _MESSAGE_BYTES = 80, 2048


@dataclass(slots=True)
class _Log:
    parts: list[tuple[datetime, bytes]] = field(default_factory=list)
    later: deque[tuple[datetime, bytes]] = field(default_factory=deque)
    ended: bool = False
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def advance(self, now: datetime) -> None:
        """Add the texts that are due."""
        while self.later and self.later[0][0] <= now:
            self.parts.append(self.later.popleft())

    def wake(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()


@dataclass(slots=True)
class _Container:
    uid: str
    reason: str = "ContainerCreating"
    run: _Log | None = None
    previous: _Log | None = None


@final
class ContainerLogs:
    """The logs of a set of nodes. A pod with a known name and another uid starts a new log."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._containers: dict[LogKey, _Container] = {}

    def waiting(self, key: LogKey, uid: str, reason: str) -> None:
        """Record why a container has not run: requests for its log are answered with the reason."""
        self._of(key, uid).reason = reason

    def start(self, key: LogKey, uid: str, text: bytes, later: Iterable[tuple[datetime, bytes]] = ()) -> None:
        """Start a run; the current one becomes the previous one.

        ``later`` has texts with the times at which they are added, in order, unless the run ends before.
        """
        container = self._of(key, uid)
        container.previous, container.run = container.run or container.previous, _Log(later=deque(later))
        self.write(key, text)

    def write(self, key: LogKey, text: bytes) -> None:
        """Append to the current run, if there is one."""
        container = self._containers.get(key)
        if text and container is not None and container.run is not None:
            container.run.advance(self._clock.now())
            container.run.parts.append((self._clock.now(), text))
            container.run.wake()

    def end(self, key: LogKey) -> None:
        """End the current run: followers end, and nothing more is added."""
        container = self._containers.get(key)
        if container is not None and container.run is not None:
            container.run.advance(self._clock.now())
            container.run.later.clear()
            container.run.ended = True
            container.run.wake()

    def started(self, key: LogKey, uid: str) -> bool:
        """Whether a run of this container is stored."""
        container = self._containers.get(key)
        return container is not None and container.uid == uid and container.run is not None

    def forget(self, namespace: str, pod: str, uid: str) -> None:
        """Remove the logs of a deleted pod. Followers end."""
        mine = [
            key
            for key, item in self._containers.items()
            if (key.namespace, key.pod, item.uid) == (namespace, pod, uid)
        ]
        for key in mine:
            self.end(key)
            del self._containers[key]

    def containers(self, namespace: str, pod: str) -> list[str]:
        """The names of a pod's containers, in the order they were first recorded."""
        return [key.container for key in self._containers if (key.namespace, key.pod) == (namespace, pod)]

    def read(self, key: LogKey, options: LogOptions) -> bytes:
        """The log as it is now.

        Raises:
            NoSuchLog: unknown pod or container, or no earlier run.
            NotStarted: it has not run yet.
        """
        return _cut(self._log(key, options), options, self._clock.now())

    def termination_message(self, key: LogKey) -> str:
        """The end of the log as the kubelet uses it for a termination message: at most 80 lines and 2048 bytes."""
        container = self._containers.get(key)
        if container is None or container.run is None:
            return ""
        text = _cut(container.run, LogOptions(tail_lines=_MESSAGE_LINES), self._clock.now())
        return text[-_MESSAGE_BYTES:].decode(errors="replace")

    async def follow(self, key: LogKey, options: LogOptions) -> AsyncIterator[bytes]:
        """The log as it is now, then what is added, until the container ends.

        Raises:
            NoSuchLog, NotStarted: as :meth:`read`.
        """
        log = self._log(key, options)
        left = options.limit_bytes
        text = _cut(log, options, self._clock.now())
        seen = len(log.parts)
        while True:
            if text:
                yield text
                if left is not None:
                    left -= len(text)
            if log.ended or (left is not None and left <= 0):
                return
            if len(log.parts) == seen:
                await self._more(log)
            text = b"".join(_stamped(part, options) for part in log.parts[seen:])[:left]
            seen = len(log.parts)

    async def _more(self, log: _Log) -> None:
        """Wait for a write, the end, or the time of the next text."""
        seconds = (log.later[0][0] - self._clock.now()).total_seconds() if log.later else None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await log.changed.wait()
        log.advance(self._clock.now())

    def _of(self, key: LogKey, uid: str) -> _Container:
        known = self._containers.get(key)
        if known is None or known.uid != uid:
            if known is not None:
                self.end(key)
            known = self._containers[key] = _Container(uid)
        return known

    def _log(self, key: LogKey, options: LogOptions) -> _Log:
        container = self._containers.get(key)
        if container is None:
            raise NoSuchLog(f'container "{key.container}" in pod "{key.pod}" is not on this node')
        if options.previous:
            if container.previous is None:
                raise NotStarted(
                    f'previous terminated container "{key.container}" in pod "{key.pod}" not found'
                )
            return container.previous
        if container.run is None:
            raise NotStarted(
                f'container "{key.container}" in pod "{key.pod}" is waiting to start: {container.reason}'
            )
        return container.run


def _cut(log: _Log, options: LogOptions, now: datetime) -> bytes:
    log.advance(now)
    since = options.since_time
    if options.since_seconds is not None:
        since = now - timedelta(seconds=options.since_seconds)
    parts = [part for part in log.parts if since is None or part[0] >= since]
    text = b"".join(_stamped(part, options) for part in parts)
    if options.tail_lines is not None:
        text = _tail(text, options.tail_lines)
    return text if options.limit_bytes is None else text[: options.limit_bytes]


def _stamped(part: tuple[datetime, bytes], options: LogOptions) -> bytes:
    moment, text = part
    if not options.timestamps:
        return text
    stamp = format_micro_time(moment).encode() + b" "
    return b"".join(stamp + line for line in text.splitlines(keepends=True))


def _tail(text: bytes, lines: int) -> bytes:
    if lines <= 0:
        return b""
    position = len(text) - 1 if text.endswith(b"\n") else len(text)
    for _ in range(lines):
        position = text.rfind(b"\n", 0, position)
        if position < 0:
            return text
    return text[position + 1 :]
