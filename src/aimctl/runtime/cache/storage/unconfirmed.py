"""The confirmed states of objects whose stored state comes from an own write. Used only by the store.

A write is stored at once, so that later reads reflect it. For reads that want what the watch has brought, the state
that it replaced is kept here until the watch or a list confirms the write. Entries are few and short-lived: one for
each object between the response to a write and its watch event.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar, final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from aimctl.kubetypes import Object, ObjectKey

__all__ = ["Unconfirmed"]

T = TypeVar("T")


@final
class Unconfirmed(Generic[T]):
    """Confirmed states by key; None for an object that does not exist according to the watch."""

    __slots__ = ("_confirmed",)

    def __init__(self) -> None:
        self._confirmed: dict[ObjectKey, Object[T] | None] = {}

    def __contains__(self, key: ObjectKey) -> bool:
        return key in self._confirmed

    def __iter__(self) -> Iterator[ObjectKey]:
        """The keys of the objects with an unconfirmed state."""
        return iter(self._confirmed)

    def confirmed(self) -> Iterator[Object[T]]:
        """The confirmed states of these objects, as far as they exist."""
        return (one for one in self._confirmed.values() if one is not None)

    def wrote(self, key: ObjectKey, before: Object[T] | None) -> None:
        """An own write has replaced ``before``, which is confirmed unless it came from an own write itself."""
        self._confirmed.setdefault(key, before)

    def confirm(self, key: ObjectKey, confirmed: Object[T] | None, stored: Object[T] | None) -> None:
        """The watch or a list has brought ``confirmed``, after which ``stored`` is in the store."""
        if confirmed is stored or (
            confirmed is not None
            and stored is not None
            and confirmed.meta.resource_version == stored.meta.resource_version
            and confirmed.meta.uid == stored.meta.uid
        ):
            self._confirmed.pop(key, None)
        else:
            self._confirmed[key] = confirmed

    def get(self, key: ObjectKey, stored: Object[T] | None) -> Object[T] | None:
        """The confirmed state of the object that is stored as ``stored``."""
        return self._confirmed.get(key, stored)

    def over(self, stored: Iterable[Object[T]], namespace: str | None) -> Iterator[Object[T]]:
        """The confirmed states of the stored objects, and of those that own writes have removed."""
        for obj in stored:
            if obj.key not in self._confirmed:
                yield obj
        for one in self.confirmed():
            if not namespace or one.meta.namespace == namespace:
                yield one
