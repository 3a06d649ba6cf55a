"""Merges a list into the stored objects, and determines the changes. Pure.

The rules for each key:
    * Same uid and resourceVersion: the stored object is kept (its view may be decoded already); no change.
    * The listed object is newer: it replaces the stored one. A different uid is reported as a delete and an add.
    * The listed object is older than the stored one, which is newer than the list: the stored one is kept. A list may
      come from a watch cache that is behind own writes.
    * The listed object is older than the stored one, which is not newer than the list: it replaces the stored one. The
      list would have the stored state or a later one if the history were the same, so etcd was restored from a backup
      and its revision was raised, as Kubernetes recommends.
    * The listed object is newer but tombstoned (its uid is known to be deleted): it is not stored, and the stored
      one, which existed before it, is removed.
    * Stored but not listed: removed, unless it is newer than the list; then it is an own write.

With ``reset`` the list replaces any stored version: the history of the server has restarted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, NamedTuple, TypeAlias, TypeVar

import msgspec

from aimctl.kubetypes import Object, is_newer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["ByNamespace", "Change", "Merged", "group", "merge", "newer", "same"]

T = TypeVar("T")

ByNamespace: TypeAlias = dict[str, dict[str, Object[T]]]
"""Objects by namespace, then name."""


class Change(msgspec.Struct, Generic[T], frozen=True, gc=False):
    """A change of one object. An add has no ``old``, a delete has no ``new``.

    ``confirmed`` is False for a delete that was inferred from the absence of the object; ``old`` is then its last known
    state. ``initial`` marks the adds of the first list.
    """

    old: Object[T] | None
    new: Object[T] | None
    confirmed: bool = True
    initial: bool = False


class Merged(NamedTuple, Generic[T]):
    """The content after the merge, and the changes, deletes first.

    ``stale`` counts listed objects that are older than the confirmed version.
    """

    content: ByNamespace[T]
    changes: list[Change[T]]
    stale: int


def group(objects: Iterable[Object[T]], into: ByNamespace[T] | None = None) -> ByNamespace[T]:
    """Objects by namespace and name, added to ``into``; of two with the same key the newer."""
    by_namespace: ByNamespace[T] = {} if into is None else into
    for obj in objects:
        by_name = by_namespace.setdefault(obj.meta.namespace, {})
        known = by_name.get(obj.meta.name)
        if known is None or is_newer(obj.meta.resource_version, known.meta.resource_version):
            by_name[obj.meta.name] = obj
    return by_namespace


def merge(
    stored: ByNamespace[T],
    listed: ByNamespace[T],
    version: str,
    *,
    confirmed_version: str,
    tombstoned: Callable[[Object[T]], bool] | None,
    reset: bool,
    initial: bool,
) -> Merged[T]:
    """Merge a list of resourceVersion ``version`` with ``stored``, which is not modified.

    Lists and watches have confirmed ``confirmed_version`` so far; newer stored objects come from own writes.
    ``tombstoned`` is None if there are no tombstones. The content may share the mappings of ``listed``.
    """
    new = {name: by_name for name, by_name in listed.items() if tombstoned is None and not stored.get(name)}
    known = {name: by_name for name, by_name in listed.items() if name not in new}
    content: ByNamespace[T] = {**new}
    deletes: list[Change[T]] = []
    others = [Change(None, obj, True, initial) for by_name in new.values() for obj in by_name.values()]
    stale = 0
    for namespace, by_name in known.items():
        before = stored.get(namespace, {})
        kept = content[namespace] = {}
        for name, obj in by_name.items():
            old = before.get(name)
            if old is not None and same(old, obj):
                kept[name] = old
            elif (
                old is not None
                and not reset
                and not newer(obj, old)
                and is_newer(old.meta.resource_version, version)
            ):
                kept[name] = old
                stale += not is_newer(old.meta.resource_version, confirmed_version)
            elif tombstoned is not None and tombstoned(obj):
                if old is not None:
                    deletes.append(Change(old, None, confirmed=False))
            else:
                kept[name] = obj
                if old is not None and old.meta.uid == obj.meta.uid:
                    others.append(Change(old, obj))
                    continue
                if old is not None:
                    deletes.append(Change(old, None, confirmed=False))
                others.append(Change(None, obj, initial=initial and old is None))
    for old in _unlisted(stored, listed):
        if not reset and is_newer(old.meta.resource_version, version):
            content.setdefault(old.meta.namespace, {})[old.meta.name] = old
        else:
            deletes.append(Change(old, None, confirmed=False))
    return Merged({name: by_name for name, by_name in content.items() if by_name}, deletes + others, stale)


def _unlisted(stored: ByNamespace[T], listed: ByNamespace[T]) -> Iterator[Object[T]]:
    for namespace, before in stored.items():
        by_name = listed.get(namespace, {})
        for name, old in before.items():
            if name not in by_name:
                yield old


def same(one: Object[T], other: Object[T]) -> bool:
    """Whether they are the same object in the same version."""
    return one.meta.resource_version == other.meta.resource_version and one.meta.uid == other.meta.uid


def newer(candidate: Object[T], known: Object[T]) -> bool:
    """Whether ``candidate`` is a later state than ``known``."""
    return is_newer(candidate.meta.resource_version, known.meta.resource_version)
