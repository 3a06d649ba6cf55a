"""The condition of pods that are ended for a reason outside of them: evicted, or on a node that does not exist."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aimctl.runtime.clock import format_time

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["disruption_target"]


def disruption_target(reason: str, message: str, now: datetime) -> dict[str, Any]:
    """The condition DisruptionTarget, which Kubernetes sets before it ends a pod."""
    return {
        "type": "DisruptionTarget",
        "status": "True",
        "reason": reason,
        "message": message,
        "lastProbeTime": None,
        "lastTransitionTime": format_time(now),
    }
