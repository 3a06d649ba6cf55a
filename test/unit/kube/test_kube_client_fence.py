"""The write guard of a client: called before each write, limits its time, and learns of unclear writes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from aimctl.kubetypes.builtin import PODS
from aimctl.runtime.kube import ApiError, Client, ConnectionFailed, KubeError, WriteRefused
from aimctl.testing.virtualtime import virtual_clock, virtual_time
from support.scripted import Answer, ScriptedTransport, failure, pod

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

COLLECTION = "/api/v1/namespaces/default/pods"

WRITES: dict[str, Callable[[Client], Awaitable[Any]]] = {
    "create": lambda client: client.create(PODS, pod()),
    "update": lambda client: client.update(PODS, pod()),
    "patch": lambda client: client.patch(PODS, "a", {}, "default"),
    "apply": lambda client: client.apply(PODS, pod()),
    "delete": lambda client: client.delete(PODS, "a", "default"),
    "raw": lambda client: client.raw("POST", COLLECTION, body=b"{}"),
}
every_write = pytest.mark.parametrize("verb", WRITES)


class Fence:
    """Permits writes for a number of seconds; counts unclear writes."""

    def __init__(self, seconds: float | None = None) -> None:
        self.seconds = seconds
        self.refuses = False
        self.open = 0

    def guard(self) -> float | None:
        if self.refuses:
            raise WriteRefused("not now")
        return self.seconds

    def left_open(self) -> None:
        self.open += 1

    def client(self, wire: ScriptedTransport) -> Client:
        return Client(wire, clock=virtual_clock(), write_guard=self.guard, on_unclear=self.left_open)


def answering(answer: Any) -> ScriptedTransport:
    wire = ScriptedTransport()
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        wire.on(method, "*", answer)
    return wire


async def silence(_seen: Any) -> Answer:
    await asyncio.Event().wait()
    raise AssertionError


async def late(_seen: Any) -> Answer:
    await asyncio.sleep(3)
    return Answer(200, pod())


@every_write
@virtual_time
async def test_a_write_ends_after_the_time_limit_of_the_guard(verb: str) -> None:
    fence = Fence(4.0)
    with pytest.raises(ConnectionFailed, match=r"no complete response within 4 s"):
        await WRITES[verb](fence.client(answering(silence)))
    assert asyncio.get_running_loop().time() == 4
    assert fence.open == 1


@every_write
@virtual_time
async def test_a_write_within_its_time_limit_succeeds(verb: str) -> None:
    for seconds in (4.0, None):
        fence = Fence(seconds)
        await WRITES[verb](fence.client(answering(late)))
        assert fence.open == 0


@virtual_time
@pytest.mark.parametrize(("allowed", "ends"), [(None, 2.5), (10.0, 2.5), (1.0, 1.0)])
async def test_a_create_sends_its_timeout_to_the_server_and_ends_at_the_shorter_limit(
    allowed: float | None, ends: float
) -> None:
    wire, fence = answering(silence), Fence(allowed)
    with pytest.raises(ConnectionFailed):
        await fence.client(wire).create(PODS, pod(), timeout_seconds=2.5)
    assert asyncio.get_running_loop().time() == ends
    assert wire.seen[0].query["timeout"] == "2.5s"
    assert fence.open == 1


@virtual_time
async def test_reads_have_no_time_limit_of_the_guard() -> None:
    fence = Fence(1.0)
    assert (await fence.client(answering(late)).get(PODS, "a", "default")).meta.name == "a"


@every_write
@pytest.mark.parametrize(
    "answer",
    [ConnectionFailed("reset by peer"), failure(504, "Timeout"), failure(502)],
    ids=["broken", "timed out", "lost behind a proxy"],
)
@virtual_time
async def test_a_write_without_a_response_is_reported_as_unclear(verb: str, answer: Any) -> None:
    fence = Fence()
    with pytest.raises(KubeError):
        await WRITES[verb](fence.client(answering(answer)))
    assert fence.open == 1


@every_write
@virtual_time
async def test_a_cancelled_write_is_reported_as_unclear(verb: str) -> None:
    fence = Fence()
    task = asyncio.ensure_future(WRITES[verb](fence.client(answering(silence))))
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert fence.open == 1


@every_write
@pytest.mark.parametrize(
    "answer",
    [
        ConnectionFailed("refused", refused=True),
        failure(403, "Forbidden"),
        failure(409, "Conflict"),
        failure(429, "TooManyRequests"),
        failure(500, "InternalError"),
    ],
    ids=["refused", "403", "409", "429", "500"],
)
@virtual_time
async def test_a_write_with_a_response_or_a_refused_connection_is_not_unclear(verb: str, answer: Any) -> None:
    fence = Fence()
    with pytest.raises((ApiError, ConnectionFailed)):
        await WRITES[verb](fence.client(answering(answer)))
    assert fence.open == 0


@every_write
@virtual_time
async def test_a_write_refused_by_the_guard_is_neither_sent_nor_unclear(verb: str) -> None:
    fence, wire = Fence(), answering(late)
    fence.refuses = True
    with pytest.raises(WriteRefused):
        await WRITES[verb](fence.client(wire))
    assert (wire.seen, fence.open) == ([], 0)


@virtual_time
async def test_a_timeout_of_the_caller_stays_a_timeout_error() -> None:
    fence = Fence(10.0)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(2):
            await fence.client(answering(silence)).create(PODS, pod())
    assert fence.open == 1
