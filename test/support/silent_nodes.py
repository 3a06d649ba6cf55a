"""Nodes whose kubelet does not respond, and what the controllers of Kubernetes do then.

Contract: after :meth:`SilentNodes.begin` the pods of a node stay as they are, and its Ready is Unknown. Pods that do
not end in the time of their toleration of the taint ``node.kubernetes.io/unreachable`` are deleted. They remain, with a
deletion timestamp, until :meth:`SilentNodes.end`: then the kubelet continues, and ends them.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from aimctl.kubetypes.builtin import PODS
from aimctl.runtime import ApiError
from aimctl.runtime.clock import format_time

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.operator import World

__all__ = ["UNREACHABLE", "SilentNodes"]

UNREACHABLE = "node.kubernetes.io/unreachable"
_CHECK_SECONDS = 5.0


class SilentNodes:
    """The silent nodes of a cluster.

    Args:
        w: the cluster.
        note: called with a line of text for each pod that is deleted.
    """

    def __init__(self, w: World, note: Callable[[str], None] = lambda _: None) -> None:
        self._w, self._note = w, note

    def begin(self, name: str) -> None:
        """Disconnect the kubelet of a node."""
        self._w.cluster.node.registrar.silence(name)

    def end(self, name: str) -> None:
        """Connect it again."""
        node = self._w.cluster.node
        node.registrar.reconnect(name)
        for key, pod in node.pods.values().items():
            if pod["spec"].get("nodeName") == name:
                node.worker.add(key)

    async def evict(self, name: str) -> None:
        """Delete the pods of a silent node when the time of their toleration is over, until cancelled."""
        begun = self._w.now
        while True:
            await asyncio.sleep(_CHECK_SECONDS)
            for key, pod in list(self._w.cluster.node.pods.values().items()):
                ended = (pod.get("status") or {}).get("phase") in {"Succeeded", "Failed"}
                if pod["spec"].get("nodeName") != name or ended or pod["metadata"].get("deletionTimestamp"):
                    continue
                if self._w.now - begun >= _tolerated_seconds(pod):
                    with suppress(ApiError):
                        await self._delete(key.name, key.namespace, pod)

    async def _delete(self, name: str, namespace: str, pod: dict[str, Any]) -> None:
        self._note(f"pod {namespace}/{name} is deleted, because its node does not respond")
        target = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "DeletionByTaintManager",
            "message": f"Taint manager: deleting due to NoExecute taint {UNREACHABLE}",
            "lastTransitionTime": format_time(self._w.cluster.clock.now()),
        }
        kept = [
            item
            for item in (pod.get("status") or {}).get("conditions") or ()
            if item["type"] != "DisruptionTarget"
        ]
        client = self._w.client
        patch = {"status": {"conditions": [*kept, target]}}
        await client.patch(PODS, name, patch, namespace, subresource="status")
        await client.delete(PODS, name, namespace, uid=pod["metadata"]["uid"])


def _tolerated_seconds(pod: dict[str, Any]) -> float:
    """How long a pod may stay on a node that does not respond."""
    return min(
        (
            float(item["tolerationSeconds"])
            for item in pod["spec"].get("tolerations") or ()
            if item.get("key") == UNREACHABLE and "tolerationSeconds" in item
        ),
        default=0.0,
    )
