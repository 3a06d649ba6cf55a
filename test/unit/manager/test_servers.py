from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from types import SimpleNamespace

import aiohttp
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from aimctl.kubetypes import Resource
from aimctl.runtime.clock import LoopClock
from aimctl.runtime.controller import Controller, Result, TerminalError
from aimctl.runtime.kube.errors import ConfigurationError
from aimctl.runtime.manager import LeaderElectionOptions, Manager, ManagerOptions, RuntimeMetrics
from aimctl.runtime.manager.serving.debug import render_table
from aimctl.runtime.manager.serving.health import HealthChecks
from aimctl.runtime.manager.serving.http import HttpServer, parse_bind_address
from aimctl.testing.virtualtime import virtual_clock
from support.leaseapi import LeaseApi, LeaseTransport
from support.reconciling import HandFed, Scripted

PODS = Resource.untyped("", "v1", "Pod", "pods")


def make_manager(**options) -> Manager:
    return Manager(
        LeaseTransport(LeaseApi()), clock=LoopClock(), options=ManagerOptions(**options), identity="me"
    )


async def until(condition) -> None:
    """Wait for a condition. Sockets need real time, and there is no event to wait for."""
    async with asyncio.timeout(10):
        while True:
            answer = condition()
            if await answer if asyncio.iscoroutine(answer) else answer:
                return
            await asyncio.sleep(0.01)


@asynccontextmanager
async def serving(manager: Manager):
    stop = asyncio.Event()
    task = asyncio.create_task(manager.run(stop))
    try:
        async with asyncio.timeout(10):
            await manager.elected.wait()
        yield
    finally:
        stop.set()
        await task


class Page:
    def __init__(self, status: int, text: str, headers) -> None:
        self.status, self.text, self.headers = status, text, headers

    @property
    def metrics(self):
        return {
            (sample.name, *sorted(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(self.text)
            for sample in family.samples
        }


async def get(port: int, path: str, method: str = "GET", **headers: str) -> Page:
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, f"http://127.0.0.1:{port}{path}", headers=headers) as answer,
    ):
        return Page(answer.status, await answer.text(), answer.headers)


LOCAL = {"metrics_bind_address": "127.0.0.1:0", "health_probe_bind_address": "127.0.0.1:0"}


async def test_servers_serve_their_own_paths_and_nothing_else_and_stop_with_the_manager():
    """Checklist 125: metrics and health servers serve and stop; nothing else is served."""
    manager = make_manager(**LOCAL)
    async with serving(manager):
        metrics, probes = manager.metrics_port, manager.probe_port
        assert (await get(metrics, "/metrics")).status == 200
        assert (await get(probes, "/healthz")).text == "ok"
        assert (await get(probes, "/readyz")).text == "ok"
        for port, path in ((metrics, "/healthz"), (probes, "/metrics"), (metrics, "/"), (probes, "/debug")):
            assert (await get(port, path)).status == 404
        assert (await get(metrics, "/metrics", method="POST")).status == 405
    for port in (metrics, probes):
        with pytest.raises(aiohttp.ClientConnectorError):
            await get(port, "/metrics")


@pytest.mark.parametrize("field", ["metrics_bind_address", "health_probe_bind_address"])
async def test_an_address_in_use_is_an_error_that_names_the_option(field):
    """Checklist 125: address in use is an error."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        manager = make_manager(**{field: address})
        with pytest.raises(ConfigurationError, match=rf"{field}='{address}' cannot be bound: .*in use"):
            await manager.run()
    assert manager.state == "stopped"
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("address", ["8080", "localhost", ":http", "1.2.3.4:99999", "::1:80", ":-1", ":٣"])
def test_an_invalid_address_is_an_error_when_the_manager_is_created(address):
    with pytest.raises(ConfigurationError, match=r"metrics_bind_address=.* is not a bind address: use"):
        make_manager(metrics_bind_address=address)


@pytest.mark.parametrize(
    ("address", "parsed"),
    [
        ("", None),
        ("0", None),
        (":8080", (None, 8080)),
        ("127.0.0.1:0", ("127.0.0.1", 0)),
        ("[::1]:80", ("::1", 80)),
        ("localhost:65535", ("localhost", 65535)),
    ],
)
def test_valid_bind_addresses(address, parsed):
    assert parse_bind_address("x", address) == parsed


def test_a_server_needs_an_address():
    with pytest.raises(ValueError, match="a server needs an address"):
        HttpServer("x", "0", {})


@asynccontextmanager
async def checked(checks: HealthChecks):
    async with HttpServer("x", "127.0.0.1:0", checks.routes()) as server:
        yield lambda path: get(server.port, path)


async def test_one_failing_check_fails_the_whole_and_lists_all():
    """Checklist 128: any failing check = 500 and always verbose."""
    checks = HealthChecks("healthz")
    checks.add("fine", lambda: None)
    checks.add("sick", lambda: "a fever")
    checks.add("broken", lambda: 1 / 0)
    async with checked(checks) as ask:
        page = await ask("/healthz")
        assert page.status == 500
        assert page.text.splitlines() == [
            "[+]fine ok",
            "[-]sick failed: a fever",
            "[-]broken failed: ZeroDivisionError: division by zero",
            "healthz check failed",
        ]


async def test_checks_can_be_excluded_and_an_unknown_exclusion_is_harmless():
    """Checklist 128: exclude ignores it; unknown exclude harmless."""
    checks = HealthChecks("healthz")
    checks.add("fine", lambda: None)
    checks.add("sick", lambda: "a fever")
    async with checked(checks) as ask:
        assert (await ask("/healthz?exclude=sick")).text == "ok"
        assert (await ask("/healthz?exclude=fine")).status == 500
        page = await ask("/healthz?exclude=sick&exclude=unknown&verbose")
        assert page.status == 200
        assert page.text.splitlines() == [
            "[+]fine ok",
            "[+]sick excluded: ok",
            "warn: some health checks cannot be excluded: no matches for unknown",
            "healthz check passed",
        ]


async def test_each_check_has_a_path_of_its_own():
    """Checklist 128: per-check paths isolated."""
    checks = HealthChecks("readyz")
    checks.add("fine", lambda: None)
    checks.add("sick", lambda: "a fever")
    async with checked(checks) as ask:
        assert (await ask("/readyz/fine")).status == 200
        page = await ask("/readyz/sick")
        assert (page.status, page.text) == (500, "a fever\n")
        assert (await ask("/readyz/unknown")).status == 404


async def test_without_checks_there_is_a_ping():
    async with checked(HealthChecks("healthz")) as ask:
        assert (await ask("/healthz?verbose")).text == "[+]ping ok\nhealthz check passed\n"
        assert (await ask("/healthz/ping")).status == 200


def test_check_names_must_fit_into_a_url():
    checks = HealthChecks("healthz")
    checks.add("a", lambda: None)
    for name in ("a", "", "a/b"):
        with pytest.raises(ValueError, match="check"):
            checks.add(name, lambda: None)


async def test_a_manager_is_ready_when_its_caches_are_and_says_what_is_missing():
    manager = make_manager(health_probe_bind_address="127.0.0.1:0")
    manager.cache.declare(PODS)
    assert manager.not_ready == {"caches": "the manager is new"}
    stop = asyncio.Event()
    task = asyncio.create_task(manager.run(stop))
    try:
        await until(lambda: manager.probe_port)
        page = await get(manager.probe_port, "/readyz")
        assert page.status == 500
        assert "pods" in page.text
        assert (await get(manager.probe_port, "/healthz")).status == 200
    finally:
        stop.set()
        await task


async def test_own_checks_must_be_added_before_the_start():
    manager = make_manager(health_probe_bind_address="127.0.0.1:0")
    manager.add_health_check("mine", lambda: "no")
    manager.add_ready_check("mine", lambda: None)
    async with serving(manager):
        assert (await get(manager.probe_port, "/healthz/mine")).status == 500
        assert (await get(manager.probe_port, "/readyz/mine")).status == 200
        with pytest.raises(RuntimeError, match="before run"):
            manager.add_ready_check("late", lambda: None)


async def test_metrics_have_the_names_and_labels_that_dashboards_know():
    """Checklist 101: the four results exist from the first scrape; and the names of controller-runtime."""
    manager = make_manager(**LOCAL, leader_election=LeaderElectionOptions("lock", "ns"))
    script = [RuntimeError("x"), Result(requeue=True), Result(requeue_after=0.001), TerminalError("x")]
    source = HandFed("a")
    manager.add(
        Controller(
            "things",
            Scripted(*script),
            sources=[source],
            clock=manager.clock,
            metrics=manager.metrics.controller("things"),
            queue_metrics=manager.metrics.queue("things"),
        )
    )
    manager.metrics.controller("idle")
    async with serving(manager):
        counter = ("controller_runtime_terminal_reconcile_errors_total", ("controller", "things"))

        async def ended() -> bool:
            return (await get(manager.metrics_port, "/metrics")).metrics[counter] == 1

        await until(ended)
        page = await get(manager.metrics_port, "/metrics")
        metrics = page.metrics
        queue = (("controller", "things"), ("name", "things"))
        for result, count in {
            "success": 0,
            "error": 2,
            "requeue": 1,
            "requeue_after": 1,
            "conflict": 0,
        }.items():
            labels = (("controller", "things"), ("result", result))
            assert metrics["controller_runtime_reconcile_total", *labels] == count
            assert (
                metrics["controller_runtime_reconcile_total", ("controller", "idle"), ("result", result)] == 0
            )
        for name, value in {
            "controller_runtime_reconcile_errors_total": 2,
            "controller_runtime_terminal_reconcile_errors_total": 1,
            "controller_runtime_reconcile_panics_total": 0,
            "controller_runtime_reconcile_timeouts_total": 0,
            "controller_runtime_reconcile_time_seconds_count": 4,
            "controller_runtime_max_concurrent_reconciles": 1,
            "controller_runtime_active_workers": 0,
            "controller_runtime_hot_loops_total": 0,
        }.items():
            assert metrics[name, ("controller", "things")] == value, name
        for name, value in {
            "workqueue_adds_total": 4,
            "workqueue_retries_total": 3,
            "workqueue_queue_duration_seconds_count": 4,
            "workqueue_work_duration_seconds_count": 4,
            "workqueue_unfinished_work_seconds": 0,
            "workqueue_longest_running_processor_seconds": 0,
            "workqueue_oldest_ready_seconds": 0,
            "workqueue_waiting_items": 0,
        }.items():
            assert metrics[name, *queue] == value, name
        assert metrics["workqueue_depth", *queue, ("priority", "0")] == 0
        assert metrics["leader_election_master_status", ("name", "lock")] == 1
        assert metrics["leader_election_slowpath_total", ("name", "lock")] == 0
        assert "event_loop_lag_seconds" in page.text
        assert metrics["event_loop_stalls_total",] == metrics["event_loop_longest_stall_seconds",] == 0
        assert "_created" not in page.text
        buckets = [
            line
            for line in page.text.splitlines()
            if line.startswith("controller_runtime_reconcile_time_seconds_b")
        ]
        assert len([line for line in buckets if 'controller="things"' in line]) == 41


async def test_metrics_of_requests_and_informers():
    registry = CollectorRegistry()
    manager = Manager(LeaseTransport(LeaseApi()), clock=virtual_clock(), registry=registry)
    manager.cache.declare(PODS)
    manager.metrics.request_finished(verb="list", method="GET", host="h", code="200", seconds=0.01)
    manager.metrics.request_finished(verb="list", method="GET", host="h", code="<error>", seconds=0.01)
    read = registry.get_sample_value
    assert read("rest_client_requests_total", {"code": "<error>", "method": "GET", "host": "h"}) == 1
    assert read("rest_client_request_duration_seconds_count", {"verb": "list", "host": "h"}) == 2
    for name in ("reflector_lists_total", "reflector_short_watches_total", "cache_objects", "cache_synced"):
        assert read(name, {"name": "pods"}) == 0
    assert read("reflector_watch_ends_total", {"name": "pods", "end": "stalled"}) == 0


async def test_metrics_are_available_as_openmetrics():
    manager = make_manager(**LOCAL)
    async with serving(manager):
        plain = await get(manager.metrics_port, "/metrics")
        assert plain.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        opened = await get(
            manager.metrics_port,
            "/metrics",
            Accept="application/openmetrics-text;version=1.0.0,text/plain;q=0.5",
        )
        assert opened.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
        assert opened.text.endswith("# EOF\n")


async def test_two_managers_share_no_metrics():
    one, two = make_manager(), make_manager()
    one.metrics.controller("a")
    two.metrics.controller("a")
    assert one.metrics.registry is not two.metrics.registry


def test_two_managers_on_one_registry_are_an_error_with_the_remedy():
    registry = make_manager().metrics.registry
    with pytest.raises(ValueError, match=r"registry: another manager.*a registry of its own.*run_managers"):
        RuntimeMetrics(registry)


async def test_debug_pages_are_text_tables_or_json():
    """Checklist 125: extra paths work, and pages about tasks, queues and caches take the place of a profiler."""
    manager = make_manager(**LOCAL)
    source = HandFed("a", synced=False)
    manager.add(
        Controller("things", Scripted(), sources=[source], clock=manager.clock), needs_leader_election=False
    )
    manager.add_debug_page("/debug/mine", lambda: {"answer": 42, "sure": True})
    for name in ("mine", "status"):
        with pytest.raises(ValueError, match=f"'{name}' exists already"):
            manager.add_debug_page(name, dict)
    manager.cache.declare(PODS)
    stop = asyncio.Event()
    task = asyncio.create_task(manager.run(stop))
    try:
        await until(lambda: manager.metrics_port)
        port = manager.metrics_port
        manager.controllers["things"].queue.add(("ns", "a"))
        index = await get(port, "/debug")
        assert [line for line in index.text.splitlines() if line.startswith("/debug/")] == [
            "/debug/caches",
            "/debug/controllers",
            "/debug/election",
            "/debug/mine",
            "/debug/queues",
            "/debug/status",
            "/debug/tasks",
        ]
        assert (await get(port, "/debug/mine")).text == "answer  42\nsure    yes\n"
        queues = await get(port, "/debug/queues")
        assert queues.text.splitlines()[0].split() == [
            "QUEUE",
            "STATE",
            "ITEM",
            "PRIORITY",
            "SECONDS",
            "FAILURES",
        ]
        assert "things  ready" in queues.text
        page = await get(port, "/debug/queues?format=json")
        assert page.headers["Content-Type"].startswith("application/json")
        assert '"state":"ready"' in page.text
        assert (
            '"controller":"things"' in (await get(port, "/debug/controllers", Accept="application/json")).text
        )
        assert "pods" in (await get(port, "/debug/caches")).text
        assert "off" in (await get(port, "/debug/election")).text
        assert "manager: start" in (await get(port, "/debug/tasks")).text
        assert (await get(port, "/debug/unknown")).status == 404
    finally:
        stop.set()
        await task


async def test_debug_pages_are_on_the_probe_server_without_a_metrics_server():
    manager = make_manager(health_probe_bind_address="127.0.0.1:0")
    async with serving(manager):
        assert (await get(manager.probe_port, "/debug/election")).status == 200
        assert manager.metrics_port == 0


def test_a_table_aligns_its_columns_and_may_be_empty():
    rows = [{"name": "a", "n": 1}, {"name": "long name", "f": 0.5, "b": False}]
    assert render_table(rows) == "NAME       N  F    B\na          1\nlong name     0.5  no\n"
    assert render_table([]) == "none\n"


async def test_a_leader_that_cannot_renew_fails_its_health_check(monkeypatch):
    manager = make_manager(leader_election=LeaderElectionOptions("lock", "ns"))
    assert manager.not_healthy == {}
    monkeypatch.setattr(manager.elector, "_renewed_at", manager.clock.monotonic() - 100)
    assert "last renewed" in manager.not_healthy["leader-election"]


def test_nothing_here_needs_a_running_loop():
    registry = CollectorRegistry()
    manager = Manager(LeaseTransport(LeaseApi()), clock=virtual_clock(), registry=registry)
    manager.cache.declare(PODS)
    assert SimpleNamespace(manager=manager).manager.state == "new"
