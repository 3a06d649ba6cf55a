"""The GPU models that the nodes offer, and a source of requests for changes.

Contract:
    * :attr:`GpuInventory.offered` is complete as soon as the informer of the nodes is synced.
    * Subscribers are called when the first node with a model is added or the last one is removed. Further nodes of a
      known model, and heartbeats of nodes, cause no calls.

Invariant: ``_nodes`` has for each model the number of cached nodes that offer it.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, final

from aimctl.domain.gpus import models_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from aimctl.kubetypes import Object
    from aimctl.runtime.cache import Informer
    from aimctl.runtime.controller import Request
    from aimctl.runtime.queue import WorkQueue

__all__ = ["GpuChanges", "GpuInventory"]


@final
class GpuInventory:
    """An informer handler that counts nodes by GPU model."""

    def __init__(self, nodes: Informer[Any]) -> None:
        self._nodes: Counter[str] = Counter()
        self._subscribers: list[Callable[[frozenset[str]], None]] = []
        nodes.add_handler(self)

    @property
    def offered(self) -> frozenset[str]:
        """The normalised models that at least one node offers."""
        return frozenset(self._nodes)

    def subscribe(self, changed: Callable[[frozenset[str]], None]) -> Callable[[], None]:
        """Call ``changed`` with the models that become available or unavailable; returns a function that ends this."""
        self._subscribers.append(changed)
        return lambda: self._subscribers.remove(changed) if changed in self._subscribers else None

    def on_add(self, obj: Object[Any], *, initial: bool) -> None:  # noqa: ARG002 - the handler's signature
        """A node was added."""
        self._count(frozenset(), models_of(obj.meta.labels))

    def on_update(self, old: Object[Any], new: Object[Any]) -> None:
        """A node has changed, in most cases not its labels."""
        if old.meta.own_labels != new.meta.own_labels:
            self._count(models_of(old.meta.labels), models_of(new.meta.labels))

    def on_delete(self, obj: Object[Any], *, confirmed: bool) -> None:  # noqa: ARG002 - the handler's signature
        """A node was removed."""
        self._count(models_of(obj.meta.labels), frozenset())

    def _count(self, before: frozenset[str], after: frozenset[str]) -> None:
        known = frozenset(self._nodes)
        self._nodes.update(after - before)
        self._nodes.subtract(before - after)
        self._nodes = +self._nodes
        changed = known ^ frozenset(self._nodes)
        if changed:
            for subscriber in tuple(self._subscribers):
                subscriber(changed)


@final
class GpuChanges:
    """A source: the requests that depend on a GPU model that becomes available or unavailable.

    Args:
        inventory: the models.
        requests: returns the requests that depend on a model.
    """

    def __init__(self, inventory: GpuInventory, requests: Callable[[str], Iterable[Request]]) -> None:
        self._inventory = inventory
        self._requests = requests
        self._unsubscribe: Callable[[], None] | None = None

    async def start(self, queue: WorkQueue[Request]) -> None:
        """Add requests from now on. Earlier changes are covered by the initial list of the reconciled kind."""

        def add(models: frozenset[str]) -> None:
            for model in models:
                for request in self._requests(model):
                    queue.add(request)

        self._unsubscribe = self._inventory.subscribe(add)

    async def wait_synced(self) -> None:
        """Return at once: the controllers of the operator wait for all its kinds."""

    def stop(self) -> None:
        """Add no more requests."""
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None

    def describe(self) -> str:
        """For messages."""
        return "GPU inventory"
