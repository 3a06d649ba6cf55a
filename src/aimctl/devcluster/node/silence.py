"""What the node lifecycle and taint eviction controllers decide about a machine whose kubelet is silent. No I/O.

Contract, as in Kubernetes:
    * ``SILENT_SECONDS`` after the last sign of a kubelet, the conditions of its Node are Unknown, the Node has the
      taints ``node.kubernetes.io/unreachable``, and its pods are not ready.
    * A pod is evicted at once if it does not tolerate a ``NoExecute`` taint of its node, else after its
      ``tolerationSeconds``. On a silent machine it stays until the machine is back or removed.

Sources: Kubernetes' ``pkg/controller/nodelifecycle`` and ``pkg/controller/tainteviction``, and the default of
``--node-monitor-grace-period`` since 1.32.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from aimctl.devcluster.machinery.node_fit import tolerates
from aimctl.runtime.clock import format_time

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "SILENT_SECONDS",
    "UNREACHABLE",
    "evicted_at",
    "evicting_taints",
    "unknown_conditions",
    "unready_conditions",
    "with_taints",
    "without_taints",
]

JsonObject = dict[str, Any]

SILENT_SECONDS = 50
UNREACHABLE = "node.kubernetes.io/unreachable"
_CONDITIONS = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")


def unknown_conditions(node: Mapping[str, Any], now: datetime) -> list[JsonObject]:
    """The conditions of a Node whose kubelet is silent."""
    return [
        {
            **item,
            "status": "Unknown",
            "reason": "NodeStatusUnknown",
            "message": "Kubelet stopped posting node status.",
            "lastTransitionTime": format_time(now),
        }
        if item["type"] in _CONDITIONS
        else item
        for item in (node.get("status") or {}).get("conditions") or ()
    ]


def with_taints(taints: Sequence[Mapping[str, Any]], now: datetime) -> list[JsonObject]:
    """The taints of a Node whose kubelet is silent."""
    own = [
        {"key": UNREACHABLE, "effect": "NoSchedule"},
        {"key": UNREACHABLE, "effect": "NoExecute", "timeAdded": format_time(now)},
    ]
    return [*without_taints(taints), *own]


def without_taints(taints: Sequence[Mapping[str, Any]]) -> list[JsonObject]:
    """The taints of a Node whose kubelet is back."""
    return [dict(taint) for taint in taints if taint.get("key") != UNREACHABLE]


def evicting_taints(node: Mapping[str, Any] | None) -> list[JsonObject]:
    """The ``NoExecute`` taints of a Node."""
    taints = ((node or {}).get("spec") or {}).get("taints") or ()
    return [dict(taint) for taint in taints if taint.get("effect") == "NoExecute"]


def evicted_at(
    pod: Mapping[str, Any], taints: Sequence[Mapping[str, Any]], since: datetime
) -> datetime | None:
    """When a pod is evicted whose node has these taints since then; None if it tolerates them for ever."""
    limits: list[int] = []
    for taint in taints:
        matching = [
            item for item in pod["spec"].get("tolerations") or () if tolerates({"tolerations": [item]}, taint)
        ]
        if not matching:
            return since
        limits += [item["tolerationSeconds"] for item in matching if "tolerationSeconds" in item]
    return since + timedelta(seconds=max(0, min(limits))) if limits else None


def unready_conditions(pod: Mapping[str, Any], now: datetime) -> list[JsonObject]:
    """The condition Ready of a pod on a silent machine; empty if the pod is not ready."""
    return [
        {**item, "status": "False", "lastTransitionTime": format_time(now)}
        for item in (pod.get("status") or {}).get("conditions") or ()
        if item["type"] == "Ready" and item["status"] == "True"
    ]
