"""A server that sends what a test specifies, byte by byte, including invalid HTTP.

async with Hostile(lambda asked: Reply(b"nonsense")) as server:
    ...  # server.url
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Asked", "Hostile", "Reply", "image_replies", "sha"]

MANIFEST = "application/vnd.oci.image.manifest.v1+json"


class Asked(NamedTuple):
    """One request."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Reply:
    """One reply.

    Attributes:
        body: sent after the head.
        status: 0 sends ``body`` alone, without any head.
        headers: additional ones; Content-Length is added unless ``length`` is False.
        times: how often the body is sent, for large replies.
        pause: seconds after each time.
        silent: send nothing until the connection is closed.
        cut: close the connection before the body is complete.
    """

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    length: bool = True
    times: int = 1
    pause: float = 0.0
    silent: bool = False
    cut: bool = False


class Hostile:
    """The server; listens on the loopback interface."""

    def __init__(self, answer: Callable[[Asked], Reply], tls: ssl.SSLContext | None = None) -> None:
        self._answer = answer
        self._tls = tls
        self.asked: list[Asked] = []
        self.was_asked = asyncio.Event()
        self.sent = 0
        """Bytes of bodies that were sent."""
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        port = self._server.sockets[0].getsockname()[1]
        self.host = f"127.0.0.1:{port}"
        self.url = f"{'https' if self._tls else 'http'}://{self.host}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                reply = self._answer(await self._read(head, reader))
                await self._send(reply, writer)
                if reply.silent or reply.cut or not reply.length or not reply.status:
                    break
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()

    async def _read(self, head: bytes, reader: asyncio.StreamReader) -> Asked:
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines if line)}
        method, target, _ = first.split(" ")
        path, _, query = target.partition("?")
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        asked = Asked(method, path, query, headers, body)
        self.asked.append(asked)
        self.was_asked.set()
        return asked

    async def _send(self, reply: Reply, writer: asyncio.StreamWriter) -> None:
        if reply.silent:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.Event().wait(), 30)
            return
        if reply.status:
            promised = len(reply.body) * reply.times + (1 if reply.cut else 0)
            length = {"Content-Length": str(promised)} if reply.length else {}
            lines = "".join(f"{key}: {value}\r\n" for key, value in {**length, **reply.headers}.items())
            writer.write(f"HTTP/1.1 {reply.status} X\r\n{lines}\r\n".encode("latin-1"))
        for _ in range(reply.times):
            writer.write(reply.body)
            await writer.drain()
            self.sent += len(reply.body)
            if reply.pause:
                await asyncio.sleep(reply.pause)


def sha(body: bytes) -> str:
    return "sha256:" + hashlib.sha256(body).hexdigest()


def image_replies(labels: Mapping[str, str] | None = None) -> dict[str, Reply]:
    """The replies of a registry about the image ``x:1``, by path."""
    config = json.dumps({"config": {"Labels": dict(labels or {"a": "b"})}}).encode()
    document: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"digest": sha(config), "size": len(config)},
    }
    manifest = json.dumps(document).encode()
    headers = {"Content-Type": MANIFEST, "Docker-Content-Digest": sha(manifest)}
    return {
        "/v2/x/manifests/1": Reply(manifest, headers=headers),
        f"/v2/x/manifests/{sha(manifest)}": Reply(manifest, headers=headers),
        f"/v2/x/blobs/{sha(config)}": Reply(config),
    }
