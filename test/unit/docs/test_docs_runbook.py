"""The alert rules fire when they should, as ``promtool`` evaluates them, and the runbook has a section for each."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from aimctl.api.alerts import ALERTS
from aimctl.cli.errors import CommandError
from aimctl.cli.pages.runbook import runbook_page, runbook_text
from support.documents import load_yaml

ROOT = Path(__file__).parents[3]
TEXT = runbook_text()
SECTIONS = dict(re.findall(r"^## (Aim\w+)\n(.*?)(?=^## )", TEXT, re.DOTALL | re.MULTILINE))
NAMES = [alert.name for alert in ALERTS]

JOB = 'job="aimctl"'
LEADER = 'leader_election_master_status{name="aimctl-manager"'
FULL = {"aim_discovery_jobs_running": "10x80", "aim_discovery_jobs_limit": "10x80"}
ENDED = "aim_discovery_duration_seconds_count"
READS = "aim_image_reads_total"
LOADS = "aim_downloads_total"
REQUESTS = "rest_client_requests_total"
UNHEALTHY = "aim_unhealthy_objects"
WAITS = "aim_waiting_seconds"
STALLS = f'event_loop_stalls_total{{{JOB},instance="a"}}'
DEPTH = f'workqueue_depth{{{JOB},controller="services"}}'
ERRORS = f'controller_runtime_reconcile_errors_total{{{JOB},controller="services"}}'
LOOPS = f'controller_runtime_hot_loops_total{{{JOB},controller="services"}}'
EXPIRY = f'aimctl_certificate_expiry_timestamp_seconds{{{JOB},certificate="client",instance="a"}}'
SERVICES = {"controller": "services"}

# Series by minute, the alert, the minute at which it is checked, and the labels with which it fires.
CASES: dict[str, tuple[dict[str, str], str, int, list[dict[str, str]]]] = {
    "a leader and a standby": (
        {f'{LEADER},instance="a"}}': "1x60", f'{LEADER},instance="b"}}': "0x60"},
        "AimNoLeader",
        30,
        [],
    ),
    "only a standby": ({f"{LEADER}}}": "0x60"}, "AimNoLeader", 30, [{}]),
    "nothing is scraped": ({}, "AimNoLeader", 30, [{"name": "aimctl-manager"}]),
    "the manager is down": ({f"up{{{JOB}}}": "0x60"}, "AimNoLeader", 30, [{"name": "aimctl-manager"}]),
    "a manager without a Lease": ({f"up{{{JOB}}}": "1x60"}, "AimNoLeader", 30, []),
    "blocked every other minute": ({STALLS: "0+1x60"}, "AimEventLoopBlocked", 30, [{"instance": "a"}]),
    "blocked once": ({STALLS: "0x10 1x60"}, "AimEventLoopBlocked", 20, []),
    "a reconcile of six minutes": (
        {f'workqueue_longest_running_processor_seconds{{{JOB},controller="services"}}': "0+60x30"},
        "AimStuckReconcile",
        6,
        [SERVICES],
    ),
    "a reconcile of four minutes": (
        {
            f'workqueue_longest_running_processor_seconds{{{JOB},controller="services"}}': "0 60 120 180 240 0x20"
        },
        "AimStuckReconcile",
        6,
        [],
    ),
    "an error every five seconds": ({ERRORS: "0+12x60"}, "AimReconcileErrors", 30, [SERVICES]),
    "an error every minute": ({ERRORS: "0+1x60"}, "AimReconcileErrors", 30, []),
    "a hot loop": ({LOOPS: "0x10 1x60"}, "AimHotLoop", 15, [SERVICES]),
    "a hot loop that has ended": ({LOOPS: "0x10 1x60"}, "AimHotLoop", 30, []),
    "a backlog that grows": ({DEPTH: "0+20x60"}, "AimBacklogGrows", 30, [SERVICES]),
    "a backlog that shrinks": ({DEPTH: "3000-20x60"}, "AimBacklogGrows", 30, []),
    "a short queue that grows": ({DEPTH: "0+1x60"}, "AimBacklogGrows", 60, []),
    "an object that waits": (
        {f'workqueue_oldest_ready_seconds{{{JOB},controller="services"}}': "0+60x60"},
        "AimQueueAge",
        12,
        [SERVICES],
    ),
    "objects that wait for two minutes": (
        {f'workqueue_oldest_ready_seconds{{{JOB},controller="services"}}': "120x60"},
        "AimQueueAge",
        12,
        [],
    ),
    "a cache without a sign of life": (
        {f'cache_age_seconds{{{JOB},name="pods",instance="a"}}': "0+60x60"},
        "AimCacheStale",
        16,
        [{"name": "pods", "instance": "a"}],
    ),
    "a cache with bookmarks": ({f'cache_age_seconds{{{JOB},name="pods"}}': "60x60"}, "AimCacheStale", 16, []),
    "half of the requests have no response": (
        {f'{REQUESTS}{{{JOB},code="200"}}': "0+10x60", f'{REQUESTS}{{{JOB},code="<error>"}}': "0+10x60"},
        "AimApiErrors",
        20,
        [{}],
    ),
    "one of a hundred requests fails": (
        {f'{REQUESTS}{{{JOB},code="200"}}': "0+99x60", f'{REQUESTS}{{{JOB},code="503"}}': "0+1x60"},
        "AimApiErrors",
        20,
        [],
    ),
    "a certificate for six days": (
        {EXPIRY: f"{6 * 86400}x60"},
        "AimCertificateExpires",
        20,
        [{"certificate": "client", "instance": "a"}],
    ),
    "a certificate for eight days": ({EXPIRY: f"{8 * 86400}x60"}, "AimCertificateExpires", 20, []),
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
    "the only discovery of an hour fails": (
        {f'{ENDED}{{result="failed"}}': "0x5 1x80"},
        "AimDiscoveryFails",
        40,
        [],
    ),
    "no registry responds": (
        {f'{READS}{{result="unreachable"}}': "0+1x80"},
        "AimRegistryUnreachable",
        60,
        [{}],
    ),
    "one of several registries does not respond": (
        {f'{READS}{{result="unreachable"}}': "0+1x80", f'{READS}{{result="succeeded"}}': "0+3x80"},
        "AimRegistryUnreachable",
        60,
        [],
    ),
    "no image can be read": ({f'{READS}{{result="failed"}}': "0+1x80"}, "AimImageReadsFail", 75, [{}]),
    "an image does not exist": (
        {f'{READS}{{result="failed"}}': "0x5 1x80", f'{READS}{{result="succeeded"}}': "0+1x80"},
        "AimImageReadsFail",
        75,
        [],
    ),
    "the hub is away": ({f'{LOADS}{{result="unavailable"}}': "0+1x80"}, "AimHubUnreachable", 60, [{}]),
    "downloads fail for other reasons": (
        {f'{LOADS}{{result="failed"}}': "0+3x80", f'{LOADS}{{result="unavailable"}}': "0+1x80"},
        "AimHubUnreachable",
        60,
        [],
    ),
    "a service is Degraded": (
        {f'{UNHEALTHY}{{kind="AIMService",namespace="team"}}': "1x60"},
        "AimServicesUnhealthy",
        20,
        [{"kind": "AIMService", "namespace": "team"}],
    ),
    "only a template is Failed": (
        {f'{UNHEALTHY}{{kind="AIMServiceTemplate",namespace="team"}}': "1x60"},
        "AimServicesUnhealthy",
        40,
        [],
    ),
    "templates are Failed": (
        {
            f'{UNHEALTHY}{{kind="AIMServiceTemplate",namespace="team"}}': "2x60",
            f'{UNHEALTHY}{{kind="AIMClusterServiceTemplate",namespace=""}}': "1x60",
        },
        "AimTemplatesUnhealthy",
        40,
        [{"kind": "AIMServiceTemplate", "namespace": "team"}, {"kind": "AIMClusterServiceTemplate"}],
    ),
    "a template is Failed for a quarter of an hour": (
        {f'{UNHEALTHY}{{kind="AIMServiceTemplate",namespace="team"}}': "1x15 0x60"},
        "AimTemplatesUnhealthy",
        40,
        [],
    ),
    "a model cache is Failed": (
        {f'{UNHEALTHY}{{kind="AIMModelCache",namespace="team"}}': "1x60"},
        "AimCachesUnhealthy",
        40,
        [{"kind": "AIMModelCache", "namespace": "team"}],
    ),
    "a service waits for more than an hour": (
        {f'{WAITS}{{kind="AIMService",namespace="team"}}': "0+60x80"},
        "AimServicesWait",
        62,
        [{"kind": "AIMService", "namespace": "team"}],
    ),
    "a service starts after fifty minutes": (
        {f'{WAITS}{{kind="AIMService",namespace="team"}}': "0+60x50 _x30"},
        "AimServicesWait",
        70,
        [],
    ),
    "services that each wait for minutes": (
        {f'{WAITS}{{kind="AIMService",namespace="team"}}': "0+60x20 0+60x20 0+60x20 0+60x20"},
        "AimServicesWait",
        75,
        [],
    ),
    "a template and a cluster template wait for more than an hour": (
        {
            f'{WAITS}{{kind="AIMServiceTemplate",namespace="team"}}': "0+60x80",
            f'{WAITS}{{kind="AIMClusterServiceTemplate",namespace=""}}': "0+60x80",
        },
        "AimObjectsWait",
        62,
        [{"kind": "AIMServiceTemplate", "namespace": "team"}, {"kind": "AIMClusterServiceTemplate"}],
    ),
    "only a service waits": (
        {f'{WAITS}{{kind="AIMService",namespace="team"}}': "0+60x80"},
        "AimObjectsWait",
        62,
        [],
    ),
    "a model cache is Failed for a while": (
        {f'{UNHEALTHY}{{kind="AIMModelCache",namespace="team"}}': "1x15 0x60"},
        "AimCachesUnhealthy",
        40,
        [],
    ),
}


def case(name: str) -> dict[str, Any]:
    series, alert, minute, labels = CASES[name]
    (rule,) = [one for one in ALERTS if one.name == alert]
    return {
        "name": name,
        "interval": "1m",
        "input_series": [{"series": key, "values": values} for key, values in series.items()],
        "alert_rule_test": [
            {
                "eval_time": f"{minute}m",
                "alertname": alert,
                "exp_alerts": [{"exp_labels": {"severity": rule.severity, **item}} for item in labels],
            }
        ],
    }


def test_every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    assert {alert for _, alert, _, labels in CASES.values() if labels} == set(NAMES)
    assert {alert for _, alert, _, labels in CASES.values() if not labels} == set(NAMES)


def test_every_alert_has_a_section_in_the_order_of_the_table() -> None:
    assert list(SECTIONS) == NAMES
    rows = re.findall(r"^\| \[`(Aim\w+)`\]\(#(\w+)\) \| (\w+) \| (.+) \|$", TEXT, re.MULTILINE)
    assert [row[:3] for row in rows] == [(one.name, one.name.lower(), one.severity) for one in ALERTS]
    assert all(row[3] for row in rows)


@pytest.mark.parametrize("alert", ALERTS, ids=NAMES)
def test_a_section_has_meaning_impact_commands_and_a_remedy(alert: Any) -> None:
    body = SECTIONS[alert.name]
    assert re.findall(r"^\*\*([\w ]+)\.\*\*", body, re.MULTILINE) == [
        "Meaning",
        "Impact",
        "Find the cause",
        "Remedy",
    ]
    search = body.split("**Find the cause.**")[1].split("**Remedy.**")[0]
    assert re.search(r"^```sh\n\S", search, re.MULTILINE)


@pytest.mark.parametrize("alert", ALERTS, ids=NAMES)
def test_an_alert_describes_itself_and_names_the_command_that_prints_its_section(alert: Any) -> None:
    assert alert.severity in {"critical", "warning", "info"}
    assert alert.summary
    assert not alert.summary.endswith(".")
    assert alert.description.endswith(".")
    program, command, name = alert.runbook.split()
    assert (program, command) == ("aimctl", "runbook")
    assert runbook_page(name.lower()).startswith(f"## {name}\n\n**Meaning.**")


def test_a_section_is_printed_with_the_functions_that_its_commands_use() -> None:
    with_logs, without = runbook_page("AimNoLeader"), runbook_page("AimServicesWait")
    assert "logs() {" in with_logs
    assert "logs() {" not in without
    assert "## AimObjectsWait" not in without


def test_all_alerts_are_listed_and_an_unknown_one_is_rejected_with_a_suggestion() -> None:
    assert [line.split()[:2] for line in runbook_page(None).splitlines()] == [
        [item.name, item.severity] for item in ALERTS
    ]
    assert "{{" not in runbook_page(None)
    with pytest.raises(CommandError, match="did you mean 'AimNoLeader'") as caught:
        runbook_page("AimNoLeaders")
    assert caught.value.exit_code == 2


PROMTOOL = os.environ.get("PROMTOOL") or shutil.which("promtool")


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed: run make test-alerts")
def test_the_alerts_fire_when_they_should_and_only_then(tmp_path: Path) -> None:
    shipped = load_yaml((ROOT / "config/prometheus/rules.yaml").read_text(encoding="utf-8"))["spec"]
    (tmp_path / "shipped.yaml").write_text(yaml.safe_dump(shipped))
    # Annotations have links that depend on the installation; the tests compare labels.
    rules = [{k: v for k, v in rule.items() if k != "annotations"} for rule in shipped["groups"][0]["rules"]]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "aimctl", "rules": rules}]}))
    tests = {
        "rule_files": ["rules.yaml"],
        "evaluation_interval": "1m",
        "tests": [case(name) for name in CASES],
    }
    (tmp_path / "tests.yaml").write_text(yaml.safe_dump(tests))
    for command in (["check", "rules", "shipped.yaml"], ["test", "rules", "tests.yaml"]):
        done = subprocess.run(
            [str(PROMTOOL), *command], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
