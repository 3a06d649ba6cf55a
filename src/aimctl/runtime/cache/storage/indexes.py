"""Inverted indexes: from a value to the objects that have it.

Invariant: an object is in the bucket of each value that the index function returns for it, and in no other. There are
no empty buckets. The function must be pure: it is called again when the object is removed, and must return the same
values. If it raises, or returns something else than an iterable of strings, the error is logged with the name of the
index, and the object is in no bucket of this index until it changes; other indexes and objects are not affected.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeAlias, TypeVar, cast, final

import structlog

from aimctl.runtime.callbacks import check_not_awaitable, check_synchronous

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from aimctl.kubetypes import Object

__all__ = ["Index", "IndexFunction"]

T = TypeVar("T")

if TYPE_CHECKING:
    IndexFunction: TypeAlias = Callable[[Object[T]], Iterable[str]]
    """Returns the values under which an index finds an object. It is pure: equal objects have the same values."""
else:
    IndexFunction = object


@final
class Index(Generic[T]):
    """One index of a store.

    Raises:
        TypeError: the index function is not callable, or is defined with ``async def``.
    """

    __slots__ = ("_buckets", "function", "name")

    def __init__(self, name: str, function: IndexFunction[T]) -> None:
        check_synchronous(f"the function of index {name!r}", function)
        self.name: str = name
        self.function: IndexFunction[T] = function
        self._buckets: dict[str, dict[Object[T], None]] = {}

    def add(self, obj: Object[T]) -> None:
        """Add the object to its buckets."""
        for value in self._values(obj) or ():
            self._buckets.setdefault(value, {})[obj] = None

    def remove(self, obj: Object[T]) -> None:
        """Remove this object (by identity) from its buckets."""
        values = self._values(obj)
        # If the function raises only now, the buckets of the object are not known.
        for value in list(self._buckets) if values is None else values:
            bucket = self._buckets.get(value)
            if bucket is not None:
                bucket.pop(obj, None)
                if not bucket:
                    del self._buckets[value]

    def find(self, value: str) -> list[Object[T]]:
        """The objects with this value, in the order in which they were added."""
        return list(self._buckets.get(value, ()))

    def has(self, obj: Object[T], value: str) -> bool:
        """Whether the index function returns ``value`` for an object, which need not be in the index."""
        return value in (self._values(obj) or ())

    def values(self) -> list[str]:
        """All values of all objects."""
        return list(self._buckets)

    def _values(self, obj: Object[T]) -> Iterable[str] | None:
        """The distinct values of the object; None if the function fails."""
        try:
            return _distinct(self.function(obj))
        except Exception:  # user code: the store must stay consistent
            log = structlog.get_logger(__name__)
            log.exception(
                "index function failed, the object is missing from the index",
                index=self.name,
                object=repr(obj),
            )
            return None


def _distinct(values: object) -> dict[str, None]:
    if isinstance(values, str):
        raise TypeError(f"it returned the string {values!r}: return a list of strings")
    try:
        return dict.fromkeys(cast("Iterable[str]", values))
    except TypeError:
        check_not_awaitable("it", values)
        raise
