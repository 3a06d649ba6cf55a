"""Logs are read in the background, and reported when they are there."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aimctl.controllers.execution.pod_logs import NODE_LOST_SECONDS, PodLogs
from aimctl.domain.jobs.observed import PodLog
from aimctl.domain.plan import ReadLog
from aimctl.runtime.controller import Request
from aimctl.runtime.kube import BadRequest, ConnectionFailed, NotFound, ServerError
from aimctl.testing.virtualtime import virtual_clock, virtual_time

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

REQUEST, WANTED = Request("team", "a"), ReadLog("team", "pod", "uid", "main")


class Node:
    """Answers requests for logs with what the test sets."""

    def __init__(self) -> None:
        self.answer: bytes | Exception | None = b"done"
        self.reads = 0
        self.at_once = 0
        self.most_at_once = 0

    async def logs(self, *_: object, **__: object) -> bytes:
        self.reads += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(0.5 if self.answer is not None else 1e9)
        finally:
            self.at_once -= 1
        if isinstance(self.answer, Exception):
            raise self.answer
        assert self.answer is not None
        return self.answer


class Bench:
    def __init__(self) -> None:
        self.node = Node()
        self.notified: list[tuple[float, Request]] = []
        self.clock = virtual_clock()
        self.logs = PodLogs(self.node, self.clock, self._notify, limit_bytes=1024)  # type: ignore[arg-type]

    def _notify(self, request: Request) -> None:
        self.notified.append((self.clock.monotonic(), request))

    def result(self) -> PodLog | None:
        return self.logs.result(REQUEST, WANTED.pod_uid)


@asynccontextmanager
async def bench() -> AsyncIterator[Bench]:
    b = Bench()
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(b.logs.run())
        await asyncio.sleep(0)
        yield b
        task.cancel()


@virtual_time
async def test_a_log_is_read_once_and_its_request_notified_once() -> None:
    async with bench() as b:
        b.logs.read(REQUEST, WANTED)
        b.logs.read(REQUEST, WANTED)
        assert b.result() is None
        await asyncio.sleep(1)
        b.logs.read(REQUEST, WANTED)
        await asyncio.sleep(100)
        assert b.result() == PodLog("pod", b"done")
        assert [request for _, request in b.notified] == [REQUEST]
        assert b.node.reads == 1


@virtual_time
async def test_what_is_asked_before_the_start_is_read_at_the_start() -> None:
    b = Bench()
    b.logs.read(REQUEST, WANTED)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(b.logs.run())
        await asyncio.sleep(1)
        task.cancel()
    assert b.result() == PodLog("pod", b"done")


@virtual_time
async def test_a_log_that_is_gone_is_lost_at_once() -> None:
    for gone in (NotFound(404, "NotFound", "no pod"), BadRequest(400, "BadRequest", "no container")):
        async with bench() as b:
            b.node.answer = gone
            b.logs.read(REQUEST, WANTED)
            await asyncio.sleep(1)
            assert b.result() == PodLog("pod", None)


@virtual_time
async def test_a_node_that_does_not_answer_is_lost_after_a_while_and_not_before() -> None:
    for answer in (ServerError(500, "InternalError", "kubelet"), None):
        async with bench() as b:
            b.node.answer = answer
            b.logs.read(REQUEST, WANTED)
            await asyncio.sleep(NODE_LOST_SECONDS - 1)
            assert b.result() is None
            assert b.node.reads > 5
            await asyncio.sleep(30)
            assert b.result() == PodLog("pod", None)
            assert len(b.notified) == 1


@virtual_time
async def test_an_api_server_that_is_away_loses_no_log() -> None:
    async with bench() as b:
        b.node.answer = ConnectionFailed("nothing listens", refused=True)
        b.logs.read(REQUEST, WANTED)
        await asyncio.sleep(10 * NODE_LOST_SECONDS)
        assert b.result() is None
        b.node.answer = b"late"
        await asyncio.sleep(20)
        assert b.result() == PodLog("pod", b"late")


@virtual_time
async def test_what_is_forgotten_is_dropped_and_notifies_nothing() -> None:
    async with bench() as b:
        b.logs.read(REQUEST, WANTED)
        b.logs.forget(REQUEST)
        await asyncio.sleep(10)
        assert b.notified == []
        assert b.result() is None
        b.logs.read(REQUEST, WANTED)
        await asyncio.sleep(10)
        assert b.result() == PodLog("pod", b"done")


@virtual_time
async def test_few_logs_are_read_at_once() -> None:
    async with bench() as b:
        for number in range(50):
            b.logs.read(Request("team", str(number)), WANTED)
        await asyncio.sleep(10)
        assert b.node.most_at_once == 8
        assert len(b.notified) == 50
