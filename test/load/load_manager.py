"""The manager under load: it reconciles templates that change, and has protected metrics.

It speaks JSON lines, like the processes of ``test/bench``:
    manager: ``{"port": N}``       the metrics port, when it leads and its cache is synced
    run:     ``window``            the window before ends, a new one begins
    manager: ``{"changes": n, "p50_ms": .., "p99_ms": .., ...}``  the delays of the window that ended
    run:     closes the input      end

A delay is the time from a change in the storage of the API server until its reconcile has ended. A reconcile reads the
object from the cache and, with ``--write``, writes an annotation of it.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from pathlib import Path

from prometheus_client import Gauge

sys.path.insert(0, str(Path(__file__).parents[1] / "bench"))
from measure import Stalls, percentile, read_commands, say
from templates import PLURAL, SENT

from aimctl.runtime import (
    ConnectionInfo,
    HttpTransport,
    LeaderElectionOptions,
    LoopClock,
    Manager,
    ManagerOptions,
    Request,
    Resource,
    SecureServing,
    configure_logging,
    new_event_loop,
)

TEMPLATES = Resource.untyped("aim.silogen.ai", "v1alpha1", "AIMServiceTemplate", PLURAL)
DONE = "aimctl-load/done"
SERIES = 1000
"""Further series, so that the page is as large as that of an operator."""

_SAMPLE_SECONDS = 0.25


class Window:
    """What was measured since it was made."""

    def __init__(self) -> None:
        self.delays: list[float] = []
        self.oldest_renewal = 0.0
        self.stalls = Stalls()
        self.cpu = time.process_time()

    def report(self) -> None:
        """Say it."""
        say(
            changes=len(self.delays),
            p50_ms=percentile(self.delays, 0.5) if self.delays else 0.0,
            p99_ms=percentile(self.delays, 0.99) if self.delays else 0.0,
            stall_ms=self.stalls.stop(),
            cpu_seconds=time.process_time() - self.cpu,
            renewed_seconds_ago=self.oldest_renewal,
        )


async def serve(options: argparse.Namespace) -> None:
    clock, end = LoopClock(), asyncio.Event()
    connection = ConnectionInfo(options.server, ca_file=options.ca)
    async with HttpTransport(connection, clock=clock) as transport:
        manager = Manager(
            transport,
            clock=clock,
            options=ManagerOptions(
                leader_election=LeaderElectionOptions("load", "default"),
                metrics_bind_address="127.0.0.1:0",
                metrics_secure=SecureServing(),
                freeze_after_sync=True,
                stall_seconds=0.15,
            ),
        )
        filler = Gauge("load_filler", "Makes the page larger.", ["number"], registry=manager.metrics.registry)
        for number in range(SERIES):
            filler.labels(str(number)).set(number)
        last: dict[Request, str] = {}
        window = Window()

        async def reconcile(request: Request) -> None:
            obj = manager.cache.get(TEMPLATES, request.name, request.namespace)
            assert obj is not None
            sent = obj.meta.annotations.get(SENT, "")
            if sent == last.get(request, ""):
                return
            last[request] = sent
            if options.write:
                patch = {"metadata": {"annotations": {DONE: sent}}}
                await manager.client.patch(TEMPLATES, request.name, patch, request.namespace)
            window.delays.append((time.monotonic_ns() - int(sent)) / 1e6)

        def command(line: str) -> None:
            nonlocal window
            if line == "window":
                window.report()
                window = Window()
            elif not line:
                end.set()

        async def watch_renewals() -> None:
            while True:
                assert manager.elector is not None
                age = manager.elector.renewed_seconds_ago or 0.0
                window.oldest_renewal = max(window.oldest_renewal, age)
                await asyncio.sleep(_SAMPLE_SECONDS)

        manager.controller("templates", reconcile, for_=TEMPLATES, max_concurrent_reconciles=4)
        async with asyncio.TaskGroup() as tasks:
            helpers = [tasks.create_task(read_commands(command)), tasks.create_task(watch_renewals())]
            running = tasks.create_task(manager.run(end))
            await manager.elected.wait()
            say(port=manager.metrics_port)
            await running
            for helper in helpers:
                helper.cancel()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--server", required=True)
    parser.add_argument("--ca", required=True)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    configure_logging("warning")
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(serve(options))


main()
