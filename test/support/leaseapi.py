"""A minimal API server in memory: objects with resourceVersions, and faults of requests and responses.

Enough for leader election and Events: get, create, update with optimistic locking, merge patch. One instance is
shared by several clients; each has a :class:`LeaseTransport` of its own that can be cut off.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aimctl.runtime.kube.errors import ConnectionFailed
from aimctl.runtime.kube.transport import HttpRequest


@dataclass
class Answer:
    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)

    async def read(self) -> bytes:
        return self.body


def status(code: int, reason: str, name: str = "") -> Answer:
    body = {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "code": code,
        "reason": reason,
        "message": reason,
        "details": {"name": name} if name else None,
    }
    return Answer(code, json.dumps(body).encode())


class LeaseApi:
    """The state of the server, and the requests it received."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.rv = 100
        self.calls: list[tuple[float, str, str]] = []

    def put(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        self.rv += 1
        meta = {"uid": f"uid-{self.rv}", **body.get("metadata", {}), "resourceVersion": str(self.rv)}
        self.objects[path] = {**body, "metadata": meta}
        return self.objects[path]

    def spec(self, path: str) -> dict[str, Any]:
        return self.objects[path]["spec"]

    def writes(self) -> list[str]:
        return [method for _, method, _ in self.calls if method != "GET"]

    def handle(self, request: HttpRequest) -> Answer:
        self.calls.append((asyncio.get_running_loop().time(), request.method, request.path))
        body = json.loads(request.body) if request.body else {}
        path = request.path
        if request.method == "POST":
            path = f"{path}/{body['metadata']['name']}"
            if path in self.objects:
                return status(409, "AlreadyExists")
            return Answer(201, json.dumps(self.put(path, body)).encode())
        known = self.objects.get(path)
        if known is None:
            return status(404, "NotFound", path.rpartition("/")[2])
        if request.method == "PUT":
            if body["metadata"].get("resourceVersion") not in {None, known["metadata"]["resourceVersion"]}:
                return status(409, "Conflict")
            return Answer(200, json.dumps(self.put(path, body)).encode())
        if request.method == "PATCH":
            known = self.put(path, {**known, **body})
        return Answer(200, json.dumps(known).encode())


class LeaseTransport:
    """The transport of one client.

    Attributes:
        latency: seconds before the server sees a request, and again before its response arrives.
        down: connections are refused.
        black_hole: requests never get a response; "request": the server does not see them, "answer": it does.
        lost: requests of paths with this text get no response, and are given up after 30 s.
        fail: statuses to respond with, one per request; 0 passes the request to the server.
    """

    def __init__(self, api: LeaseApi) -> None:
        self.api = api
        self.latency = 0.0
        self.down = False
        self.black_hole = ""
        self.lost = ""
        self.fail: list[int] = []
        self.on_request: Any = None

    @asynccontextmanager
    async def send(self, request: HttpRequest, *, stream: bool = False, timeout_seconds: float | None = None):
        if self.on_request is not None:
            self.on_request(request)
        await asyncio.sleep(self.latency)
        if self.down:
            raise ConnectionFailed("refused", refused=True)
        if self.lost and self.lost in request.path:
            await asyncio.sleep(30)
            raise ConnectionFailed("no response within 30 s")
        if self.black_hole == "request":
            await asyncio.Event().wait()
        answer = (
            status(code, "Scripted") if self.fail and (code := self.fail.pop(0)) else self.api.handle(request)
        )
        if self.black_hole == "answer":
            await asyncio.Event().wait()
        await asyncio.sleep(self.latency)
        yield answer

    async def aclose(self) -> None:
        self.down = True
