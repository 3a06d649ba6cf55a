"""The panels of the Grafana dashboard, as a table.

Contract: every query uses the metrics of the manager and of the alerts only. Ranges are :data:`RATE_INTERVAL`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from aimctl.api.alerts import JOB

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["RATE_INTERVAL", "ROWS", "Panel"]

RATE_INTERVAL = "$__rate_interval"
"""The variable that Grafana replaces by a range that fits the resolution of the panel."""

_JOB = f'job="{JOB}"'
_EXPIRY = "aimctl_certificate_expiry_timestamp_seconds"


class Panel(NamedTuple):
    """A panel.

    Attributes:
        title: what it shows.
        unit: of the values, as Grafana names it; ``short`` for a number.
        queries: PromQL and the legend of its series.
        help: what a reader concludes from it.
        kind: ``timeseries`` or ``stat``.
        width: in columns; 24 fill a row.
        stacked: whether the series add up.
    """

    title: str
    unit: str
    queries: Sequence[tuple[str, str]]
    help: str
    kind: str = "timeseries"
    width: int = 8
    stacked: bool = False


def _rate(metric: str, by: str, labels: str = _JOB) -> str:
    return f"sum by ({by}) (rate({metric}{{{labels}}}[{RATE_INTERVAL}]))"


def _quantile(metric: str, by: str, quantile: float, labels: str = _JOB) -> str:
    keep = f"le, {by}" if by else "le"
    rate = f"sum by ({keep}) (rate({metric}_bucket{{{labels}}}[{RATE_INTERVAL}]))"
    return f"histogram_quantile({quantile}, {rate})"


ROWS: Mapping[str, Sequence[Panel]] = {
    "Overview": (
        Panel(
            "Leaders",
            "short",
            [('sum(leader_election_master_status{name="aimctl-manager"})', "leaders")],
            "Exactly one. Without a leader nothing is reconciled.",
            kind="stat",
            width=4,
        ),
        Panel(
            "Managers",
            "short",
            [(f"sum by (version) (aimctl_build_info{{{_JOB}}})", "{{version}}")],
            "Processes that are scraped, by version. Usually two of the same version.",
            kind="stat",
            width=4,
        ),
        Panel(
            "Unhealthy objects",
            "short",
            [("sum by (kind) (aim_unhealthy_objects)", "{{kind}}")],
            "Objects that are Failed or Degraded, by kind.",
            stacked=True,
        ),
        Panel(
            "Alerts that fire",
            "short",
            [
                (
                    'count by (alertname, severity) (ALERTS{alertname=~"Aim.*", alertstate="firing"})',
                    "{{alertname}}",
                )
            ],
            "Each has a section in the runbook.",
            stacked=True,
        ),
    ),
    "Objects": (
        Panel(
            "Templates",
            "short",
            [('sum by (status) (aim_templates{status!=""})', "{{status}}")],
            "Service templates of both scopes, by state.",
            stacked=True,
        ),
        Panel(
            "Services",
            "short",
            [('sum by (status) (aim_services{status!=""})', "{{status}}")],
            "Services by state.",
            stacked=True,
        ),
        Panel(
            "Model caches",
            "short",
            [('sum by (status) (aim_model_caches{status!=""})', "{{status}}")],
            "Model caches by state.",
            stacked=True,
        ),
        Panel(
            "Models",
            "short",
            [('sum by (status) (aim_models{status!=""})', "{{status}}")],
            "Models of both scopes, by state.",
            stacked=True,
        ),
        Panel(
            "Unhealthy by namespace",
            "short",
            [("sum by (namespace, kind) (aim_unhealthy_objects)", "{{namespace}} {{kind}}")],
            "At most 100 namespaces of each kind; the others are <other>.",
            stacked=True,
        ),
        Panel(
            "Longest wait",
            "s",
            [("max by (namespace, kind) (aim_waiting_seconds)", "{{namespace}} {{kind}}")],
            "Time without progress of the object that has waited longest. After an hour, an alert fires.",
        ),
    ),
    "Discovery, images and downloads": (
        Panel(
            "Discovery slots",
            "short",
            [
                ("max(aim_discovery_jobs_running)", "in use"),
                ("max(aim_discovery_jobs_limit)", "limit"),
                ("max(aim_discovery_pending_templates)", "templates that wait"),
            ],
            "If all slots are in use while templates wait for long, raise --discovery-limit or look at the Jobs.",
        ),
        Panel(
            "Discoveries that ended",
            "ops",
            [(_rate("aim_discovery_duration_seconds_count", "result"), "{{result}}")],
            "By result, for each second.",
        ),
        Panel(
            "Discovery, 90th percentile",
            "s",
            [
                (_quantile("aim_discovery_wait_seconds", "", 0.9), "wait for a slot"),
                (_quantile("aim_discovery_duration_seconds", "result", 0.9), "duration, {{result}}"),
            ],
            "How long templates wait for a slot, and how long their Jobs take.",
        ),
        Panel(
            "Reads of image labels",
            "ops",
            [(_rate("aim_image_reads_total", "result"), "{{result}}")],
            "unreachable: a registry does not respond. failed: it refuses, or does not have the image.",
            width=12,
        ),
        Panel(
            "Downloads that ended",
            "ops",
            [(_rate("aim_downloads_total", "result"), "{{result}}")],
            "unavailable: a hub or bucket does not respond, or limits the rate.",
            width=12,
        ),
    ),
    "Controllers": (
        Panel(
            "Reconciles",
            "ops",
            [(_rate("controller_runtime_reconcile_total", "controller"), "{{controller}}")],
            "For each second, by controller.",
        ),
        Panel(
            "Reconciles by result",
            "ops",
            [(_rate("controller_runtime_reconcile_total", "result"), "{{result}}")],
            "error and conflict are retried.",
        ),
        Panel(
            "Reconcile time, 99th percentile",
            "s",
            [(_quantile("controller_runtime_reconcile_time_seconds", "controller", 0.99), "{{controller}}")],
            "Mostly the time of requests to the API server.",
        ),
        Panel(
            "Backlog",
            "short",
            [(f"sum by (controller) (workqueue_depth{{{_JOB}}})", "{{controller}}")],
            "Objects that are ready and wait for a worker.",
        ),
        Panel(
            "Oldest object in the queue",
            "s",
            [(f"max by (controller) (workqueue_oldest_ready_seconds{{{_JOB}}})", "{{controller}}")],
            "How long users wait until a change of theirs has an effect.",
        ),
        Panel(
            "Longest running reconcile",
            "s",
            [
                (
                    f"max by (controller) (workqueue_longest_running_processor_seconds{{{_JOB}}})",
                    "{{controller}}",
                )
            ],
            "A value that only grows is a reconcile that is stuck.",
        ),
        Panel(
            "Errors",
            "ops",
            [
                (_rate("controller_runtime_reconcile_errors_total", "controller"), "{{controller}}"),
                (_rate("controller_runtime_reconcile_panics_total", "controller"), "bug in {{controller}}"),
            ],
            "Reconciles that failed. The log of the leader has the errors.",
            width=12,
        ),
        Panel(
            "Hot loops",
            "ops",
            [(_rate("controller_runtime_hot_loops_total", "controller"), "{{controller}}")],
            'Objects that are reconciled without end. The log line "hot loop" names them.',
            width=12,
        ),
    ),
    "API server and caches": (
        Panel(
            "Requests by code",
            "ops",
            [(_rate("rest_client_requests_total", "code"), "{{code}}")],
            "<error>: there was no response.",
        ),
        Panel(
            "Request duration, 99th percentile",
            "s",
            [(_quantile("rest_client_request_duration_seconds", "verb", 0.99), "{{verb}}")],
            "By verb. Watches are not included.",
        ),
        Panel(
            "Age of the caches",
            "s",
            [(f"topk(5, max by (name) (cache_age_seconds{{{_JOB}}}))", "{{name}}")],
            "Time since the last list, event or bookmark: the five oldest. Up to a minute is normal.",
        ),
        Panel(
            "Cached objects",
            "short",
            [(f"max by (name) (cache_objects{{{_JOB}}})", "{{name}}")],
            "By kind.",
        ),
        Panel(
            "Lists and ends of watches",
            "ops",
            [
                (_rate("reflector_lists_total", "job"), "lists"),
                (_rate("reflector_list_errors_total", "job"), "lists that failed"),
                (_rate("reflector_watch_ends_total", "end"), "watch ended: {{end}}"),
            ],
            "Many lists load the API server.",
        ),
        Panel(
            "Events",
            "ops",
            [(_rate("events_recorded_total", "result"), "{{result}}")],
            "Kubernetes Events that the managers write, by result.",
        ),
    ),
    "Processes": (
        Panel(
            "CPU",
            "percentunit",
            [(f"rate(process_cpu_seconds_total{{{_JOB}}}[{RATE_INTERVAL}])", "{{instance}}")],
            "Share of one core.",
            width=6,
        ),
        Panel(
            "Memory",
            "bytes",
            [(f"process_resident_memory_bytes{{{_JOB}}}", "{{instance}}")],
            "Resident memory; it grows with the number of cached objects.",
            width=6,
        ),
        Panel(
            "Event loop",
            "s",
            [
                (f"max by (instance) (event_loop_lag_seconds{{{_JOB}}})", "lag of {{instance}}"),
                (
                    f"max by (instance) (event_loop_longest_stall_seconds{{{_JOB}}})",
                    "longest stall of {{instance}}",
                ),
            ],
            "Blocking code delays everything, also the renewal of the Lease.",
            width=6,
        ),
        Panel(
            "Certificates expire in",
            "s",
            [
                (
                    f"min by (certificate, instance) ({_EXPIRY}{{{_JOB}}}) - time()",
                    "{{certificate}} of {{instance}}",
                )
            ],
            "Empty if the manager uses a token and no certificate of its own.",
            width=6,
        ),
    ),
}
