"""The event recorder of the cluster's own parts.

Events are for people, who read them in ``kubectl describe``. An Event that cannot be written is dropped. A repeated one
increases ``count`` of the existing object, as client-go's correlator does, so a pod that fails for hours leaves few
objects.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, final

from aimctl.kubetypes.builtin import CORE_EVENTS
from aimctl.runtime.clock import format_time
from aimctl.runtime.kube.errors import KubeError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aimctl.runtime.clock import Clock
    from aimctl.runtime.kube.client import Client

__all__ = ["EventRecorder"]

_REMEMBERED = 4096
"""Number of Events whose count is kept. An older one is created again when it repeats."""


@final
class EventRecorder:
    """Writes Events for one component.

    Args:
        client: used for the writes.
        clock: for the timestamps.
        component: the ``source.component``, such as ``job-controller`` or ``kubelet``.
        enabled: False turns :meth:`report` into a no-op.
    """

    def __init__(self, client: Client, *, clock: Clock, component: str, enabled: bool = True) -> None:
        self._client = client
        self._clock = clock
        self._component = component
        self._enabled = enabled
        self._counts: dict[str, int] = {}

    async def report(self, regarding: Mapping[str, Any], type_: str, reason: str, message: str) -> None:
        """Record an Event about an object. Does not raise KubeError."""
        if not self._enabled:
            return
        metadata = regarding["metadata"]
        namespace = metadata.get("namespace") or "default"
        identity = "\0".join((metadata["uid"], self._component, type_, reason, message))
        name = f"{metadata['name'][:200]}.{hashlib.sha256(identity.encode()).hexdigest()[:16]}"
        moment = format_time(self._clock.now())
        try:
            if name in self._counts:
                count = self._counts[name] + 1
                await self._client.patch(
                    CORE_EVENTS, name, {"count": count, "lastTimestamp": moment}, namespace
                )
            else:
                count = 1
                body = self._event(regarding, name, moment)
                body |= {"type": type_, "reason": reason, "message": message[:1024]}
                await self._client.create(CORE_EVENTS, body, namespace)
            self._counts[name] = count
            if len(self._counts) > _REMEMBERED:
                del self._counts[next(iter(self._counts))]
        except KubeError:
            self._counts.pop(name, None)

    def _event(self, regarding: Mapping[str, Any], name: str, moment: str) -> dict[str, Any]:
        metadata = regarding["metadata"]
        involved = {
            "apiVersion": regarding["apiVersion"],
            "kind": regarding["kind"],
            "name": metadata["name"],
            "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"],
        }
        if metadata.get("namespace"):
            involved["namespace"] = metadata["namespace"]
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": metadata.get("namespace") or "default"},
            "involvedObject": involved,
            "source": {"component": self._component},
            "firstTimestamp": moment,
            "lastTimestamp": moment,
            "count": 1,
        }
