"""Merges a list into the stored objects, and determines the changes. Pure.

The rules for each key:
    * Same uid and resourceVersion: the stored object is kept (its view may be decoded already); no change.
    * The listed object is newer: it replaces the stored one. A different uid is reported as a delete and an add.
    * The listed object is older: the stored one is kept. A list may come from a watch cache that is behind own writes.
    * The listed object is newer but buried (its uid is known to be deleted): it is not stored, and the stored one,
      which existed before it, is removed.
    * Stored but not listed: removed, unless it is newer than the list; then it is an own write.

With ``reset`` the list replaces any stored version: the history of the server has restarted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, NamedTuple, TypeAlias, TypeVar

from aimctl.kubetypes import Object, is_newer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["Change", "Merged", "Spaces", "group", "merge", "newer"]

T = TypeVar("T")

Spaces: TypeAlias = dict[str, dict[str, Object[T]]]
"""Objects by namespace, then name."""


class Change(NamedTuple, Generic[T]):
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

    content: Spaces[T]
    changes: list[Change[T]]
    stale: int


def group(objects: Iterable[Object[T]]) -> Spaces[T]:
    """Objects by namespace and name; of two with the same key the newer."""
    spaces: Spaces[T] = {}
    for obj in objects:
        space = spaces.setdefault(obj.meta.namespace, {})
        known = space.get(obj.meta.name)
        if known is None or is_newer(obj.meta.resource_version, known.meta.resource_version):
            space[obj.meta.name] = obj
    return spaces


def merge(
    stored: Spaces[T],
    listed: Spaces[T],
    version: str,
    *,
    proven: str,
    buried: Callable[[Object[T]], bool],
    reset: bool,
    initial: bool,
) -> Merged[T]:
    """Merge a list of resourceVersion ``version`` with ``stored``, which is not modified.

    ``proven`` is the version confirmed by lists and watches so far; newer stored objects come from own writes.
    """
    content: Spaces[T] = {}
    deletes: list[Change[T]] = []
    others: list[Change[T]] = []
    stale = 0
    for namespace, space in listed.items():
        kept = content[namespace] = {}
        before = stored.get(namespace, {})
        for name, obj in space.items():
            old = before.get(name)
            if old is not None and _same(old, obj):
                kept[name] = old
            elif old is not None and not reset and not newer(obj, old):
                kept[name] = old
                stale += not is_newer(old.meta.resource_version, proven)
            elif buried(obj):
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
    return Merged({name: space for name, space in content.items() if space}, deletes + others, stale)


def _unlisted(stored: Spaces[T], listed: Spaces[T]) -> Iterator[Object[T]]:
    for namespace, before in stored.items():
        space = listed.get(namespace, {})
        for name, old in before.items():
            if name not in space:
                yield old


def _same(one: Object[T], other: Object[T]) -> bool:
    return one.meta.resource_version == other.meta.resource_version and one.meta.uid == other.meta.uid


def newer(candidate: Object[T], known: Object[T]) -> bool:
    """Whether ``candidate`` is a later state than ``known``."""
    return is_newer(candidate.meta.resource_version, known.meta.resource_version)
