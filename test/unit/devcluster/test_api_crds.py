"""CustomResourceDefinitions and the kinds that they define."""

from __future__ import annotations

import pytest

from aimctl.testing.virtualtime import virtual_time
from support.apiserver import CRDS, MERGE, WIDGETS, Api, crd, widget

PATH = f"{CRDS}/widgets.example.com"


def conditions(definition: dict) -> dict[str, tuple[str, str]]:
    return {each["type"]: (each["status"], each["reason"]) for each in definition["status"]["conditions"]}


@virtual_time
async def test_a_definition_is_established_in_a_second_write_and_its_kind_is_served() -> None:
    api = Api()
    version = str(api.server.storage.version)
    async with api.watch(CRDS, {"resourceVersion": version}) as lines:
        made = await api.ok("POST", CRDS, crd())
        assert made["status"]["conditions"] is None
        assert await lines.seen(1) == [("ADDED", "widgets.example.com")]
        settled = (await lines.next())["object"]
    assert conditions(settled) == {
        "NamesAccepted": ("True", "NoConflicts"),
        "Established": ("True", "InitialNamesAccepted"),
    }
    assert settled["status"]["acceptedNames"] == {
        "kind": "Widget",
        "listKind": "WidgetList",
        "plural": "widgets",
        "singular": "widget",
    }
    assert settled["status"]["storedVersions"] == ["v1"]
    await api.ok("POST", WIDGETS, widget("w", size="small"))


@virtual_time
@pytest.mark.parametrize(
    ("change", "text"),
    [
        (
            {"metadata": {"name": "gadgets.example.com"}},
            'metadata.name: Invalid value: "gadgets.example.com": must be spec.names.plural+"."+spec.group',
        ),
        (
            {"scope": "Galaxy"},
            'spec.scope: Unsupported value: "Galaxy": supported values: "Cluster", "Namespaced"',
        ),
        (
            {"versions": []},
            "status.storedVersions: Invalid value: null: must have at least one stored version",
        ),
        ({"names": {"plural": "widgets"}}, "spec.names.kind: Required value"),
    ],
)
async def test_an_invalid_definition_is_rejected(change: dict, text: str) -> None:
    body = crd()
    if "metadata" in change:
        body["metadata"] = change["metadata"]
    else:
        body["spec"].update(change)
    answer = await Api()("POST", CRDS, body)
    assert answer.status == 422
    assert text in answer.message


@virtual_time
async def test_two_storage_versions_or_a_non_structural_schema_are_rejected() -> None:
    api = Api()
    body = crd()
    body["spec"]["versions"].append({**body["spec"]["versions"][0], "name": "v2"})
    assert (
        "must have exactly one version marked as storage version" in (await api("POST", CRDS, body)).message
    )
    answer = await api(
        "POST", CRDS, crd(schema={"openAPIV3Schema": {"type": "object", "properties": {"spec": {}}}})
    )
    assert answer.status == 422
    assert "spec.validation.openAPIV3Schema.properties[spec].type: Required value" in answer.message
    missing = await api("POST", CRDS, crd(schema=None))
    assert "spec.versions[0].schema.openAPIV3Schema: Required value" in missing.message


@virtual_time
async def test_a_kind_whose_name_is_in_use_is_not_served() -> None:
    api = Api()
    await api.ok("POST", CRDS, crd())
    await api.ok("POST", CRDS, crd("gizmos", "Widget"))
    second = await api.ok("GET", f"{CRDS}/gizmos.example.com")
    assert conditions(second)["NamesAccepted"] == ("False", "KindConflict")
    assert conditions(second)["Established"] == ("False", "NotAccepted")
    assert (await api("GET", "/apis/example.com/v1/gizmos")).status == 404


@virtual_time
async def test_a_changed_schema_applies_to_later_writes() -> None:
    api = Api()
    await api.ok("POST", CRDS, crd())
    await api.ok("POST", WIDGETS, widget("w", size="small"))
    definition = await api.ok("GET", PATH)
    schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    schema["properties"]["spec"]["properties"]["colour"] = {"type": "string", "default": "grey"}
    changed = await api.ok("PUT", PATH, definition)
    assert changed["metadata"]["generation"] == 2
    touched = await api.ok("PATCH", f"{WIDGETS}/w", {"metadata": {"labels": {"a": "b"}}}, media=MERGE)
    assert touched["spec"]["colour"] == "grey"
    patch = {"spec": {"scope": "Cluster"}}
    assert "spec.scope: Invalid value" in (await api("PATCH", PATH, patch, media=MERGE)).message


@virtual_time
async def test_deleting_a_definition_deletes_its_objects_and_its_kind() -> None:
    api = Api()
    await api.ok("POST", CRDS, crd())
    await api.ok("POST", WIDGETS, widget("w"))
    marked = await api.ok("DELETE", PATH)
    assert conditions(marked)["Terminating"] == ("True", "InstanceDeletionPending")
    assert marked["metadata"]["finalizers"] == ["customresourcecleanup.apiextensions.k8s.io"]
    assert (await api("GET", PATH)).status == 404
    assert (await api("GET", WIDGETS)).status == 404
    await api.ok("POST", CRDS, crd())
    assert (await api.ok("GET", WIDGETS))["items"] == []


@virtual_time
async def test_an_object_with_a_finalizer_keeps_its_definition() -> None:
    api = Api()
    await api.ok("POST", CRDS, crd())
    body = widget("w")
    body["metadata"]["finalizers"] = ["example.com/hold"]
    await api.ok("POST", WIDGETS, body)
    await api.ok("DELETE", PATH)
    assert (await api.ok("GET", f"{WIDGETS}/w"))["metadata"]["deletionTimestamp"]
    assert conditions(await api.ok("GET", PATH))["Terminating"][0] == "True"
    refused = await api("POST", WIDGETS, widget("late"))
    assert refused.status == 405
    await api.ok("PATCH", f"{WIDGETS}/w", {"metadata": {"finalizers": None}}, media=MERGE)
    assert (await api("GET", PATH)).status == 404


@virtual_time
async def test_selectable_fields_can_be_selected() -> None:
    api = Api()
    await api.ok("POST", CRDS, crd(selectableFields=[{"jsonPath": ".spec.size"}]))
    await api.ok("POST", WIDGETS, widget("a", size="small"))
    await api.ok("POST", WIDGETS, widget("b", size="large"))
    listed = await api.ok("GET", WIDGETS, None, {"fieldSelector": "spec.size=large"})
    assert [item["metadata"]["name"] for item in listed["items"]] == ["b"]


@virtual_time
async def test_scale_reads_and_writes_the_paths_in_the_definition() -> None:
    api = Api()
    scale = {
        "specReplicasPath": ".spec.replicas",
        "statusReplicasPath": ".status.replicas",
        "labelSelectorPath": ".status.selector",
    }
    await api.ok("POST", CRDS, crd(subresources={"status": {}, "scale": scale}))
    await api.ok("POST", WIDGETS, widget("w", replicas=2))
    await api.ok("PATCH", f"{WIDGETS}/w/status", {"status": {"replicas": 1, "selector": "a=b"}}, media=MERGE)
    got = await api.ok("GET", f"{WIDGETS}/w/scale")
    assert (got["kind"], got["spec"], got["status"]) == (
        "Scale",
        {"replicas": 2},
        {"replicas": 1, "selector": "a=b"},
    )
    got["spec"]["replicas"] = 5
    assert (await api.ok("PUT", f"{WIDGETS}/w/scale", got))["spec"] == {"replicas": 5}
    assert (await api("PUT", f"{WIDGETS}/w/scale", got)).status == 409
    await api.ok("PATCH", f"{WIDGETS}/w/scale", {"spec": {"replicas": 3}}, media=MERGE)
    changed = await api.ok("GET", f"{WIDGETS}/w")
    assert (changed["spec"]["replicas"], changed["metadata"]["generation"]) == (3, 3)


@virtual_time
async def test_a_kind_whose_root_has_no_type_keeps_unknown_fields() -> None:
    api = Api()
    schema = {"x-kubernetes-preserve-unknown-fields": True, "properties": {"spec": {"type": "object"}}}
    await api.ok("POST", CRDS, crd(schema={"openAPIV3Schema": schema}))
    made = await api.ok("POST", WIDGETS, {**widget("w"), "spec": {"a": 1}, "more": [1]})
    assert made["spec"] == {}
    assert made["more"] == [1]


@virtual_time
async def test_formats_that_are_not_checked_cause_one_warning_each() -> None:
    field = {"type": "string", "format": "shade"}
    schema = {"type": "object", "properties": {"a": field, "b": {"type": "array", "items": field}}}
    answer = await Api()("POST", CRDS, crd(schema={"openAPIV3Schema": schema}))
    assert answer.status == 201
    assert answer.headers["Warning"] == '299 - "unrecognized format \\"shade\\""'
