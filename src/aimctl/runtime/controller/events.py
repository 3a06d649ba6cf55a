"""What a source saw, as predicates and handlers get it.

Invariant: an event is frozen and holds the objects as the store had them; nobody copies, nobody changes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeAlias, TypeVar, final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aimctl.kubetypes import Object

__all__ = ["Created", "Deleted", "Event", "Updated", "objects_of"]

T = TypeVar("T")


@final
@dataclass(frozen=True, slots=True)
class Created(Generic[T]):
    """An object appeared. ``initial``: it was there when we first looked."""

    object: Object[T]
    initial: bool = False


@final
@dataclass(frozen=True, slots=True)
class Updated(Generic[T]):
    """An object changed, or was replayed (``old`` and ``new`` have one resourceVersion)."""

    old: Object[T]
    object: Object[T]

    @property
    def replayed(self) -> bool:
        """Whether nothing changed."""
        return self.old.meta.resource_version == self.object.meta.resource_version


@final
@dataclass(frozen=True, slots=True)
class Deleted(Generic[T]):
    """An object went away. ``confirmed`` is False when its end was not seen, only its absence from a later
    list; ``object`` is then its last known state.
    """

    object: Object[T]
    confirmed: bool = True


Event: TypeAlias = Created[T] | Updated[T] | Deleted[T]


def objects_of(event: Event[T]) -> Iterator[Object[T]]:
    """The object, and for an update the old one after it."""
    yield event.object
    if isinstance(event, Updated):
        yield event.old
