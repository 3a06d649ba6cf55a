"""The embedded server's server-side apply against the real one: the same histories, the same owners.

Histories are random but seeded. Specs are never empty and contain no empty objects. The order of merged lists is not
compared.
"""

from __future__ import annotations

import copy
import json
import random
import ssl
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from aimctl.devcluster.apiserver.apply.server_side import ApplyConflict, record_update, server_side_apply
from aimctl.devcluster.apiserver.schema import Schema
from support.adminapi import Api, eventually
from support.controlplane import ControlPlane

GROUP = "parity.example.com"
API = f"{GROUP}/v1"
NOW = "2026-01-01T00:00:00Z"
WORDS = "abc"
TEXT = {"type": "string"}
SPEC: dict[str, Any] = {
    "type": "object",
    "properties": {
        "metric": TEXT,
        "precision": TEXT,
        "gpuSelector": {"type": "object", "properties": {"count": {"type": "integer"}, "model": TEXT}},
        "args": {"type": "array", "items": TEXT},
        "tags": {"type": "array", "items": TEXT, "x-kubernetes-list-type": "set"},
        "selector": {"type": "object", "x-kubernetes-map-type": "atomic", "additionalProperties": TEXT},
        "ports": {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["port", "protocol"],
            "items": {
                "type": "object",
                "required": ["port"],
                "properties": {
                    "port": {"type": "integer"},
                    "protocol": {**TEXT, "default": "TCP"},
                    "name": TEXT,
                },
            },
        },
        "engine": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    },
}
OPENAPI = {"type": "object", "properties": {"spec": SPEC}}
SCHEMA = Schema.from_crd(OPENAPI)
CRD = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": f"parities.{GROUP}"},
    "spec": {
        "group": GROUP,
        "scope": "Namespaced",
        "names": {"plural": "parities", "kind": "Parity"},
        "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": OPENAPI}}],
    },
}


class Session:
    """Requests with a content type of one's choice."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def send(
        self, method: str, path: str, body: Any, media: str = "application/json"
    ) -> tuple[int, dict[str, Any]]:
        headers = {"Content-Type": media}
        async with self._session.request(method, path, data=json.dumps(body), headers=headers) as answer:
            found: dict[str, Any] = await answer.json()
            return answer.status, found


@pytest_asyncio.fixture
async def session(plane: ControlPlane, api: Api) -> AsyncIterator[Session]:
    await api.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", CRD)

    async def served() -> bool:
        status, _ = await api.call("GET", f"/apis/{API}/parities")
        return status == 200

    await eventually(served)
    trust = ssl.create_default_context(cafile=str(plane.ca_file))
    async with aiohttp.ClientSession(
        plane.url,
        headers={"Authorization": f"Bearer {plane.token}"},
        connector=aiohttp.TCPConnector(ssl=trust),
    ) as opened:
        yield Session(opened)


def a_spec(rng: random.Random) -> dict[str, Any]:
    """Never empty, and nothing in it is an empty object."""
    spec: dict[str, Any] = (
        {"metric": rng.choice(WORDS)} if rng.random() < 0.5 else {"precision": rng.choice(WORDS)}
    )
    if rng.random() < 0.5:
        gpu = {"count": rng.randint(1, 3), "model": rng.choice(WORDS)}
        spec["gpuSelector"] = dict(rng.sample(sorted(gpu.items()), rng.randint(1, 2)))
    if rng.random() < 0.4:
        spec["args"] = rng.choices(WORDS, k=rng.randint(0, 2))
    if rng.random() < 0.5:
        spec["tags"] = rng.sample(WORDS, rng.randint(1, 3))
    if rng.random() < 0.3:
        spec["selector"] = {rng.choice(WORDS): rng.choice(WORDS)}
    if rng.random() < 0.5:
        numbers = rng.sample([1, 2, 3], rng.randint(1, 3))
        spec["ports"] = [
            {"port": n, **({"name": rng.choice(WORDS)} if rng.random() < 0.5 else {})} for n in numbers
        ]
    if rng.random() < 0.4:
        spec["engine"] = {key: rng.choice(WORDS) for key in rng.sample(WORDS, rng.randint(1, 2))}
    return spec


def seen(obj: Mapping[str, Any]) -> dict[str, Any]:
    """What must be alike: the spec but for the order of merged lists, labels, and the books but for times."""
    spec = copy.deepcopy(obj.get("spec") or {})
    for name in ("ports", "tags"):
        if spec.get(name):
            spec[name] = sorted(spec[name], key=str if name == "tags" else lambda port: port["port"])
    entries = [
        {k: v for k, v in entry.items() if k != "time"}
        for entry in obj["metadata"].get("managedFields") or []
    ]
    entries.sort(key=lambda entry: (entry["operation"], entry["manager"]))
    return {"spec": spec, "labels": obj["metadata"].get("labels"), "entries": entries}


async def play(session: Session, name: str, rng: random.Random) -> list[str]:
    """One history on both; returns what was done, and raises where they differ."""
    base = f"/apis/{API}/namespaces/default/parities"
    live: dict[str, Any] | None = None
    done = []
    for _ in range(rng.randint(2, 6)):
        manager, force = rng.choice(["one", "two", "three"]), rng.random() < 0.6
        body = {
            "apiVersion": API,
            "kind": "Parity",
            "metadata": {"name": name, "namespace": "default"},
            "spec": a_spec(rng),
        }
        if rng.random() < 0.3:
            body["metadata"]["labels"] = {rng.choice("xy"): rng.choice(WORDS)}  # type: ignore[index]
        message = None
        if live is None or rng.random() < 0.75:
            done.append(f"apply {manager} force={force} {body}")
            path = f"{base}/{name}?fieldManager={manager}&force={str(force).lower()}"
            status, real = await session.send("PATCH", path, body, "application/apply-patch+yaml")
            try:
                ours = server_side_apply(
                    live,
                    body,
                    manager=manager,
                    force=force,
                    schema=SCHEMA,
                    api_version=API,
                    now=NOW,
                )
            except ApplyConflict as conflict:
                ours, message = live or {}, str(conflict)
        else:
            done.append(f"update {manager} {body['spec']}")
            _, current = await session.send("GET", f"{base}/{name}", None)
            current["spec"] = body["spec"]
            status, real = await session.send("PUT", f"{base}/{name}?fieldManager={manager}", current)
            new = SCHEMA.default({**live, "spec": body["spec"]})
            new["metadata"].pop("managedFields", None)
            ours = record_update(live, new, manager=manager, schema=SCHEMA, api_version=API, now=NOW)
        assert message == (real["message"] if status >= 400 else None), done
        if status < 400:
            live = SCHEMA.default(ours)
            assert seen(live) == seen(real), done
    return done


@pytest.mark.envtest
async def test_random_histories_end_with_the_same_owners_and_conflicts(session: Session) -> None:
    rng = random.Random(20)
    steps = 0
    for number in range(150):
        steps += len(await play(session, f"h{number}", rng))
    assert steps > 400
