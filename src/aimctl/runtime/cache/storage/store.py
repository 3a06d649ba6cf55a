"""The store of an informer: objects by key, indexes, and the resourceVersion of the content.

Contract:
    * Reads return the shared, immutable objects without copying. Lists have no particular order.
    * Methods that write return the changes in the order in which handlers should receive them. An object with an
      unchanged resourceVersion is not a change.
    * An object is never replaced by an older state, whether from a watch, a list or the response to a write. Versions
      are compared as numbers. ``stale_dropped`` counts states that the watch had already passed, but not the events
      caused by the process's own writes.
    * Read-your-writes: :meth:`Store.observe_write` and :meth:`Store.observe_delete` store responses at once. An older
      list or event does not undo them: a deleted uid stays deleted. With ``own_writes=False`` a read returns what lists
      and the watch have brought, as if this process had not written.
    * Deletion and re-creation are always reported as a delete of the old object and an add of the new one.

Invariants:
    * The informer is the only writer and never awaits during a write, so readers never see a partial replacement.
    * ``_indexes`` has the objects of ``_objects``; reads of both agree at any time.
    * ``resource_version`` changes with lists, events and bookmarks only, not with the process's own writes: the watch
      has confirmed everything up to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar, final

from aimctl.kubetypes import ObjectKey, is_newer
from aimctl.runtime.cache.storage.indexes import Indexes
from aimctl.runtime.cache.storage.merge import Change, group, merge, newer, same
from aimctl.runtime.cache.storage.unconfirmed import Unconfirmed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from aimctl.kubetypes import Object
    from aimctl.runtime.cache.storage.indexes import IndexFunction
    from aimctl.runtime.cache.storage.merge import ByNamespace
    from aimctl.runtime.kube.watch import WatchEvent

__all__ = ["Store", "same_in"]

T = TypeVar("T")

_MAX_TOMBSTONES = 10_000
"""Largest number of remembered deletions, about 2 MB. A tombstone is removed when the watch reports the deletion."""
_MAX_PASSED = 256
"""Number of deletions that are remembered because the response to a delete request may still arrive. A tombstone would
never be removed then, and would hide the object if etcd is restored from a backup that has it."""


@dataclass(frozen=True, slots=True)
class _Tombstone:
    """Marks a uid whose states must no longer be stored: all of them, or those up to ``until``."""

    key: ObjectKey
    known: str
    """The newest known resourceVersion; "" for none: then no list shows that there are no more events."""
    until: str | None

    def covers(self, version: str) -> bool:
        return self.until is None or not is_newer(version, self.until)


@final
class Store(Generic[T]):
    """The objects of one kind.

    Args:
        indexes: index functions by name.

    Attributes:
        stale_dropped: number of dropped states that the watch had already passed.
    """

    __slots__ = ("_gone", "_indexes", "_objects", "_passed", "_unconfirmed", "_versions", "stale_dropped")

    def __init__(self, indexes: Mapping[str, IndexFunction[T]] | None = None) -> None:
        self._objects: ByNamespace[T] = {}
        """Objects by namespace, then name, which needs no key object per entry."""
        self._indexes: Indexes[T] = Indexes(indexes or {}, self._is_stored)
        self._gone: dict[str, _Tombstone] = {}
        """Tombstones by uid, oldest first."""
        self._passed: dict[str, None] = {}
        """The uids that the watch has reported as deleted, without a tombstone; oldest first."""
        self._versions: dict[str, str] = {}
        """The confirmed resourceVersion of each scope (a namespace, or "" for all)."""
        self._unconfirmed: Unconfirmed[T] = Unconfirmed()
        self.stale_dropped: int = 0

    # ---- reading

    def get(self, key: ObjectKey, *, own_writes: bool = True) -> Object[T] | None:
        """The object with this key, or None."""
        by_name = self._objects.get(key.namespace)
        stored = None if by_name is None else by_name.get(key.name)
        return stored if own_writes else self._unconfirmed.get(key, stored)

    def list(self, namespace: str | None = None, *, own_writes: bool = True) -> list[Object[T]]:
        """All objects, or those of one namespace (None and "" mean all)."""
        stored = list(self._objects.get(namespace, {}).values()) if namespace else list(self)
        return stored if own_writes else list(self._unconfirmed.over(stored, namespace))

    def by_index(self, name: str, value: str, *, own_writes: bool = True) -> Sequence[Object[T]]:
        """The objects for which the index function returned ``value``.

        Raises:
            UnknownIndex: there is no index of this name.
        """
        found = self._indexes.find(name, value)
        if own_writes:
            return found
        unconfirmed = self._unconfirmed
        return [
            *(obj for obj in found if obj.key not in unconfirmed),
            *(obj for obj in unconfirmed.confirmed() if self._indexes.get(name).has(obj, value)),
        ]

    def __iter__(self) -> Iterator[Object[T]]:
        for by_name in self._objects.values():
            yield from by_name.values()

    def __len__(self) -> int:
        return sum(map(len, self._objects.values()))

    @property
    def resource_version(self) -> str:
        """The confirmed resourceVersion, the oldest of all scopes; "" before the first list."""
        least = ""
        for version in self._versions.values():
            if not least or is_newer(least, version):
                least = version
        return least

    def version_of(self, scope: str) -> str:
        """The confirmed resourceVersion of one scope, at which its watch resumes; "" before its first list."""
        return self._versions.get(scope, "")

    @property
    def bytes(self) -> int:
        """Size of all bodies. Takes time linear in the number of objects."""
        return sum(len(obj.raw) for obj in self)

    @property
    def indexes(self) -> Mapping[str, IndexFunction[T]]:
        """The index functions by name."""
        return self._indexes.functions

    # ---- writing

    def add_index(self, name: str, function: IndexFunction[T]) -> None:
        """Add an index over existing and future objects. The name must be new.

        The existing objects are added by :meth:`index_some`, or with the first read of the index.
        """
        self._indexes.declare(name, function, self)

    def index_ahead(self, listed: ByNamespace[T], *, scope: str = "") -> Iterator[None]:
        """Index the objects with which :meth:`replace` will be called for this scope, one object in each step."""
        changed = (
            None if (old := self.get(obj.key)) is not None and same(old, obj) else obj
            for by_name in listed.values()
            for obj in by_name.values()
        )
        return self._indexes.prepare(changed, scope)

    def index_some(self, most: int) -> bool:
        """Do what :meth:`replace` and :meth:`add_index` left, for at most so many objects; whether more is left."""
        return self._indexes.work(most)

    def apply(self, event: WatchEvent[T], *, scope: str = "") -> tuple[Change[T], ...]:
        """Apply one event of the watch of ``scope``."""
        confirmed_version = self._versions.get(scope, "")
        new = bool(event.resource_version) and is_newer(event.resource_version, confirmed_version)
        if new:
            self._versions[scope] = event.resource_version
        if event.type == "BOOKMARK":
            return ()
        deleted = event.type == "DELETED"
        apply = self._apply_delete if deleted else self._take
        changes = apply(event.object, confirmed_version)
        if new:  # otherwise it is a replay
            key = event.object.key
            self._unconfirmed.confirm(key, None if deleted else event.object, self.get(key))
        return changes

    def replace(
        self,
        objects: Iterable[Object[T]] | ByNamespace[T],
        resource_version: str,
        *,
        scope: str = "",
        reset: bool = False,
        initial: bool = False,
    ) -> Sequence[Change[T]]:
        """Replace the content of ``scope`` by a list, in one step. Deletes come first among the changes.

        Call :meth:`index_ahead` before and :meth:`index_some` after it, so that indexing many objects is not part of
        this step.

        Args:
            objects: the objects of all pages, or the result of :func:`~aimctl.runtime.cache.storage.merge.group` for
                them, which the store may keep.
            resource_version: of the list.
            scope: the listed namespace, or "" for all.
            reset: the history of the server has restarted (after restoring a backup): the list replaces newer versions.
            initial: mark adds as those of a first list.
        """
        doubtful = {*self._unconfirmed, *(one.key for one in self._gone.values())}
        if scope:
            doubtful = {key for key in doubtful if key.namespace == scope}
        if reset:
            self._gone.clear()
        listed = objects if isinstance(objects, dict) else group(objects)
        stored = {scope: self._objects.get(scope, {})} if scope else self._objects
        confirmed_version = self._versions.get(scope, "")
        merged = merge(
            stored,
            listed,
            resource_version,
            confirmed_version=confirmed_version,
            tombstoned=self._is_tombstoned if self._gone else None,
            reset=reset,
            initial=initial,
        )
        if self._gone:
            self._forget_passed(listed, scope, resource_version)
        if scope:
            self._objects.pop(scope, None)
            self._objects.update(merged.content)
        else:
            self._objects = merged.content
        self._versions[scope] = resource_version
        for key in doubtful:
            self._unconfirmed.confirm(key, listed.get(key.namespace, {}).get(key.name), self.get(key))
        self.stale_dropped += merged.stale
        self._indexes.replaced(merged.changes, scope)
        return merged.changes

    def clear(self, *, scope: str = "") -> Sequence[Change[T]]:
        """Remove all objects of ``scope``, because the kind is no longer served."""
        changes = self.replace((), "", scope=scope, reset=True)
        del self._versions[scope]
        return changes

    def observe_write(
        self, obj: Object[T], *, selected: bool = True, scope: str = ""
    ) -> tuple[Change[T], ...]:
        """Store the response to a write, if it is newer than the stored object.

        A response that is older than the confirmed version is ignored: the object may have been deleted since.

        Args:
            obj: the object of the response.
            selected: whether the selector of the informer matches it; if not, it is removed from the store.
            scope: the namespace whose watch covers it, or "" for all.
        """
        if not is_newer(obj.meta.resource_version, self._versions.get(scope, "")):
            return ()
        old = self.get(obj.key)
        if selected:
            changes = self._take(obj, "")
            if changes:
                self._unconfirmed.wrote(obj.key, old)
            if changes and old is not None and old.meta.uid != obj.meta.uid:
                self._add_tombstone(old.meta.uid, _Tombstone(obj.key, old.meta.resource_version, None))
            return changes
        if old is None or old.meta.uid != obj.meta.uid or not newer(obj, old):
            return ()
        self._remove(old)
        self._unconfirmed.wrote(obj.key, old)
        self._add_tombstone(
            obj.meta.uid, _Tombstone(obj.key, obj.meta.resource_version, obj.meta.resource_version)
        )
        return (Change(obj, None),)

    def observe_delete(self, key: ObjectKey, uid: str) -> tuple[Change[T], ...]:
        """Remove an object that was deleted with certainty. An empty uid means the stored object."""
        old = self.get(key)
        same = old is not None and uid in {"", old.meta.uid}
        if old is not None and same:
            self._remove(old)
            self._unconfirmed.wrote(key, old)
            self._add_tombstone(old.meta.uid, _Tombstone(key, old.meta.resource_version, None))
            return (Change(old, None),)
        if uid and uid not in self._passed:
            self._add_tombstone(uid, _Tombstone(key, "", None))
        return ()

    # ---- helpers

    def _take(self, obj: Object[T], confirmed_version: str) -> tuple[Change[T], ...]:
        old = self.get(obj.key)
        if old is not None and not newer(obj, old):
            # Older than an own write: the event caused by an earlier write. Older than the confirmed version: a replay.
            self.stale_dropped += int(not is_newer(old.meta.resource_version, confirmed_version))
            return ()
        if old is not None:
            self._remove(old)
        if self._is_tombstoned(obj):
            # This object is deleted, and the stored one existed before it, so it is deleted as well.
            return () if old is None else (Change(old, None, confirmed=False),)
        self._gone.pop(obj.meta.uid, None)
        self._insert(obj)
        if old is None:
            return (Change(None, obj),)
        if old.meta.uid == obj.meta.uid:
            return (Change(old, obj),)
        return (Change(old, None, confirmed=False), Change(None, obj))

    def _apply_delete(self, final: Object[T], confirmed_version: str) -> tuple[Change[T], ...]:
        tombstone = self._gone.get(final.meta.uid)
        if tombstone is None:
            self._passed[final.meta.uid] = None
            if len(self._passed) > _MAX_PASSED:
                del self._passed[next(iter(self._passed))]
        elif tombstone.until is None or not is_newer(tombstone.until, final.meta.resource_version):
            del self._gone[final.meta.uid]
        old = self.get(final.key)
        if old is None:
            return ()
        if is_newer(old.meta.resource_version, final.meta.resource_version):
            # The stored object is newer: it matches the selector again, or was re-created under the same name.
            self.stale_dropped += int(not is_newer(old.meta.resource_version, confirmed_version))
            return ()
        self._remove(old)
        if old.meta.uid == final.meta.uid:
            return (Change(final, None),)
        return (Change(old, None, confirmed=False),)

    def _is_stored(self, obj: Object[T]) -> bool:
        return self._objects.get(obj.meta.namespace, {}).get(obj.meta.name) is obj

    def _insert(self, obj: Object[T]) -> None:
        self._objects.setdefault(obj.meta.namespace, {})[obj.meta.name] = obj
        self._indexes.add(obj)

    def _remove(self, old: Object[T]) -> None:
        by_name = self._objects[old.meta.namespace]
        del by_name[old.meta.name]
        if not by_name:
            del self._objects[old.meta.namespace]
        self._indexes.remove(old)

    def _is_tombstoned(self, obj: Object[T]) -> bool:
        tombstone = self._gone.get(obj.meta.uid) if self._gone else None
        return tombstone is not None and tombstone.covers(obj.meta.resource_version)

    def _add_tombstone(self, uid: str, tombstone: _Tombstone) -> None:
        self._gone.pop(uid, None)
        self._gone[uid] = tombstone
        if len(self._gone) > _MAX_TOMBSTONES:
            del self._gone[next(iter(self._gone))]

    def _forget_passed(self, listed: ByNamespace[T], scope: str, version: str) -> None:
        """Remove tombstones that are no longer needed: the list is newer than the deletion and does not have the
        object, so no later event can restore it.
        """
        for uid, tombstone in list(self._gone.items()):
            if scope and tombstone.key.namespace != scope:
                continue
            found = listed.get(tombstone.key.namespace, {}).get(tombstone.key.name)
            listed_now = found is not None and found.meta.uid == uid
            if not listed_now and not is_newer(tombstone.known, version):  # "" is newer than any
                del self._gone[uid]


def same_in(stores: Iterable[Store[T]], obj: Object[T]) -> Object[T]:
    """Return the instance of one of the stores that is the same object in the same version, else ``obj``.

    The bodies are compared as well, because a server that was restored may use a version again.
    """
    for store in stores:
        known = store.get(obj.key)
        if (
            known is not None
            and known.meta.resource_version == obj.meta.resource_version
            and known.meta.uid == obj.meta.uid
            and known.raw == obj.raw
        ):
            return known
    return obj
