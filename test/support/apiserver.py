"""The embedded API server without sockets, and a client for JSON requests."""

from __future__ import annotations

import asyncio
import json
import random
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from aimctl.devcluster import ApiServer, Faults, MemoryTransport
from aimctl.runtime.kube.transport import HttpRequest
from aimctl.testing.virtualtime import virtual_clock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

__all__ = ["APPLY", "JSON_PATCH", "MERGE", "STRATEGIC", "Answer", "Api", "Lines", "config_map", "crd", "pod"]

MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


class Answer(NamedTuple):
    """A response."""

    status: int
    body: Any
    headers: Any

    @property
    def message(self) -> str:
        return self.body["message"]


class Lines:
    """The lines of a watch."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self._buffer = b""
        self.rest = b""

    async def next(self) -> Any:
        """The next event; None at the end of the stream."""
        while b"\n" not in self._buffer:
            chunk = await anext(self._chunks, None)
            if chunk is None:
                self.rest = self._buffer
                return None
            self._buffer += chunk
        line, self._buffer = self._buffer.split(b"\n", 1)
        return json.loads(line)

    async def seen(self, count: int) -> list[tuple[str, str]]:
        """The next events as (type, name)."""
        return [
            (event["type"], event["object"]["metadata"].get("name", ""))
            for event in [await self.next() for _ in range(count)]
        ]


class Api:
    """A started server and a client."""

    def __init__(self, server: ApiServer | None = None, **options: Any) -> None:
        self.faults = Faults(random.Random(1))
        if server is None:
            server = ApiServer(
                clock=virtual_clock(), rng=random.Random(1), interceptor=self.faults, **options
            )
            server.start()
        self.server = server
        self.transport = MemoryTransport(server, user_agent="tester/1.0")

    async def __call__(
        self,
        method: str,
        path: str,
        body: Any = None,
        query: dict[str, str] | None = None,
        *,
        media: str = "application/json",
        **headers: str,
    ) -> Answer:
        raw = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = HttpRequest(
            method, path, tuple((query or {}).items()), {"Content-Type": media, **named}, raw
        )
        async with self.transport.send(request) as response:
            text = await response.read()
            is_json = response.headers.get("content-type", "").startswith("application/json")
            return Answer(
                response.status, json.loads(text) if is_json and text else text.decode(), response.headers
            )

    async def ok(self, *args: Any, **kwargs: Any) -> Any:
        answer = await self(*args, **kwargs)
        assert answer.status in (200, 201), answer.body
        return answer.body

    @asynccontextmanager
    async def watch(
        self, path: str, query: dict[str, str] | None = None, **headers: str
    ) -> AsyncIterator[Lines]:
        pairs = (("watch", "1"), *(query or {}).items())
        async with self.transport.send(HttpRequest("GET", path, pairs, headers), stream=True) as response:
            assert response.status == 200, await response.read()
            yield Lines(response.chunks())


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def pod(name: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"containers": [{"name": "main", "image": "busybox"}], **spec},
    }


def crd(plural: str = "widgets", kind: str = "Widget", **version: Any) -> dict[str, Any]:
    schema = {
        "type": "object",
        "properties": {
            "spec": {
                "type": "object",
                "properties": {
                    "size": {"type": "string", "enum": ["small", "large"]},
                    "replicas": {"type": "integer", "default": 1},
                },
            },
            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        },
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": plural, "kind": kind},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "schema": {"openAPIV3Schema": schema},
                    **version,
                }
            ],
        },
    }


WIDGETS = "/apis/example.com/v1/namespaces/default/widgets"


def widget(name: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": name}, "spec": spec}


async def until(condition: Callable[[], object], seconds: float = 10) -> None:
    """Wait in real time for an effect of another program."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what changes is outside this loop
            await asyncio.sleep(0.01)
