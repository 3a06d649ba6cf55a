"""The Grafana dashboard of the operator, made from a table of panels.

Contract:
    * The dashboard uses the datasource in its variable ``datasource``, and no plugin. It works in Grafana 9 and newer.
    * Every query uses the metrics of the manager and of the alerts only. Ranges are ``$__rate_interval``, which Grafana
      replaces by a range that fits the resolution of the panel.
    * The same table gives the same text.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from aimctl.api.alerts import JOB
from aimctl.api.deployment import LABELS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = [
    "COLOURS",
    "DASHBOARD_LABEL",
    "RATE_INTERVAL",
    "ROWS",
    "Panel",
    "dashboard",
    "dashboard_config_map",
    "dashboard_json",
]

DASHBOARD_LABEL = {"grafana_dashboard": "1"}
"""By which the sidecar of Grafana's Helm chart finds dashboards."""

RATE_INTERVAL = "$__rate_interval"
"""The variable of Grafana in the ranges of queries."""

COLOURS: Mapping[str, str] = {
    **dict.fromkeys(("Ready", "Running", "Available", "succeeded", "success"), "#3a9b5c"),
    **dict.fromkeys(("Progressing", "Starting"), "#2f6fb5"),
    "Pending": "#a3acb5",
    "NotAvailable": "#7d5ba6",
    **dict.fromkeys(("Degraded", "unreachable", "unavailable"), "#d9822b"),
    **dict.fromkeys(("Failed", "failed", "error"), "#b8433f"),
}
"""Colours of series whose legend is the name of a state or a result."""

_COLUMNS = 24
_HEIGHT = 8
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


def dashboard() -> dict[str, Any]:
    """Return the dashboard, as Grafana imports it."""
    return {
        "uid": "aimctl",
        "title": "AIM operator",
        "tags": ["aimctl", "kubernetes"],
        "schemaVersion": 38,
        "version": 1,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "templating": {
            "list": [
                {
                    "name": "datasource",
                    "label": "Data source",
                    "type": "datasource",
                    "query": "prometheus",
                    "current": {},
                    "hide": 0,
                }
            ]
        },
        "panels": list(_panels()),
    }


def dashboard_config_map(operator_namespace: str) -> dict[str, Any]:
    """Return the ConfigMap from which the sidecar of Grafana's Helm chart loads the dashboard."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": "aimctl-dashboard",
            "namespace": operator_namespace,
            "labels": {**LABELS, **DASHBOARD_LABEL},
        },
        "data": {"aimctl.json": dashboard_json()},
    }


def dashboard_json() -> str:
    """Return the dashboard as text, with one line for each panel, so that changes are readable."""
    body = dashboard()
    panels = ",\n".join(json.dumps(panel) for panel in body.pop("panels"))
    return f'{json.dumps(body)[:-1]}, "panels": [\n{panels}\n]}}\n'


def _panels() -> Iterator[dict[str, Any]]:
    """The panels from left to right, in lines of :data:`_COLUMNS` columns; each row begins with its title."""
    number = y = 0
    for title, panels in ROWS.items():
        number += 1
        yield {
            "id": number,
            "type": "row",
            "title": title,
            "collapsed": False,
            "gridPos": {"x": 0, "y": y, "w": _COLUMNS, "h": 1},
            "panels": [],
        }
        x, y = 0, y + 1
        for panel in panels:
            if x + panel.width > _COLUMNS:
                x, y = 0, y + _HEIGHT
            number += 1
            place = {"x": x, "y": y, "w": panel.width, "h": _HEIGHT}
            yield {"id": number, "gridPos": place, **_panel(panel)}
            x += panel.width
        y += _HEIGHT


def _panel(panel: Panel) -> dict[str, Any]:
    source = {"type": "prometheus", "uid": "${datasource}"}
    custom = {
        "fillOpacity": 20 if panel.stacked else 0,
        "stacking": {"mode": "normal" if panel.stacked else "none"},
        "showPoints": "never",
    }
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.help,
        "datasource": source,
        "fieldConfig": {
            "defaults": {
                "unit": panel.unit,
                "min": 0,
                **({"custom": custom} if panel.kind == "timeseries" else {}),
            },
            "overrides": [_override(*item) for item in COLOURS.items()] if _has_states(panel) else [],
        },
        "targets": [
            {"refId": chr(ord("A") + index), "datasource": source, "expr": expr, "legendFormat": legend}
            for index, (expr, legend) in enumerate(panel.queries)
        ],
    }


def _has_states(panel: Panel) -> bool:
    return any(legend in {"{{status}}", "{{result}}"} for _, legend in panel.queries)


def _override(name: str, colour: str) -> dict[str, Any]:
    """The colour of the series with this legend."""
    value = {"mode": "fixed", "fixedColor": colour}
    return {"matcher": {"id": "byName", "options": name}, "properties": [{"id": "color", "value": value}]}
