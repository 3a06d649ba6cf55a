"""The manifests of the manager: namespace, Deployment, and the Service that Prometheus scrapes.

The namespace enforces the ``restricted`` Pod Security Standard. The manager's pods satisfy it, and so do the discovery
Jobs of cluster templates, which run in the same namespace.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aimctl.api.rbac import SERVICE_ACCOUNT

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "DEFAULT_IMAGE",
    "LABELS",
    "METRICS_PORT",
    "PRIORITY_CLASS",
    "PROBE_PORT",
    "deployment",
    "metrics_service",
    "namespace",
]

DEFAULT_IMAGE = "ghcr.io/silogen/aimctl:0.1.0"
METRICS_PORT = 8443
"""With TLS, for clients with a token and the permission; see :mod:`aimctl.api.monitoring`."""

PROBE_PORT = 8081

PRIORITY_CLASS = "aimctl-manager"

LABELS = {"app.kubernetes.io/name": "aimctl", "app.kubernetes.io/component": "manager"}
"""Labels of the manager's pods, which select them too."""

_GRACE_SECONDS = 45
"""Longer than the manager's graceful shutdown of 30 s, so that it can finish its work and release the Lease."""


def namespace(name: str) -> dict[str, Any]:
    """Return the operator namespace."""
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": name,
            "labels": {
                "app.kubernetes.io/part-of": "aimctl",
                "pod-security.kubernetes.io/enforce": "restricted",
            },
        },
    }


def deployment(
    operator_namespace: str,
    image: str,
    watch_namespaces: Sequence[str] = (),
    *,
    with_: Sequence[str] = (),
    skip: Sequence[str] = (),
) -> dict[str, Any]:
    """Return the Deployment: two replicas, a leader and a standby with filled caches.

    Args:
        operator_namespace: its namespace.
        image: of the manager.
        watch_namespaces: the values of ``--watch-namespace``.
        with_: the values of ``--with``; the image must contain their packages.
        skip: the values of ``--skip``; the image must contain these extensions.
    """
    container = {
        "name": "manager",
        "image": image,
        "command": ["aimctl", "manager"],
        "args": [
            "--leader-elect",
            f"--metrics-bind-address=:{METRICS_PORT}",
            "--metrics-secure",
            f"--health-probe-bind-address=:{PROBE_PORT}",
            *(f"--watch-namespace={name}" for name in watch_namespaces),
            *(f"--with={function}" for function in with_),
            *(f"--skip={name}" for name in skip),
        ],
        # From the pod itself, so that tools that change the namespace of all objects need not know the flag.
        "env": [
            {
                "name": "AIM_OPERATOR_NAMESPACE",
                "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}},
            }
        ],
        "ports": [
            {"name": "metrics", "containerPort": METRICS_PORT, "protocol": "TCP"},
            {"name": "probes", "containerPort": PROBE_PORT, "protocol": "TCP"},
        ],
        # The caches are filled before a pod is ready; the first sync of 20,000 templates takes seconds.
        "startupProbe": _probe("/healthz", period=2, failures=30),
        "livenessProbe": _probe("/healthz", period=20, failures=3),
        "readinessProbe": _probe("/readyz", period=10, failures=3),
        "resources": {
            "requests": {"cpu": "100m", "memory": "256Mi"},
            "limits": {"memory": "1Gi"},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "aimctl-manager", "namespace": operator_namespace, "labels": LABELS},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": LABELS},
            "template": {
                "metadata": {"labels": LABELS},
                "spec": {
                    "serviceAccountName": SERVICE_ACCOUNT,
                    "priorityClassName": PRIORITY_CLASS,
                    "terminationGracePeriodSeconds": _GRACE_SECONDS,
                    # Different nodes where possible; on a cluster with one node both pods may run on it.
                    "topologySpreadConstraints": [
                        {
                            "maxSkew": 1,
                            "topologyKey": "kubernetes.io/hostname",
                            "whenUnsatisfiable": "ScheduleAnyway",
                            "labelSelector": {"matchLabels": LABELS},
                        }
                    ],
                    "securityContext": {
                        "runAsNonRoot": True,
                        "runAsUser": 65532,
                        "seccompProfile": {"type": "RuntimeDefault"},
                    },
                    "containers": [container],
                },
            },
        },
    }


def metrics_service(operator_namespace: str) -> dict[str, Any]:
    """Return the headless Service by which Prometheus discovers both replicas."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": "aimctl-manager-metrics",
            "namespace": operator_namespace,
            "labels": LABELS,
            "annotations": {
                "prometheus.io/scrape": "true",
                "prometheus.io/scheme": "https",
                "prometheus.io/port": str(METRICS_PORT),
                "prometheus.io/path": "/metrics",
            },
        },
        "spec": {
            "clusterIP": "None",
            "selector": LABELS,
            "ports": [{"name": "metrics", "port": METRICS_PORT, "targetPort": "metrics"}],
        },
    }


def _probe(path: str, *, period: int, failures: int) -> dict[str, Any]:
    return {
        "httpGet": {"path": path, "port": "probes"},
        "periodSeconds": period,
        "timeoutSeconds": 5,
        "failureThreshold": failures,
    }
