"""Helpers for tests of controllers: scripted reconcilers, sources and metrics."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager
from typing import Any

from aimctl.runtime.controller import Controller, Request
from aimctl.testing.virtualtime import virtual_clock


class Scripted:
    """A reconciler that follows a script. Each call uses the next entry: a value to return, an exception to raise, or a
    coroutine function to await. The last entry repeats."""

    def __init__(self, *script: Any) -> None:
        self.script = list(script) or [None]
        self.runs: list[Request] = []
        self.times: list[float] = []

    async def reconcile(self, request: Request) -> Any:
        self.runs.append(request)
        self.times.append(asyncio.get_running_loop().time())
        entry = self.script[min(len(self.runs), len(self.script)) - 1]
        if isinstance(entry, BaseException):
            raise entry
        if callable(entry):
            return await entry(request)
        return entry

    def pauses(self) -> list[float]:
        return [round(b - a, 6) for a, b in zip(self.times, self.times[1:], strict=False)]


class HandFed:
    """A source that the test controls."""

    def __init__(
        self, *initial: str, synced: bool = True, error: Exception | None = None, hang: bool = False
    ) -> None:
        self.initial = [Request("ns", name) for name in initial]
        self.synced = asyncio.Event()
        if synced:
            self.synced.set()
        self.error = error
        self.hang = hang
        self.starts = 0
        self.stops = 0
        self.queue: Any = None

    async def start(self, queue: Any) -> None:
        self.starts += 1
        if self.error is not None:
            raise self.error
        if self.hang:
            await asyncio.Event().wait()
        self.queue = queue
        for request in self.initial:
            queue.add(request)

    async def wait_synced(self) -> None:
        await self.synced.wait()

    def stop(self) -> None:
        self.stops += 1

    def describe(self) -> str:
        return "hand-fed source"


class Counting:
    """Controller metrics as plain numbers."""

    def __init__(self) -> None:
        self.results: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self.seconds: list[float] = []
        self.active = 0
        self.most_active = 0
        self.hot_loops = 0
        self.workers_set = 0

    def workers(self, count: int) -> None:
        self.workers_set = count

    def started(self) -> None:
        self.active += 1
        self.most_active = max(self.most_active, self.active)

    def finished(self, result: str | None, seconds: float) -> None:
        self.active -= 1
        if result is not None:
            self.results[result] += 1
            self.seconds.append(seconds)

    def failed(self, failure: str) -> None:
        self.failures[failure] += 1

    def hot_loop(self) -> None:
        self.hot_loops += 1


@asynccontextmanager
async def running(reconciler: Any, *sources: Any, **options: Any):
    """Run a controller in virtual time; it is cancelled at the end."""
    controller = Controller(
        options.pop("name", "test"), reconciler, sources=sources, clock=virtual_clock(), **options
    )
    task = asyncio.create_task(controller.run())
    try:
        yield controller
    finally:
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled() and task.exception() is not None:
            raise task.exception()
