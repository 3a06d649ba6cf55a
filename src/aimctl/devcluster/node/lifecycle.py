"""Silent machines, and the eviction of pods by ``NoExecute`` taints.

Invariant: a machine is silent from :meth:`NodeLifecycle.silence` to :meth:`NodeLifecycle.resume`. Meanwhile it sends no
heartbeats, and nothing happens to its pods except through the API. The decisions are in
:mod:`aimctl.devcluster.node.silence`.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, final

from aimctl.devcluster.apiserver.objects.disruption import disruption_target
from aimctl.devcluster.node.silence import (
    SILENT_SECONDS,
    UNREACHABLE,
    evicted_at,
    evicting_taints,
    unknown_conditions,
    unready_conditions,
    with_taints,
    without_taints,
)
from aimctl.kubetypes import ObjectKey
from aimctl.kubetypes.builtin import NODES, PODS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from aimctl.devcluster.machinery.events import EventRecorder
    from aimctl.devcluster.machinery.informer import Informer
    from aimctl.devcluster.node.registrar import Registrar
    from aimctl.runtime.clock import Clock
    from aimctl.runtime.kube.client import Client

__all__ = ["NodeLifecycle"]

JsonObject = dict[str, Any]


@final
class NodeLifecycle:
    """Marks silent machines, and evicts pods that do not tolerate the taints of their node.

    Args:
        client: used for the writes.
        clock: source of all times.
        events: records Events.
        registrar: the Nodes.
        pods: all pods.
        write: writes a pod's status if it differs.
    """

    def __init__(
        self,
        client: Client,
        *,
        clock: Clock,
        events: EventRecorder,
        registrar: Registrar,
        pods: Informer[JsonObject],
        write: Callable[[ObjectKey, JsonObject, JsonObject], Awaitable[bool]],
    ) -> None:
        self._client = client
        self._clock = clock
        self._events = events
        self._registrar = registrar
        self._pods = pods
        self._write = write
        self._silent: dict[str, datetime] = {}
        self._tainted: dict[str, datetime] = {}
        """By the uid of a pod, since when its node has NoExecute taints."""

    def is_silent(self, node: str) -> bool:
        """Whether the kubelet of this machine is silent."""
        return node in self._silent

    def silence(self, node: str) -> None:
        """Let the kubelet of a machine be silent from now on."""
        self._silent.setdefault(node, self._clock.now())
        self._registrar.silence(node)

    async def resume(self, node: str) -> None:
        """Let the kubelet of a machine work again, and remove the marks of its silence."""
        self._silent.pop(node, None)
        self._registrar.reconnect(node)
        await self._registrar.report(node)
        await self._set_taints(node, without_taints(self._taints(node)))

    def removed(self, node: str) -> None:
        """Forget a machine that was removed or registered again."""
        self._silent.pop(node, None)

    async def check(self, node: str) -> float | None:
        """Mark a machine that has been silent for long enough. Returns the seconds until then, or None."""
        since = self._silent.get(node)
        found = self._registrar.nodes.get(ObjectKey("", node))
        if since is None or found is None:
            return None
        now = self._clock.now()
        left = (since + timedelta(seconds=SILENT_SECONDS) - now).total_seconds()
        if left > 0:
            return left
        if any(taint.get("key") == UNREACHABLE for taint in self._taints(node)):
            return None
        conditions = unknown_conditions(found, now)
        written = await self._client.patch(
            NODES, node, {"status": {"conditions": conditions}}, subresource="status"
        )
        self._registrar.nodes.observe(written)
        await self._set_taints(node, with_taints(self._taints(node), now))
        await self._events.report(found, "Normal", "NodeNotReady", f"Node {node} status is now: NodeNotReady")
        for key, pod in list(self._pods.values().items()):
            unready = unready_conditions(pod, now) if pod["spec"].get("nodeName") == node else []
            if unready:
                await self._write(key, pod, {"conditions": unready})
                await self._events.report(pod, "Warning", "NodeNotReady", "Node is not ready")
        return None

    async def evict(self, key: ObjectKey, pod: JsonObject) -> float | None:
        """Evict a pod that does not tolerate its node any longer. Returns the seconds until then, or None."""
        node = self._registrar.nodes.get(ObjectKey("", pod["spec"]["nodeName"]))
        taints = evicting_taints(node)
        if not taints or pod["metadata"].get("deletionTimestamp"):
            self.forget(pod["metadata"]["uid"])
            return None
        now = self._clock.now()
        due = evicted_at(pod, taints, self._tainted.setdefault(pod["metadata"]["uid"], now))
        if due is None:
            return None
        if due > now:
            return (due - now).total_seconds()
        text = "Taint manager: deleting due to NoExecute taint"
        marked = disruption_target("DeletionByTaintManager", text, now)
        await self._write(key, pod, {"conditions": [marked]})
        await self._events.report(pod, "Normal", "TaintManagerEviction", f"Marking for deletion Pod {key}")
        await self._client.delete(PODS, key.name, key.namespace, uid=pod["metadata"]["uid"])
        return None

    def forget(self, uid: str) -> None:
        """Drop what is known of a pod."""
        self._tainted.pop(uid, None)

    def _taints(self, node: str) -> list[JsonObject]:
        found = self._registrar.nodes.get(ObjectKey("", node)) or {}
        return list((found.get("spec") or {}).get("taints") or ())

    async def _set_taints(self, node: str, taints: list[JsonObject]) -> None:
        if taints != self._taints(node):
            written = await self._client.patch(NODES, node, {"spec": {"taints": taints or None}})
            self._registrar.nodes.observe(written)
