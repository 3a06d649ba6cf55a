"""Inverted indexes: from a value to the objects that have it.

Invariants of an index: an object is in the bucket of each value that the index function returns for it, and in no
other. There are no empty buckets. The function must be pure: it is called again when the object is removed, and must
return the same values. If it raises, or returns something else than an iterable of strings, the error is logged with
the name of the index, and the object is in no bucket of this index until it changes; other indexes and objects are not
affected.

Most of the cost of an index is its function, which may decode each object. So that many objects do not block the event
loop, :class:`Indexes` works in steps:
    * The objects of a list are added before they replace the content of the store, and those that are no longer stored
      are removed after it. While there are such objects, reads leave out what is not stored.
    * Existing objects are added to a new index later. A read first adds the rest.
So what a read returns is always complete and current.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeAlias, TypeVar, cast, final

import structlog

from aimctl.runtime.cache.errors import UnknownIndex
from aimctl.runtime.callbacks import check_not_awaitable, check_synchronous, raise_if_ending

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from aimctl.kubetypes import Object
    from aimctl.runtime.cache.storage.merge import Change

__all__ = ["Index", "IndexFunction", "Indexes"]

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

    __slots__ = ("_buckets", "_later", "function", "name")

    def __init__(self, name: str, function: IndexFunction[T]) -> None:
        check_synchronous(f"the function of index {name!r}", function)
        self.name: str = name
        self.function: IndexFunction[T] = function
        self._buckets: dict[str, dict[Object[T], None]] = {}
        self._later: dict[Object[T], None] = {}
        """Objects that are not in their buckets yet, the next one last."""

    def add(self, obj: Object[T]) -> None:
        """Add the object to its buckets."""
        for value in self._values(obj) or ():
            self._buckets.setdefault(value, {})[obj] = None

    def remove(self, obj: Object[T]) -> None:
        """Remove this object (by identity) from its buckets."""
        if obj in self._later:
            del self._later[obj]
            return
        values = self._values(obj)
        # If the function raises only now, the buckets of the object are not known.
        for value in list(self._buckets) if values is None else values:
            bucket = self._buckets.get(value)
            if bucket is not None:
                bucket.pop(obj, None)
                if not bucket:
                    del self._buckets[value]

    def add_later(self, objects: Sequence[Object[T]]) -> None:
        """Add objects by :meth:`add_some`, or with the next read."""
        self._later = dict.fromkeys(reversed(objects))

    def add_some(self, most: float) -> bool:
        """Add at most so many of the objects of :meth:`add_later`; returns whether there are more."""
        while self._later and most > 0:
            most -= 1
            obj, _ = self._later.popitem()
            self.add(obj)
        return bool(self._later)

    def find(self, value: str) -> list[Object[T]]:
        """The objects with this value, in the order in which they were added."""
        self.add_some(math.inf)
        return list(self._buckets.get(value, ()))

    def has(self, obj: Object[T], value: str) -> bool:
        """Whether the index function returns ``value`` for an object, which need not be in the index."""
        return value in (self._values(obj) or ())

    def values(self) -> list[str]:
        """All values of all objects."""
        self.add_some(math.inf)
        return list(self._buckets)

    def _values(self, obj: Object[T]) -> Iterable[str] | None:
        """The distinct values of the object; None if the function fails."""
        try:
            return _distinct(self.function(obj))
        except BaseException as error:  # user code: the store must stay consistent
            raise_if_ending(error)
            log = structlog.get_logger(__name__)
            log.exception(
                "index function failed, the object is missing from the index",
                index=self.name,
                object=repr(obj),
            )
            return None


@final
class Indexes(Generic[T]):
    """The indexes of a store.

    Args:
        functions: by name.
        is_stored: whether the store has this instance of an object.
    """

    __slots__ = ("_ahead", "_by_name", "_doubtful", "_is_stored")

    def __init__(
        self, functions: Mapping[str, IndexFunction[T]], is_stored: Callable[[Object[T]], bool]
    ) -> None:
        self._by_name = {name: Index(name, function) for name, function in functions.items()}
        self._is_stored = is_stored
        self._ahead: dict[str, dict[Object[T], None]] = {}
        """By scope, the objects of a list that has not replaced the content yet."""
        self._doubtful: deque[Object[T]] = deque()
        """Objects that may no longer be stored."""

    @property
    def functions(self) -> Mapping[str, IndexFunction[T]]:
        """The index functions by name."""
        return {name: index.function for name, index in self._by_name.items()}

    def get(self, name: str) -> Index[T]:
        """The index of this name.

        Raises:
            UnknownIndex: there is none.
        """
        index = self._by_name.get(name)
        if index is None:
            known = ", ".join(sorted(self._by_name)) or "none"
            raise UnknownIndex(
                f"no index {name!r} (existing indexes: {known}); pass it to cache.declare(indexes=...)"
            )
        return index

    def find(self, name: str, value: str) -> list[Object[T]]:
        """The stored objects with this value.

        Raises:
            UnknownIndex: there is no such index.
        """
        found = self.get(name).find(value)
        if self._ahead or self._doubtful:
            return [obj for obj in found if self._is_stored(obj)]
        return found

    def add(self, obj: Object[T]) -> None:
        """Add an object that is stored from now on."""
        for index in self._by_name.values():
            index.add(obj)

    def remove(self, obj: Object[T]) -> None:
        """Remove an object that is no longer stored."""
        for index in self._by_name.values():
            index.remove(obj)

    # ---- in steps

    def declare(self, name: str, function: IndexFunction[T], stored: Iterable[Object[T]]) -> None:
        """Add an index. The objects that are ``stored`` are added by :meth:`work`, or with the first read."""
        index = self._by_name[name] = Index(name, function)
        index.add_later([*stored, *(obj for ahead in self._ahead.values() for obj in ahead)])

    def prepare(self, objects: Iterable[Object[T] | None], scope: str) -> Iterator[None]:
        """Add the objects with which a list will replace the content of ``scope``, one in each step; None for none."""
        if not self._by_name:
            return
        while self._doubtful:  # one of them may be listed again
            self.work(1)
            yield
        ahead = self._ahead[scope] = {}
        for obj in objects:
            if obj is not None:
                ahead[obj] = None
                self.add(obj)
            yield

    def replaced(self, changes: Iterable[Change[T]], scope: str) -> None:
        """A list has replaced the content of ``scope``: add the others of its objects, and let :meth:`work` follow."""
        if not self._by_name:
            return
        ahead = self._ahead.pop(scope, {})
        self._doubtful.extend(ahead)
        for change in changes:
            if change.new is not None and change.new not in ahead:
                self.add(change.new)
            if change.old is not None:
                self._doubtful.append(change.old)

    def work(self, most: int) -> bool:
        """Remove at most so many objects that are not stored, and add as many to new indexes; whether more is left."""
        for _ in range(min(most, len(self._doubtful))):
            obj = self._doubtful.popleft()
            if not self._is_stored(obj):
                self.remove(obj)
        more = [index.add_some(most) for index in self._by_name.values()]
        return bool(self._doubtful) or any(more)


def _distinct(values: object) -> dict[str, None]:
    if isinstance(values, str):
        raise TypeError(f"it returned the string {values!r}: return a list of strings")
    try:
        distinct = dict.fromkeys(cast("Iterable[str]", values))
    except TypeError:
        check_not_awaitable("it", values)
        raise
    for value in distinct:
        if value.__class__ is not str and not isinstance(value, str):
            raise TypeError(f"it returned the value {value!r}: return a list of strings")
    return distinct
