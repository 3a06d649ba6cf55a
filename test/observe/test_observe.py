"""Every alert fires because of its fault, in a running system that a real Prometheus scrapes, and resolves afterwards."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from aimctl.api.alerts import ALERTS
from aimctl.api.dashboard_panels import ROWS
from observe.finding import CAUSES
from observe.scenario import EXPECTED, Report, play
from observe.shortened import shortened
from observe.stage import stage
from support.documents import load_yaml

ROOT = Path(__file__).parents[2]
DATA = ROOT / ".bench" / "observe.json"
"""What ``make docs-dashboard`` draws."""
PROMETHEUS = os.environ.get("PROMETHEUS") or shutil.which("prometheus")
PROMTOOL = os.environ.get("PROMTOOL") or shutil.which("promtool")
SHIPPED = load_yaml((ROOT / "config/prometheus/rules.yaml").read_text(encoding="utf-8"))["spec"]["groups"]
PANELS = [panel for panels in ROWS.values() for panel in panels]

pytestmark = pytest.mark.skipif(
    not PROMETHEUS or not PROMTOOL, reason="prometheus or promtool is not installed: run make test-observe"
)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    folder = tmp_path_factory.mktemp("observe")

    async def run() -> Report:
        groups = [{**group, "rules": [shortened(rule) for rule in group["rules"]]} for group in SHIPPED]
        async with stage(str(PROMETHEUS), folder, groups) as made:
            return await play(made)

    made = asyncio.run(run())
    DATA.parent.mkdir(exist_ok=True)
    DATA.write_text(
        json.dumps({name: getattr(made, name) for name in ("began", "ended", "marks", "panels", "fired_at")})
    )
    return made


def test_a_leader_and_a_standby_are_scraped(report: Report) -> None:
    assert sorted(report.targets.values()) == [1, 1]
    assert sorted(report.leaders.values()) == [0, 1]
    assert report.leaders.keys() == report.targets.keys()


def test_no_alert_fires_without_a_fault(report: Report) -> None:
    assert report.healthy == set()


def test_every_alert_has_a_fault() -> None:
    assert EXPECTED.keys() == {alert.name for alert in ALERTS}


@pytest.mark.parametrize("alert", ALERTS, ids=[alert.name for alert in ALERTS])
def test_the_alert_fires_because_of_its_fault(report: Report, alert: Any) -> None:
    wanted = {**EXPECTED[alert.name], "severity": alert.severity}
    fired = [one for one in report.fired[alert.name] if wanted.items() <= dict(one.labels).items()]
    assert fired
    for one in fired:
        annotations = dict(one.annotations)
        assert annotations["runbook"] == alert.runbook
        assert annotations.keys() == {"summary", "description", "runbook"}
        assert not [text for text in annotations.values() if "{{" in text or "<no value>" in text]


@pytest.mark.parametrize("alert", CAUSES)
def test_the_commands_of_the_runbook_show_the_cause(report: Report, alert: str) -> None:
    assert CAUSES.keys() == EXPECTED.keys()
    found = report.evidence[alert]
    assert [word for word in CAUSES[alert].words if word not in found] == [], found


@pytest.mark.parametrize("panel", PANELS, ids=[panel.title for panel in PANELS])
def test_every_query_of_the_dashboard_has_data(report: Report, panel: Any) -> None:
    for (expr, _), series in zip(panel.queries, report.panels[panel.title], strict=True):
        assert series, f"no data: {expr}"


def test_promtool_accepts_the_metrics_of_leader_and_standby(report: Report) -> None:
    assert len(report.pages) == 2
    for page in report.pages:
        done = subprocess.run(
            [str(PROMTOOL), "check", "metrics"],
            input=page,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, done.stdout + done.stderr) == (0, "")
