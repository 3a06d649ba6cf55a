"""The connection of a manager to the API server, with the faults of the patterns.

Contract: :class:`Line` is shared by all managers of one run. It numbers their writes from 1 in the order in which they
are sent. :class:`Link` is the transport of one manager.
    * A crash before a write: the request does not reach the server. A crash after it: the server has answered, and the
      response does not reach the manager.
    * A request or a response can be lost. The manager receives the same error in both cases. A write can
      also be late: its request and its response take :data:`LATE_SECONDS` each.
    * A kind that is *stale* is listed at an older resourceVersion, unless the newest state is requested, as by a watch
      cache that lags. Reads of single objects are not served from a watch cache.
    * The watches of a kind that is *held* deliver nothing until it is released. After that they catch up, with a pause
      between two events, so that the manager also sees the states in between.
    * The watches of a kind that is *cut* end before the next event. New ones are refused until it is released; the
      first one then gets 410, so that the kind is listed.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from aimctl.devcluster.faults import Match, StaleRead
from aimctl.runtime.kube.errors import ConnectionFailed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from aimctl.devcluster import DevCluster
    from aimctl.runtime.kube.transport import HttpRequest, HttpResponse

__all__ = ["Line", "Link", "Write", "WriteFault"]

LATE_SECONDS = 2.5
"""Delay of the request, and of the response, of a write that is late."""

_REVIEWS = "/apis/authorization.k8s.io/"
_CATCH_UP_SECONDS = 10.0
"""Time after a release in which watches deliver events with pauses."""
_PAUSE_SECONDS = 0.1


class Write(NamedTuple):
    """A write of a manager."""

    identity: str
    method: str
    path: str

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


class WriteFault(Enum):
    """What happens at a write."""

    CRASH = auto()
    """The manager crashes."""
    UNSENT = auto()
    """The server does not receive the request."""
    LOST = auto()
    """The manager does not receive the response."""
    LATE = auto()
    """The server receives the request late, and the manager the response."""


class Line:
    """What the connections of one run share.

    Args:
        cluster: the server.
        crash: called with the identity of the manager that crashes at this moment.
    """

    def __init__(self, cluster: DevCluster, crash: Callable[[str], None]) -> None:
        self.cluster = cluster
        self.crash = crash
        self.fault: Callable[[int, bool], WriteFault | None] = lambda _number, _after: None
        """Called before, or after, the write with this number."""
        self.isolated: set[str] = set()
        """The managers whose requests for Leases fail."""
        self.events = True
        """Whether Events reach the server. If not, they are no writes, and are accepted without being stored."""
        self.writes: list[Write] = []
        self.watched: set[str] = set()
        """The plurals of all kinds that were listed or watched."""
        self.stale: dict[str, int] = {}
        """The resourceVersion at which a kind is listed."""
        self.before_write: list[Callable[[str, HttpRequest], None]] = []
        """Called with the identity and the request before the server handles it."""
        self._held: dict[str, _Hold] = {}
        self._behind: dict[str, float] = {}
        """Until when the watches of a kind catch up."""
        self._cut: set[str] = set()
        self._gone: set[str] = set()

    def hold(self, plural: str, identity: str = "") -> None:
        """Deliver no events of a kind, to all managers or to one."""
        self._held[plural] = _Hold(identity)

    def cut(self, plural: str) -> None:
        """End the watches of a kind before the next event, and refuse new ones."""
        self._cut.add(plural)

    def release(self, plural: str) -> None:
        """End all faults of a kind. Events that were held are delivered; those that were cut off are not."""
        self.stale.pop(plural, None)
        held = self._held.pop(plural, None)
        if held is not None:
            held.ended.set()
            self._behind[plural] = asyncio.get_running_loop().time() + _CATCH_UP_SECONDS
        if plural in self._cut:
            self._cut.discard(plural)
            self._gone.add(plural)

    def refuses(self, plural: str) -> bool:
        """Whether watches of a kind are refused."""
        return plural in self._cut

    def expires(self, plural: str) -> bool:
        """Whether the next watch of a kind gets 410; True once."""
        expired = plural in self._gone
        self._gone.discard(plural)
        return expired

    async def delivery(self, plural: str, identity: str) -> None:
        """Wait while a kind is held for a manager.

        Raises:
            ConnectionFailed: the watches of the kind are cut.
        """
        held = self._held.get(plural)
        if held is not None and held.identity in ("", identity):
            await held.ended.wait()
        elif asyncio.get_running_loop().time() < self._behind.get(plural, 0.0):
            await asyncio.sleep(_PAUSE_SECONDS)
        if plural in self._cut:
            raise ConnectionFailed("the watch was cut")


class _Hold:
    """Watches that deliver nothing, of all managers or of one."""

    def __init__(self, identity: str) -> None:
        self.identity = identity
        self.ended = asyncio.Event()


class Link:
    """The transport of one manager.

    Args:
        line: shared by all managers.
        identity: of the manager.
    """

    def __init__(self, line: Line, identity: str) -> None:
        self._line = line
        self._inner = line.cluster.transport()
        self._identity = identity

    @asynccontextmanager
    async def send(
        self, request: HttpRequest, *, stream: bool = False, timeout_seconds: float | None = None
    ) -> AsyncIterator[HttpResponse]:
        line = self._line
        if self._identity in line.isolated and "/leases" in request.path:
            raise ConnectionFailed("the manager is isolated", refused=True)
        if request.method == "GET":
            async with self._read(request, stream, timeout_seconds) as response:
                yield response
            return
        if request.path.startswith(_REVIEWS):
            async with self._inner.send(request, timeout_seconds=timeout_seconds) as response:
                yield response
            return
        if not line.events and plural_of(request.path) == "events":
            yield _Reply(201, request.body or b"")
            return
        line.writes.append(Write(self._identity, request.method, request.path))
        number = len(line.writes)
        fault = line.fault(number, False)
        match fault:
            case WriteFault.CRASH:
                line.crash(self._identity)
                raise ConnectionFailed("the process crashed before the write")
            case WriteFault.UNSENT:
                raise ConnectionFailed("the request was lost")
            case WriteFault.LATE:
                await asyncio.sleep(LATE_SECONDS)
        for check in line.before_write:
            check(self._identity, request)
        async with self._inner.send(request, timeout_seconds=timeout_seconds) as response:
            match line.fault(number, True):
                case WriteFault.CRASH:
                    line.crash(self._identity)
                    raise ConnectionFailed("the process crashed after the write")
                case WriteFault.LOST:
                    raise ConnectionFailed("the response was lost")
            if fault is WriteFault.LATE:
                await asyncio.sleep(LATE_SECONDS)
            yield response

    @asynccontextmanager
    async def _read(
        self, request: HttpRequest, stream: bool, timeout_seconds: float | None
    ) -> AsyncIterator[HttpResponse]:
        line, query, plural = self._line, dict(request.query), plural_of(request.path)
        if query.get("watch"):
            line.watched.add(plural)
            if line.refuses(plural):
                raise ConnectionFailed("the watch is refused", refused=True)
            if query.get("sendInitialEvents") and plural in line.stale:
                yield _status(422, "Invalid", "sendInitialEvents is forbidden by this server")
                return
            if line.expires(plural):
                yield _status(410, "Expired", "too old resource version")
                return
            async with self._inner.send(request, stream=stream, timeout_seconds=timeout_seconds) as response:
                yield _Delivered(response, line, plural, self._identity)
            return
        version, wanted = line.stale.get(plural, -1), query.get("resourceVersion", "")
        if wanted.isdecimal() and int(wanted) <= version:
            stale = StaleRead(version)
            with line.cluster.faults.active(stale, Match(verb="list", resource=plural)):
                async with self._inner.send(
                    request, stream=stream, timeout_seconds=timeout_seconds
                ) as response:
                    yield response
            return
        async with self._inner.send(request, stream=stream, timeout_seconds=timeout_seconds) as response:
            yield response

    async def aclose(self) -> None:
        await self._inner.aclose()


def plural_of(path: str) -> str:
    """The plural in the path of a collection or object; "" for other paths."""
    parts = path.strip("/").split("/")
    rest = parts[2:] if parts[0] == "api" else parts[3:] if parts[0] == "apis" else []
    if len(rest) > 2 and rest[0] == "namespaces":
        rest = rest[2:]
    return rest[0] if rest else ""


def _status(code: int, reason: str, message: str) -> _Reply:
    body = {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "reason": reason,
        "message": message,
        "code": code,
    }
    return _Reply(code, msgspec.json.encode(body))


class _Reply:
    """A response that does not come from the server."""

    def __init__(self, status: int, body: bytes) -> None:
        self.status = status
        self.headers: Mapping[str, str] = {"content-type": "application/json"}
        self._body = body

    async def read(self) -> bytes:
        return self._body

    async def chunks(self) -> AsyncIterator[bytes]:
        yield self._body


class _Delivered:
    """The response of a watch, whose events can be held or cut."""

    def __init__(self, inner: Any, line: Line, plural: str, identity: str) -> None:
        self._inner, self._line, self._plural, self._identity = inner, line, plural, identity
        self.status: int = inner.status
        self.headers: Mapping[str, str] = inner.headers

    async def read(self) -> bytes:
        return b"".join([chunk async for chunk in self.chunks()])

    async def chunks(self) -> AsyncIterator[bytes]:
        async for chunk in self._inner.chunks():
            await self._line.delivery(self._plural, self._identity)
            yield chunk
