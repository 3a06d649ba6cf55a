"""The objects of one kind and their recent history.

Contract:
    * Objects are kept as records, sorted by key.
    * Each write appends one event. Events have consecutive positions; the oldest are dropped when there are too many.
    * Watches pull: each keeps its position and is woken after a write. A write never waits for a watch. A watch whose
      position is below :attr:`Collection.dropped` has missed events and has to end.

Invariants:
    * ``events`` is ordered by resourceVersion.
    * A watch or snapshot from resourceVersion ``v`` is possible exactly if ``v >= compacted``.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterator

    from aimctl.devcluster.storage.records import Change, Record

__all__ = ["Collection"]


@final
@dataclass(eq=False, slots=True)
class Collection:
    """The objects of one kind. Only :class:`~aimctl.devcluster.storage.store.Storage` changes it."""

    name: str
    field_paths: tuple[str, ...] = ()
    records: dict[str, Record] = field(default_factory=dict)
    keys: list[str] = field(default_factory=list)
    events: list[Change] = field(default_factory=list)
    dropped: int = 0
    """The number of events that were dropped, which is the position of ``events[0]``."""
    compacted: int = 0
    """The resourceVersion of the newest event that was dropped."""
    closed: bool = False
    """The kind is no longer served, or the server has stopped. Watches end."""
    wakers: dict[asyncio.Event, None] = field(default_factory=dict)
    """Set after each write; one for each watch."""

    @property
    def position(self) -> int:
        """The position after the newest event."""
        return self.dropped + len(self.events)

    def position_after(self, version: int) -> int:
        """The position of the first event newer than ``version``."""
        return self.dropped + bisect_left(self.events, version + 1, key=lambda event: event.version)

    def since(self, position: int) -> list[Change]:
        """The events from ``position`` on, which must be at least ``dropped``."""
        return self.events[position - self.dropped :]

    def scan(self, prefix: str = "", start: str = "") -> Iterator[Record]:
        """The records whose key has the prefix and is at least ``start``, in order."""
        records = self.records
        for index in range(bisect_left(self.keys, max(prefix, start)), len(self.keys)):
            key = self.keys[index]
            if not key.startswith(prefix):
                return
            yield records[key]

    def count(self, prefix: str = "", start: str = "") -> int:
        """The number of records that :meth:`scan` returns."""
        end = bisect_left(self.keys, prefix + "\U0010ffff") if prefix else len(self.keys)
        return max(0, end - bisect_left(self.keys, max(prefix, start)))

    def snapshot(self, version: int, prefix: str = "", start: str = "") -> list[Record]:
        """The records that :meth:`scan` would have returned at ``version``, which must be at least ``compacted``."""
        then: dict[str, Record | None] = {}
        for event in reversed(self.events):
            if event.version <= version:
                break
            then[event.record.key] = event.previous
        if not then:
            return list(self.scan(prefix, start))
        floor = max(prefix, start)
        records = {record.key: record for record in self.scan(prefix, start)}
        for key, record in then.items():
            if record is None:
                records.pop(key, None)
            elif key >= floor and key.startswith(prefix):
                records[key] = record
        return [records[key] for key in sorted(records)]

    def wake(self) -> None:
        """Wake all watches."""
        for waker in self.wakers:
            waker.set()

    def close(self) -> None:
        """End all watches. May be called more than once."""
        self.closed = True
        self.wake()
