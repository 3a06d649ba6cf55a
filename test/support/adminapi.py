"""The administrator's plain view of an API server, for tests of the control plane itself.

Deliberately neither our own client nor a generated one: what is checked here is the server.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import time
from typing import TYPE_CHECKING, Any

import aiohttp

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from support.controlplane import ControlPlane

BUSY = {"name": "main", "image": "registry.invalid/busy:1"}


class Api:
    """The administrator's view of the API server: a path and a body in, a status and a body out."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def call(self, method: str, path: str, body: object = None) -> tuple[int, str]:
        async with self._session.request(method, path, json=body) as response:
            return response.status, await response.text()

    async def create(self, path: str, body: object) -> dict[str, Any]:
        status, text = await self.call("POST", path, body)
        assert status == 201, text
        created: dict[str, Any] = json.loads(text)
        return created

    async def apply(self, path: str, body: object) -> dict[str, Any]:
        """Server-side apply; the path names the field manager."""
        headers = {"Content-Type": "application/apply-patch+yaml"}
        async with self._session.patch(path, data=json.dumps(body), headers=headers) as response:
            text = await response.text()
            assert response.status in {200, 201}, text
            applied: dict[str, Any] = json.loads(text)
            return applied

    async def get(self, path: str) -> dict[str, Any]:
        status, text = await self.call("GET", path)
        assert status == 200, text
        found: dict[str, Any] = json.loads(text)
        return found

    async def items(self, path: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.get(path))["items"]
        return found


@contextlib.asynccontextmanager
async def api_of(plane: ControlPlane, token: str | None = None) -> AsyncIterator[Api]:
    trust = ssl.create_default_context(cafile=str(plane.ca_file))
    async with aiohttp.ClientSession(
        plane.url,
        headers={"Authorization": f"Bearer {token or plane.token}"},
        connector=aiohttp.TCPConnector(ssl=trust),
    ) as session:
        yield Api(session)


async def eventually(check: Callable[[], Awaitable[bool]], *, within: float = 15) -> None:
    deadline = time.monotonic() + within
    while not await check():
        assert time.monotonic() < deadline, f"not within {within:g} s: {check}"
        await asyncio.sleep(0.05)


def pod(name: str, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"containers": [BUSY], **spec}}
