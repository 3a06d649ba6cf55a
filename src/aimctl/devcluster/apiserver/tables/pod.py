"""The row of a pod in ``kubectl get pods``. Its column Status shows why the pod is not running.

The status is, as on the real server, Terminating for a pod that is being deleted, else the reason of the first
unfinished init container, else that of a waiting or terminated container, else that of the pod.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aimctl.devcluster.apiserver.tables.ages import age, human_duration
from aimctl.runtime.clock import parse_time

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

__all__ = ["pod_cells"]

_NONE = "<none>"


def pod_cells(obj: Mapping[str, Any], now: datetime) -> list[Any]:
    """Name, Ready, Status, Restarts, Age, IP, Node, Nominated Node, Readiness Gates."""
    metadata, spec, status = obj.get("metadata") or {}, obj.get("spec") or {}, obj.get("status") or {}
    statuses: Sequence[Mapping[str, Any]] = status.get("containerStatuses") or ()
    ready = sum(1 for item in statuses if item.get("ready") and "running" in (item.get("state") or {}))
    reason = _reason(spec, status)
    if metadata.get("deletionTimestamp"):
        if status.get("reason") == "NodeLost":
            reason = "Unknown"
        elif status.get("phase") not in ("Succeeded", "Failed"):
            reason = "Terminating"
    addresses = status.get("podIPs") or ()
    gates = spec.get("readinessGates") or ()
    return [
        metadata.get("name"),
        f"{ready}/{len(spec.get('containers') or ())}",
        reason,
        _restarts(statuses, now),
        age(metadata.get("creationTimestamp"), now),
        (addresses[0].get("ip") if addresses else status.get("podIP")) or _NONE,
        spec.get("nodeName") or _NONE,
        status.get("nominatedNodeName") or _NONE,
        _gates(gates, status) if gates else _NONE,
    ]


def _reason(spec: Mapping[str, Any], status: Mapping[str, Any]) -> str:
    reason: str = status.get("reason") or status.get("phase") or ""
    conditions = status.get("conditions") or ()
    if any(
        item.get("type") == "PodScheduled" and item.get("reason") == "SchedulingGated" for item in conditions
    ):
        reason = "SchedulingGated"
    init = _init_reason(spec, status)
    if init:
        return init
    has_running = False
    for item in reversed(status.get("containerStatuses") or ()):
        state = item.get("state") or {}
        waiting, ended = state.get("waiting") or {}, state.get("terminated")
        if waiting.get("reason"):
            reason = waiting["reason"]
        elif ended is not None:
            reason = ended.get("reason") or _exit(ended)
        elif item.get("ready") and "running" in state:
            has_running = True
    if reason == "Completed" and has_running:
        ready = any(item.get("type") == "Ready" and item.get("status") == "True" for item in conditions)
        reason = "Running" if ready else "NotReady"
    return reason


def _init_reason(spec: Mapping[str, Any], status: Mapping[str, Any]) -> str:
    """The reason of the first init container that has not finished, or ""."""
    containers = spec.get("initContainers") or ()
    always = {item.get("name") for item in containers if item.get("restartPolicy") == "Always"}
    for index, item in enumerate(status.get("initContainerStatuses") or ()):
        state = item.get("state") or {}
        ended = state.get("terminated")
        if ended is not None and ended.get("exitCode", 0) == 0:
            continue
        if item.get("name") in always and item.get("started"):
            continue
        if ended is not None:
            return f"Init:{ended.get('reason') or _exit(ended)}"
        waiting = (state.get("waiting") or {}).get("reason")
        if waiting and waiting != "PodInitializing":
            return f"Init:{waiting}"
        return f"Init:{index}/{len(containers)}"
    return ""


def _exit(ended: Mapping[str, Any]) -> str:
    return f"Signal:{ended['signal']}" if ended.get("signal") else f"ExitCode:{ended.get('exitCode', 0)}"


def _restarts(statuses: Sequence[Mapping[str, Any]], now: datetime) -> str:
    count = sum(int(item.get("restartCount") or 0) for item in statuses)
    ends = [((item.get("lastState") or {}).get("terminated") or {}).get("finishedAt") for item in statuses]
    last = max((end for end in ends if end), default=None)
    if not count or last is None:
        return str(count)
    return f"{count} ({human_duration((now - parse_time(last)).total_seconds())} ago)"


def _gates(gates: Sequence[Mapping[str, Any]], status: Mapping[str, Any]) -> str:
    true = {item.get("type") for item in status.get("conditions") or () if item.get("status") == "True"}
    return f"{sum(1 for gate in gates if gate.get('conditionType') in true)}/{len(gates)}"
