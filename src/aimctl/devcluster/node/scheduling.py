"""The scheduler's decision: which node a pod is bound to. No I/O.

Contract: node selector, required node affinity, cordons, ``NoSchedule`` taints and resource requests are respected. Of
the nodes that fit, the one with the fewest pods is chosen, then the first by name. Preferences, topology spread and
preemption are not simulated. Messages are those of kube-scheduler.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from aimctl.devcluster.machinery.node_fit import matches_node, tolerates
from aimctl.kubetypes.quantity import amount

__all__ = ["NodeView", "Placement", "place", "requests"]

JsonObject = Mapping[str, Any]
_CORDON = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}


@dataclass(frozen=True, slots=True)
class NodeView:
    """A node as input of the decision; ``used`` is the sum of the requests of its pods, ``pods`` their number."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    allocatable: Mapping[str, Decimal] = field(default_factory=dict)
    used: Mapping[str, Decimal] = field(default_factory=dict)
    pods: int = 0
    ready: bool = True
    unschedulable: bool = False
    taints: tuple[JsonObject, ...] = ()


@dataclass(frozen=True, slots=True)
class Placement:
    """A node's name, or "" and the message of the ``Unschedulable`` condition."""

    node: str
    message: str = ""


def place(pod: JsonObject, nodes: Iterable[NodeView]) -> Placement:
    """Choose a node."""
    wanted = requests(pod)
    rejections: Counter[str] = Counter()
    fitting = []
    total = 0
    for node in nodes:
        total += 1
        reasons = list(_rejections(pod, wanted, node))
        rejections.update(reasons)
        if not reasons:
            fitting.append(node)
    if fitting:
        return Placement(min(fitting, key=lambda node: (node.pods, node.name)).name)
    if not total:
        return Placement("", "no nodes available to schedule pods")
    reasons_text = ", ".join(sorted(f"{count} {reason}" for reason, count in rejections.items()))
    return Placement("", f"0/{total} nodes are available: {reasons_text}.")


def requests(pod: JsonObject) -> dict[str, Decimal]:
    """The pod's requests: the sum of the containers, or the largest init container. Limits replace missing requests."""
    spec = pod["spec"]
    total: dict[str, Decimal] = {}
    for container in spec.get("containers") or ():
        for name, value in _requested(container).items():
            total[name] = total.get(name, Decimal()) + value
    for container in spec.get("initContainers") or ():
        for name, value in _requested(container).items():
            total[name] = max(total.get(name, Decimal()), value)
    return total


def _requested(container: JsonObject) -> dict[str, Decimal]:
    resources = container.get("resources") or {}
    merged = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
    return {name: amount(value) for name, value in merged.items()}


def _rejections(pod: JsonObject, wanted: Mapping[str, Decimal], node: NodeView) -> Iterable[str]:
    spec = pod["spec"]
    if node.unschedulable and not tolerates(spec, _CORDON):
        yield "node(s) were unschedulable"
        return
    if not node.ready:
        yield "node(s) had untolerated taint {node.kubernetes.io/not-ready: }"
        return
    for taint in node.taints:
        if taint.get("effect") in {"NoSchedule", "NoExecute"} and not tolerates(spec, taint):
            yield f"node(s) had untolerated taint {{{taint.get('key', '')}: {taint.get('value', '')}}}"
            return
    if not matches_node(spec, node.labels, node.name):
        yield "node(s) didn't match Pod's node affinity/selector"
        return
    if node.pods + 1 > node.allocatable.get("pods", Decimal(110)):
        yield "Too many pods"
    for name, value in sorted(wanted.items()):
        free = node.allocatable.get(name, Decimal()) - node.used.get(name, Decimal())
        if value > free:
            yield f"Insufficient {name}"
