"""Spans of OpenTelemetry for reconciles and API calls, with the in-memory exporter and over OTLP."""

from __future__ import annotations

import asyncio
import gzip
import os
import signal
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from aimctl.devcluster import DevCluster
from aimctl.kubetypes.builtin import CONFIG_MAPS
from aimctl.runtime import (
    CannotRun,
    LeaderElectionOptions,
    LoopClock,
    Manager,
    ManagerOptions,
    NotFound,
    Request,
    Result,
    RunOptions,
)
from aimctl.runtime.program.run import run_manager
from aimctl.runtime.program.traces import start_traces
from aimctl.testing.virtualtime import virtual_clock, virtual_time

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from opentelemetry.sdk.trace import ReadableSpan


@asynccontextmanager
async def traced_manager(
    reconcile: Callable[[Manager], object], **options: object
) -> AsyncIterator[tuple[DevCluster, InMemorySpanExporter]]:
    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    async with DevCluster(clock=virtual_clock(), controllers=False) as cluster:
        manager = Manager(
            cluster.transport(),
            clock=virtual_clock(),
            options=ManagerOptions(tracer=provider.get_tracer("test"), **options),
        )
        manager.controller("copies", reconcile(manager), for_=CONFIG_MAPS)
        stop = asyncio.Event()
        task = asyncio.create_task(manager.run(stop))
        try:
            yield cluster, exporter
        finally:
            stop.set()
            await task


def named(exporter: InMemorySpanExporter, name: str) -> list[ReadableSpan]:
    return [span for span in exporter.get_finished_spans() if span.name == name]


@virtual_time
async def test_the_calls_of_a_reconcile_are_children_of_its_span():
    def reconciler(manager: Manager):
        async def copy(request: Request) -> Result | None:
            if request.name == "source":
                await manager.client.create(
                    CONFIG_MAPS, {"metadata": {"namespace": "default", "name": "copy"}}
                )
                return Result(requeue_after=60)
            return None

        return copy

    async with traced_manager(reconciler) as (cluster, exporter):
        await cluster.client().create(CONFIG_MAPS, {"metadata": {"namespace": "default", "name": "source"}})
        await asyncio.sleep(1)
        first = next(
            span
            for span in named(exporter, "reconcile copies")
            if span.attributes["k8s.object.name"] == "source"
        )
        assert dict(first.attributes) == {
            "controller": "copies",
            "k8s.namespace.name": "default",
            "k8s.object.kind": "ConfigMap",
            "k8s.object.name": "source",
            "requeue_after_seconds": 60,
        }
        assert first.parent is None
        assert first.status.status_code is StatusCode.UNSET
        [call] = [span for span in named(exporter, "POST") if span.parent is not None]
        assert call.parent.span_id == first.context.span_id
        assert dict(call.attributes) == {
            "http.request.method": "POST",
            "url.path": "/api/v1/namespaces/default/configmaps",
            "http.response.status_code": 201,
        }


@virtual_time
async def test_an_error_is_recorded_and_an_expected_response_is_not():
    def reconciler(manager: Manager):
        async def fail(request: Request) -> None:
            with pytest.raises(NotFound):
                await manager.api_reader.get(CONFIG_MAPS, "missing", "default")
            raise ValueError("no size")

        return fail

    async with traced_manager(reconciler) as (cluster, exporter):
        await cluster.client().create(CONFIG_MAPS, {"metadata": {"namespace": "default", "name": "a"}})
        await asyncio.sleep(0.001)
        failed = named(exporter, "reconcile copies")[0]
        assert failed.status.status_code is StatusCode.ERROR
        assert failed.events[0].attributes["exception.message"] == "no size"
        [read] = [
            span
            for span in named(exporter, "GET")
            if span.parent and span.attributes["url.path"].endswith("/missing")
        ]
        assert read.attributes["http.response.status_code"] == 404
        assert read.status.status_code is StatusCode.UNSET


@virtual_time
async def test_watches_have_no_spans_and_renewals_of_the_lease_have_their_own():
    def reconciler(manager: Manager):
        async def nothing(request: Request) -> None:
            pass

        return nothing

    lease = LeaderElectionOptions("traced", "default")
    async with traced_manager(reconciler, leader_election=lease) as (_, exporter):
        await asyncio.sleep(30)
        spans = exporter.get_finished_spans()
        renewals = [span for span in spans if span.attributes["url.path"].endswith("/leases/traced")]
        assert len(renewals) >= 3
        assert all(span.parent is None for span in renewals)
        assert len([span for span in spans if span.attributes["url.path"].endswith("/configmaps")]) <= 1, (
            "the list"
        )


@virtual_time
async def test_a_reconciler_that_is_no_async_function_is_reported_as_without_traces(capsys):
    def reconciler(manager: Manager):
        return lambda request: None

    async with traced_manager(reconciler) as (cluster, exporter):
        await cluster.client().create(CONFIG_MAPS, {"metadata": {"namespace": "default", "name": "a"}})
        await asyncio.sleep(1)
        assert named(exporter, "reconcile copies") == []
    assert "define it with 'async def'" in capsys.readouterr().out


@virtual_time
async def test_an_object_that_is_no_reconciler_is_rejected_as_without_traces():
    with pytest.raises(TypeError, match="async def reconcile"):
        async with traced_manager(lambda manager: "copies"):
            pass


async def test_a_program_exports_to_the_collector_of_the_environment(tmp_path: Path, monkeypatch):
    received: list[ExportTraceServiceRequest] = []

    async def collect(request: web.Request) -> web.Response:
        body = await request.read()
        if request.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        received.append(ExportTraceServiceRequest.FromString(body))
        return web.Response(content_type="application/x-protobuf")

    app = web.Application()
    app.router.add_post("/v1/traces", collect)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
    environ = {"OTEL_TRACES_EXPORTER": "otlp"}
    async with DevCluster(clock=LoopClock(), controllers=False) as cluster:
        await cluster.serve()
        options = RunOptions(
            "my-operator",
            kubeconfig=str(cluster.write_kubeconfig(tmp_path / "config")),
            leader_elect=False,
            metrics_bind_address="0",
            health_probe_bind_address="0",
        )
        reconciled = asyncio.Event()

        async def reconcile(request: Request) -> None:
            reconciled.set()

        async def no_check(manager: Manager, connection: object) -> None:
            pass

        await cluster.client().create(CONFIG_MAPS, {"metadata": {"namespace": "default", "name": "a"}})
        task = asyncio.create_task(
            run_manager(
                options,
                lambda manager: manager.controller("things", reconcile, for_=CONFIG_MAPS),
                environ=environ,
                check=no_check,
            )
        )
        await reconciled.wait()
        os.kill(os.getpid(), signal.SIGTERM)
        await task
    await runner.cleanup()
    [exported] = [spans for request in received for spans in request.resource_spans]
    assert {attribute.key: attribute.value.string_value for attribute in exported.resource.attributes}[
        "service.name"
    ] == "my-operator"
    assert "reconcile things" in {span.name for scope in exported.scope_spans for span in scope.spans}


def test_traces_are_off_by_default_and_a_wrong_exporter_is_an_error():
    assert start_traces("my-operator", {}) is None
    assert start_traces("my-operator", {"OTEL_TRACES_EXPORTER": "none"}) is None
    assert start_traces("my-operator", {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_SDK_DISABLED": "true"}) is None
    with pytest.raises(Exception, match=r"\$OTEL_TRACES_EXPORTER='zipkin': use otlp, console, or none"):
        start_traces("my-operator", {"OTEL_TRACES_EXPORTER": "zipkin"})


async def test_a_wrong_exporter_ends_the_program_with_one_line(tmp_path: Path):
    async with DevCluster(clock=LoopClock(), controllers=False) as cluster:
        await cluster.serve()
        options = RunOptions("my-operator", kubeconfig=str(cluster.write_kubeconfig(tmp_path / "config")))
        with pytest.raises(CannotRun, match="use otlp, console, or none"):
            await run_manager(options, environ={"OTEL_TRACES_EXPORTER": "jaeger"})
