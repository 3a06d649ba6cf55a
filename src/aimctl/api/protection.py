"""Objects that keep the manager available and its ports closed: priority class, disruption budget, network policy."""

from __future__ import annotations

from typing import Any

from aimctl.api.deployment import LABELS, PRIORITY_CLASS

__all__ = ["METRICS_CLIENTS", "disruption_budget", "network_policy", "priority_class"]

METRICS_CLIENTS = {"namespaceSelector": {"matchLabels": {"metrics": "enabled"}}}
"""Who may connect to the metrics port: pods in namespaces with this label, which kubebuilder's projects use too."""

_PRIORITY = 1_000_000
"""Above pods without a class (0), and below the classes of Kubernetes itself, which start at 2,000,000,000."""


def priority_class() -> dict[str, Any]:
    """Return the class of the manager's pods, so that workloads do not preempt them."""
    return {
        "apiVersion": "scheduling.k8s.io/v1",
        "kind": "PriorityClass",
        "metadata": {"name": PRIORITY_CLASS, "labels": LABELS},
        "value": _PRIORITY,
        "globalDefault": False,
        "description": "The manager of the AIM operator. Its pods are scheduled before workloads.",
    }


def disruption_budget(operator_namespace: str) -> dict[str, Any]:
    """Return the budget with which a drain evicts one replica at a time, also if there is only one."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "aimctl-manager", "namespace": operator_namespace, "labels": LABELS},
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": LABELS}},
    }


def network_policy(operator_namespace: str) -> dict[str, Any]:
    """Return the policy that admits :data:`METRICS_CLIENTS` to the metrics port, and nothing else to the manager.

    Probes of the kubelet and ``kubectl port-forward`` come from the node of the pod, which policies never restrict.
    Connections that the manager opens are not restricted: the addresses of the API server and of image registries
    differ from cluster to cluster.
    """
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "aimctl-manager", "namespace": operator_namespace, "labels": LABELS},
        "spec": {
            "podSelector": {"matchLabels": LABELS},
            "policyTypes": ["Ingress"],
            "ingress": [{"from": [METRICS_CLIENTS], "ports": [{"port": "metrics", "protocol": "TCP"}]}],
        },
    }
