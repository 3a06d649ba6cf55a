"""All objects of the cluster, under one resourceVersion.

Contract:
    * The resourceVersion is one counter for all kinds. It increases by one with each write and is never reused,
      not even after a restart with a journal.
    * Everything is synchronous: a write is complete, including its observers, before any other task runs.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, final

import msgspec

from aimctl.devcluster.storage.history import Collection
from aimctl.devcluster.storage.records import Change, Record, encode_object

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["DEFAULT_HISTORY", "Journal", "JournalEntry", "Snapshot", "Storage"]

DEFAULT_HISTORY = 10_000
"""Events kept per collection."""

_RESTORE_BUMP = 1_000


class JournalEntry(NamedTuple):
    """One object in the journal."""

    collection: str
    key: str
    version: int
    raw: bytes


class Snapshot(NamedTuple):
    """The state of a storage: the records of each collection by key."""

    records: dict[str, dict[str, Record]]


class Journal(Protocol):
    """Stores the objects outside the process."""

    def load(self) -> tuple[int, Iterable[JournalEntry]]:
        """The last resourceVersion and all objects."""
        ...

    def write(self, collection: str, change: Change) -> None:
        """Store one change. After the return, it survives the end of this process."""
        ...

    def close(self) -> None:
        """Release the file."""
        ...


@final
class Storage:
    """All collections and the one resourceVersion.

    Args:
        journal: keeps the objects when the process ends; None keeps them in memory only.
        history: events kept per collection. When there are more, the older half is dropped.
    """

    def __init__(self, *, journal: Journal | None = None, history: int = DEFAULT_HISTORY) -> None:
        if history < 2:
            raise ValueError(f"history is {history}: keep at least 2 events")
        self._journal = journal
        self._history = history
        self._collections: dict[str, Collection] = {}
        self._loaded: dict[str, list[JournalEntry]] = {}
        self._floor = 0
        self.version = 1
        self.observers: list[Callable[[Collection, Change], None]] = []
        """Called in order after each write, before it returns. They may write. They read the object with
        :meth:`~aimctl.devcluster.storage.records.Record.shared`, or decode a copy of their own.
        """
        self.closed = False
        self.epoch = 0
        """Increases when all streams have to end."""

    def load(self) -> None:
        """Read the journal. Has to be called once, before the first write. Raises what the journal raises."""
        if self._journal is None:
            return
        self.version, entries = self._journal.load()
        self.version = max(self.version, 1)
        self._floor = self.version
        for entry in entries:
            self._loaded.setdefault(entry.collection, []).append(entry)

    def loaded(self, name: str) -> list[dict[str, Any]]:
        """The objects in the journal of a collection that is not open yet."""
        return [msgspec.json.decode(entry.raw) for entry in self._loaded.get(name, ())]

    def collection(self, name: str, field_paths: tuple[str, ...] = ()) -> Collection:
        """The collection of this name. The first call opens it, with the objects in the journal."""
        found = self._collections.get(name)
        if found is None:
            found = Collection(name, field_paths, compacted=self._floor)
            for entry in self._loaded.pop(name, ()):
                obj = msgspec.json.decode(entry.raw)
                found.records[entry.key] = Record(obj, entry.raw, entry.version, field_paths)
            found.keys = sorted(found.records)
            self._collections[name] = found
        elif field_paths and found.field_paths != field_paths:
            found.field_paths = field_paths
            for key, record in found.records.items():
                found.records[key] = Record(record.object(), record.raw, record.version, field_paths)
        return found

    def drop(self, name: str) -> None:
        """Remove a collection, which must be empty, and end its watches."""
        found = self._collections.pop(name, None)
        if found is not None:
            found.close()

    def put(self, collection: Collection, obj: dict[str, Any]) -> Record:
        """Store a new or changed object at the next resourceVersion, which is set in its metadata.

        The caller must not change the dict afterwards.
        """
        version = self._next()
        obj["metadata"]["resourceVersion"] = str(version)
        record = Record(obj, encode_object(obj), version, collection.field_paths)
        previous = collection.records.get(record.key)
        if previous is None:
            insort(collection.keys, record.key)
        collection.records[record.key] = record
        self._commit(
            collection, Change(version, "ADDED" if previous is None else "MODIFIED", record, previous)
        )
        return record

    def delete(self, collection: Collection, record: Record) -> Record:
        """Remove an object. Returns its last state, at the resourceVersion of the deletion."""
        version = self._next()
        obj = record.object()
        obj["metadata"]["resourceVersion"] = str(version)
        last = Record(obj, encode_object(obj), version, collection.field_paths)
        previous = collection.records.pop(record.key)
        del collection.keys[bisect_left(collection.keys, record.key)]
        self._commit(collection, Change(version, "DELETED", last, previous))
        return last

    def compact(self, collection: Collection | None = None) -> None:
        """Drop the history of one collection or of all. Later watches and pages from an older version get 410."""
        for each in self._collections.values() if collection is None else (collection,):
            each.dropped += len(each.events)
            each.events = []
            each.compacted = self.version

    def snapshot(self) -> Snapshot:
        """The present state, for :meth:`restore`."""
        return Snapshot({name: dict(found.records) for name, found in self._collections.items()})

    def restore(self, snapshot: Snapshot) -> None:
        """Return to an earlier state, as after restoring etcd with ``--bump-revision`` and ``--mark-compacted``.

        The resourceVersion increases by 1,000, and the history is lost, so all watches get 410. Observers are not
        called. Kinds that did not exist then are kept and are empty.

        Raises:
            RuntimeError: there is a journal.
        """
        if self._journal is not None:
            raise RuntimeError("a storage with a journal cannot be restored: use one in memory")
        self.version += _RESTORE_BUMP
        for name, found in self._collections.items():
            found.records = dict(snapshot.records.get(name, {}))
            found.keys = sorted(found.records)
        self.compact()
        for found in self._collections.values():
            found.dropped += 1  # so that open watches end without a bookmark
        self.end_streams()

    def end_streams(self) -> None:
        """End all watches cleanly, as a restart of the server does. New ones may start at once."""
        self.epoch += 1
        for collection in self._collections.values():
            collection.wake()

    def close(self) -> None:
        """End all watches and release the journal. May be called more than once."""
        if self.closed:
            return
        self.closed = True
        for collection in self._collections.values():
            collection.close()
        if self._journal is not None:
            self._journal.close()

    def __iter__(self) -> Iterator[Collection]:
        return iter(tuple(self._collections.values()))

    def _next(self) -> int:
        if self.closed:
            raise RuntimeError("the storage is closed: no more writes")
        self.version += 1
        return self.version

    def _commit(self, collection: Collection, change: Change) -> None:
        if self._journal is not None:
            self._journal.write(collection.name, change)
        collection.events.append(change)
        if len(collection.events) > self._history:
            surplus = len(collection.events) - self._history // 2
            collection.compacted = collection.events[surplus - 1].version
            collection.dropped += surplus
            del collection.events[:surplus]
        collection.wake()
        for observer in tuple(self.observers):
            observer(collection, change)
        change.record.observed()
