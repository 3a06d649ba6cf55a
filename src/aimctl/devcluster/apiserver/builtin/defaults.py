"""The defaults of built-in kinds that depend on other fields; static ones are in ``builtin_types.json``.

Contract: :func:`set_defaults` completes an object of a built-in kind in place, as the server does when it decodes one.
The object has the types of its schema and its static defaults.

Source: the functions ``SetDefaults_*`` in Kubernetes' ``pkg/apis``.
"""

from __future__ import annotations

import base64
from decimal import ROUND_UP
from typing import TYPE_CHECKING, Any

from aimctl.devcluster.apiserver.builtin.entries import structures_of
from aimctl.kubetypes.quantity import Quantity, parse_quantity

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["set_defaults"]

Obj = dict[str, Any]

_AFFINITY_SECONDS = 10800
_UNLIMITED = 2147483647
_RBAC = "rbac.authorization.k8s.io"


def _pull_policy(container: Obj) -> None:
    """``Always`` for images without a tag or with ``latest``, else ``IfNotPresent``."""
    text = container.get("image") or ""
    tag = text.rpartition("/")[2].partition(":")[2]
    moving = "@" not in text and tag in ("", "latest")
    if not container.get("imagePullPolicy"):
        container["imagePullPolicy"] = "Always" if moving else "IfNotPresent"


def _rolling(**fields: int | str) -> Callable[[Obj], None]:
    """The parameters of a rolling update, if that is the type of the strategy."""

    def complete(strategy: Obj) -> None:
        if strategy.get("type") == "RollingUpdate":
            strategy["rollingUpdate"] = {**fields, **(strategy.get("rollingUpdate") or {})}

    return complete


def _pod(pod: Obj) -> None:
    spec = pod.setdefault("spec", {})
    spec.setdefault("enableServiceLinks", True)
    for field in ("initContainers", "containers"):
        for container in spec.get(field) or ():
            for port in container.get("ports") or () if spec.get("hostNetwork") else ():
                port.setdefault("hostPort", port.get("containerPort"))
            resources = container.get("resources") or {}
            for part in ("limits", "requests"):
                amounts = resources.get(part) or {}
                for name in amounts:
                    amounts[name] = _rounded(amounts[name])
            if resources.get("limits"):
                resources["requests"] = {**resources["limits"], **(resources.get("requests") or {})}


def _rounded(amount: str) -> str:
    """A quantity of a container, which is rounded up to thousandths."""
    quantity = parse_quantity(amount)
    thousandths = quantity.value.scaleb(3)
    if thousandths == thousandths.to_integral_value():
        return amount
    return str(Quantity(thousandths.to_integral_value(ROUND_UP).scaleb(-3), quantity.family))


def _volume(volume: Obj) -> None:
    if not volume.keys() - {"name"}:
        volume["emptyDir"] = {}


def _node(spec: Obj) -> None:
    """The first of several address blocks has a field of its own, which is older."""
    if spec.get("podCIDR") and not spec.get("podCIDRs"):
        spec["podCIDRs"] = [spec["podCIDR"]]
    elif spec.get("podCIDRs"):
        spec.setdefault("podCIDR", spec["podCIDRs"][0])


def _namespace(namespace: Obj) -> None:
    metadata = namespace["metadata"]
    labels = metadata.get("labels") or {}
    metadata["labels"] = {**labels, "kubernetes.io/metadata.name": metadata.get("name") or ""}


def _secret(secret: Obj) -> None:
    secret.setdefault("type", "Opaque")
    texts = secret.pop("stringData", None)
    if texts:
        encoded = {name: base64.b64encode(text.encode()).decode() for name, text in texts.items()}
        secret["data"] = {**(secret.get("data") or {}), **encoded}


def _job(job: Obj) -> None:
    spec = job.setdefault("spec", {})
    if "completions" not in spec and "parallelism" not in spec:
        spec["completions"] = 1
    for name, value in (
        ("parallelism", 1),
        ("backoffLimit", _UNLIMITED if "backoffLimitPerIndex" in spec else 6),
        ("completionMode", "NonIndexed"),
        ("suspend", False),
        ("manualSelector", False),
        ("podReplacementPolicy", "Failed" if "podFailurePolicy" in spec else "TerminatingOrFailed"),
    ):
        spec.setdefault(name, value)


def _stateful_set(spec: Obj) -> None:
    for claim in spec.get("volumeClaimTemplates") or ():
        claim.setdefault("apiVersion", "v1")
        claim.setdefault("kind", "PersistentVolumeClaim")
        claim["status"] = {"phase": "Pending"}


def _replication_controller(obj: Obj) -> None:
    template = (obj.get("spec") or {}).get("template") or {}
    labels = (template.get("metadata") or {}).get("labels")
    if labels:
        obj["spec"].setdefault("selector", dict(labels))
        metadata = obj.get("metadata") or {}
        if not metadata.get("labels"):
            metadata["labels"] = dict(labels)


def _autoscaler(spec: Obj) -> None:
    if not spec.get("metrics"):
        target = {"type": "Utilization", "averageUtilization": 80}
        spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
    behavior = spec.get("behavior")
    if behavior is None:
        return
    quick = {"periodSeconds": 15}
    up = [{"type": "Pods", "value": 4, **quick}, {"type": "Percent", "value": 100, **quick}]
    down = [{"type": "Percent", "value": 100, **quick}]
    defaults: dict[str, Obj] = {
        "scaleUp": {"stabilizationWindowSeconds": 0, "selectPolicy": "Max", "policies": up},
        "scaleDown": {"selectPolicy": "Max", "policies": down},
    }
    for name, rules in defaults.items():
        behavior[name] = {**rules, **(behavior.get(name) or {})}


def _network_policy(policy: Obj) -> None:
    spec = policy.setdefault("spec", {})
    spec.setdefault("podSelector", {})
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", *(["Egress"] if spec.get("egress") is not None else [])]


def _service(spec: Obj) -> None:
    kind = spec.get("type")
    if spec.get("sessionAffinity") == "ClientIP":
        spec.setdefault("sessionAffinityConfig", {"clientIP": {"timeoutSeconds": _AFFINITY_SECONDS}})
    elif spec.get("sessionAffinity") == "None":
        spec.pop("sessionAffinityConfig", None)
    for port in spec.get("ports") or ():
        if port.get("targetPort") in (None, 0, "") and "port" in port:
            port["targetPort"] = port["port"]
    if kind in ("NodePort", "LoadBalancer"):
        spec.setdefault("externalTrafficPolicy", "Cluster")
    if kind in ("ClusterIP", "NodePort", "LoadBalancer"):
        spec.setdefault("internalTrafficPolicy", "Cluster")
    if kind == "LoadBalancer":
        spec.setdefault("allocateLoadBalancerNodePorts", True)


def _lease(spec: Obj) -> None:
    # Fields of a feature that is not enabled.
    spec.pop("strategy", None)
    spec.pop("preferredHolder", None)


def _limits(item: Obj) -> None:
    if item.get("type") != "Container":
        return
    least, most, default, request = (
        item.get(name) or {} for name in ("min", "max", "default", "defaultRequest")
    )
    default = {**most, **default}
    request = {**least, **default, **request}
    if default:
        item["default"] = default
    if request:
        item["defaultRequest"] = request


def _subject(subject: Obj) -> None:
    if subject.get("kind") in ("User", "Group") and not subject.get("apiGroup"):
        subject["apiGroup"] = _RBAC


_DEFAULTS: Mapping[str, Callable[[Obj], None]] = {
    "coordination.v1.LeaseSpec": _lease,
    "core.v1.Namespace": _namespace,
    "core.v1.NodeSpec": _node,
    "core.v1.Pod": _pod,
    "core.v1.Secret": _secret,
    "core.v1.Volume": _volume,
    "core.v1.Container": _pull_policy,
    "core.v1.EphemeralContainer": _pull_policy,
    "core.v1.LimitRangeItem": _limits,
    "core.v1.ReplicationController": _replication_controller,
    "core.v1.ServiceSpec": _service,
    "apps.v1.DaemonSetUpdateStrategy": _rolling(maxUnavailable=1, maxSurge=0),
    "apps.v1.DeploymentStrategy": _rolling(maxUnavailable="25%", maxSurge="25%"),
    "apps.v1.StatefulSetSpec": _stateful_set,
    "apps.v1.StatefulSetUpdateStrategy": _rolling(partition=0),
    "autoscaling.v2.HorizontalPodAutoscalerSpec": _autoscaler,
    "batch.v1.Job": _job,
    "networking.v1.NetworkPolicy": _network_policy,
    "rbac.v1.Subject": _subject,
}
"""By the short name of a structure."""
_NAMES = frozenset(_DEFAULTS)


def set_defaults(definition: str, obj: Obj) -> None:
    """Complete an object whose definition has this name."""
    for name, structure, _ in structures_of(definition, _NAMES, obj):
        _DEFAULTS[name](structure)
