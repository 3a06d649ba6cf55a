"""The status of a pod, computed from the states of its containers. No I/O.

Contract: phases follow the kubelet's ``getPhase``. Conditions keep ``lastTransitionTime`` while their status does not
change. The result passes the API server's validation of pod statuses (1.20 and newer).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from aimctl.devcluster.node.pods.containers import ContainerRun, Running, Terminated, Waiting
from aimctl.runtime.clock import format_time, parse_time

if TYPE_CHECKING:
    from datetime import datetime

__all__ = [
    "final_phase",
    "init_done",
    "initial_runs",
    "mains_done",
    "next_init",
    "phase",
    "pod_status",
    "status_patch",
    "unschedulable_status",
]

JsonObject = Mapping[str, Any]
Runs = Sequence[ContainerRun]


def phase(restart_policy: str, inits: Runs, mains: Runs) -> str:
    """Pending, Running, Succeeded or Failed."""
    if any(isinstance(run.state, Terminated) and run.state.exit_code for run in inits if not run.sidecar):
        return "Failed"
    if not init_done(inits):
        return "Pending"
    states = [run.state for run in mains]
    if any(isinstance(run.state, Waiting) and run.last is None for run in mains):
        return "Pending"
    if any(isinstance(state, Running) for state in (*states, *(run.state for run in inits if run.sidecar))):
        return "Running"
    if restart_policy == "Always":
        return "Running"
    return final_phase(mains) if mains_done(restart_policy, mains) else "Running"


def mains_done(restart_policy: str, mains: Runs) -> bool:
    """Whether all containers have ended and are not restarted. Sidecars end then."""
    return restart_policy != "Always" and all(isinstance(run.state, Terminated) for run in mains)


def final_phase(mains: Runs) -> str:
    """The phase of a pod whose containers have ended for good."""
    return "Succeeded" if all(run.succeeded for run in mains) else "Failed"


def init_done(inits: Runs) -> bool:
    """Whether every init container succeeded, and every sidecar started."""
    return all(run.initialized for run in inits)


def next_init(inits: Runs) -> int | None:
    """The index of the first init container that has to succeed, or to start if it is a sidecar; None if none has."""
    return next((index for index, run in enumerate(inits) if not run.initialized), None)


def initial_runs(pod: JsonObject, field: str) -> list[ContainerRun]:
    """The containers of ``spec.containers`` or ``spec.initContainers`` at the start of the kubelet.

    Terminated containers stay terminated, because their restart policy does not restart them. All others, and the
    sidecars of unfinished pods, start again and keep their restart count.
    """
    waiting = Waiting("PodInitializing" if pod["spec"].get("initContainers") else "ContainerCreating")
    status_field = "initContainerStatuses" if field == "initContainers" else "containerStatuses"
    known = {item["name"]: item for item in (pod.get("status") or {}).get(status_field) or ()}
    done = (pod.get("status") or {}).get("phase") in {"Succeeded", "Failed"}
    runs = []
    for container in pod["spec"].get(field) or ():
        old = known.get(container["name"]) or {}
        ended = (old.get("state") or {}).get("terminated")
        restarts = int(old.get("restartCount") or 0)
        sidecar = field == "initContainers" and container.get("restartPolicy") == "Always"
        image = str(container.get("image") or "")
        run = ContainerRun(container["name"], image, waiting, restarts=restarts, sidecar=sidecar)
        if ended and ended.get("finishedAt") and (done or not sidecar):
            finished = parse_time(ended["finishedAt"])
            begun = parse_time(ended.get("startedAt") or ended["finishedAt"])
            state = Terminated(int(ended["exitCode"]), str(ended.get("reason") or "Error"), begun, finished)
            run = replace(run, state=state)
        runs.append(run)
    return runs


def pod_status(
    pod: JsonObject,
    inits: Runs,
    mains: Runs,
    *,
    now: datetime,
    host_ip: str,
    pod_ip: str,
    ended: bool = False,
) -> dict[str, Any]:
    """The fields of the status that the kubelet owns, to be merged into the old status.

    ``ended`` says that the pod was stopped, so its phase is final.
    """
    old: JsonObject = pod.get("status") or {}
    uid = str(pod["metadata"]["uid"])
    policy = str(pod["spec"].get("restartPolicy") or "Always")
    current = final_phase(mains) if ended else phase(policy, inits, mains)
    lasting = [*(run for run in inits if run.sidecar), *mains]
    ready = current == "Running" and all(isinstance(run.state, Running) for run in lasting)
    done = current in {"Succeeded", "Failed"}
    why = (
        "PodCompleted"
        if current == "Succeeded"
        else "PodFailed"
        if current == "Failed"
        else "ContainersNotReady"
    )
    unready = [run.name for run in lasting if not isinstance(run.state, Running)]
    message = "" if ready or done else f"containers with unready status: [{' '.join(unready)}]"
    conditions = [
        _condition(old, "Initialized", now, holds=init_done(inits), reason="ContainersNotInitialized"),
        _condition(old, "Ready", now, holds=ready, reason=why, message=message),
        _condition(old, "ContainersReady", now, holds=ready, reason=why, message=message),
        _condition(old, "PodScheduled", now, holds=True),
    ]
    status: dict[str, Any] = {
        "phase": current,
        "conditions": conditions,
        "hostIP": host_ip,
        "podIP": pod_ip,
        "podIPs": [{"ip": pod_ip}],
        "startTime": old.get("startTime") or format_time(now),
        "containerStatuses": [_container_status(run, uid) for run in mains],
    }
    if inits:
        status["initContainerStatuses"] = [_container_status(run, uid) for run in inits]
    return status


def unschedulable_status(pod: JsonObject, message: str, now: datetime) -> dict[str, Any]:
    """The status of a pod that fits no node."""
    old: JsonObject = pod.get("status") or {}
    condition = _condition(old, "PodScheduled", now, holds=False, reason="Unschedulable", message=message)
    return {"phase": "Pending", "conditions": [condition]}


def status_patch(pod: JsonObject, status: dict[str, Any]) -> dict[str, Any] | None:
    """The merge patch that writes a status, or None if it would change nothing.

    The patch contains the conditions of other writers, because a merge replaces the list. Its uid protects a new pod of
    the same name.
    """
    old: JsonObject = pod.get("status") or {}
    own = status["conditions"]
    types = {item["type"] for item in own}
    others = [item for item in old.get("conditions") or () if item["type"] not in types]
    status = {**status, "conditions": [*own, *others]}
    if all(_pruned(old.get(name)) == _pruned(value) for name, value in status.items()):
        return None
    return {"metadata": {"uid": pod["metadata"]["uid"]}, "status": status}


def _pruned(value: Any) -> Any:
    """The value without nulls, which some servers return and others omit."""
    if isinstance(value, dict):
        return {name: _pruned(item) for name, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_pruned(item) for item in value]
    return value


def _condition(
    old: JsonObject, type_: str, now: datetime, *, holds: bool, reason: str = "", message: str = ""
) -> dict[str, Any]:
    status = "True" if holds else "False"
    known: JsonObject = next((item for item in old.get("conditions") or () if item["type"] == type_), {})
    moved = known.get("lastTransitionTime") if known.get("status") == status else None
    condition: dict[str, Any] = {
        "type": type_,
        "status": status,
        "lastTransitionTime": moved or format_time(now),
    }
    if not holds:
        condition |= {"reason": reason} | ({"message": message} if message else {})
    return condition


def _container_status(run: ContainerRun, uid: str) -> dict[str, Any]:
    began = isinstance(run.state, Running | Terminated)
    status: dict[str, Any] = {
        "name": run.name,
        "image": run.image,
        "imageID": f"{run.image.partition('@')[0]}@{_digest(run.image)}" if began or run.last else "",
        "ready": isinstance(run.state, Running),
        "started": isinstance(run.state, Running),
        "restartCount": run.restarts,
        "state": _state(run.state, _container_id(run, uid, run.restarts)),
        "lastState": {} if run.last is None else _state(run.last, _container_id(run, uid, run.restarts - 1)),
    }
    if began:
        status["containerID"] = _container_id(run, uid, run.restarts)
    return status


def _state(state: Waiting | Running | Terminated, container_id: str) -> dict[str, Any]:
    match state:
        case Waiting(reason, message):
            return {"waiting": {"reason": reason} | ({"message": message} if message else {})}
        case Running(started):
            return {"running": {"startedAt": format_time(started)}}
        case Terminated(exit_code, reason, started, finished, message):
            ended: dict[str, Any] = {
                "exitCode": exit_code,
                "reason": reason,
                "startedAt": format_time(started),
                "finishedAt": format_time(finished),
                "containerID": container_id,
            }
            return {"terminated": ended | ({"message": message} if message else {})}


def _container_id(run: ContainerRun, uid: str, restarts: int) -> str:
    return f"containerd://{hashlib.sha256(f'{uid}/{run.name}/{restarts}'.encode()).hexdigest()}"


def _digest(image: str) -> str:
    return f"sha256:{hashlib.sha256(image.encode()).hexdigest()}"
