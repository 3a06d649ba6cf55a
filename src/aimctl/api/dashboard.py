"""The Grafana dashboard of the operator, made from the table in :mod:`aimctl.api.dashboard_panels`.

Contract:
    * The dashboard uses the datasource in its variable ``datasource``, and no plugin. It works in Grafana 9 and newer.
    * The same table gives the same text.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from aimctl.api.dashboard_panels import ROWS
from aimctl.api.deployment import LABELS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aimctl.api.dashboard_panels import Panel

__all__ = [
    "COLOURS",
    "DASHBOARD_LABEL",
    "dashboard",
    "dashboard_config_map",
    "dashboard_json",
]

DASHBOARD_LABEL = {"grafana_dashboard": "1"}
"""By which the sidecar of Grafana's Helm chart finds dashboards."""

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
