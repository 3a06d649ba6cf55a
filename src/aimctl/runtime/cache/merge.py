"""A list meets what is stored: what stays, what goes, what is told. Pure.

The rules, for each key:
    * The same uid and resourceVersion: the stored object stays (its view may be decoded), nothing is told.
    * The listed one is newer: it wins. Another uid is told as a delete and an add.
    * The listed one is older: what is stored stays. Lists may come from a watch cache behind our writes.
    * The listed one is newer but buried (its uid is known to be gone): it stays out, and what is stored was
      there before it, so goes.
    * Stored but not listed: gone, unless it is newer than the list, which then is our own write.

With ``reset`` the list is believed against any stored version: the server's history began anew.
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
    """One step: an add has no ``old``, a delete no ``new``.

    ``confirmed`` is False for a delete that nobody saw, only its effect; ``old`` is then the last known
    state. ``initial`` marks what the first list brought.
    """

    old: Object[T] | None
    new: Object[T] | None
    confirmed: bool = True
    initial: bool = False


class Merged(NamedTuple, Generic[T]):
    """The content after the merge, and the changes with deletes first.

    ``stale`` counts listed states older than what the watch had already proven: the server went back.
    """

    content: Spaces[T]
    changes: list[Change[T]]
    stale: int


def group(objects: Iterable[Object[T]]) -> Spaces[T]:
    """Objects by namespace and name; of two with one key the newer."""
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
    """Merge a list of resourceVersion ``version`` into ``stored``, which is left as it is.

    ``proven`` is how far lists and watches had got before; what is stored beyond it comes from our writes.
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
