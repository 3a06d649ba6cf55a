"""Event handlers: map an event to requests.

Contract: a handler is a pure and fast function of the event. It is called on the event loop's thread and must not
block. The source removes duplicates within one event and sets the priority.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, final

from aimctl.runtime.callbacks import check_not_awaitable, check_synchronous, name_of
from aimctl.runtime.controller.events import objects_of
from aimctl.runtime.controller.reconcile import Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aimctl.kubetypes import Object, OwnerReference, Resource
    from aimctl.runtime.controller.events import ObjectEvent

__all__ = ["EnqueueMapped", "EnqueueObject", "EnqueueOwner", "Handler"]

T = TypeVar("T")


class Handler(Protocol[T]):
    """Maps an event to requests; duplicates are allowed."""

    def requests(self, event: ObjectEvent[T]) -> Iterable[Request]:
        """The requests for the event. If it raises, the error is logged and the event is mapped again later."""
        ...


@final
class EnqueueObject:
    """Enqueues the object itself: the handler of ``for_``."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "EnqueueObject()"

    def requests(self, event: ObjectEvent[Any]) -> Iterable[Request]:
        """The key of the object."""
        return (event.object.key,)


@final
class EnqueueOwner:
    """Enqueues the owners of one kind. Group and kind of the owner references must match; the version is ignored.

    Args:
        owner: kind of the owners. If it is cluster-scoped, the request has no namespace.
        controller_only: True for the reference with ``controller: true`` only, False for all references.
    """

    __slots__ = ("_controller_only", "_owner")

    def __init__(self, owner: Resource[Any], *, controller_only: bool = True) -> None:
        self._owner = owner
        self._controller_only = controller_only

    def __repr__(self) -> str:
        return f"EnqueueOwner({self._owner.group_resource})"

    def requests(self, event: ObjectEvent[Any]) -> Iterator[Request]:
        """The owners of the object, and for an update also its previous owners."""
        for item in objects_of(event):
            for reference in item.meta.owners:
                if self._matches(reference):
                    namespace = item.meta.namespace if self._owner.namespaced else ""
                    yield Request(namespace, reference.name)

    def _matches(self, reference: OwnerReference) -> bool:
        if self._controller_only and not reference.controller:
            return False
        if not reference.api_version or reference.api_version.count("/") > 1:
            return False
        return reference.kind == self._owner.kind and reference.group == self._owner.group


@final
class EnqueueMapped(Generic[T]):
    """Enqueues the requests that a function returns for the object and, for an update, also for the old object.

    Raises:
        TypeError: the function is not callable, or is defined with ``async def``.
    """

    __slots__ = ("_function",)

    def __init__(self, function: Callable[[Object[T]], Iterable[Request]]) -> None:
        check_synchronous("the map function", function)
        self._function = function

    def __repr__(self) -> str:
        return f"EnqueueMapped({name_of(self._function)})"

    def requests(self, event: ObjectEvent[T]) -> Iterator[Request]:
        """The requests that the function returns.

        Raises:
            TypeError: it returned something else than an iterable of requests.
        """
        for item in objects_of(event):
            found: object = self._function(item)
            if isinstance(found, str) or not isinstance(found, Iterable):
                what = f"the map function {name_of(self._function)}"
                check_not_awaitable(what, found)
                raise TypeError(f"{what} returned {found!r}: return an iterable of Request, empty for none")
            yield from found
