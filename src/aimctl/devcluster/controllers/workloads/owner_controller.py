"""What the controllers of workloads share: they handle the keys of one kind, whose objects own others.

Contract: a subclass adds its other informers to ``watched`` in its constructor, and implements :meth:`reconcile`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from aimctl.devcluster.machinery.controller import run_controller
from aimctl.devcluster.machinery.informer import Informer, body_of
from aimctl.devcluster.machinery.worker import Worker

if TYPE_CHECKING:
    from aimctl.devcluster.machinery.events import EventRecorder
    from aimctl.kubetypes import ObjectKey, Resource
    from aimctl.runtime.clock import Clock
    from aimctl.runtime.kube.client import Client

__all__ = ["OwnerController"]


class OwnerController(ABC):
    """Handles the key of each owner that changed.

    Args:
        resource: the kind of the owners.
        client: used for reads and writes.
        clock: source of all times.
        events: records Events.

    Attributes:
        owners: the objects of the kind.
        watched: all informers.
    """

    def __init__(
        self, resource: Resource[Any], client: Client, *, clock: Clock, events: EventRecorder
    ) -> None:
        self._client = client
        self._clock = clock
        self._events = events
        self.worker: Worker[ObjectKey] = Worker(resource.plural, self.reconcile, clock=clock)
        self.owners: Informer[dict[str, Any]] = Informer(
            client,
            resource,
            clock=clock,
            project=body_of,
            on_change=lambda key, _old, _new: self.worker.add(key),
        )
        self.watched: list[Informer[Any]] = [self.owners]

    @property
    def informers(self) -> tuple[Informer[Any], ...]:
        """The kinds that are watched."""
        return tuple(self.watched)

    async def run(self) -> None:
        """Work until cancelled."""
        await run_controller(self.worker, self.informers)

    @abstractmethod
    async def reconcile(self, key: ObjectKey) -> float | None:
        """Bring one owner closer to its desired state; returns the seconds until the next attempt, or None."""
