"""Objects for the Prometheus operator: how to scrape the manager, and its alert rules.

They need the CRDs of ``monitoring.coreos.com``, so they are not part of the default manifests.
"""

from __future__ import annotations

from typing import Any

from aimctl.api.alerts import alert_rules
from aimctl.api.deployment import LABELS

__all__ = ["prometheus_rule", "service_monitor"]

_API_VERSION = "monitoring.coreos.com/v1"


def service_monitor(operator_namespace: str) -> dict[str, Any]:
    """Return the ServiceMonitor of the metrics Service; the label ``job`` is that which the alert rules expect."""
    return {
        "apiVersion": _API_VERSION,
        "kind": "ServiceMonitor",
        "metadata": {"name": "aimctl-manager", "namespace": operator_namespace, "labels": LABELS},
        "spec": {
            "jobLabel": "app.kubernetes.io/name",
            "selector": {"matchLabels": LABELS},
            "endpoints": [{"port": "metrics", "path": "/metrics", "interval": "30s"}],
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
