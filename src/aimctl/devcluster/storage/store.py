"""Objects, their history, and who is told about it.

Contract:
    * One resourceVersion for everything, growing by one with each write, never reused, also over a restart.
    * A :class:`Collection` holds the objects of one kind as encoded bytes, and the events of its recent past.
    * A snapshot at any resourceVersion that history still covers can be read, so paged lists stay consistent.
    * Watchers pull: each keeps its own position in the history and is woken after a write. A writer never
      waits for a reader; a reader that falls behind the kept history finds :attr:`Collection.dropped` beyond
      it.

Invariants:
    * A :class:`Record` and its bytes never change. Reading an object decodes a private copy, so no caller can
      change what is stored.
    * ``events`` is ordered by resourceVersion, and every write appended exactly one event.
    * A watch or snapshot from resourceVersion ``v`` is possible exactly when ``v >= compacted``.

Everything here is synchronous: a write is whole before any other task runs.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, final

import msgspec

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable, Iterator, Mapping

__all__ = [
    "Change",
    "Collection",
    "EventType",
    "Journal",
    "JournalEntry",
    "Record",
    "Storage",
    "encode_object",
    "object_key",
]

EventType = Literal["ADDED", "MODIFIED", "DELETED"]

DEFAULT_HISTORY = 10_000
"""Events kept per collection before the oldest half goes."""

_NOTHING: Mapping[str, str] = {}


def object_key(namespace: str, name: str) -> str:
    """``namespace/name``, or the name alone: the order of keys is the order of lists, as in etcd."""
    return f"{namespace}/{name}" if namespace else name


@final
class Record:
    """One object at one resourceVersion, encoded, with what selectors look at."""

    __slots__ = ("fields", "key", "labels", "name", "namespace", "raw", "uid", "version")

    def __init__(
        self, obj: Mapping[str, Any], raw: bytes, version: int, field_paths: tuple[str, ...] = ()
    ) -> None:
        metadata = obj["metadata"]
        self.name: str = metadata["name"]
        self.namespace: str = metadata.get("namespace") or ""
        self.key = object_key(self.namespace, self.name)
        self.uid: str = metadata.get("uid") or ""
        self.labels: Mapping[str, str] = metadata.get("labels") or _NOTHING
        self.fields: Mapping[str, str] = (
            {path: field_value(obj, path) for path in field_paths} if field_paths else _NOTHING
        )
        self.version = version
        self.raw = raw

    def object(self) -> dict[str, Any]:
        """A private copy, free to be changed."""
        return msgspec.json.decode(self.raw, type=dict[str, Any])


def field_value(obj: Mapping[str, Any], path: str) -> str:
    """The text at a dotted path; "" where there is nothing, as field selectors see it."""
    value: Any = obj
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


class Change(NamedTuple):
    """What a write did. ``record`` of a DELETED is the last state at the deletion's resourceVersion."""

    version: int
    type: EventType
    record: Record
    previous: Record | None


class JournalEntry(NamedTuple):
    """One object as the journal keeps it."""

    collection: str
    key: str
    version: int
    raw: bytes


class Journal(Protocol):
    """Where writes go to outlive the process."""

    def load(self) -> tuple[int, Iterable[JournalEntry]]:
        """The last resourceVersion and all objects."""
        ...

    def write(self, collection: str, change: Change) -> None:
        """Keep one change; when this returns it survives the end of this process."""
        ...

    def close(self) -> None:
        """Let go of the file."""
        ...


@final
@dataclass(eq=False, slots=True)
class Collection:
    """The objects of one kind, sorted by key, with their history. Only :class:`Storage` writes here."""

    name: str
    field_paths: tuple[str, ...] = ()
    records: dict[str, Record] = field(default_factory=dict)
    keys: list[str] = field(default_factory=list)
    events: list[Change] = field(default_factory=list)
    dropped: int = 0
    """How many events history has forgotten: the position of ``events[0]``."""
    compacted: int = 0
    """The newest forgotten resourceVersion."""
    closed: bool = False
    """The kind is served no more, or the server ends: watches end."""
    wakers: dict[asyncio.Event, None] = field(default_factory=dict)

    @property
    def position(self) -> int:
        """Behind the newest event."""
        return self.dropped + len(self.events)

    def position_after(self, version: int) -> int:
        """The position of the first event newer than ``version``."""
        return self.dropped + bisect_left(self.events, version + 1, key=lambda event: event.version)

    def since(self, position: int) -> list[Change]:
        """The events from ``position`` on, which must not be below ``dropped``."""
        return self.events[position - self.dropped :]

    def scan(self, prefix: str = "", start: str = "") -> Iterator[Record]:
        """The records whose key has the prefix, in order, from the first key not below ``start``."""
        records = self.records
        for index in range(bisect_left(self.keys, max(prefix, start)), len(self.keys)):
            key = self.keys[index]
            if not key.startswith(prefix):
                return
            yield records[key]

    def count(self, prefix: str = "") -> int:
        """How many records have the prefix."""
        return self.count_from(prefix, "")

    def count_from(self, prefix: str, start: str) -> int:
        """How many records :meth:`scan` would give."""
        end = bisect_left(self.keys, prefix + "\U0010ffff") if prefix else len(self.keys)
        return max(0, end - bisect_left(self.keys, max(prefix, start)))

    def snapshot(self, version: int, prefix: str = "", start: str = "") -> list[Record]:
        """The records with the prefix as they were at ``version``, which history must cover.

        ``start`` cuts off keys below it.
        """
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
        """Tell all watchers to look."""
        for waker in self.wakers:
            waker.set()

    def close(self) -> None:
        """End all watches; idempotent."""
        self.closed = True
        self.wake()


@final
class Storage:
    """All collections and the one resourceVersion.

    Args:
        journal: makes writes outlive the process; None keeps them in memory only.
        history: events kept per collection (between this and half of it after a cut).
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
        """Called after each write, in order, within the write. They may write again."""
        self.closed = False
        self.epoch = 0
        """Grows when all streams are to end."""

    def load(self) -> None:
        """Read the journal back. Call once, before any write."""
        if self._journal is None:
            return
        self.version, entries = self._journal.load()
        self.version = max(self.version, 1)
        self._floor = self.version
        for entry in entries:
            self._loaded.setdefault(entry.collection, []).append(entry)

    def loaded(self, name: str) -> list[dict[str, Any]]:
        """The objects the journal had of a collection that is not open yet."""
        return [msgspec.json.decode(entry.raw) for entry in self._loaded.get(name, ())]

    def collection(self, name: str, field_paths: tuple[str, ...] = ()) -> Collection:
        """The collection of this name, opened on first use with what the journal had."""
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
        """Forget a collection and end its watches. Its objects must be gone already."""
        found = self._collections.pop(name, None)
        if found is not None:
            found.close()

    def put(self, collection: Collection, obj: dict[str, Any]) -> Record:
        """Store a new or changed object under its key at the next resourceVersion.

        Takes the dict over: the caller must not change it afterwards. ``metadata.resourceVersion`` is set
        here.
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
        """Remove the object; returns its last state at the deletion's resourceVersion."""
        version = self._next()
        obj = record.object()
        obj["metadata"]["resourceVersion"] = str(version)
        last = Record(obj, encode_object(obj), version, collection.field_paths)
        previous = collection.records.pop(record.key)
        del collection.keys[bisect_left(collection.keys, record.key)]
        self._commit(collection, Change(version, "DELETED", last, previous))
        return last

    def compact(self, collection: Collection | None = None) -> None:
        """Forget all history (of one collection, or of all): watches and pages from before now get 410."""
        for each in self._collections.values() if collection is None else (collection,):
            each.dropped += len(each.events)
            each.events = []
            each.compacted = self.version

    def end_streams(self) -> None:
        """End all watches cleanly, as a restart of the server would; new ones may begin at once."""
        self.epoch += 1
        for collection in self._collections.values():
            collection.wake()

    def close(self) -> None:
        """End all watches and let go of the journal; idempotent."""
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


def encode_object(obj: dict[str, Any]) -> bytes:
    """JSON with ``apiVersion``, ``kind`` and ``metadata`` first, whatever order they came in: as records
    have it.
    """
    head = {"apiVersion": obj.get("apiVersion", ""), "kind": obj.get("kind", ""), "metadata": obj["metadata"]}
    return msgspec.json.encode({**head, **obj})
