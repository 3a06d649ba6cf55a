"""The EndpointSlice controller.

Its decisions are in :mod:`aimctl.devcluster.controllers.services.endpoint_slice_plan`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

from aimctl.devcluster.controllers.services.endpoint_slice_plan import (
    MANAGED_BY,
    MANAGER,
    SERVICE_NAME,
    plan,
    selects,
)
from aimctl.devcluster.controllers.workloads.owner_controller import OwnerController
from aimctl.devcluster.machinery.informer import Informer, body_of
from aimctl.kubetypes import ObjectKey
from aimctl.kubetypes.builtin import PODS
from aimctl.kubetypes.kinds import ENDPOINT_SLICES, SERVICES

if TYPE_CHECKING:
    from aimctl.devcluster.machinery.events import EventRecorder
    from aimctl.runtime.clock import Clock
    from aimctl.runtime.kube.client import Client

__all__ = ["EndpointSliceController"]

JsonObject = dict[str, Any]


@final
class EndpointSliceController(OwnerController):
    """Writes the EndpointSlices of Services with a selector.

    Args:
        client: used for reads and writes.
        clock: source of all times.
        events: unused; the real controller records Events only about failures.
    """

    def __init__(self, client: Client, *, clock: Clock, events: EventRecorder) -> None:
        super().__init__(SERVICES, client, clock=clock, events=events)
        self.pods: Informer[JsonObject] = Informer(
            client, PODS, clock=clock, project=body_of, on_change=self._pod_changed
        )
        self.slices: Informer[JsonObject] = Informer(
            client, ENDPOINT_SLICES, clock=clock, project=body_of, on_change=self._slice_changed
        )
        self.watched += [self.pods, self.slices]

    def _pod_changed(self, key: ObjectKey, old: JsonObject | None, new: JsonObject | None) -> None:
        for owner, service in self.owners.values().items():
            if owner.namespace == key.namespace and any(
                pod is not None and selects(service, pod["metadata"].get("labels") or {})
                for pod in (old, new)
            ):
                self.worker.add(owner)

    def _slice_changed(self, key: ObjectKey, old: JsonObject | None, new: JsonObject | None) -> None:
        service = _service_of(new or old or {})
        if service:
            self.worker.add(ObjectKey(key.namespace, service))

    async def reconcile(self, key: ObjectKey) -> float | None:
        """See :meth:`OwnerController.reconcile`."""
        service = self.owners.get(key)
        if service is None or service["metadata"].get("deletionTimestamp"):
            return None
        decided = plan(service, self._pods_of(service, key.namespace), self._slices_of(key))
        for body in decided.create:
            self.slices.observe(await self._client.create(ENDPOINT_SLICES, body, key.namespace))
        for body in decided.update:
            self.slices.observe(await self._client.update(ENDPOINT_SLICES, body))
        for body in decided.delete:
            metadata = body["metadata"]
            await self._client.delete(ENDPOINT_SLICES, metadata["name"], key.namespace, uid=metadata["uid"])
        return None

    def _pods_of(self, service: JsonObject, namespace: str) -> list[JsonObject]:
        pods = self.pods.values()
        return [
            pods[key]
            for key in sorted(pods)
            if key.namespace == namespace and selects(service, pods[key]["metadata"].get("labels") or {})
        ]

    def _slices_of(self, service: ObjectKey) -> list[JsonObject]:
        slices = self.slices.values()
        return [
            slices[key]
            for key in sorted(slices)
            if key.namespace == service.namespace and _service_of(slices[key]) == service.name
        ]


def _service_of(body: JsonObject) -> str:
    """The name of the Service whose slice this is; "" if this controller does not manage it."""
    metadata = body.get("metadata") or {}
    labels = metadata.get("labels") or {}
    return str(labels.get(SERVICE_NAME, "")) if labels.get(MANAGED_BY) == MANAGER else ""
