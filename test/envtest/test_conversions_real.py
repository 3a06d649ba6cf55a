"""The embedded server and a real one call conversion webhooks alike."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from support.conversion_cases import RECORDED, Converter, conversion_transcript

if TYPE_CHECKING:
    from pathlib import Path

    from support.controlplane import ControlPlane

_SETTLE_SECONDS = 3.0
"""The API server reads definitions with an informer, and does not tell when it has seen a change."""


async def test_the_recorded_conversions_are_those_of_the_real_server(
    plane: ControlPlane, tmp_path: Path
) -> None:
    if plane.version[:2] != (1, 36):
        pytest.skip(f"the recorded answers are those of Kubernetes 1.36, and this is {plane.version}")
    trust = ssl.create_default_context(cafile=str(plane.ca_file))
    headers = {"Authorization": f"Bearer {plane.token}"}
    async with aiohttp.ClientSession(headers=headers) as session, Converter(tmp_path) as converter:

        async def call(
            method: str,
            path: str,
            body: Any = None,
            query: Any = None,
            media: str = "application/json",
            accept: str = "application/json",
        ) -> Any:
            data = None if body is None else json.dumps(body).encode()
            sent = {"Content-Type": media, "Accept": accept}
            async with session.request(
                method, plane.url + path, data=data, params=query, headers=sent, ssl=trust
            ) as response:
                content = await response.read()
                return response.status, content if "watch" in (query or {}) else json.loads(content)

        steps = await conversion_transcript(call, converter, lambda: asyncio.sleep(_SETTLE_SECONDS))
    if os.environ.get("AIMCTL_RECORD_TOURS"):
        lines = ",\n".join(json.dumps(step, sort_keys=True) for step in steps)
        RECORDED.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    assert json.loads(json.dumps(steps)) == json.loads(RECORDED.read_text(encoding="utf-8"))
