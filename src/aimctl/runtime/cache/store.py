"""What an informer knows: objects by key, indexes over them, and which resourceVersion that is.

Contract:
    * Reading gives the shared, immutable objects; nothing is copied. Lists promise no order.
    * Writing methods return the changes they made, in the order in which handlers should see them. Nothing
      that leaves the store as it was is a change: an unchanged resourceVersion is not dispatched.
    * An object never goes back. What is not newer than what is stored is dropped, be it from a watch, a
      list or an answer. Versions are compared as numbers. ``stale_dropped`` counts what the watch had
      already been past, but not the echoes of our own writes.
    * Read-your-writes: :meth:`Store.observe_write` and :meth:`Store.observe_delete` bring in answers at
      once. A list or event that is behind them cannot undo them: a uid that was deleted stays deleted.
    * Delete and recreate is always told as a delete of the old and an add of the new.

Invariants:
    * One writer, the informer, between awaits on the loop's thread: a reader never meets half a replace.
    * ``resource_version`` moves by lists, events and bookmarks only, never by our own writes: it is what
      the watch has proven.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar, final

from aimctl.kubetypes import ObjectKey, is_newer
from aimctl.runtime.cache.errors import UnknownIndex
from aimctl.runtime.cache.indexes import Index
from aimctl.runtime.cache.merge import Change, group, merge, newer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from aimctl.kubetypes import Object
    from aimctl.runtime.cache.indexes import IndexFunction
    from aimctl.runtime.cache.merge import Spaces
    from aimctl.runtime.kube.watch import WatchEvent

__all__ = ["Store"]

T = TypeVar("T")

_MAX_TOMBSTONES = 10_000
"""Deletions remembered at once, about 2 MB at worst. They go when the watch tells of them, but for those it
had told of before our call was answered, which only this bound ends."""


@dataclass(frozen=True, slots=True)
class _Tombstone:
    """Why states of a uid must not come back: all of them, or those up to ``until``."""

    key: ObjectKey
    known: str
    """The newest resourceVersion seen of it; "" for none: then no list proves that its events are past."""
    until: str | None

    def covers(self, version: str) -> bool:
        return self.until is None or not is_newer(version, self.until)


@final
class Store(Generic[T]):
    """See the module.

    Args:
        indexes: functions by name; each gives the values an object is found by.
    """

    __slots__ = ("_gone", "_indexes", "_spaces", "_versions", "stale_dropped")

    def __init__(self, indexes: Mapping[str, IndexFunction[T]] | None = None) -> None:
        self._spaces: Spaces[T] = {}
        """Objects by namespace, then name: no key needs to be kept for each."""
        self._indexes = {name: Index(name, function) for name, function in (indexes or {}).items()}
        self._gone: dict[str, _Tombstone] = {}
        """By uid; oldest first."""
        self._versions: dict[str, str] = {}
        """How far each scope (a namespace, or "" for all) has been proven."""
        self.stale_dropped = 0

    # ---- reading

    def get(self, key: ObjectKey) -> Object[T] | None:
        """The object of this key, or None."""
        space = self._spaces.get(key.namespace)
        return None if space is None else space.get(key.name)

    def list(self, namespace: str | None = None) -> list[Object[T]]:
        """All objects, or those of one namespace; None and "" mean all."""
        if namespace:
            return list(self._spaces.get(namespace, {}).values())
        return list(self)

    def by_index(self, name: str, value: str) -> Sequence[Object[T]]:
        """The objects that the index's function gave this value.

        Raises:
            UnknownIndex: no such index.
        """
        index = self._indexes.get(name)
        if index is None:
            known = ", ".join(sorted(self._indexes)) or "none"
            raise UnknownIndex(
                f"no index {name!r} (there is: {known}); give it to cache.declare(indexes=...)"
            )
        return index.find(value)

    def __iter__(self) -> Iterator[Object[T]]:
        for space in self._spaces.values():
            yield from space.values()

    def __len__(self) -> int:
        return sum(map(len, self._spaces.values()))

    @property
    def resource_version(self) -> str:
        """How far the store has been proven; the least of its scopes, "" before the first list."""
        least = ""
        for version in self._versions.values():
            if not least or is_newer(least, version):
                least = version
        return least

    def version_of(self, scope: str) -> str:
        """How far one scope has been proven, where its watch should go on; "" before its first list."""
        return self._versions.get(scope, "")

    @property
    def bytes(self) -> int:
        """The size of all bodies. Costs time linear in the number of objects."""
        return sum(len(obj.raw) for obj in self)

    @property
    def indexes(self) -> Mapping[str, IndexFunction[T]]:
        """The index functions by name."""
        return {name: index.function for name, index in self._indexes.items()}

    # ---- writing

    def add_index(self, name: str, function: IndexFunction[T]) -> None:
        """Add an index; it covers what is there already. The name must be new."""
        index = Index(name, function)
        for obj in self:
            index.add(obj)
        self._indexes[name] = index

    def apply(self, event: WatchEvent[T], *, scope: str = "") -> tuple[Change[T], ...]:
        """Take one event of the watch of ``scope``."""
        proven = self._versions.get(scope, "")
        if event.resource_version and is_newer(event.resource_version, proven):
            self._versions[scope] = event.resource_version
        if event.type == "BOOKMARK":
            return ()
        if event.type == "DELETED":
            return self._apply_delete(event.object, proven)
        return self._take(event.object, proven)

    def replace(
        self,
        objects: Iterable[Object[T]],
        resource_version: str,
        *,
        scope: str = "",
        reset: bool = False,
        initial: bool = False,
    ) -> Sequence[Change[T]]:
        """Make a whole list the content of ``scope``, in one step. Deletes come first among the changes.

        Args:
            objects: everything there is, of all pages.
            resource_version: the list's.
            scope: the namespace that was listed, or "" for all.
            reset: the server's history began anew (a restored backup): believe the list against our versions.
            initial: mark adds as those of a first list.
        """
        if reset:
            self._gone.clear()
        listed = group(objects)
        stored = {scope: self._spaces.get(scope, {})} if scope else self._spaces
        proven = self._versions.get(scope, "")
        merged = merge(
            stored,
            listed,
            resource_version,
            proven=proven,
            buried=self._buried,
            reset=reset,
            initial=initial,
        )
        if self._gone:
            self._forget_passed(listed, scope, resource_version)
        if scope:
            self._spaces.pop(scope, None)
            self._spaces.update(merged.content)
        else:
            self._spaces = merged.content
        self._versions[scope] = resource_version
        self.stale_dropped += merged.stale
        for index in self._indexes.values():
            for change in merged.changes:
                if change.old is not None:
                    index.remove(change.old)
                if change.new is not None:
                    index.add(change.new)
        return merged.changes

    def clear(self, *, scope: str = "") -> Sequence[Change[T]]:
        """Forget all of ``scope``: the kind is not served any more."""
        changes = self.replace((), "", scope=scope, reset=True)
        del self._versions[scope]
        return changes

    def observe_write(
        self, obj: Object[T], *, selected: bool = True, scope: str = ""
    ) -> tuple[Change[T], ...]:
        """Take the answer to one of our writes, if it is newer than what is stored.

        Args:
            obj: the answer's object.
            selected: False when the informer's selector does not (any more) select it: it then leaves the
                store.
            scope: the namespace whose watch brings it, or "" for all.

        An answer from before what the watch has proven says nothing new, and the object may be gone since.
        """
        if not is_newer(obj.meta.resource_version, self._versions.get(scope, "")):
            return ()
        old = self.get(obj.key)
        if selected:
            changes = self._take(obj, "")
            if changes and old is not None and old.meta.uid != obj.meta.uid:
                self._bury(old.meta.uid, _Tombstone(obj.key, old.meta.resource_version, None))
            return changes
        if old is None or old.meta.uid != obj.meta.uid or not newer(obj, old):
            return ()
        self._remove(old)
        self._bury(obj.meta.uid, _Tombstone(obj.key, obj.meta.resource_version, obj.meta.resource_version))
        return (Change(obj, None),)

    def observe_delete(self, key: ObjectKey, uid: str) -> tuple[Change[T], ...]:
        """The object of this uid is gone for sure. An empty uid means the one that is stored."""
        old = self.get(key)
        same = old is not None and uid in {"", old.meta.uid}
        if old is not None and same:
            self._remove(old)
            self._bury(old.meta.uid, _Tombstone(key, old.meta.resource_version, None))
            return (Change(old, None),)
        if uid:
            self._bury(uid, _Tombstone(key, "", None))
        return ()

    # ---- helpers

    def _take(self, obj: Object[T], proven: str) -> tuple[Change[T], ...]:
        old = self.get(obj.key)
        if old is not None and not newer(obj, old):
            # Behind our own write is the normal way of its echo; behind the watch itself is a replay.
            self.stale_dropped += not is_newer(old.meta.resource_version, proven)
            return ()
        if old is not None:
            self._remove(old)
        if self._buried(obj):
            # It stays gone; and what is stored was there before it, so is gone as well.
            return () if old is None else (Change(old, None, confirmed=False),)
        self._gone.pop(obj.meta.uid, None)
        self._insert(obj)
        if old is None:
            return (Change(None, obj),)
        if old.meta.uid == obj.meta.uid:
            return (Change(old, obj),)
        return (Change(old, None, confirmed=False), Change(None, obj))

    def _apply_delete(self, final: Object[T], proven: str) -> tuple[Change[T], ...]:
        tombstone = self._gone.get(final.meta.uid)
        if tombstone is not None and (
            tombstone.until is None or not is_newer(tombstone.until, final.meta.resource_version)
        ):
            del self._gone[final.meta.uid]
        old = self.get(final.key)
        if old is None:
            return ()
        if is_newer(old.meta.resource_version, final.meta.resource_version):
            # Older than what is stored: it came back to the selector, or is a younger object of the same
            # name.
            self.stale_dropped += not is_newer(old.meta.resource_version, proven)
            return ()
        self._remove(old)
        if old.meta.uid == final.meta.uid:
            return (Change(final, None),)
        return (Change(old, None, confirmed=False),)

    def _insert(self, obj: Object[T]) -> None:
        self._spaces.setdefault(obj.meta.namespace, {})[obj.meta.name] = obj
        for index in self._indexes.values():
            index.add(obj)

    def _remove(self, old: Object[T]) -> None:
        space = self._spaces[old.meta.namespace]
        del space[old.meta.name]
        if not space:
            del self._spaces[old.meta.namespace]
        for index in self._indexes.values():
            index.remove(old)

    def _buried(self, obj: Object[T]) -> bool:
        tombstone = self._gone.get(obj.meta.uid) if self._gone else None
        return tombstone is not None and tombstone.covers(obj.meta.resource_version)

    def _bury(self, uid: str, tombstone: _Tombstone) -> None:
        self._gone.pop(uid, None)
        self._gone[uid] = tombstone
        if len(self._gone) > _MAX_TOMBSTONES:
            del self._gone[next(iter(self._gone))]

    def _forget_passed(self, listed: Spaces[T], scope: str, version: str) -> None:
        """Drop tombstones of objects that the list is late enough to know, and does not have: nothing after
        it can bring them back.
        """
        for uid, tombstone in list(self._gone.items()):
            if scope and tombstone.key.namespace != scope:
                continue
            found = listed.get(tombstone.key.namespace, {}).get(tombstone.key.name)
            listed_now = found is not None and found.meta.uid == uid
            if not listed_now and not is_newer(tombstone.known, version):  # "" is newer than any
                del self._gone[uid]
