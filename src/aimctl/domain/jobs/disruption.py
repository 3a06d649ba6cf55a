"""Pods that end for a reason outside of them: eviction, preemption, the loss of their node.

Contract:
    * Jobs of the operator have :data:`DISRUPTIONS_DO_NOT_COUNT`. Kubernetes then replaces such a pod, without counting
      it as a failed attempt; and only when it has ended, so that two pods of a Job never run at the same time.
    * A pod whose node is lost never ends. :func:`lost_node` recognises it by how long its deletion takes.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from aimctl.domain.conditions import parse_rfc3339

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from aimctl.kubetypes import Object, Pod

__all__ = ["DISRUPTIONS_DO_NOT_COUNT", "DISRUPTION_TARGET", "disruption", "lost_node"]

DISRUPTION_TARGET = "DisruptionTarget"
"""The condition that Kubernetes sets on a pod before it ends it for a reason outside of the pod."""

DISRUPTIONS_DO_NOT_COUNT: Mapping[str, Any] = {
    "rules": [{"action": "Ignore", "onPodConditions": [{"type": DISRUPTION_TARGET, "status": "True"}]}]
}
"""``spec.podFailurePolicy`` of a Job."""

_LOST_AFTER = timedelta(seconds=60)
"""How long a pod may exist after the end of its grace period, before its node is considered lost."""


def disruption(pod: Object[Pod]) -> str:
    """Why Kubernetes ends a pod that does not end by itself; "" if it does not."""
    for item in pod.view.status.conditions or ():
        if item.type == DISRUPTION_TARGET and item.status == "True":
            return ": ".join(filter(None, (item.reason, item.message)))
    return ""


def lost_node(pod: Object[Pod], now: datetime) -> tuple[str, float]:
    """Whether the node of a pod that is being deleted does not end it.

    Returns:
        What to report, "" if the node is not considered lost; and the seconds until it would be, 0 if never.
    """
    deleted = parse_rfc3339(pod.meta.deletion_timestamp)
    if deleted is None or pod.view.status.phase in {"Succeeded", "Failed"}:
        return "", 0.0
    # The deletion timestamp is the end of the grace period.
    left = (_LOST_AFTER - (now - deleted)).total_seconds()
    if left > 0:
        return "", left
    why = disruption(pod)
    node = pod.view.spec.node_name
    text = f"pod {pod.meta.name} does not end: node {node!r} does not respond" + (f" ({why})" if why else "")
    return text, 0.0
