"""Servers and transports with scripted responses.

:class:`ScriptedServer` is a real HTTP server on a real socket, :class:`ScriptedTransport` the same idea without
sockets, for virtual time. Both have responses per request line and record the requests. The responses of one
request line are used in order; the last one is repeated.
"""

from __future__ import annotations

import asyncio
import inspect
from collections import defaultdict
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import msgspec
from aiohttp import web
from multidict import CIMultiDict

from aimctl.runtime.kube.errors import ConnectionFailed

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from aimctl.runtime.kube.transport import HttpRequest


@dataclass
class Answer:
    """A complete response. A body that is not bytes is encoded as JSON."""

    status: int = 200
    body: Any = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    chunks: tuple[bytes, ...] | None = None

    @property
    def payload(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else msgspec.json.encode(self.body)


def status_body(code: int, reason: str = "", message: str = "", **details: Any) -> dict[str, Any]:
    """A metav1.Status of failure."""
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message or f"scripted failure {code}",
        "reason": reason,
        "details": details or None,
        "code": code,
    }


def failure(
    code: int,
    reason: str = "",
    message: str = "",
    *,
    headers: Mapping[str, str] | None = None,
    **details: Any,
) -> Answer:
    return Answer(code, status_body(code, reason, message, **details), headers or {})


def missing(name: str = "a", kind: str = "pods") -> Answer:
    """The response for an object that does not exist."""
    return failure(404, "NotFound", f'{kind} "{name}" not found', name=name, kind=kind)


def event(type_: str, body: Mapping[str, Any]) -> bytes:
    """One watch line."""
    return msgspec.json.encode({"type": type_, "object": body}) + b"\n"


def pod(name: str = "a", namespace: str = "default", rv: int = 1, **more: Any) -> dict[str, Any]:
    """A Pod as the server would write it."""
    metadata = {"name": name, "namespace": namespace, "uid": f"uid-{name}", "resourceVersion": str(rv)}
    metadata |= more.pop("metadata", {})
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, **more}


def pod_list(
    *items: Mapping[str, Any], rv: int = 1, more: str = "", remaining: int | None = None
) -> dict[str, Any]:
    """A PodList whose items, as on a real server, have no kind."""
    metadata: dict[str, Any] = {"resourceVersion": str(rv)}
    if more:
        metadata |= {"continue": more, "remainingItemCount": remaining}
    bare = [
        {key: value for key, value in item.items() if key not in ("kind", "apiVersion")} for item in items
    ]
    return {"kind": "PodList", "apiVersion": "v1", "metadata": metadata, "items": bare}


@dataclass(frozen=True)
class Seen:
    """A received request."""

    method: str
    path: str
    query: dict[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)


class _Script:
    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self._answers: dict[tuple[str, str], list[Any]] = defaultdict(list)

    def on(self, method: str, path: str, *answers: Any) -> Self:
        """Respond with these: Answer, an exception to raise (transport only), a handler, or JSON for 200."""
        self._answers[method, path].extend(answers)
        return self

    def _next(self, seen: Seen) -> Any:
        self.seen.append(seen)
        answers = self._answers.get((seen.method, seen.path)) or self._answers.get((seen.method, "*"))
        if not answers:
            return failure(404, "NotFound", f"no answer is scripted for {seen.method} {seen.path}")
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, (Answer, BaseException)) or callable(answer):
            return answer
        return Answer(200, answer)

    def asked(self, method: str) -> list[Seen]:
        return [seen for seen in self.seen if seen.method == method]


class ScriptedServer(_Script):
    """Use as an async context manager. ``closed`` counts streams that the client ended."""

    def __init__(self, *, ssl_context: ssl.SSLContext | None = None, port: int = 0) -> None:
        super().__init__()
        self._ssl = ssl_context
        self.url = ""
        self.port = port
        self.open_requests = 0
        self.disconnects = asyncio.Event()

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/{tail:.*}", self._handle)
        self._runner = web.AppRunner(app, shutdown_timeout=0.2, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, ssl_context=self._ssl)
        await site.start()
        self.port = self._runner.addresses[0][1]
        self.url = f"{'https' if self._ssl else 'http'}://127.0.0.1:{self.port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def until(self, true: Callable[[], bool]) -> None:
        """Wait for a condition on the other side of a socket."""
        async with asyncio.timeout(10):
            while not true():  # noqa: ASYNC110 - the condition is the test's, nothing can set an event
                await asyncio.sleep(0.005)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        seen = Seen(request.method, request.path, dict(request.query), request.headers, await request.read())
        answer = self._next(seen)
        self.open_requests += 1
        try:
            if callable(answer):
                streamed: web.StreamResponse = await answer(request)
                return streamed
            return web.Response(status=answer.status, body=answer.payload, headers=dict(answer.headers))
        except (asyncio.CancelledError, ConnectionResetError):
            self.disconnects.set()
            raise
        finally:
            self.open_requests -= 1


def stream(
    *chunks: bytes, hold: bool = False, drop: bool = False
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """A chunked response; then a clean end, or silence (``hold``), or a broken connection (``drop``)."""

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        for chunk in chunks:
            await response.write(chunk)
        if hold:
            await asyncio.Event().wait()
        if drop:
            assert request.transport is not None
            request.transport.abort()
        return response

    return handler


class _MemoryResponse:
    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.status = answer.status
        self.headers = CIMultiDict(answer.headers)

    async def read(self) -> bytes:
        return self._answer.payload

    async def chunks(self) -> AsyncIterator[bytes]:
        for chunk in self._answer.chunks if self._answer.chunks is not None else (self._answer.payload,):
            yield chunk


class ScriptedTransport(_Script):
    """A Transport without sockets. Also keeps which requests asked for a stream."""

    def __init__(self) -> None:
        super().__init__()
        self.streams: list[str] = []
        self.closed = False

    @asynccontextmanager
    async def send(
        self, request: HttpRequest, *, stream: bool = False, timeout_seconds: float | None = None
    ) -> AsyncIterator[_MemoryResponse]:
        if self.closed:
            raise ConnectionFailed("closed")
        await asyncio.sleep(0)
        seen = Seen(request.method, request.path, dict(request.query), request.headers, request.body or b"")
        if stream:
            self.streams.append(request.path)
        answer = self._next(seen)
        if callable(answer):
            answer = answer(seen)
            answer = await answer if inspect.isawaitable(answer) else answer
        if isinstance(answer, BaseException):
            raise answer
        yield _MemoryResponse(answer)

    async def aclose(self) -> None:
        self.closed = True
