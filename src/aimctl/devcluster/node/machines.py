"""The simulated machines and their Node objects.

Contract: a :class:`Machine` describes one machine; :func:`node_object` is the Node that a kubelet registers for it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aimctl.runtime.clock import format_time

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

__all__ = ["Machine", "default_machines", "node_object", "node_status"]


@dataclass(frozen=True, slots=True)
class Machine:
    """One simulated machine.

    Attributes:
        name: the Node's name.
        labels: labels in addition to those every kubelet sets.
        resources: capacity and allocatable, in addition to cpu, memory, pods and ephemeral-storage, or overriding them.
        taints: the Node's taints.
    """

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    resources: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[Mapping[str, str], ...] = ()


def default_machines() -> tuple[Machine, ...]:
    """Two machines without accelerators."""
    return (Machine("node-0"), Machine("node-1"))


def node_object(machine: Machine) -> dict[str, Any]:
    """The Node to create."""
    labels = {
        "kubernetes.io/hostname": machine.name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        **machine.labels,
    }
    spec: dict[str, Any] = {"taints": [dict(taint) for taint in machine.taints]} if machine.taints else {}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": machine.name, "labels": labels},
        "spec": spec,
    }


def node_status(
    machine: Machine, old: Mapping[str, Any], *, now: datetime, address: str, kubelet_port: int | None
) -> dict[str, Any]:
    """The Node's status. Conditions keep their transition times; heartbeat times are ``now``."""
    resources = {
        "cpu": "128",
        "memory": "2Ti",
        "ephemeral-storage": "4Ti",
        "pods": "250",
        **machine.resources,
    }
    known = {item["type"]: item for item in old.get("conditions") or ()}
    moment = format_time(now)
    conditions_now = (
        ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        ("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
    )
    conditions = [
        {
            "type": type_,
            "status": status,
            "reason": reason,
            "message": message,
            "lastHeartbeatTime": moment,
            "lastTransitionTime": known[type_]["lastTransitionTime"]
            if known.get(type_, {}).get("status") == status
            else moment,
        }
        for type_, status, reason, message in conditions_now
    ]
    status: dict[str, Any] = {
        "capacity": resources,
        "allocatable": resources,
        "conditions": conditions,
        "addresses": [{"type": "InternalIP", "address": address}],
        "nodeInfo": {
            "architecture": "amd64",
            "bootID": "",
            "containerRuntimeVersion": "containerd://2.0.0",
            "kernelVersion": "6.1.0",
            "kubeProxyVersion": "v1.32.0",
            "kubeletVersion": "v1.32.0",
            "machineID": machine.name,
            "operatingSystem": "linux",
            "osImage": "simulated",
            "systemUUID": machine.name,
        },
    }
    if kubelet_port is not None:
        status["daemonEndpoints"] = {"kubeletEndpoint": {"Port": kubelet_port}}
    return status
