"""The GPUs that the nodes offer, and a source of requests for changes.

Contract:
    * :attr:`GpuInventory.offered` is complete as soon as the informer of the nodes is synced.
    * Subscribers are called when what is offered of a model changes: the first node with it is added, the last one is
      removed, cordoned or not Ready, or a node has more of it than all others. Further nodes like the known ones, and
      heartbeats of nodes, cause no calls.

Invariant: ``_nodes`` has the cached nodes with GPUs, ``_alike`` the number of nodes for each different value of it, and
``_offered`` is the sum of these values. It is computed again only if a value appears or disappears: a large cluster has
few different nodes.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, final

from aimctl.controllers.indexes.templates import ANY_GPU
from aimctl.domain.gpu_nodes import Gpus, NodeGpus, gpus_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from aimctl.kubetypes import Object
    from aimctl.runtime.cache import Informer
    from aimctl.runtime.controller import Request
    from aimctl.runtime.queue import WorkQueue

__all__ = ["GpuChanges", "GpuInventory"]


@final
class GpuInventory:
    """An informer handler that adds up what the nodes offer."""

    def __init__(self, nodes: Informer[Any]) -> None:
        self._nodes: dict[str, NodeGpus] = {}
        self._alike: Counter[NodeGpus] = Counter()
        self._offered = Gpus()
        self._subscribers: list[Callable[[frozenset[str]], None]] = []
        nodes.add_handler(self)

    @property
    def offered(self) -> Gpus:
        """What the nodes offer."""
        return self._offered

    def subscribe(self, changed: Callable[[frozenset[str]], None]) -> Callable[[], None]:
        """Call ``changed`` with the models whose GPUs change; returns a function that ends this."""
        self._subscribers.append(changed)
        return lambda: self._subscribers.remove(changed) if changed in self._subscribers else None

    def on_add(self, obj: Object[Any], *, initial: bool) -> None:  # noqa: ARG002 - the handler's signature
        """A node was added."""
        self._put(obj)

    def on_update(self, old: Object[Any], new: Object[Any]) -> None:  # noqa: ARG002 - the handler's signature
        """A node has changed, in most cases only the times of its conditions."""
        self._put(new)

    def on_delete(self, obj: Object[Any], *, confirmed: bool) -> None:  # noqa: ARG002 - the handler's signature
        """A node was removed."""
        self._replace(obj.meta.name, NodeGpus())

    def _put(self, node: Object[Any]) -> None:
        view = node.view_or_none
        self._replace(node.meta.name, NodeGpus() if view is None else gpus_of(node.meta.labels, view))

    def _replace(self, name: str, gpus: NodeGpus) -> None:
        before, after = self._nodes.pop(name, NodeGpus()), gpus if gpus.offers else NodeGpus()
        if after.offers:
            self._nodes[name] = after
        if after == before:
            return
        known = frozenset(self._alike)
        self._alike.update([after] if after.offers else [])
        self._alike.subtract([before] if before.offers else [])
        self._alike = +self._alike
        if known != self._alike.keys():
            self._add_up()

    def _add_up(self) -> None:
        offered = Gpus.of(self._alike)
        changed = offered.changed_models(self._offered)
        self._offered = offered
        if changed:
            for subscriber in tuple(self._subscribers):
                subscriber(changed)


@final
class GpuChanges:
    """A source: the requests that depend on a GPU model that becomes available or unavailable.

    Args:
        inventory: the models.
        requests: returns the requests that depend on a model, or on any model for
            :data:`~aimctl.controllers.indexes.templates.ANY_GPU`.
    """

    def __init__(self, inventory: GpuInventory, requests: Callable[[str], Iterable[Request]]) -> None:
        self._inventory = inventory
        self._requests = requests
        self._unsubscribe: Callable[[], None] | None = None

    async def start(self, queue: WorkQueue[Request]) -> None:
        """Add requests from now on. Earlier changes are covered by the initial list of the reconciled kind."""

        def add(models: frozenset[str]) -> None:
            for model in (*models, ANY_GPU):
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
