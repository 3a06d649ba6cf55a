"""The simulated volume provisioner: binds PersistentVolumeClaims whose storage class exists.

Contract:
    * A claim without a class uses the default class (annotation ``storageclass.kubernetes.io/is-default-class``). If
      the class does not exist, the claim stays Pending, with an Event, until the class is created.
    * A claim whose request grows gets the new size if its class has ``allowVolumeExpansion``.
    * :meth:`VolumeProvisioner.lose` simulates the permanent loss of a volume.
    * No PersistentVolume objects are created. ``spec.volumeName`` is the name of a simulated volume.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

from aimctl.devcluster.machinery.controller import run_controller
from aimctl.devcluster.machinery.informer import Informer, body_of
from aimctl.devcluster.machinery.worker import Worker
from aimctl.kubetypes import ObjectKey, Resource
from aimctl.kubetypes.builtin import PVCS
from aimctl.kubetypes.quantity import amount

if TYPE_CHECKING:
    from aimctl.devcluster.machinery.events import EventRecorder
    from aimctl.runtime.clock import Clock
    from aimctl.runtime.kube.client import Client

__all__ = ["DEFAULT_CLASS_ANNOTATION", "STORAGE_CLASSES", "VolumeProvisioner"]

STORAGE_CLASSES = Resource.untyped("storage.k8s.io", "v1", "StorageClass", "storageclasses", namespaced=False)
DEFAULT_CLASS_ANNOTATION = "storageclass.kubernetes.io/is-default-class"


@final
class VolumeProvisioner:
    """Binds claims.

    Args:
        client: used for reads and writes.
        clock: source of all times.
        events: records Events.
        seconds: from a claim's creation to its binding.
    """

    def __init__(self, client: Client, *, clock: Clock, events: EventRecorder, seconds: float = 0.0) -> None:
        self._client = client
        self._events = events
        self._clock = clock
        self._seconds = seconds
        self._reported: dict[str, str] = {}
        self._seen: dict[str, float] = {}
        self.worker: Worker[ObjectKey] = Worker("volumes", self._reconcile, clock=clock)
        self.claims: Informer[dict[str, Any]] = Informer(
            client, PVCS, clock=clock, project=body_of, on_change=self._claim_changed
        )
        self.classes: Informer[dict[str, Any]] = Informer(
            client, STORAGE_CLASSES, clock=clock, project=body_of, on_change=self._class_changed
        )

    @property
    def informers(self) -> tuple[Informer[Any], ...]:
        """The kinds that are watched."""
        return (self.claims, self.classes)

    async def run(self) -> None:
        """Work until cancelled."""
        await run_controller(self.worker, self.informers)

    async def lose(self, name: str, namespace: str) -> None:
        """Set a claim to the phase Lost, permanently, as if its PersistentVolume had been deleted.

        Raises:
            NotFound: the claim does not exist.
        """
        claim = body_of(await self._client.get(PVCS, name, namespace))
        patch = {"metadata": {"uid": claim["metadata"]["uid"]}, "status": {"phase": "Lost"}}
        self.claims.observe(await self._client.patch(PVCS, name, patch, namespace, subresource="status"))
        message = "Bound claim has lost its PersistentVolume. Data on the volume is lost!"
        await self._events.report(claim, "Warning", "ClaimLost", message)

    def _claim_changed(self, key: ObjectKey, old: dict[str, Any] | None, new: dict[str, Any] | None) -> None:
        if new is None:
            if old is not None:
                self._reported.pop(old["metadata"]["uid"], None)
                self._seen.pop(old["metadata"]["uid"], None)
        else:
            self.worker.add(key)

    def _class_changed(self, key: ObjectKey, old: dict[str, Any] | None, new: dict[str, Any] | None) -> None:
        del key, old, new
        for claim in self.claims.values():
            self.worker.add(claim)

    async def _reconcile(self, key: ObjectKey) -> float | None:
        claim = self.claims.get(key)
        if claim is None or claim["metadata"].get("deletionTimestamp"):
            return None
        phase = (claim.get("status") or {}).get("phase")
        if phase == "Bound":
            await self._expand(key, claim)
        if phase in {"Bound", "Lost"}:
            return None
        uid = claim["metadata"]["uid"]
        wait = self._seen.setdefault(uid, self._clock.monotonic()) + self._seconds - self._clock.monotonic()
        if wait > 0:
            return wait
        wanted = claim["spec"].get("storageClassName")
        name = self._default_class() if wanted is None else wanted
        rejection = self._rejection(name)
        if rejection:
            if self._reported.get(uid) != rejection:
                self._reported[uid] = rejection
                reason = "ProvisioningFailed" if name else "FailedBinding"
                await self._events.report(claim, "Warning", reason, rejection)
            return None
        await self._bind(key, claim, str(name))
        return None

    async def _expand(self, key: ObjectKey, claim: dict[str, Any]) -> None:
        """Expand the volume to the size that the claim requests, if its class allows that."""
        wanted = _requested(claim)
        storage_class = self.classes.get(ObjectKey("", str(claim["spec"].get("storageClassName"))))
        has = (claim["status"].get("capacity") or {}).get("storage", "0")
        if amount(wanted) <= amount(has) or not (storage_class or {}).get("allowVolumeExpansion"):
            return
        patch = {"metadata": {"uid": claim["metadata"]["uid"]}, "status": {"capacity": {"storage": wanted}}}
        grown = await self._client.patch(PVCS, key.name, patch, key.namespace, subresource="status")
        self.claims.observe(grown)
        message = f"the volume has grown from {has} to {wanted}"
        await self._events.report(claim, "Normal", "VolumeResizeSuccessful", message)

    def _default_class(self) -> str:
        """The default class, or "": the newest if there are several, then the first by name, as in the API server."""
        defaults = [
            (item["metadata"].get("creationTimestamp") or "", key.name)
            for key, item in self.classes.values().items()
            if (item["metadata"].get("annotations") or {}).get(DEFAULT_CLASS_ANNOTATION) == "true"
        ]
        if not defaults:
            return ""
        newest = max(created for created, _ in defaults)
        return min(name for created, name in defaults if created == newest)

    def _rejection(self, name: str) -> str:
        if not name:
            return "no persistent volumes available for this claim and no storage class is set"
        if self.classes.get(ObjectKey("", name)) is None:
            return f'storageclass.storage.k8s.io "{name}" not found'
        return ""

    async def _bind(self, key: ObjectKey, claim: dict[str, Any], storage_class: str) -> None:
        uid = claim["metadata"]["uid"]
        spec = {"volumeName": f"pvc-{uid}", "storageClassName": storage_class}
        patch = {"metadata": {"uid": uid}, "spec": spec}
        self.claims.observe(await self._client.patch(PVCS, key.name, patch, key.namespace))
        status = {
            "phase": "Bound",
            "accessModes": claim["spec"].get("accessModes") or [],
            "capacity": {"storage": _requested(claim)},
        }
        patch = {"metadata": {"uid": uid}, "status": status}
        bound = await self._client.patch(PVCS, key.name, patch, key.namespace, subresource="status")
        self.claims.observe(bound)
        await self._events.report(
            claim, "Normal", "ProvisioningSucceeded", f"Successfully provisioned volume pvc-{uid}"
        )


def _requested(claim: dict[str, Any]) -> str:
    return str((claim["spec"].get("resources") or {}).get("requests", {}).get("storage", "0"))
