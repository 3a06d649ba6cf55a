"""Alert rules for the metrics of the manager, as Prometheus evaluates them.

The rules assume that Prometheus scrapes the manager as job ``aimctl``. ``docs/operating.md`` shows them, with what to
do about each alert.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ALERTS", "JOB", "Alert", "alert_rules"]

JOB = "aimctl"
"""The label ``job`` of all series of the manager."""

_RUNBOOK = "docs/operating.md#alerts"
"""In the repository of the operator."""


class Alert(NamedTuple):
    """An alert.

    Attributes:
        name: of the alert.
        expr: the condition, in PromQL.
        hold: how long the condition must hold; empty for no time.
        severity: critical, warning or info.
        summary: what is wrong, as one sentence without a full stop.
    """

    name: str
    expr: str
    hold: str
    severity: str
    summary: str


ALERTS: Sequence[Alert] = (
    Alert(
        "AimNoLeader",
        'sum(leader_election_master_status{name="aimctl-manager"}) < 1\n'
        'or absent(leader_election_master_status{name="aimctl-manager"}) unless on () up{job="aimctl"} == 1\n',
        "2m",
        "critical",
        "No manager of the AIM operator reconciles",
    ),
    Alert(
        "AimDiscoveryStarved",
        "max(aim_discovery_pending_templates) > 0\n"
        "and max(aim_discovery_jobs_running) >= max(aim_discovery_jobs_limit)\n",
        "20m",
        "warning",
        "All discovery slots are taken while templates wait",
    ),
    Alert(
        "AimDiscoveryFails",
        'sum(increase(aim_discovery_duration_seconds_count{result="failed"}[1h]))\n'
        "> 0.5 * sum(increase(aim_discovery_duration_seconds_count[1h]))\n",
        "15m",
        "warning",
        "Most discoveries of the last hour failed",
    ),
    Alert(
        "AimTemplatesFailed",
        'max by (scope) (aim_templates{status=~"Failed|Degraded"}) > 0',
        "30m",
        "info",
        "Templates are Failed or Degraded",
    ),
    Alert(
        "AimServicesDegraded",
        'max(aim_services{status="Degraded"}) > 0',
        "15m",
        "warning",
        "Services that were Running are not Ready",
    ),
    Alert(
        "AimModelCachesFailed",
        'max(aim_model_caches{status="Failed"}) > 0',
        "30m",
        "info",
        "Model caches are Failed",
    ),
    Alert(
        "AimImageReadsFail",
        'sum(increase(aim_image_reads_total{result="failed"}[1h]))\n'
        "> 0.5 * sum(increase(aim_image_reads_total[1h]))\n",
        "30m",
        "warning",
        "Most reads of image metadata of the last hour failed",
    ),
    Alert(
        "AimReconcileErrors",
        'sum by (controller) (rate(controller_runtime_reconcile_errors_total{job="aimctl"}[10m])) > 0.1',
        "15m",
        "warning",
        "Reconciles of the controller {{ $labels.controller }} fail",
    ),
    Alert(
        "AimStuckReconcile",
        'max by (controller) (workqueue_longest_running_processor_seconds{job="aimctl"}) > 300',
        "",
        "warning",
        "A reconcile of the controller {{ $labels.controller }} has run for five minutes",
    ),
    Alert(
        "AimCacheStale",
        'max by (name) (cache_age_seconds{job="aimctl"}) > 900',
        "",
        "warning",
        "The cache of {{ $labels.name }} has received nothing for 15 minutes",
    ),
    Alert(
        "AimApiErrors",
        'sum(rate(rest_client_requests_total{job="aimctl",code=~"5..|<error>"}[5m]))\n'
        '> 0.05 * sum(rate(rest_client_requests_total{job="aimctl"}[5m]))\n',
        "10m",
        "warning",
        "More than 5 % of the requests to the API server fail",
    ),
)


def alert_rules() -> list[dict[str, Any]]:
    """Return the rules of a Prometheus rule group."""
    return [
        {
            "alert": alert.name,
            "expr": alert.expr,
            **({"for": alert.hold} if alert.hold else {}),
            "labels": {"severity": alert.severity},
            "annotations": {"summary": alert.summary, "runbook": _RUNBOOK},
        }
        for alert in ALERTS
    ]
