"""What the controllers of workloads share: they handle the keys of one kind, whose objects own others.

Contract: a subclass adds its other informers to ``watched`` in its constructor, and implements :meth:`reconcile`, which
observes, calls a pure decision, and carries it out.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from aimctl.devcluster.machinery.controller import run_controller
from aimctl.devcluster.machinery.informer import Informer, body_of
from aimctl.devcluster.machinery.worker import Worker
from aimctl.runtime.kube.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from datetime import datetime

    from aimctl.devcluster.machinery.events import EventRecorder
    from aimctl.kubetypes import ObjectKey, Resource
    from aimctl.runtime.clock import Clock
    from aimctl.runtime.kube.client import Client

__all__ = ["OwnerController", "error_of"]

JsonObject = dict[str, Any]


async def error_of(writes: Awaitable[None]) -> ApiError | None:
    """Carry out writes; returns the error that ended them, so that the status is written before it is raised."""
    try:
        await writes
    except ApiError as error:
        return error
    return None


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
        self.owners: Informer[JsonObject] = Informer(
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

    async def write_status(self, owner: JsonObject, status: JsonObject | None) -> None:
        """Write the status of an owner, unless it is None."""
        if status is not None:
            body = {**owner, "status": status}
            self.owners.observe(await self._client.update(self.owners.resource, body, subresource="status"))

    def seconds_until(self, time: datetime | None) -> float | None:
        """The seconds until a time, at least a moment; None for None."""
        return None if time is None else max(0.01, (time - self._clock.now()).total_seconds())

    @abstractmethod
    async def reconcile(self, key: ObjectKey) -> float | None:
        """Bring one owner closer to its desired state; returns the seconds until the next attempt, or None."""
