"""Conversion webhooks of the embedded server, compared with the recorded ones of a real server."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from aimctl.runtime.kube.transport import HttpRequest
from support.apiserver import CRDS, MERGE, Api
from support.conversion_cases import (
    GADGETS,
    RECORDED,
    Converter,
    conversion_transcript,
    gadget,
    gadget_definition,
)

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.proof
async def test_objects_are_converted_as_by_the_real_server(tmp_path: Path) -> None:
    api = Api()
    async with Converter(tmp_path) as converter:

        async def call(
            method: str,
            path: str,
            body: Any = None,
            query: Any = None,
            media: str = "application/json",
            accept: str = "application/json",
        ) -> Any:
            raw = None if body is None else json.dumps(body).encode()
            headers = {"Content-Type": media, "Accept": accept}
            request = HttpRequest(method, path, tuple((query or {}).items()), headers, raw)
            async with api.transport.send(request) as response:
                content = await response.read()
            return response.status, content if "watch" in (query or {}) else json.loads(content)

        steps = await conversion_transcript(call, converter, lambda: asyncio.sleep(0))
    found = dict(json.loads(json.dumps(steps)))
    recorded = dict(json.loads(RECORDED.read_text(encoding="utf-8")))
    differing = [
        f"{title}\n  {recorded[title]}\n  {found[title]}"
        for title in recorded
        if recorded[title] != found[title]
    ]
    assert not differing, "\n".join(differing)
    assert found.keys() == recorded.keys()


async def test_a_watch_in_another_version_converts_each_change(tmp_path: Path) -> None:
    api = Api()
    async with Converter(tmp_path) as converter:
        client = {"url": converter.url, "caBundle": converter.bundle}
        await api.ok("POST", CRDS, gadget_definition(client))
        await api.ok("POST", GADGETS["v1"], gadget("a"))
        async with api.watch(GADGETS["v2"], {"fieldSelector": "spec.host=host"}) as lines:
            first = await lines.next()
            await api.ok("PATCH", f"{GADGETS['v1']}/a", {"spec": {"address": "host:81"}}, media=MERGE)
            second = await lines.next()
            await api.ok("PATCH", f"{GADGETS['v1']}/a", {"spec": {"address": "other:81"}}, media=MERGE)
            third = await lines.next()
            await api.ok("DELETE", f"{GADGETS['v1']}/a")
            await api.ok("POST", GADGETS["v1"], gadget("b"))
            fourth = await lines.next()
    events = [
        (event["type"], event["object"]["metadata"]["name"], event["object"]["spec"]["port"])
        for event in (first, second, third, fourth)
    ]
    assert events == [("ADDED", "a", 80), ("MODIFIED", "a", 81), ("DELETED", "a", 81), ("ADDED", "b", 80)]


async def test_a_webhook_that_fails_ends_a_watch_with_an_error_and_stores_nothing(tmp_path: Path) -> None:
    api = Api()
    async with Converter(tmp_path) as converter:
        client = {"url": converter.url, "caBundle": converter.bundle}
        await api.ok("POST", CRDS, gadget_definition(client))
        await api.ok("POST", GADGETS["v1"], gadget("a"))
        converter.mode = "failed"
        refused = await api("POST", GADGETS["v2"], gadget("b", "v2", host="b", port=1))
        async with api.watch(GADGETS["v2"]) as lines:
            event = await lines.next()
            assert await lines.next() is None
    text = "conversion webhook for convert.example.com/v2, Kind=Gadget failed: not\ntoday"
    assert (refused.status, refused.message) == (500, text)
    assert (event["type"], event["object"]["code"]) == ("ERROR", 500)
    assert [each["metadata"]["name"] for each in (await api.ok("GET", GADGETS["v1"]))["items"]] == ["a"]


async def test_a_changed_storage_version_is_stored_with_the_next_write() -> None:
    api = Api()
    definition = gadget_definition({})
    definition["spec"]["conversion"] = {"strategy": "None"}
    made = await api.ok("POST", CRDS, definition)
    before = await api.ok("POST", GADGETS["v1"], gadget("a"))
    path = f"{GADGETS['v1']}/a"
    unchanged = await api.ok("PATCH", path, {}, media=MERGE)
    for version in made["spec"]["versions"]:
        version["storage"] = version["name"] == "v2"
    path_of_definition = f"{CRDS}/{made['metadata']['name']}"
    versions = {"spec": {"versions": made["spec"]["versions"]}}
    assert (await api.ok("PATCH", path_of_definition, versions, media=MERGE))["status"]["storedVersions"] == [
        "v1",
        "v2",
    ]
    migrated = await api.ok("PATCH", path, {}, media=MERGE)
    again = await api.ok("PATCH", path, {}, media=MERGE)
    found = [each["metadata"]["resourceVersion"] for each in (before, unchanged, migrated, again)]
    assert found[0] == found[1] != found[2] == found[3]
