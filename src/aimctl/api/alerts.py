"""Alert rules for the metrics of the manager, as Prometheus evaluates them.

Contract:
    * The rules assume that Prometheus scrapes the manager as job ``aimctl``.
    * Each rule has a severity, a summary, a description, and the command that prints what to do:
      ``aimctl runbook NAME``. It works without a network, and needs no address that may not exist.
    * The labels of an alert are names of controllers, kinds and namespaces, never names of objects. So the number of
      alerts is bounded.

Severities: ``critical`` needs a person now, ``warning`` on the same working day; ``info`` concerns the owner of the
objects, who sees the cause in their conditions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ALERTS", "JOB", "Alert", "alert_rules"]

JOB = "aimctl"
"""The label ``job`` of all series of the manager."""

_WHERE = "in the namespace {{ $labels.namespace }}"


class Alert(NamedTuple):
    """An alert.

    Attributes:
        name: of the alert.
        expr: the condition, in PromQL.
        hold: how long the condition must hold; empty for no time.
        severity: critical, warning or info.
        summary: what is wrong, as one sentence without a full stop.
        description: what it means for users, and where to look first.
    """

    name: str
    expr: str
    hold: str
    severity: str
    summary: str
    description: str

    @property
    def runbook(self) -> str:
        """The command that prints its section of the runbook."""
        return f"aimctl runbook {self.name}"


ALERTS: Sequence[Alert] = (
    Alert(
        "AimNoLeader",
        'sum(leader_election_master_status{name="aimctl-manager"}) < 1\n'
        'or absent(leader_election_master_status{name="aimctl-manager"}) unless on () up{job="aimctl"} == 1\n',
        "2m",
        "critical",
        "No manager of the AIM operator reconciles",
        "No object of aim.silogen.ai changes until a manager leads. Model servers that run are not affected. Look at"
        " the pods of the manager and their logs.",
    ),
    Alert(
        "AimEventLoopBlocked",
        'sum by (instance) (increase(event_loop_stalls_total{job="aimctl"}[15m])) > 2',
        "",
        "warning",
        "The event loop of {{ $labels.instance }} is blocked again and again",
        "While it is blocked, nothing is reconciled, and the Lease is not renewed. The log of the pod has the stack of"
        " the blocking code.",
    ),
    Alert(
        "AimStuckReconcile",
        'max by (controller) (workqueue_longest_running_processor_seconds{job="aimctl"}) > 300',
        "",
        "warning",
        "A reconcile of the controller {{ $labels.controller }} has run for five minutes",
        "Its object is not reconciled meanwhile, and one worker less is available to the others. /debug/tasks shows"
        " where it waits.",
    ),
    Alert(
        "AimReconcileErrors",
        'sum by (controller) (rate(controller_runtime_reconcile_errors_total{job="aimctl"}[10m])) > 0.1',
        "15m",
        "warning",
        "Reconciles of the controller {{ $labels.controller }} fail",
        "The objects are retried with back-off and stay as they are. The log of the leader has the errors.",
    ),
    Alert(
        "AimHotLoop",
        'sum by (controller) (increase(controller_runtime_hot_loops_total{job="aimctl"}[10m])) > 0',
        "",
        "warning",
        "The controller {{ $labels.controller }} reconciles an object without end",
        'It loads the API server, usually because two writers undo each other\'s changes. The log line "hot loop" names'
        " the object and the fields.",
    ),
    Alert(
        "AimBacklogGrows",
        'sum by (controller) (workqueue_depth{job="aimctl"}) > 100\n'
        'and sum by (controller) (deriv(workqueue_depth{job="aimctl"}[15m])) > 0\n',
        "10m",
        "warning",
        "The backlog of the controller {{ $labels.controller }} grows",
        "More objects change than are reconciled, so users wait longer and longer. Compare the latency of the API"
        " server with the number of workers.",
    ),
    Alert(
        "AimQueueAge",
        'max by (controller) (workqueue_oldest_ready_seconds{job="aimctl"}) > 300',
        "5m",
        "warning",
        "An object has waited for the controller {{ $labels.controller }} for more than five minutes",
        "Its workers are busy or slow. /debug/controllers shows them, /debug/queues the keys.",
    ),
    Alert(
        "AimCacheStale",
        'max by (name, instance) (cache_age_seconds{job="aimctl"}) > 900',
        "",
        "warning",
        "The cache of {{ $labels.name }} in {{ $labels.instance }} has received nothing for 15 minutes",
        "Decisions are based on an old state of this kind. /debug/caches has the last error.",
    ),
    Alert(
        "AimApiErrors",
        'sum(rate(rest_client_requests_total{job="aimctl",code=~"5..|<error>"}[5m]))\n'
        '> 0.05 * sum(rate(rest_client_requests_total{job="aimctl"}[5m]))\n',
        "10m",
        "warning",
        "More than 5 % of the requests to the API server fail",
        "Failed writes are retried, so changes are late. Look at the API server, its load balancer and its webhooks.",
    ),
    Alert(
        "AimCertificateExpires",
        'min by (certificate, instance) (aimctl_certificate_expiry_timestamp_seconds{job="aimctl"}) - time()\n'
        "< 7 * 24 * 3600\n",
        "15m",
        "warning",
        "The {{ $labels.certificate }} certificate of {{ $labels.instance }} expires in less than seven days",
        "After that the manager cannot connect, or is not trusted. Renew the certificate; the manager reads changed"
        " files without a restart.",
    ),
    Alert(
        "AimDiscoveryStarved",
        "max(aim_discovery_pending_templates) > 0\n"
        "and max(aim_discovery_jobs_running) >= max(aim_discovery_jobs_limit)\n",
        "20m",
        "warning",
        "All discovery slots are taken while templates wait",
        "Templates wait for discovery. `aimctl queue` shows what occupies the slots.",
    ),
    Alert(
        "AimDiscoveryFails",
        'sum(increase(aim_discovery_duration_seconds_count{result="failed"}[1h])) > 2\n'
        'and sum(increase(aim_discovery_duration_seconds_count{result="failed"}[1h]))\n'
        "> 0.5 * sum(increase(aim_discovery_duration_seconds_count[1h]))\n",
        "15m",
        "warning",
        "Most discoveries of the last hour failed",
        "Usually a common cause: an image, a registry, a hub or a quota. `aimctl status --problems -A` has the"
        " reasons.",
    ),
    Alert(
        "AimRegistryUnreachable",
        'sum(increase(aim_image_reads_total{result="unreachable"}[30m])) > 2\n'
        'and sum(increase(aim_image_reads_total{result="unreachable"}[30m]))\n'
        "> 0.5 * sum(increase(aim_image_reads_total[30m]))\n",
        "15m",
        "warning",
        "Image registries do not respond to the AIM operator",
        "Labels of images cannot be read, so new models get no templates. The condition MetadataExtracted of the models"
        " names the host.",
    ),
    Alert(
        "AimImageReadsFail",
        'sum(increase(aim_image_reads_total{result="failed"}[1h])) > 2\n'
        'and sum(increase(aim_image_reads_total{result="failed"}[1h]))\n'
        "> 0.5 * sum(increase(aim_image_reads_total[1h]))\n",
        "30m",
        "warning",
        "Image registries refuse most reads of the AIM operator",
        "The registries respond, but deny access or do not have the images. New models get no templates. A pull secret"
        " that has expired is a common cause.",
    ),
    Alert(
        "AimHubUnreachable",
        'sum(increase(aim_downloads_total{result="unavailable"}[30m])) > 2\n'
        'and sum(increase(aim_downloads_total{result="unavailable"}[30m]))\n'
        "> 0.5 * sum(increase(aim_downloads_total[30m]))\n",
        "15m",
        "warning",
        "A model hub or bucket does not respond to downloads",
        "Caches are not filled, and services that require them do not start. The condition Ready of the model caches"
        " has the error.",
    ),
    Alert(
        "AimServicesUnhealthy",
        'sum by (kind, namespace) (aim_unhealthy_objects{kind="AIMService"}) > 0',
        "15m",
        "warning",
        f"Services are Failed or Degraded {_WHERE}",
        "Number of services: {{ $value }}. Users of these model servers may see errors."
        " `aimctl status --problems -n {{ $labels.namespace }}` names the services and the causes.",
    ),
    Alert(
        "AimTemplatesUnhealthy",
        'sum by (kind, namespace) (aim_unhealthy_objects{kind=~"AIM(Cluster)?ServiceTemplate"}) > 0',
        "30m",
        "info",
        f"Objects of the kind {{{{ $labels.kind }}}} are Failed or Degraded {_WHERE}",
        "Number of objects: {{ $value }}. Services cannot use them. Usually a mistake of the owner, who sees the cause"
        " in the conditions: `aimctl status --problems -A`.",
    ),
    Alert(
        "AimCachesUnhealthy",
        'sum by (kind, namespace) (aim_unhealthy_objects{kind=~"AIM(Model|Template)Cache"}) > 0',
        "30m",
        "info",
        f"Objects of the kind {{{{ $labels.kind }}}} are Failed {_WHERE}",
        "Number of objects: {{ $value }}. Model sources are not on their volumes."
        " `aimctl status --problems -n {{ $labels.namespace }}` names the caches and the causes.",
    ),
    Alert(
        "AimServicesWait",
        'max by (kind, namespace) (aim_waiting_seconds{kind="AIMService"}) > 3600',
        "",
        "warning",
        f"A service {_WHERE} has not started for an hour",
        "It has waited without progress for {{ $value | humanizeDuration }}. Usually something is missing in the"
        " cluster: KServe, a quota, a node with the GPU, a storage class."
        " `aimctl status --problems -n {{ $labels.namespace }}` names the service and the cause.",
    ),
    Alert(
        "AimObjectsWait",
        'max by (kind, namespace) (aim_waiting_seconds{kind!="AIMService"}) > 3600',
        "",
        "info",
        f"An object of the kind {{{{ $labels.kind }}}} {_WHERE} has made no progress for an hour",
        "It has waited for {{ $value | humanizeDuration }}. Services that need it do not start."
        " `aimctl status --problems -A` names the object and the cause.",
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
            "annotations": {
                "summary": alert.summary,
                "description": alert.description,
                "runbook": alert.runbook,
            },
        }
        for alert in ALERTS
    ]
