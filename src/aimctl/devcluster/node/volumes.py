"""The claims that pods mount: whether a pod can be scheduled, and the volumes in its containers.

Contract: a claim has to exist, be Bound, and not be terminating. The messages are those of kube-scheduler. A pod that
is scheduled keeps its volumes, whatever happens to the claim.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, final

from aimctl.devcluster.machinery.claims import claims_of
from aimctl.devcluster.machinery.informer import Informer, body_of
from aimctl.devcluster.node.programs import MountedVolume
from aimctl.kubetypes import ObjectKey
from aimctl.kubetypes.builtin import PVCS
from aimctl.kubetypes.quantity import amount

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aimctl.runtime.clock import Clock
    from aimctl.runtime.kube.client import Client

__all__ = ["Mounts"]

JsonObject = Mapping[str, Any]


@final
class Mounts:
    """Watches claims.

    Args:
        client: used to list and watch.
        clock: source of all times.
        on_change: called when a claim changed, so that rejected pods are scheduled again.
    """

    def __init__(self, client: Client, *, clock: Clock, on_change: Callable[[], None]) -> None:
        self.claims: Informer[dict[str, Any]] = Informer(
            client, PVCS, clock=clock, project=body_of, on_change=lambda *_: on_change()
        )

    def rejection(self, pod: JsonObject) -> str:
        """The scheduler's message why the pod fits no node because of its claims, or ""."""
        for name in claims_of(pod).values():
            claim = self.claims.get(ObjectKey(pod["metadata"]["namespace"], name))
            if claim is None:
                return f'persistentvolumeclaim "{name}" not found'
            if claim["metadata"].get("deletionTimestamp"):
                return f'persistentvolumeclaim "{name}" is being deleted'
            phase = (claim.get("status") or {}).get("phase")
            if phase == "Lost":
                volume = claim["spec"].get("volumeName")
                return f'persistentvolumeclaim "{name}" bound to non-existent persistentvolume "{volume}"'
            if phase != "Bound":
                return "pod has unbound immediate PersistentVolumeClaims"
        return ""

    def volumes(self, pod: JsonObject, container: JsonObject) -> tuple[MountedVolume, ...]:
        """The volumes a container mounts, in the order of its mounts."""
        return tuple(self._mounted(pod, container))

    def _mounted(self, pod: JsonObject, container: JsonObject) -> Iterator[MountedVolume]:
        claims = claims_of(pod)
        read_only = {
            volume["name"]
            for volume in pod["spec"].get("volumes") or ()
            if (volume.get("persistentVolumeClaim") or {}).get("readOnly")
        }
        for mount in container.get("volumeMounts") or ():
            name = claims.get(mount["name"])
            claim = self.claims.get(ObjectKey(pod["metadata"]["namespace"], name)) if name else None
            if claim is not None:
                status: JsonObject = claim.get("status") or {}
                yield MountedVolume(
                    path=str(mount["mountPath"]),
                    claim=str(name),
                    uid=str(claim["metadata"]["uid"]),
                    capacity_bytes=int(amount((status.get("capacity") or {}).get("storage", "0"))),
                    read_only=bool(mount.get("readOnly")) or mount["name"] in read_only,
                )
