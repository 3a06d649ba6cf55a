"""The events that sources pass to predicates and handlers.

Invariant: an event is frozen and refers to the shared immutable objects of the store.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeAlias, TypeVar, final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aimctl.kubetypes import Object

__all__ = ["Created", "Deleted", "ObjectEvent", "Updated", "objects_of"]

T = TypeVar("T")


@final
@dataclass(frozen=True, slots=True)
class Created(Generic[T]):
    """An object was created. ``initial``: it existed when the watch began."""

    object: Object[T]
    initial: bool = False


@final
@dataclass(frozen=True, slots=True)
class Updated(Generic[T]):
    """An object changed, or was replayed by a resync (``old`` and ``object`` have the same resourceVersion)."""

    old: Object[T]
    object: Object[T]

    @property
    def replayed(self) -> bool:
        """Whether the object is unchanged, as in a resync."""
        return self.old.meta.resource_version == self.object.meta.resource_version


@final
@dataclass(frozen=True, slots=True)
class Deleted(Generic[T]):
    """An object was deleted. ``confirmed`` is False if the deletion was inferred from a later list; ``object`` is then
    the last known state.
    """

    object: Object[T]
    confirmed: bool = True


ObjectEvent: TypeAlias = Created[T] | Updated[T] | Deleted[T]
"""An event of an object, which predicates and handlers receive."""


def objects_of(event: ObjectEvent[T]) -> Iterator[Object[T]]:
    """The object, followed by the old one for an update."""
    yield event.object
    if isinstance(event, Updated):
        yield event.old
