"""The connection of one simulated process to the API server, and what can go wrong on it.

Contract:
    * Every request takes a random time on the way. A write that has left the process arrives, whatever becomes of the
      process or of its time limit. Its effect may come after the client has given up.
    * :attr:`Connection.dead` is the end of the process: nothing leaves it from then on.
    * The fields ``refused``, ``lost``, ``slow``, ``lag`` and ``crash`` describe the present faults. They may change at
      any time, also while watches are open.
    * Each request and each line of a watch that arrives is an entry of the trace.
"""

from __future__ import annotations

import asyncio
import contextvars
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, final

import msgspec

from aimctl.devcluster.apiserver.wire.requests import Query, parse_request
from aimctl.runtime.kube.errors import ConnectionFailed
from aimctl.testing.ordering import GROUP

if TYPE_CHECKING:
    import random
    from collections.abc import AsyncIterator, Callable, Mapping

    from aimctl.devcluster.apiserver.wire.requests import RequestInfo
    from aimctl.runtime.kube.transport import HttpRequest, HttpResponse, Transport
    from aimctl.testing.simulation.trace import Trace

__all__ = ["VERSION", "Connection", "CrashPoint", "Sent", "describe"]

VERSION: ContextVar[str] = ContextVar("aimctl_testing_version", default="")
"""The resourceVersion in the query of the present request, for the predicates of faults."""

READS = frozenset({"get", "list", "watch"})
_TIMEOUT_SECONDS = 30.0


@dataclass(slots=True)
class CrashPoint:
    """The process ends at one of its requests.

    Attributes:
        skip: the number of requests that come before; only writes count if ``writes_only``.
        side: ``before`` the request is sent, or ``after`` it took effect and before its response arrives.
        writes_only: whether only writes count. Renewals of Leases never count then.
    """

    skip: int = 0
    side: Literal["before", "after"] = "before"
    writes_only: bool = False


@dataclass(frozen=True, slots=True)
class Sent:
    """A request that a process has sent.

    Attributes:
        at: virtual time.
        info: verb, resource, namespace and name.
    """

    at: float
    info: RequestInfo

    @property
    def is_write(self) -> bool:
        """Whether it is a write, other than that of a Lease."""
        return self.info.verb not in READS and self.info.resource != "leases"


@final
@dataclass(eq=False)
class Connection:
    """A :class:`~aimctl.runtime.kube.transport.Transport` with faults.

    Attributes:
        inner: the transport to the server.
        name: of the process, in the trace.
        rng: for the times on the way.
        trace: of the run.
        on_send: called with each request before it is sent.
        on_crash: called when the crash point is reached.
        latency: shortest and longest time of a request on the way, in seconds.
        refused: which requests are refused: plural names of kinds, or "*".
        lost: how many of the next writes get no response: of each, whether it arrives.
        slow: by how many seconds each of the next writes is late.
        lag: seconds by which the lines of watches are late, by plural name of the kind; may be changed meanwhile.
        cut: a number for each kind; watches that were opened with another number break.
        crash: where the process ends.
        watch_filter: may change or remove a line of a watch.
        dead: nothing leaves the process from now on.
        sent: all requests.
    """

    inner: Transport
    name: str
    rng: random.Random
    trace: Trace
    on_send: Callable[[Sent], None]
    on_crash: Callable[[], None]
    latency: tuple[float, float] = (0.0005, 0.01)
    refused: set[str] = field(default_factory=set)
    lost: list[bool] = field(default_factory=list)
    slow: list[float] = field(default_factory=list)
    lag: dict[str, float] = field(default_factory=dict)
    cut: dict[str, int] = field(default_factory=dict)
    crash: CrashPoint | None = None
    watch_filter: Callable[[RequestInfo, bytes], bytes | None] | None = None
    dead: bool = False
    sent: list[Sent] = field(default_factory=list)
    _flying: set[asyncio.Task[Any]] = field(default_factory=set)

    def heal(self) -> None:
        """End all faults."""
        self.refused.clear()
        self.lost.clear()
        self.slow.clear()
        self.lag.clear()
        self.crash = None

    def cut_watches(self, plural: str) -> None:
        """Break the open watches of a kind."""
        self.cut[plural] = self.cut.get(plural, 0) + 1

    @asynccontextmanager
    async def send(
        self, request: HttpRequest, *, stream: bool = False, timeout_seconds: float | None = None
    ) -> AsyncIterator[HttpResponse]:
        """Send a request, see :class:`~aimctl.runtime.kube.transport.Transport`."""
        info = parse_request(request, Query(request.query))
        if self.dead:
            raise ConnectionFailed("the process has ended", refused=True)
        crash = self._at_crash_point(info)
        if crash == "before":
            await self._crash(info)
        VERSION.set(next((value for key, value in request.query if key == "resourceVersion"), ""))
        sent = Sent(asyncio.get_running_loop().time(), info)
        self.sent.append(sent)
        self.on_send(sent)
        if "*" in self.refused or info.resource in self.refused:
            self.trace.add(self.name, f"{describe(info)}: connection refused")
            raise ConnectionFailed("injected: connection refused", refused=True)
        if info.verb in READS or not info.resource:
            await asyncio.sleep(self.rng.uniform(*self.latency))
            async with self.inner.send(request, stream=stream, timeout_seconds=timeout_seconds) as answer:
                if crash:
                    await self._crash(info)
                if info.verb != "watch":
                    self.trace.add(self.name, f"{describe(info)} -> {answer.status}")
                yield _Stream(self, info, answer) if info.verb == "watch" else answer
            return
        outside = contextvars.copy_context()
        outside.run(GROUP.set, "")  # what is on the way does not wait for a process that is blocked
        task = asyncio.get_running_loop().create_task(
            self._arrive(request, info), name=f"{self.name} writes", context=outside
        )
        self._flying.add(task)
        task.add_done_callback(self._landed)
        if crash:
            await asyncio.wait([task])
            await self._crash(info)
        try:
            async with asyncio.timeout(timeout_seconds or _TIMEOUT_SECONDS):
                yield await asyncio.shield(task)
        except TimeoutError as error:
            raise ConnectionFailed(f"{request.method} {request.path}: no response in time") from error

    async def _arrive(self, request: HttpRequest, info: RequestInfo) -> HttpResponse:
        """Carry a write to the server and its response back."""
        arrives = self.lost.pop() if self.lost and info.resource != "leases" else None
        late = self.slow.pop() if self.slow and info.resource != "leases" else 0.0
        if arrives is False:
            self.trace.add(self.name, f"{describe(info)}: the request is lost")
            await asyncio.Event().wait()
        await asyncio.sleep(late + self.rng.uniform(*self.latency))
        async with self.inner.send(request) as answer:
            whole = _Whole(answer.status, answer.headers, await answer.read())
        note = " (late)" if late else ", the response is lost" if arrives else ""
        self.trace.add(self.name, lambda: _outcome(info, whole, note))
        if arrives:
            await asyncio.Event().wait()
        return whole

    def _at_crash_point(self, info: RequestInfo) -> str:
        point = self.crash
        if point is None or (point.writes_only and (info.verb in READS or info.resource == "leases")):
            return ""
        if point.skip:
            point.skip -= 1
            return ""
        self.crash = None
        return point.side

    async def _crash(self, info: RequestInfo) -> None:
        self.trace.add(self.name, f"crashes at: {describe(info)}")
        self.dead = True
        self.on_crash()
        await asyncio.Event().wait()

    def _landed(self, task: asyncio.Task[Any]) -> None:
        self._flying.discard(task)
        if not task.cancelled():
            task.exception()

    async def aclose(self) -> None:
        """Refuse all later requests."""
        self.dead = True


@final
class _Whole:
    """A response that has arrived."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self._status, self._headers, self._body = status, headers, body

    @property
    def status(self) -> int:
        return self._status

    @property
    def headers(self) -> Mapping[str, str]:
        return self._headers

    async def read(self) -> bytes:
        return self._body

    async def chunks(self) -> AsyncIterator[bytes]:
        yield self._body

    def reason(self) -> str:
        """The version that was written, or why not."""
        try:
            body = msgspec.json.decode(self._body, type=dict[str, Any])
        except msgspec.MsgspecError:  # a proxy answers with text
            return self._body[:160].decode(errors="replace").strip()
        version = body.get("metadata", {}).get("resourceVersion")
        return (
            f"version {version}" if version else f"{body.get('reason', '')} {body.get('message', '')[:160]}"
        )


def _outcome(info: RequestInfo, response: _Whole, note: str) -> str:
    return f"{describe(info)} -> {response.status}{note} {response.reason()}".rstrip()


@final
class _Stream:
    """A watch, whose lines may be late, be filtered, or end."""

    def __init__(self, connection: Connection, info: RequestInfo, inner: HttpResponse) -> None:
        self._connection, self._info, self._inner = connection, info, inner
        self._cut = connection.cut.get(info.resource, 0)

    @property
    def status(self) -> int:
        return self._inner.status

    @property
    def headers(self) -> Mapping[str, str]:
        return self._inner.headers

    async def read(self) -> bytes:
        return await self._inner.read()

    async def chunks(self) -> AsyncIterator[bytes]:
        own, info = self._connection, self._info
        async for chunk in self._inner.chunks():
            await self._delay()
            if own.dead or own.cut.get(info.resource, 0) != self._cut or "*" in own.refused:
                raise ConnectionFailed("injected: the watch was cut")
            data: bytes | None = chunk
            if own.watch_filter is not None:
                data = own.watch_filter(info, chunk)
            own.trace.add(own.name, _Seen(info, data or b""))
            if data:
                yield data

    async def _delay(self) -> None:
        own, begun = self._connection, asyncio.get_running_loop().time()
        while not own.dead:
            lag = max(own.lag.get(self._info.resource, 0.0), own.lag.get("*", 0.0))
            left = begun + lag - asyncio.get_running_loop().time()
            if left <= 0:
                return
            await asyncio.sleep(min(left, 1.0))


@final
class _Seen:
    """The lines of a watch as text."""

    __slots__ = ("_chunk", "_info")

    def __init__(self, info: RequestInfo, chunk: bytes) -> None:
        self._info, self._chunk = info, chunk

    def __call__(self) -> str:
        found = []
        for line in self._chunk.splitlines():
            try:
                event = msgspec.json.decode(line)
            except msgspec.DecodeError:
                found.append("an incomplete line")
                continue
            meta = event["object"].get("metadata", {})
            place = "/".join(filter(None, (meta.get("namespace"), meta.get("name"))))
            found.append(f"{event['type']} {place} {meta.get('resourceVersion', '')}".replace("  ", " "))
        return f"sees {self._info.resource}: {', '.join(found) or 'nothing'}"


def describe(info: RequestInfo) -> str:
    """A request as text, such as ``patch aimservices/status team/chat``."""
    what = "/".join(filter(None, (info.resource, info.subresource))) or info.path
    place = "/".join(filter(None, (info.namespace, info.name)))
    return f"{info.verb} {what} {place}".rstrip()
