"""Which GPU models the cluster's nodes offer, and whom to ask again when that changes.

Contract:
    * :attr:`GpuInventory.offered` is right as soon as the nodes' informer is synced.
    * Subscribers hear of a model when the first node with it comes or the last one goes, and of nothing else: a
      thousand nodes of a known model, or a node's heartbeat, ask nobody.

Invariant: ``_nodes`` counts, for each model, the cached nodes whose labels say it.
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
    """An informer's handler that counts nodes by GPU model."""

    def __init__(self, nodes: Informer[Any]) -> None:
        self._nodes: Counter[str] = Counter()
        self._subscribers: list[Callable[[frozenset[str]], None]] = []
        nodes.add_handler(self)

    @property
    def offered(self) -> frozenset[str]:
        """Normalised models that at least one node has."""
        return frozenset(self._nodes)

    def subscribe(self, tell: Callable[[frozenset[str]], None]) -> Callable[[], None]:
        """Call ``tell`` with the models that came or went; the returned function ends that."""
        self._subscribers.append(tell)
        return lambda: self._subscribers.remove(tell) if tell in self._subscribers else None

    def on_add(self, obj: Object[Any], *, initial: bool) -> None:  # noqa: ARG002 - the handler's signature
        """A node appeared."""
        self._count(frozenset(), models_of(obj.meta.labels))

    def on_update(self, old: Object[Any], new: Object[Any]) -> None:
        """A node changed; most often nothing we care for."""
        if old.meta.own_labels != new.meta.own_labels:
            self._count(models_of(old.meta.labels), models_of(new.meta.labels))

    def on_delete(self, obj: Object[Any], *, confirmed: bool) -> None:  # noqa: ARG002 - the handler's signature
        """A node went."""
        self._count(models_of(obj.meta.labels), frozenset())

    def _count(self, before: frozenset[str], after: frozenset[str]) -> None:
        known = frozenset(self._nodes)
        self._nodes.update(after - before)
        self._nodes.subtract(before - after)
        self._nodes = +self._nodes
        changed = known ^ frozenset(self._nodes)
        if changed:
            for tell in tuple(self._subscribers):
                tell(changed)


@final
class GpuChanges:
    """A controller's source: asks again for whatever needs a GPU model that came or went.

    Args:
        inventory: the counter.
        requests: which requests need a model.
    """

    def __init__(self, inventory: GpuInventory, requests: Callable[[str], Iterable[Request]]) -> None:
        self._inventory = inventory
        self._requests = requests
        self._unsubscribe: Callable[[], None] | None = None

    async def start(self, queue: WorkQueue[Request]) -> None:
        """Follow the inventory from now on; what it held before is in the first list of the primary kind."""

        def tell(models: frozenset[str]) -> None:
            for model in models:
                for request in self._requests(model):
                    queue.add(request)

        self._unsubscribe = self._inventory.subscribe(tell)

    async def wait_synced(self) -> None:
        """At once: the manager syncs all caches before any controller starts."""

    def stop(self) -> None:
        """Ask no more."""
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None

    def describe(self) -> str:
        """For messages."""
        return "GPU inventory"
