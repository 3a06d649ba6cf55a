"""Objects for the Prometheus operator: how to scrape the manager, and its alert rules.

They need the CRDs of ``monitoring.coreos.com``, so they are not part of the default manifests.
"""

from __future__ import annotations

from typing import Any

from aimctl.api.alerts import alert_rules
from aimctl.api.deployment import LABELS

__all__ = [
    "TOKEN_FILE",
    "TOKEN_SECRET",
    "pod_monitor",
    "prometheus_rule",
    "scrape_endpoint",
    "service_monitor",
]

TOKEN_FILE = "/var/run/secrets/kubernetes.io/serviceaccount/token"  # noqa: S105 - a path in the pod of Prometheus
TOKEN_SECRET = "aimctl-metrics-token"  # noqa: S105 - a name
"""The Secret with the token of a PodMonitor."""
_API_VERSION = "monitoring.coreos.com/v1"


def scrape_endpoint() -> dict[str, Any]:
    """Return how to scrape the metrics port: with TLS, and with the token of Prometheus' own service account.

    The account needs the ClusterRole ``aimctl-metrics-reader``. The certificate is self-signed by default, so it is not
    verified.
    """
    return {
        "port": "metrics",
        "path": "/metrics",
        "interval": "30s",
        "scheme": "https",
        "bearerTokenFile": TOKEN_FILE,
        "tlsConfig": {"insecureSkipVerify": True},
    }


def service_monitor(operator_namespace: str) -> dict[str, Any]:
    """Return the ServiceMonitor of the metrics Service."""
    return _monitor("ServiceMonitor", operator_namespace, endpoints=[scrape_endpoint()])


def pod_monitor(operator_namespace: str) -> dict[str, Any]:
    """Return the PodMonitor of the manager's pods, for clusters without the metrics Service.

    It finds the same pods as the ServiceMonitor; with both of them, every value counts twice in sums. A PodMonitor
    cannot name a file of Prometheus, so the token is in the Secret :data:`TOKEN_SECRET` of the operator namespace.
    """
    endpoint = scrape_endpoint()
    endpoint.pop("bearerTokenFile")
    endpoint["authorization"] = {"type": "Bearer", "credentials": {"name": TOKEN_SECRET, "key": "token"}}
    return _monitor("PodMonitor", operator_namespace, podMetricsEndpoints=[endpoint])


def _monitor(kind: str, operator_namespace: str, **endpoints: list[dict[str, Any]]) -> dict[str, Any]:
    """The label ``job`` is that which the alert rules expect."""
    return {
        "apiVersion": _API_VERSION,
        "kind": kind,
        "metadata": {"name": "aimctl-manager", "namespace": operator_namespace, "labels": LABELS},
        "spec": {
            "jobLabel": "app.kubernetes.io/name",
            "selector": {"matchLabels": LABELS},
            **endpoints,
        },
    }


def prometheus_rule(operator_namespace: str) -> dict[str, Any]:
    """Return the PrometheusRule with all alerts."""
    return {
        "apiVersion": _API_VERSION,
        "kind": "PrometheusRule",
        "metadata": {"name": "aimctl-manager", "namespace": operator_namespace, "labels": LABELS},
        "spec": {"groups": [{"name": "aimctl", "rules": alert_rules()}]},
    }
