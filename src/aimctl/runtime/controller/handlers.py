"""From an event to the requests it asks for.

Contract: a handler is a pure, quick function of the event; it is called on the loop thread and must not wait.
The source removes duplicates within one event and chooses the priority, so a handler only names keys.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, final

from aimctl.runtime.controller.events import objects_of
from aimctl.runtime.controller.reconcile import Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from aimctl.kubetypes import Object, OwnerReference, Resource
    from aimctl.runtime.controller.events import Event

__all__ = ["EnqueueMapped", "EnqueueObject", "EnqueueOwner", "Handler"]

T = TypeVar("T")


class Handler(Protocol[T]):
    """Names the requests an event asks for; repeats are allowed."""

    def requests(self, event: Event[T]) -> Iterable[Request]:
        """The requests. May raise anything: the event is then logged and skipped, later events are not
        affected.
        """
        ...


@final
class EnqueueObject:
    """The object itself."""

    __slots__ = ()

    def requests(self, event: Event[Any]) -> Iterable[Request]:
        """The object's own key."""
        return (event.object.key,)


@final
class EnqueueOwner:
    """The owners of one kind, found by the group and kind of the owner references; the version does not
    matter.

    Args:
        owner: the owners' kind. When it is cluster-scoped the request has no namespace.
        controller_only: only the reference with ``controller: true``; False takes all of them.
    """

    __slots__ = ("_controller_only", "_owner")

    def __init__(self, owner: Resource[Any], *, controller_only: bool = True) -> None:
        self._owner = owner
        self._controller_only = controller_only

    def requests(self, event: Event[Any]) -> Iterator[Request]:
        """The owners now, and for an update those before it: an owner that lost a child wants to know."""
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
    """Whatever a function says, asked for the new object and, for an update, for the old one too."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[[Object[T]], Iterable[Request]]) -> None:
        self._function = function

    def requests(self, event: Event[T]) -> Iterator[Request]:
        """The function's answers."""
        for item in objects_of(event):
            yield from self._function(item)
