"""The alert rules of ``docs/operating.md`` fire when they should, as ``promtool`` evaluates them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from aimctl.api.alerts import ALERTS, alert_rules

TEXT = (Path(__file__).parents[3] / "docs" / "operating.md").read_text(encoding="utf-8")
(BLOCK,) = re.findall(r"^```yaml\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
RULES = yaml.safe_load(BLOCK)

LEADER = "leader_election_master_status"
FULL = {"aim_discovery_jobs_running": "10x80", "aim_discovery_jobs_limit": "10x80"}
ENDED = "aim_discovery_duration_seconds_count"

# Series by minute, the alert, the minute at which it is checked, and the labels with which it fires.
CASES: dict[str, tuple[dict[str, str], str, int, list[dict[str, str]]]] = {
    "a leader and a standby": (
        {
            f'{LEADER}{{name="aimctl-manager",instance="a"}}': "1x60",
            f'{LEADER}{{name="aimctl-manager",instance="b"}}': "0x60",
        },
        "AimNoLeader",
        30,
        [],
    ),
    "only a standby": ({f'{LEADER}{{name="aimctl-manager"}}': "0x60"}, "AimNoLeader", 30, [{}]),
    "nothing is scraped": ({}, "AimNoLeader", 30, [{"name": "aimctl-manager"}]),
    "the manager is down": ({'up{job="aimctl"}': "0x60"}, "AimNoLeader", 30, [{"name": "aimctl-manager"}]),
    "a manager without a Lease": ({'up{job="aimctl"}': "1x60"}, "AimNoLeader", 30, []),
    "a long queue that makes progress": (
        {
            **FULL,
            "aim_discovery_pending_templates": "90x9 60x9 30x60",
            f'{ENDED}{{result="succeeded"}}': "0+1x80",
        },
        "AimDiscoveryStarved",
        25,
        [{}],
    ),
    "a queue that is empty again soon": (
        {**FULL, "aim_discovery_pending_templates": "90x9 30x5 0x60"},
        "AimDiscoveryStarved",
        30,
        [],
    ),
    "all Jobs exceed their deadline": (
        {
            **FULL,
            "aim_discovery_pending_templates": "90x80",
            f'{ENDED}{{result="failed"}}': "0x14 10x14 20x14 30x14",
        },
        "AimDiscoveryStarved",
        60,
        [{}],
    ),
    "all discoveries fail": ({f'{ENDED}{{result="failed"}}': "0+1x80"}, "AimDiscoveryFails", 60, [{}]),
    "few discoveries fail": (
        {f'{ENDED}{{result="failed"}}': "0+1x80", f'{ENDED}{{result="succeeded"}}': "0+5x80"},
        "AimDiscoveryFails",
        60,
        [],
    ),
    "a template is Failed": (
        {'aim_templates{scope="Namespace",status="Failed"}': "1x60"},
        "AimTemplatesFailed",
        40,
        [{"scope": "Namespace"}],
    ),
    "half of the requests have no response": (
        {
            'rest_client_requests_total{job="aimctl",code="200"}': "0+10x60",
            'rest_client_requests_total{job="aimctl",code="<error>"}': "0+10x60",
        },
        "AimApiErrors",
        20,
        [{}],
    ),
    "a service is Degraded": ({'aim_services{status="Degraded"}': "1x60"}, "AimServicesDegraded", 20, [{}]),
    "a model cache is Failed": (
        {'aim_model_caches{status="Failed"}': "1x60"},
        "AimModelCachesFailed",
        40,
        [{}],
    ),
    "no image can be read": (
        {'aim_image_reads_total{result="failed"}': "0+1x80"},
        "AimImageReadsFail",
        75,
        [{}],
    ),
}


def case(name: str) -> dict[str, Any]:
    series, alert, minute, labels = CASES[name]
    return {
        "name": name,
        "interval": "1m",
        "input_series": [{"series": key, "values": values} for key, values in series.items()],
        "alert_rule_test": [
            {
                "eval_time": f"{minute}m",
                "alertname": alert,
                "exp_alerts": [{"exp_labels": item} for item in labels],
            }
        ],
    }


def test_the_rules_are_those_that_are_generated() -> None:
    generated = [
        {key: value for key, value in rule.items() if key in {"alert", "expr", "for"}}
        for rule in alert_rules()
    ]
    assert generated == RULES


def test_every_alert_has_a_severity_a_meaning_and_something_to_do() -> None:
    rows = [line.strip("| ").split(" | ") for line in TEXT.splitlines() if line.startswith("| `Aim")]
    described = {name: row[1:] for row in rows for name in re.findall(r"`(Aim\w+)`", row[0])}
    assert described.keys() == {rule["alert"] for rule in RULES}
    assert {name: row[0] for name, row in described.items()} == {one.name: one.severity for one in ALERTS}
    for severity, meaning, remedy in described.values():
        assert severity in {"critical", "warning", "info"}
        assert meaning
        assert remedy


PROMTOOL = os.environ.get("PROMTOOL") or shutil.which("promtool")


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed: run make test-alerts")
def test_the_alerts_fire_when_they_should_and_only_then(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "aimctl", "rules": RULES}]}))
    tests = {
        "rule_files": ["rules.yaml"],
        "evaluation_interval": "1m",
        "tests": [case(name) for name in CASES],
    }
    (tmp_path / "tests.yaml").write_text(yaml.safe_dump(tests))
    command = [str(PROMTOOL), "test", "rules", "tests.yaml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
