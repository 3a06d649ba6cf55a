"""The EndpointSlices of a Service: which to create, update and delete. No I/O.

Contract, as in Kubernetes:
    * Pods that match the selector, have an address and have not ended are endpoints. They are ready if the pod is Ready
      and not being deleted, or if the Service publishes addresses that are not ready.
    * A slice has at most 100 endpoints, all with the same ports. An endpoint stays in its slice. A slice that is no
      longer needed becomes the next one that is, so the name of a single slice does not change.
    * A Service without endpoints has one slice without any.
    * Services of type ExternalName and Services without a selector have no slices.

Source: Kubernetes' ``k8s.io/endpointslice``. Zones of nodes, hints and families other than IPv4 are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aimctl.devcluster.controllers.workloads.pod_facts import is_finished, is_ready, owner_reference

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["MANAGED_BY", "MANAGER", "SERVICE_NAME", "SlicePlan", "plan", "selects"]

JsonObject = dict[str, Any]

MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
MANAGER = "endpointslice-controller.k8s.io"
"""The value of :data:`MANAGED_BY`, which says whose slices these are."""
SERVICE_NAME = "kubernetes.io/service-name"
_HEADLESS = "service.kubernetes.io/headless"
_PER_SLICE = 100


@dataclass(frozen=True, slots=True)
class SlicePlan:
    """What to do for a Service: the bodies to create and to update, and the slices to delete."""

    create: tuple[JsonObject, ...] = ()
    update: tuple[JsonObject, ...] = ()
    delete: tuple[JsonObject, ...] = ()


def selects(service: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a Service selects a pod with these labels."""
    selector = service["spec"].get("selector")
    return bool(selector) and selector.items() <= labels.items()


def plan(service: JsonObject, pods: Iterable[JsonObject], present: Sequence[JsonObject]) -> SlicePlan:
    """Decide.

    Args:
        service: the Service.
        pods: the pods of its namespace that it selects, in a stable order.
        present: its slices, in a stable order.
    """
    spec = service["spec"]
    if not spec.get("selector") or spec.get("type") == "ExternalName":
        return SlicePlan()
    wanted: list[tuple[list[JsonObject], list[JsonObject]]] = []
    for pod in pods:
        if is_finished(pod) or not (pod.get("status") or {}).get("podIP"):
            continue
        ports = _ports(service, pod)
        group = next((endpoints for each, endpoints in wanted if each == ports), None)
        if group is None:
            wanted.append((ports, group := []))
        group.append(_endpoint(service, pod))
    kept: list[tuple[JsonObject, list[JsonObject]]] = []
    new: list[JsonObject] = []
    for ports, endpoints in wanted:
        fitting = [each for each in present if (each.get("ports") or []) == ports]
        filled, rest = _filled(fitting, endpoints)
        kept += filled
        chunks = [rest[at : at + _PER_SLICE] for at in range(0, len(rest), _PER_SLICE)]
        new += [_slice(service, ports, chunk) for chunk in chunks]
    names = {each["metadata"]["name"] for each, _ in kept}
    unused = [each for each in present if each["metadata"]["name"] not in names]
    if not kept and not new:
        new = [_slice(service, [], [])]
    updates = [
        _updated(each, _slice(service, each.get("ports") or [], endpoints)) for each, endpoints in kept
    ]
    updates += [_updated(each, body) for each, body in zip(unused, new, strict=False)]
    return SlicePlan(
        tuple(new[len(unused) :]),
        tuple(body for body in updates if body is not None),
        tuple(unused[len(new) :]),
    )


def _filled(
    slices: Sequence[JsonObject], endpoints: Sequence[JsonObject]
) -> tuple[list[tuple[JsonObject, list[JsonObject]]], list[JsonObject]]:
    """The slices that keep endpoints, with these, and the endpoints that have no place in them."""
    by_uid = {each["targetRef"]["uid"]: each for each in endpoints}
    filled: list[tuple[JsonObject, list[JsonObject]]] = []
    for each in slices:
        uids = [(item.get("targetRef") or {}).get("uid") for item in each.get("endpoints") or ()]
        own = [by_uid.pop(uid) for uid in uids if uid in by_uid]
        if own:
            filled.append((each, own))
    rest = list(by_uid.values())
    at = 0
    for _, own in filled:
        free = _PER_SLICE - len(own)
        own.extend(rest[at : at + free])
        at += free
    return filled, rest[at:]


def _endpoint(service: JsonObject, pod: JsonObject) -> JsonObject:
    metadata, spec = pod["metadata"], pod["spec"]
    serving, terminating = is_ready(pod), bool(metadata.get("deletionTimestamp"))
    published = bool(service["spec"].get("publishNotReadyAddresses"))
    endpoint: JsonObject = {
        "addresses": [pod["status"]["podIP"]],
        "conditions": {
            "ready": published or (serving and not terminating),
            "serving": serving,
            "terminating": terminating,
        },
        "targetRef": {
            "kind": "Pod",
            "namespace": metadata["namespace"],
            "name": metadata["name"],
            "uid": metadata["uid"],
        },
    }
    if spec.get("nodeName"):
        endpoint["nodeName"] = spec["nodeName"]
    if spec.get("hostname") and spec.get("subdomain") == service["metadata"]["name"]:
        endpoint["hostname"] = spec["hostname"]
    return endpoint


def _ports(service: JsonObject, pod: JsonObject) -> list[JsonObject]:
    """The ports of a Service as this pod has them. A named port that no container has is left out."""
    found: list[JsonObject] = []
    for port in service["spec"].get("ports") or ():
        protocol = port.get("protocol") or "TCP"
        target = port.get("targetPort") or port["port"]
        number = target if isinstance(target, int) else _named_port(pod, target, protocol)
        if number is not None:
            own = {"name": port.get("name") or "", "port": number, "protocol": protocol}
            if port.get("appProtocol"):
                own["appProtocol"] = port["appProtocol"]
            found.append(own)
    return found


def _named_port(pod: JsonObject, name: str, protocol: str) -> int | None:
    spec = pod["spec"]
    sidecars = [each for each in spec.get("initContainers") or () if each.get("restartPolicy") == "Always"]
    for container in (*spec["containers"], *sidecars):
        for port in container.get("ports") or ():
            if port.get("name") == name and (port.get("protocol") or "TCP") == protocol:
                return int(port["containerPort"])
    return None


def _slice(service: JsonObject, ports: list[JsonObject], endpoints: list[JsonObject]) -> JsonObject:
    metadata = service["metadata"]
    labels = {
        **(metadata.get("labels") or {}),
        MANAGED_BY: MANAGER,
        SERVICE_NAME: metadata["name"],
    }
    labels.pop(_HEADLESS, None)
    if service["spec"].get("clusterIP") == "None":
        labels[_HEADLESS] = ""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "generateName": f"{metadata['name']}-",
            "namespace": metadata["namespace"],
            "labels": labels,
            "ownerReferences": [owner_reference(service)],
        },
        "addressType": "IPv4",
        "endpoints": endpoints,
        "ports": ports,
    }


def _updated(present: JsonObject, wanted: JsonObject) -> JsonObject | None:
    """The slice with the wanted contents; None if it has them."""
    same = all((present.get(field) or []) == wanted[field] for field in ("endpoints", "ports"))
    if same and (present["metadata"].get("labels") or {}) == wanted["metadata"]["labels"]:
        return None
    metadata = {**present["metadata"], "labels": wanted["metadata"]["labels"]}
    return {**present, "metadata": metadata, "endpoints": wanted["endpoints"], "ports": wanted["ports"]}
