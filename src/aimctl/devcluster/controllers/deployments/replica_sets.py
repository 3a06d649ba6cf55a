"""The ReplicaSet controller. Its decisions are in :mod:`aimctl.devcluster.controllers.deployments.replica_set_plan`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

from aimctl.devcluster.controllers.deployments.replica_set_plan import (
    becomes_available_at,
    missing,
    next_status,
    surplus,
)
from aimctl.devcluster.controllers.pod_control import PodControl
from aimctl.devcluster.controllers.workloads.owned_objects import OwnedObjects
from aimctl.devcluster.controllers.workloads.owner_controller import OwnerController, error_of
from aimctl.devcluster.controllers.workloads.pod_facts import pod_from_template
from aimctl.kubetypes.builtin import PODS
from aimctl.kubetypes.kinds import REPLICA_SETS

if TYPE_CHECKING:
    from aimctl.devcluster.machinery.events import EventRecorder
    from aimctl.kubetypes import ObjectKey
    from aimctl.runtime.clock import Clock
    from aimctl.runtime.kube.client import Client

__all__ = ["ReplicaSetController"]

_BURST = 500
"""Pods that are created or deleted before the status is written."""


@final
class ReplicaSetController(OwnerController):
    """Creates and deletes the pods of ReplicaSets.

    Args:
        client: used for reads and writes.
        clock: source of all times.
        events: records Events.
    """

    def __init__(self, client: Client, *, clock: Clock, events: EventRecorder) -> None:
        super().__init__(REPLICA_SETS, client, clock=clock, events=events)
        self._control = PodControl(client, events)
        self.pods = OwnedObjects(client, PODS, self.owners, clock=clock, on_owner=self.worker.add)
        self.watched += [self.pods.informer]

    async def reconcile(self, key: ObjectKey) -> float | None:
        """See :meth:`OwnerController.reconcile`."""
        owner = self.owners.get(key)
        if owner is None:
            return None
        pods = await self.pods.claim(owner)
        error = await error_of(self._scale(owner, pods))
        now = self._clock.now()
        # As in Kubernetes, the status is about the pods from before; their events cause the next one.
        message = None if error is None else error.message
        await self.write_status(owner, next_status(owner, pods, now=now, failure=message))
        if error is not None:
            raise error
        return self.seconds_until(becomes_available_at(owner, pods, now))

    async def _scale(self, owner: dict[str, Any], pods: list[dict[str, Any]]) -> None:
        if owner["metadata"].get("deletionTimestamp"):
            return
        for _ in range(min(_BURST, missing(owner, pods))):
            created = await self._control.create(owner, pod_from_template(owner, owner["spec"]["template"]))
            self.pods.observe(created)
        for pod in surplus(owner, pods, self._clock.now())[:_BURST]:
            await self.pods.delete(dict(pod))
            await self._control.deleted(owner, pod)
