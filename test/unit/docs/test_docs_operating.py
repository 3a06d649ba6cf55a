"""``docs/operating.md`` lists exactly the flags, metrics and debug pages that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer
from prometheus_client import CollectorRegistry

import aimctl
from aimctl.api.alerts import ALERTS
from aimctl.api.dashboard_panels import ROWS
from aimctl.cli.app import app
from aimctl.controllers.metrics import OperatorMetrics
from aimctl.controllers.operator import OperatorOptions, add_controllers
from aimctl.devcluster import DevCluster
from aimctl.domain.templates.discovery_job import (
    ACTIVE_DEADLINE_SECONDS,
    REDISCOVER_ANNOTATION,
    TTL_SECONDS_AFTER_FINISHED,
)
from aimctl.runtime.clock import LoopClock
from aimctl.runtime.controller import HotLoopDetector
from aimctl.runtime.manager import Manager, RuntimeMetrics
from aimctl.runtime.program.extensions import add_extensions

DOCS = Path(__file__).parents[3] / "docs"
SOURCES = Path(aimctl.__file__).parent
TEXT = (DOCS / "operating.md").read_text(encoding="utf-8")
COMMANDS = typer.main.get_command(app).commands


def rows(first_cell):
    """The rows of the table with this first column, as cells."""
    lines = TEXT.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(f"| {first_cell} |"))
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            return
        yield [cell.strip() for cell in line.strip("|").split(" | ")]


def test_the_flags_of_the_manager_are_documented():
    documented = {
        row[0].strip("`"): (row[1].strip("`"), row[2].strip("`")) for row in rows("flag of `aimctl manager`")
    }
    actual = {}
    for option in COMMANDS["manager"].params:
        if option.name != "help":
            actual[option.opts[0]] = (option.envvar, option.default)
    assert {flag: variable for flag, (variable, _) in documented.items()} == {
        flag: variable for flag, (variable, _) in actual.items()
    }
    shown = {
        "off": False,
        "the pod's account, else `~/.kube/config": None,
        "the current one": None,
        "operator namespace": None,
        "all": None,
        "none": None,
    }
    for flag, (_, default) in actual.items():
        written = documented[flag][1]
        assert shown.get(written, written) in {default, str(default), getattr(default, "value", default)}, (
            flag
        )


def test_the_flags_of_dev_are_documented():
    text = (DOCS / "embedded-cluster.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"`(--[a-z-]+)`", text.split("| flag |")[1].split("\n\n")[0]))
    actual = {
        flag
        for option in COMMANDS["dev"].params
        if option.name != "help"
        for flag in (*option.opts, *option.secondary_opts)
    }
    assert documented == actual


def actual_metrics():
    registry = CollectorRegistry()
    RuntimeMetrics(registry, process=True)
    OperatorMetrics(registry)
    names = set()
    for collector in registry._collector_to_names:
        names |= {
            family.name + ("_total" if family.type == "counter" else "")
            for family in (collector.describe() if hasattr(collector, "describe") else collector.collect())
        }
    return names | {
        family.name + ("_total" if family.type == "counter" else "") for family in process_metrics()
    }


def process_metrics():
    from prometheus_client import ProcessCollector

    return ProcessCollector(registry=None).collect()


def documented_metrics():
    """The names in the table. ``..._x`` has the prefix of the name before it; ``reflector_*`` stands for a prefix."""
    for row in rows("metric"):
        last = ""
        for cell in re.findall(r"`([^`]+)`", row[0]):
            name = cell.partition("{")[0]
            if name.startswith("..._"):
                stem = re.match(r"(controller_runtime|workqueue)_", last)
                name = f"{stem[1]}_{name.removeprefix('..._')}"
            last = name
            yield name


def test_exactly_the_metrics_that_exist_are_documented():
    actual, documented = actual_metrics(), set(documented_metrics())
    patterns = {name.removesuffix("*") for name in documented if name.endswith("*")}
    single = {name for name in documented if not name.endswith("*")}
    assert single - actual == set()
    undocumented = {name for name in actual - single if not name.startswith(tuple(patterns))}
    assert undocumented == set()
    assert all(any(name.startswith(pattern) for name in actual) for pattern in patterns)


def test_alerts_and_the_dashboard_use_metrics_that_exist():
    queries = [alert.expr for alert in ALERTS]
    queries += [expr for panels in ROWS.values() for panel in panels for expr, _ in panel.queries]
    families, names = (
        actual_metrics(),
        r"\b((?:aim|aimctl|controller_runtime|workqueue|cache|rest_client|process|events",
    )
    names += r"|leader_election|event_loop|reflector)_\w+)"
    for query in queries:
        used = set(re.findall(names, re.sub(r'"[^"]*"', "", query)))
        assert used or "ALERTS" in query, query
        for name in used:
            assert name in families or re.sub(r"_(count|sum|bucket)$", "", name) in families, name


async def test_the_debug_pages_are_documented():
    async with DevCluster(clock=LoopClock(), controllers=False) as cluster:
        manager = Manager(cluster.transport(), clock=cluster.clock)
        add_controllers(manager, OperatorOptions())
        add_extensions(manager, [])
        actual = {f"/debug/{name}" for name in (*manager.endpoints.pages._pages, "status")}
    assert {row[0].strip("`") for row in rows("page")} == actual


def test_figures_in_the_text_match_the_code():
    text = " ".join(TEXT.split())
    assert f"runs for {ACTIVE_DEADLINE_SECONDS // 60} minutes at most" in text
    assert TTL_SECONDS_AFTER_FINISHED == 6 * 3600
    assert "stay for six hours" in text
    assert f"successfully {HotLoopDetector().limit.replace('reconciles in', 'times within')}" in text
    assert REDISCOVER_ANNOTATION in text


@pytest.mark.parametrize("command", sorted(set(re.findall(r"aimctl ([a-z]+)", TEXT)) - {"manager's"}))
def test_every_command_in_the_text_exists(command):
    assert command in COMMANDS
