"""The scheduler's work: bind pods to nodes, and remove those whose node does not exist.

Invariant: a pod is bound only to a machine with enough free resources. A binding counts from its response on. The
decision is in :mod:`aimctl.devcluster.node.scheduling`.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, final

import msgspec

from aimctl.devcluster.apiserver.objects.disruption import disruption_target
from aimctl.devcluster.node.pods.pod_status import unschedulable_status
from aimctl.devcluster.node.scheduling import place
from aimctl.kubetypes.builtin import PODS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from datetime import datetime

    from aimctl.devcluster.machinery.events import EventRecorder
    from aimctl.devcluster.node.programs import Behaviour
    from aimctl.devcluster.node.registrar import Registrar
    from aimctl.devcluster.node.volumes import Mounts
    from aimctl.kubetypes import Object, ObjectKey
    from aimctl.runtime.clock import Clock
    from aimctl.runtime.kube.client import Client

__all__ = ["Binder"]

JsonObject = dict[str, Any]

_FINAL = frozenset({"Succeeded", "Failed"})
_QUARANTINE = timedelta(seconds=40)
"""Of the pod garbage collector, for pods on nodes that do not exist."""
_UNSCHEDULABLE = "0/{count} nodes are available: {count} node(s) didn't match Pod's node affinity/selector."


@final
class Binder:
    """Binds pods to nodes.

    Args:
        client: used for the bindings and deletions.
        clock: source of all times.
        events: records Events.
        registrar: the Nodes.
        mounts: the claims that pods mount.
        behaviours: returns the behaviour of each container of a pod.
        write: writes a pod's status; returns whether it differed.
        observe: stores a pod that was read.
    """

    def __init__(
        self,
        client: Client,
        *,
        clock: Clock,
        events: EventRecorder,
        registrar: Registrar,
        mounts: Mounts,
        behaviours: Callable[[JsonObject], dict[str, Behaviour | None]],
        write: Callable[[ObjectKey, JsonObject, JsonObject], Awaitable[bool]],
        observe: Callable[[Object[Any]], None],
    ) -> None:
        self._client = client
        self._clock = clock
        self._events = events
        self._registrar = registrar
        self._mounts = mounts
        self._behaviours = behaviours
        self._write = write
        self._observe = observe
        self._waiting: dict[ObjectKey, None] = {}
        self._orphans: dict[str, datetime] = {}
        """By uid, when pods are deleted whose node does not exist."""

    @property
    def waiting(self) -> Iterable[ObjectKey]:
        """The pods that fit no node at present."""
        return self._waiting

    def forget(self, key: ObjectKey, uid: str = "") -> None:
        """Drop the state of a pod that has a node or, with its uid, is gone."""
        self._waiting.pop(key, None)
        self._orphans.pop(uid, None)

    async def bind(self, key: ObjectKey, pod: JsonObject) -> None:
        """Bind a pod to a node, or write why it fits none."""
        placement = place(pod, self._registrar.views())
        node, message = placement.node, placement.message
        if node:
            total = len(self._registrar.nodes.values())
            if any(item is not None and not item.schedulable for item in self._behaviours(pod).values()):
                node, message = "", _UNSCHEDULABLE.format(count=total)
            else:
                rejection = self._mounts.rejection(pod)
                if rejection:
                    node, message = "", f"0/{total} nodes are available: {rejection}."
        if not node:
            await self._reject(key, pod, message)
            return
        metadata = {"name": key.name, "namespace": key.namespace, "uid": pod["metadata"]["uid"]}
        body = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": metadata,
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        }
        path = PODS.path(key.namespace, key.name, "binding")
        await self._client.raw("POST", path, body=msgspec.json.encode(body))
        self._observe(await self._client.get(PODS, key.name, key.namespace))
        await self._events.report(pod, "Normal", "Scheduled", f"Successfully assigned {key} to {node}")

    async def quarantine(self, key: ObjectKey, pod: JsonObject) -> float | None:
        """Delete a pod whose node has not existed for some time, as the pod garbage collector does."""
        now = self._clock.now()
        due = self._orphans.setdefault(pod["metadata"]["uid"], now + _QUARANTINE)
        if now < due:
            return (due - now).total_seconds()
        await self.collect(key, pod)
        return None

    async def collect(self, key: ObjectKey, pod: JsonObject) -> None:
        """Delete a pod whose node does not exist."""
        if (pod.get("status") or {}).get("phase") not in _FINAL:
            gone = disruption_target("DeletionByPodGC", "PodGC: node no longer exists", self._clock.now())
            await self._write(key, pod, {"phase": "Failed", "conditions": [gone]})
        uid = pod["metadata"]["uid"]
        await self._client.delete(PODS, key.name, key.namespace, uid=uid, grace_period_seconds=0)

    async def _reject(self, key: ObjectKey, pod: JsonObject, message: str) -> None:
        self._waiting[key] = None
        status = unschedulable_status(pod, message, self._clock.now())
        if await self._write(key, pod, status):
            await self._events.report(pod, "Warning", "FailedScheduling", message)
