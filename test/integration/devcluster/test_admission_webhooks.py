"""Admission webhooks of the embedded server, compared with the recorded ones of a real server."""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
import json
from typing import TYPE_CHECKING, Any

import pytest

from aimctl.devcluster.certificates import CertificateAuthority
from support.apiserver import CONFIG_MAPS, MERGE, Api, config_map
from support.webhook_cases import RECORDED, Receiver, webhook_transcript

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.proof
async def test_webhooks_are_called_as_by_the_real_server(tmp_path: Path) -> None:
    api = Api()
    async with Receiver(tmp_path) as receiver:

        async def call(
            method: str, path: str, body: Any = None, query: Any = None, media: str = "application/json"
        ) -> Any:
            answer = await api(method, path, body, query, media=media)
            warning = answer.headers.get("Warning", "")
            return answer.status, answer.body, [warning] if warning else []

        steps = await webhook_transcript(call, receiver, lambda: asyncio.sleep(0))
    found = dict(json.loads(json.dumps(steps)))
    recorded = dict(json.loads(RECORDED.read_text(encoding="utf-8")))
    differing = [
        f"{title}\n  {recorded[title]}\n  {found[title]}"
        for title in recorded
        if recorded[title] != found[title]
    ]
    assert not differing, "\n".join(differing)
    assert found.keys() == recorded.keys()


CONFIGURATIONS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"


def configuration(client: dict[str, Any], **fields: Any) -> dict[str, Any]:
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"], "resources": ["configmaps"]}
    webhook = {
        "name": "count.example.com",
        "clientConfig": client,
        "rules": [rule],
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        **fields,
    }
    return {"metadata": {"name": "example.com"}, "webhooks": [webhook]}


async def test_a_webhook_is_called_again_if_the_object_changed_meanwhile(tmp_path: Path) -> None:
    api = Api()
    await api.ok("POST", CONFIG_MAPS, config_map("a", x="1"))
    async with Receiver(tmp_path) as receiver:
        client = {"url": f"{receiver.url}/count", "caBundle": receiver.bundle}
        await api.ok("POST", CONFIGURATIONS, configuration(client))
        patches = [
            api.ok("PATCH", f"{CONFIG_MAPS}/a", {"data": {name: "1"}}, media=MERGE) for name in ("y", "z")
        ]
        await asyncio.gather(*patches)
    data = (await api.ok("GET", f"{CONFIG_MAPS}/a"))["data"]
    assert data == {"x": "1", "y": "1", "z": "1", "count": "2"}
    assert len(receiver.reviews) == 3
    uids = {review["request"]["uid"] for _, review in receiver.reviews}
    assert len(uids) == 3


async def test_a_service_is_called_at_the_address_that_the_server_was_given(tmp_path: Path) -> None:
    api = Api()
    authority = CertificateAuthority("hooks", now=dt.datetime.now(dt.UTC))
    context = authority.server_context("hook", ["hook.default.svc"])
    bundle = base64.b64encode(authority.certificate).decode()
    service = {"namespace": "default", "name": "hook", "path": "/count", "port": 9443}
    await api.ok("POST", CONFIGURATIONS, configuration({"service": service, "caBundle": bundle}))
    answer = await api("POST", CONFIG_MAPS, config_map("a", x="1"))
    assert answer.status == 500
    assert answer.message == (
        'Internal error occurred: failed calling webhook "count.example.com": failed to call webhook: Post'
        ' "https://hook.default.svc:9443/count": service "hook" has no address here'
    )
    async with Receiver(tmp_path, context) as receiver:
        assert api.server.webhooks is not None
        api.server.webhooks.services["default", "hook"] = receiver.url
        made = await api.ok("POST", CONFIG_MAPS, config_map("a", x="1"))
    assert made["data"] == {"x": "1", "count": "1"}


@pytest.mark.proof
async def test_a_slow_webhook_is_given_up_after_its_timeout(tmp_path: Path) -> None:
    api = Api()
    async with Receiver(tmp_path) as receiver:
        client = {"url": f"{receiver.url}/sleep", "caBundle": receiver.bundle}
        await api.ok("POST", CONFIGURATIONS, configuration(client, timeoutSeconds=1, failurePolicy="Ignore"))
        await api.ok("POST", CONFIG_MAPS, config_map("a"))
        assert [name for name, _ in receiver.reviews] == ["sleep"]
