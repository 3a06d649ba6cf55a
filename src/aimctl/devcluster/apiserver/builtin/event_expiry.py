"""The expiry of Events.

Contract: an Event is deleted one hour after its last write, as on the real server (``--event-ttl``). Expired Events are
deleted when another Event is written.
"""

from __future__ import annotations

from collections import OrderedDict
from datetime import timedelta
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from datetime import datetime

    from aimctl.devcluster.storage.history import Collection
    from aimctl.devcluster.storage.records import Change
    from aimctl.devcluster.storage.store import Storage
    from aimctl.runtime.clock import Clock

__all__ = ["EVENT_TTL", "EventExpiry"]

EVENT_TTL = timedelta(hours=1)
_COLLECTION = "events"


@final
class EventExpiry:
    """Deletes expired Events. Registers itself as an observer of the storage.

    Invariant: ``_written`` has the time of the last write of every stored Event, the oldest first.
    """

    def __init__(self, storage: Storage, *, clock: Clock) -> None:
        self._storage = storage
        self._clock = clock
        self._written: OrderedDict[str, datetime] = OrderedDict()
        storage.observers.append(self._observe)

    def load(self) -> None:
        """Start the hour of the Events in the journal again."""
        now = self._clock.now()
        for record in self._storage.collection(_COLLECTION).scan():
            self._written[record.key] = now

    def _observe(self, collection: Collection, change: Change) -> None:
        if collection.name != _COLLECTION:
            return
        key = change.record.key
        if change.type == "DELETED":
            self._written.pop(key, None)
            return
        now = self._clock.now()
        self._written[key] = now
        self._written.move_to_end(key)
        while self._written:
            oldest = next(iter(self._written))
            if now - self._written[oldest] < EVENT_TTL:
                return
            self._storage.delete(collection, collection.records[oldest])
