"""What API servers do with a conversion webhook: the same requests to any server.

:func:`conversion_transcript` returns a list of steps and outcomes without what differs between two runs, so the transcripts
of two servers can be compared. ``conversion_answers.json`` has that of Kubernetes 1.36.

In version v1 a Gadget has ``spec.address``, such as ``host:80``, in v2 ``spec.host`` and ``spec.port``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp import web

from support.webhook_cases import Receiver, shown

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["GADGETS", "RECORDED", "Converter", "conversion_transcript", "gadget", "gadget_definition"]

RECORDED = Path(__file__).parent / "conversion_answers.json"
GROUP = "convert.example.com"
_CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_MERGE = "application/merge-patch+json"
_APPLY = "application/apply-patch+yaml"
_TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
_METADATA = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"

GADGETS = {
    version: f"/apis/{GROUP}/{version}/namespaces/default/gadgets" for version in ("v1", "v2", "v1alpha1")
}

Call = Any
"""``await call(method, path, body, query, media, accept)`` returns (status, body)."""


class Converter(Receiver):
    """A conversion webhook. ``mode`` is what it does wrong; "" converts."""

    mode = ""

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        review = json.loads(await request.read())
        self.reviews.append((self.mode, review))
        asked = review["request"]
        if self.mode == "broken":
            return web.Response(status=500, text="no idea")
        if self.mode == "nonsense":
            return web.Response(text="{}", content_type="application/json")
        objects = [_converted(each, asked["desiredAPIVersion"]) for each in asked["objects"]]
        response = {
            "uid": asked["uid"],
            "result": {"status": "Success"},
            "convertedObjects": [_CHANGES.get(self.mode, _nothing)(each) for each in objects],
        }
        response |= _RESPONSES.get(self.mode, {})
        return web.json_response(
            {"kind": "ConversionReview", "apiVersion": review["apiVersion"], "response": response}
        )


_RESPONSES: dict[str, dict[str, Any]] = {
    "other uid": {"uid": "x"},
    "failed": {"result": {"status": "Failure", "message": "not\ntoday"}},
    "failed without message": {"result": {"status": "Failure"}},
    "no result": {"result": {}},
    "no objects": {"convertedObjects": []},
    "two objects": {"convertedObjects": [{}, {}]},
    "text": {"convertedObjects": ["text"]},
}


def _nothing(obj: dict[str, Any]) -> dict[str, Any]:
    return obj


def _meta(**fields: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda obj: {**obj, "metadata": {**obj["metadata"], **fields}}


_CHANGES: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "other version": lambda obj: {**obj, "apiVersion": f"{GROUP}/v9"},
    "other kind": lambda obj: {**obj, "kind": "Other"},
    "other name": _meta(name="other"),
    "other namespace": _meta(namespace="other"),
    "other identity": _meta(uid="other"),
    "no metadata": lambda obj: {name: value for name, value in obj.items() if name != "metadata"},
    "labels": _meta(labels={"by": "webhook"}, annotations={"by": "webhook"}),
    "no labels": _meta(labels=None),
    "invalid label": _meta(labels={"not a key!": "x"}),
    "invalid annotation": _meta(annotations={"not a key!": "x"}),
    "number label": _meta(labels={"a": 1}),
    "label list": _meta(labels=[]),
    "other metadata": _meta(finalizers=["example.com/x"], generation=99, creationTimestamp=None),
    "unknown field": lambda obj: {**obj, "spec": {**obj["spec"], "unknown": 1}, "extra": 2},
    "wrong type": lambda obj: {**obj, "spec": {**obj["spec"], "port": "eighty"}},
    "lossy": lambda obj: {**obj, "spec": {**obj["spec"], "address": "lost:1"}},
}


def _converted(obj: dict[str, Any], desired: str) -> dict[str, Any]:
    spec = dict(obj.get("spec") or {})
    if desired.endswith("/v2"):
        host, _, port = spec.pop("address", "").partition(":")
        spec |= {"host": host, "port": int(port or 0)}
    elif "host" in spec:
        spec["address"] = f"{spec.pop('host')}:{spec.pop('port', 0)}"
    return {**obj, "apiVersion": desired, "spec": spec}


def gadget_definition(
    client: dict[str, Any], *, storage: str = "v1", reviews: tuple[str, ...] = ("v1",)
) -> dict[str, Any]:
    """A CRD with the versions v1 and v2, converted by a webhook."""
    fields = {
        "v1": {"address": {"type": "string"}, "size": {"type": "integer", "default": 1}},
        "v2": {
            "host": {"type": "string"},
            "port": {"type": "integer", "maximum": 65535},
            "size": {"type": "integer"},
            "color": {"type": "string", "default": "blue"},
        },
    }
    versions = [
        {
            "name": name,
            "served": True,
            "storage": name == storage,
            "subresources": {"status": {}},
            "selectableFields": [{"jsonPath": ".spec.host"}] if name == "v2" else [],
            "additionalPrinterColumns": [
                {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
                {"name": "Host", "type": "string", "jsonPath": ".spec.host"},
            ],
            "schema": {
                "openAPIV3Schema": {
                    "type": "object",
                    "properties": {
                        "spec": {"type": "object", "properties": properties},
                        "status": {"type": "object", "properties": {"state": {"type": "string"}}},
                    },
                }
            },
        }
        for name, properties in fields.items()
    ]
    names = {"plural": "gadgets", "singular": "gadget", "kind": "Gadget", "listKind": "GadgetList"}
    conversion = {
        "strategy": "Webhook",
        "webhook": {"clientConfig": client, "conversionReviewVersions": list(reviews)},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"gadgets.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": names,
            "versions": versions,
            "conversion": conversion,
        },
    }


def gadget(name: str, version: str = "v1", **spec: Any) -> dict[str, Any]:
    """A Gadget."""
    return {
        "apiVersion": f"{GROUP}/{version}",
        "kind": "Gadget",
        "metadata": {"name": name, "labels": {"team": "a"}},
        "spec": spec or {"address": "host:80"},
    }


async def conversion_transcript(
    call: Call, converter: Converter, settle: Callable[[], Awaitable[None]]
) -> list[Any]:
    """Make the requests. ``settle`` waits until the server uses a changed definition."""
    steps: list[Any] = []
    one, two = GADGETS["v1"], GADGETS["v2"]
    shapes: dict[str, Any] = {}

    async def step(title: str, method: str, path: str, *rest: Any, **more: Any) -> Any:
        status, body = await call(method, path, *rest, **more)
        steps.append([title, {"status": status, "body": _shown(body)}])
        return body

    def seen() -> None:
        for _, review in converter.reviews:
            shape = _shape(review)
            shapes.setdefault(json.dumps(shape, sort_keys=True), shape)
        converter.reviews.clear()

    client = {"url": converter.url, "caBundle": converter.bundle}
    definition = gadget_definition(client)
    status, made = await call("POST", _CRDS, definition)
    assert status == 201, made
    await settle()
    await step("the storage version", "POST", one, gadget("a"))
    await step("another version", "POST", two, gadget("b", "v2", host="other", port=81))
    await step("read in the storage version", "GET", f"{one}/b")
    await step("read in another version", "GET", f"{two}/a")
    await step("read what was stored from another version", "GET", f"{two}/b")
    await step("list in the storage version", "GET", one)
    await step("list in another version", "GET", two)
    await step("a table in another version", "GET", two, accept=_TABLE)
    await step("metadata in another version", "GET", f"{two}/a", accept=_METADATA)
    await step("a selectable field", "GET", two, query={"fieldSelector": "spec.host=other"})
    await step("a field of the other version", "GET", one, query={"fieldSelector": "spec.host=other"})
    seen()
    patch = {"spec": {"port": 90}}
    await step("a patch in another version", "PATCH", f"{two}/a", patch, media=_MERGE)
    await step("its result in the storage version", "GET", f"{one}/a")
    await step("an invalid patch", "PATCH", f"{two}/a", {"spec": {"port": 99999}}, media=_MERGE)
    before = await step("a patch without a change", "PATCH", f"{two}/a", patch, media=_MERGE)
    after = (await call("GET", f"{two}/a"))[1]
    same = before["metadata"]["resourceVersion"] == after["metadata"]["resourceVersion"]
    steps.append(["it is not stored", same])
    applied = {
        "apiVersion": f"{GROUP}/v2",
        "kind": "Gadget",
        "metadata": {"name": "c"},
        "spec": {"host": "c", "port": 1},
    }
    await step("apply in another version", "PATCH", f"{two}/c", applied, {"fieldManager": "x"}, media=_APPLY)
    await step(
        "the status in another version",
        "PATCH",
        f"{two}/a/status",
        {"status": {"state": "ok"}},
        media=_MERGE,
    )
    present = (await call("GET", f"{two}/a"))[1]
    present["spec"]["color"] = "red"
    await step("an update of a field that v1 does not have", "PUT", f"{two}/a", present)
    await step("a dry run", "POST", two, gadget("d", "v2", host="d", port=1), {"dryRun": "All"})
    await step("a strict creation", "POST", two, gadget("d", "v2", port="x"), {"fieldValidation": "Strict"})
    await step(
        "the watch in another version",
        "GET",
        two,
        query={"watch": "1", "timeoutSeconds": "1", "resourceVersion": "0"},
    )
    seen()

    for mode in _CHANGES:
        converter.mode = mode
        await step(f"a webhook that returns something else: {mode}", "GET", f"{two}/b")
    for mode in ("broken", "nonsense", *_RESPONSES):
        converter.mode = mode
        await step(f"a failing webhook: {mode}", "GET", f"{two}/b")
    converter.mode = "failed"
    await step("a failed creation", "POST", two, gadget("e", "v2", host="e", port=1))
    await step("what is left of it", "GET", f"{one}/e")
    await step("a failed patch", "PATCH", f"{two}/b", {"spec": {"port": 1}}, media=_MERGE)
    await step("a failed deletion", "DELETE", f"{two}/b")
    await step("the storage version works", "GET", f"{one}/b")
    converter.mode = "lossy"
    await step("a conversion that loses a change", "PATCH", f"{two}/b", {"spec": {"size": 3}}, media=_MERGE)
    converter.mode = "labels"
    await step("the labels of a creation", "POST", two, gadget("f", "v2", host="f", port=1))
    await step("the stored labels", "GET", f"{one}/f")
    converter.mode = ""
    seen()

    held = {"metadata": {"finalizers": ["example.com/hold"]}}
    await call("PATCH", f"{one}/b", held, None, _MERGE)
    await step("a deletion with a finalizer", "DELETE", f"{two}/b")
    await step("the last finalizer", "PATCH", f"{two}/b", {"metadata": {"finalizers": None}}, media=_MERGE)
    await step("a deletion", "DELETE", f"{two}/f")

    current = (await call("GET", f"{_CRDS}/gadgets.{GROUP}"))[1]
    current["spec"]["versions"] = gadget_definition(client, storage="v2")["spec"]["versions"]
    current["spec"]["conversion"]["webhook"]["conversionReviewVersions"] = ["v1beta1", "v1"]
    status, current = await call("PUT", f"{_CRDS}/gadgets.{GROUP}", current)
    assert status == 200, current
    await settle()
    steps.append(["stored versions", current["status"]["storedVersions"]])
    old = await step("an object stored in the old version", "GET", f"{two}/a")
    new = await step("a patch without a change migrates it", "PATCH", f"{two}/a", {}, media=_MERGE)
    steps.append(["it is stored", old["metadata"]["resourceVersion"] != new["metadata"]["resourceVersion"]])
    await step("the migrated object in the old version", "GET", f"{one}/a")
    seen()
    await step("the deletion of a collection", "DELETE", one)
    await call("DELETE", f"{_CRDS}/gadgets.{GROUP}")
    return [*steps, ["reviews", [shapes[key] for key in sorted(shapes)]]]


def _shape(review: dict[str, Any]) -> Any:
    """What is in a review: its fields, versions, and the fields of its objects."""
    request = review["request"]
    [obj] = request["objects"]
    return {
        "apiVersion": review["apiVersion"],
        "fields": sorted(review),
        "request": sorted(request),
        "response": review.get("response"),
        "desired": request["desiredAPIVersion"],
        "object": [obj["apiVersion"], sorted(set(obj) - {"status"})],
        "metadata": sorted(set(obj["metadata"]) - _VARYING),
    }


_VARYING = {
    "resourceVersion",
    "managedFields",
    "labels",
    "annotations",
    "finalizers",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
}


def _shown(value: Any) -> Any:
    if isinstance(value, bytes):
        lines = [json.loads(line) for line in value.splitlines()]
        return [shown(line) for line in lines if line["type"] != "BOOKMARK"]
    if value["kind"].endswith("List"):
        value["metadata"].pop("continue", None)
    for column in value.get("columnDefinitions") or ():
        del column["description"]
    return shown(value)
