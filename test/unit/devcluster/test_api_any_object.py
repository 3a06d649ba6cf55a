"""No object, however malformed, causes an internal error or breaks its kind, discovery or a restart."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

import pytest

from aimctl.devcluster import ApiServer, FileJournal
from aimctl.testing.virtualtime import virtual_clock, virtual_time
from support.apiserver import APPLY, CRDS, JSON_PATCH, MERGE, STRATEGIC, Api, crd
from support.proofs import seeds
from support.random_objects import JUNK, random_object, spoiled

if TYPE_CHECKING:
    from pathlib import Path

    from aimctl.devcluster.apiserver.objects.kinds import ServedKind

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
RICH_SCHEMA = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "required": ["size"],
            "x-kubernetes-validations": [
                {"rule": "self.size > 0", "message": "positive", "fieldPath": ".size"}
            ],
            "properties": {
                "size": {"type": "integer", "minimum": 0, "maximum": 9, "multipleOf": 1, "default": 1},
                "name": {"type": "string", "pattern": "^a", "maxLength": 5, "enum": ["a", "ab"]},
                "ports": {
                    "type": "array",
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["port"],
                    "items": {
                        "type": "object",
                        "required": ["port"],
                        "properties": {
                            "port": {"type": "integer"},
                            "on": {"type": "boolean", "nullable": True},
                        },
                    },
                },
                "either": {"x-kubernetes-int-or-string": True},
                "more": {"type": "object", "additionalProperties": {"type": "string"}},
                "any": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                "one": {
                    "type": "string",
                    "oneOf": [{"minLength": 2}, {"pattern": "x"}],
                    "not": {"enum": ["q"]},
                },
            },
        },
        "status": {"type": "object", "properties": {"replicas": {"type": "integer"}}},
    },
}
RICH = {
    "schema": {"openAPIV3Schema": RICH_SCHEMA},
    "subresources": {
        "status": {},
        "scale": {
            "specReplicasPath": ".spec.size",
            "statusReplicasPath": ".status.replicas",
            "labelSelectorPath": ".status.selector",
        },
    },
    "additionalPrinterColumns": [
        {"name": "Size", "type": "integer", "jsonPath": ".spec.size", "priority": 1, "description": "d"},
        {"name": "Since", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    ],
    "selectableFields": [{"jsonPath": ".spec.size"}],
}


def path_of(kind: ServedKind) -> str:
    return kind.resource.path("default" if kind.resource.namespaced else "")


def server(path: Path | None = None) -> ApiServer:
    journal = None if path is None else FileJournal(path)
    made = ApiServer(clock=virtual_clock(), rng=random.Random(1), journal=journal)
    made.start()
    return made


async def check(api: Api, *request: Any, media: str = "application/json", **more: Any) -> int:
    """Send a request, which must not cause an internal error. Returns the status code."""
    answer = await api(*request, media=media, **more)
    internal = answer.status >= 500 and answer.body.get("reason") == "InternalError"
    assert not internal, f"{request[:2]} {media} {json.dumps(request[2])[:1500]}: {answer.body}"
    return answer.status


async def write_at_random(api: Api, kind: ServedKind, body: Any, rng: random.Random) -> None:
    """Some of the requests that can store this body."""
    path, name = path_of(kind), "x"
    query = {"fieldManager": "f", "force": "true"}
    await check(api, "POST", path, body)
    place = f"{path}/{name}{rng.choice(('', '', '/status', '/scale'))}"
    media = rng.choice((MERGE, STRATEGIC, APPLY, JSON_PATCH, "application/json"))
    if media == JSON_PATCH:
        pointer = rng.choice(("/spec", "/status", "/metadata/labels", "/spec/a~1b/0"))
        operation = rng.choice(("add", "replace", "remove", "test", "copy", "junk"))
        body = [{"op": operation, "path": pointer, "from": "/metadata", "value": rng.choice(JUNK)}]
    if media == "application/json":
        await check(api, "PUT", place, body)
    else:
        await check(api, "PATCH", place, body, query if media == APPLY else {}, media=media)


async def check_kind(api: Api, kind: ServedKind) -> None:
    path = path_of(kind)
    table = await api.ok("GET", path, None, None, Accept=TABLE)
    listed = await api.ok("GET", path)
    assert len(table["rows"]) == len(listed["items"])
    columns = len(table["columnDefinitions"])
    assert all(len(row["cells"]) == columns for row in table["rows"])
    if kind.scale is not None:
        for item in listed["items"]:
            await api.ok("GET", f"{path}/{item['metadata']['name']}/scale")


async def check_documents(api: Api) -> None:
    for path in ("/api", "/apis", "/api/v1", "/openapi/v2", "/openapi/v3"):
        await api.ok("GET", path)
    for path in (await api.ok("GET", "/openapi/v3"))["paths"]:
        await api.ok("GET", f"/openapi/v3/{path}")


async def check_all(api: Api) -> None:
    await check_documents(api)
    for kind in api.server.kinds:
        if kind.stored:
            await check_kind(api, kind)


@virtual_time
async def builtin_objects(seed: int, data: Path, rounds: int) -> None:
    rng = random.Random(seed)
    api = Api(server(data))
    kinds = [kind for kind in api.server.kinds if kind.stored and kind.resource.kind != "Namespace"]
    accepted = 0
    for round_ in range(rounds):
        for kind in kinds:
            body = random_object(kind, rng.choice(("x", f"n{round_}")), rng)
            await write_at_random(api, kind, spoiled(body, rng, times=rng.choice((0, 0, 1, 2))), rng)
            accepted += bool(api.server.writer.collection(kind).records)
            await check_kind(api, kind)
    assert accepted > rounds * len(kinds) / 5
    await check_documents(api)
    api.server.close()
    again = Api(server(data))
    await check_all(again)
    again.server.close()


@pytest.mark.parametrize("seed", seeds(20))
def test_any_object_of_a_built_in_kind(seed: int, tmp_path: Path) -> None:
    builtin_objects(seed, tmp_path / "data.db", 1 if seed == 0 else 4)


@virtual_time
async def definitions(seed: int, data: Path, rounds: int) -> None:
    rng = random.Random(seed)
    api = Api(server(data))
    established = 0
    for round_ in range(rounds):
        body = crd("things", "Thing", **RICH)
        body["spec"]["names"] |= {"shortNames": ["th"], "categories": ["all"], "singular": "thing"}
        body = spoiled(body, rng, times=rng.choice((0, 1, 1, 2)) if round_ % 3 else 0)
        body.setdefault("metadata", {})
        await check(api, "POST", CRDS, body)
        established += any(kind.custom for kind in api.server.kinds)
        await check(api, "PATCH", f"{CRDS}/things.example.com", spoiled(body, rng), media=MERGE)
        kinds = [kind for kind in api.server.kinds if kind.custom]
        for kind in kinds:
            for _ in range(3):
                thing = random_object(kind, "x", rng)
                await write_at_random(api, kind, spoiled(thing, rng, times=rng.choice((0, 1))), rng)
            await check_kind(api, kind)
        await check_documents(api)
        if round_ % 5 == 2:
            api.server.close()
            api = Api(server(data))
            await check_all(api)
        for item in (await api.ok("GET", CRDS))["items"]:
            await check(api, "DELETE", f"{CRDS}/{item['metadata']['name']}", None)
    assert established >= rounds / 3  # every third one is valid
    api.server.close()


@pytest.mark.parametrize("seed", seeds(20))
def test_any_definition_and_any_object_of_its_kind(seed: int, tmp_path: Path) -> None:
    definitions(seed, tmp_path / "data.db", 3 if seed == 0 else 12)


# ---- examples


@pytest.mark.parametrize(
    ("version", "status", "text"),
    [
        (
            {"additionalPrinterColumns": [{"name": "A"}]},
            422,
            (
                "[spec.additionalPrinterColumns[0].type: Required value: must be one of boolean,date,integer,number,string,"
                " spec.additionalPrinterColumns[0].JSONPath: Required value]"
            ),
        ),
        (
            {"additionalPrinterColumns": [{"name": "A", "type": "string", "jsonPath": "status.phase"}]},
            422,
            (
                'spec.additionalPrinterColumns[0].JSONPath: Invalid value: "status.phase": must be a simple json path'
                " starting with ."
            ),
        ),
        (
            {"subresources": {"scale": {"specReplicasPath": ".spec.x"}}},
            422,
            "spec.subresources.scale.statusReplicasPath: Required value",
        ),
        (
            {"subresources": {"scale": {"specReplicasPath": ".x", "statusReplicasPath": ".status.x"}}},
            422,
            'spec.subresources.scale.specReplicasPath: Invalid value: ".x": should be a json path under .spec',
        ),
        ({"selectableFields": [{}]}, 422, "spec.selectableFields[0].jsonPath: Required value"),
        (
            {"schema": {"openAPIV3Schema": {"type": "object", "nullable": True}}},
            422,
            "spec.validation.openAPIV3Schema.nullable: Forbidden: nullable cannot be true at the root",
        ),
        (
            {
                "schema": {
                    "openAPIV3Schema": {"type": "object", "x-kubernetes-validations": [{"rule": "self.a"}]}
                }
            },
            422,
            "undefined field 'a'",
        ),
        (
            {
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "x-kubernetes-validations": [{"rule": 'size("a")'}],
                    }
                }
            },
            422,
            "cel expression must evaluate to a bool",
        ),
        ({"schema": {"openAPIV3Schema": {"type": ["object", "null"]}}}, 400, "cannot be handled as a"),
        ({"schema": {"openAPIV3Schema": {"type": "object", "required": "a"}}}, 400, "cannot be handled as a"),
        (
            {"schema": {"openAPIV3Schema": {"type": "object", "properties": {"a": 5}}}},
            400,
            "cannot be handled as a",
        ),
    ],
    ids=[
        *(
            "column",
            "column-path",
            "scale",
            "scale-path",
            "selectable",
            "nullable",
            "rule-field",
            "rule-type",
        ),
        *("two-types", "required", "property"),
    ],
)
@virtual_time
async def test_a_malformed_definition_is_rejected_and_not_stored(
    version: dict, status: int, text: str
) -> None:
    api = Api()
    body = crd()
    body["spec"]["versions"][0].pop("subresources")
    body["spec"]["versions"][0].update(version)
    answer = await api("POST", CRDS, body)
    assert (answer.status, text in answer.message) == (status, True), answer.message
    assert (await api.ok("GET", CRDS))["items"] == []


@virtual_time
async def test_a_rule_that_may_be_a_bool_is_accepted() -> None:
    rules = (
        *("self.on", "!self.on", "self.count > 0", "self.on ? self.on : true", "(self.on)", "has(self.on)"),
        *("self.names.all(n, n != '')", 'self.names.exists(n, n == "a?b:c")', "'a' in self.names", "true"),
        *("self.?on.orValue(false)", "self.flags['x']", "self.names.isSorted()"),
    )
    properties = {
        "on": {"type": "boolean"},
        "count": {"type": "integer"},
        "names": {"type": "array", "items": {"type": "string"}},
        "flags": {"type": "object", "additionalProperties": {"type": "boolean"}},
    }
    schema = {
        "type": "object",
        "properties": {
            "spec": {
                "type": "object",
                "properties": properties,
                "x-kubernetes-validations": [{"rule": rule} for rule in rules],
            }
        },
    }
    await Api().ok("POST", CRDS, crd(schema={"openAPIV3Schema": schema}))


@pytest.mark.parametrize(
    "rule",
    [
        *("self.count", "self.names", "self", "size(self.names)", "self.count + 1", "'text'", "1", "null"),
        *("self.names.map(n, n)", "self.on ? self.count : 2", "(self.count)", "[true]", "-self.count"),
    ],
)
@virtual_time
async def test_a_rule_that_is_no_bool_is_rejected(rule: str) -> None:
    properties = {
        "on": {"type": "boolean"},
        "count": {"type": "integer"},
        "names": {"type": "array", "items": {"type": "string"}},
    }
    spec = {"type": "object", "properties": properties, "x-kubernetes-validations": [{"rule": rule}]}
    schema = {"type": "object", "properties": {"spec": spec}}
    answer = await Api()("POST", CRDS, crd(schema={"openAPIV3Schema": schema}))
    assert answer.status == 422
    assert "cel expression must evaluate to a bool" in answer.message


@virtual_time
async def test_a_selector_without_key_is_rejected_and_the_table_is_complete() -> None:
    api = Api()
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    selector = {"matchExpressions": [{"operator": "In", "values": ["a"]}]}
    body = {"metadata": {"name": "t"}, "spec": {"selector": selector, "template": template}}
    path = "/apis/apps/v1/namespaces/default/deployments"
    answer = await api("POST", path, body)
    assert answer.status == 422
    assert 'spec.selector.matchExpressions[0].key: Invalid value: ""' in answer.message
    collection = api.server.storage.collection("deployments.apps")
    stored = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        **body,
        "status": {"readyReplicas": 1, "conditions": 5},
    }
    stored["metadata"] |= {"namespace": "default", "uid": "u", "creationTimestamp": "yesterday"}
    stored["spec"]["selector"] = 7
    api.server.storage.put(collection, stored)
    table = await api.ok("GET", path, None, None, Accept=TABLE)
    assert [row["cells"][0] for row in table["rows"]] == ["t"]


def test_a_definition_that_an_older_server_stored_does_not_prevent_the_start(tmp_path: Path) -> None:
    @virtual_time
    async def scenario() -> None:
        first = server(tmp_path / "data.db")
        definitions_ = first.storage.collection("customresourcedefinitions.apiextensions.k8s.io")
        body = crd(additionalPrinterColumns=[{"name": "A", "type": "string"}])
        body["metadata"] |= {"uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z"}
        body["spec"]["names"] |= {"singular": "widget", "listKind": "WidgetList"}
        body["status"] = {"conditions": [{"type": "Established", "status": "True"}]}
        first.storage.put(definitions_, body)
        first.close()
        api = Api(server(tmp_path / "data.db"))
        await check_all(api)
        assert (await api("GET", "/apis/example.com/v1")).status == 404
        await api.ok("DELETE", f"{CRDS}/widgets.example.com")
        await api.ok("POST", CRDS, crd())
        await check_all(api)

    scenario()
