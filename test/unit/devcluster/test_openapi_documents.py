"""OpenAPI documents: all references can be resolved, and custom kinds have their definitions."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from aimctl.devcluster.apiserver.builtin.types import builtin_kinds
from aimctl.devcluster.apiserver.objects.kinds import ServedKind
from aimctl.devcluster.apiserver.openapi.documents import openapi_v2, openapi_v3, openapi_v3_index
from aimctl.devcluster.apiserver.schema import Schema
from aimctl.kubetypes import Resource
from support.merge_strategy import merge_strategy

CRD = {
    "type": "object",
    "description": "A thing.",
    "properties": {
        "spec": {
            "type": "object",
            "required": ["model"],
            "properties": {
                "model": {
                    "type": "string",
                    "description": "Which model.",
                    "enum": ["a", "b"],
                    "default": "a",
                },
                "size": {
                    "x-kubernetes-int-or-string": True,
                    "anyOf": [{"type": "integer"}, {"type": "string"}],
                },
                "extra": {"x-kubernetes-preserve-unknown-fields": True},
            },
        },
    },
}
THINGS = ServedKind(
    resource=Resource.untyped("aim.silogen.ai", "v1alpha1", "Thing", "things"),
    schema=Schema.from_crd(CRD),
    crd_name="things.aim.silogen.ai",
    status_subresource=True,
)
KINDS = [*builtin_kinds(), THINGS]


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for item in value.values():
            yield from references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


def test_the_index_lists_each_group_version_with_a_hash_of_its_document() -> None:
    index = openapi_v3_index(KINDS)["paths"]
    assert {"api/v1", "apis/batch/v1", "apis/aim.silogen.ai/v1alpha1"} <= set(index)
    place = index["apis/aim.silogen.ai/v1alpha1"]["serverRelativeURL"]
    assert place.startswith("/openapi/v3/apis/aim.silogen.ai/v1alpha1?hash=")
    assert openapi_v3_index(KINDS)["paths"]["apis/aim.silogen.ai/v1alpha1"]["serverRelativeURL"] == place
    changed = copy.deepcopy(CRD)
    changed["description"] = "Another thing."
    other = ServedKind(resource=THINGS.resource, schema=Schema.from_crd(changed), crd_name="x")
    again = openapi_v3_index([other])["paths"]["apis/aim.silogen.ai/v1alpha1"]["serverRelativeURL"]
    assert again != place


@pytest.mark.parametrize("place", sorted(openapi_v3_index(KINDS)["paths"]))
def test_every_reference_in_a_v3_document_can_be_resolved(place: str) -> None:
    document = openapi_v3(KINDS, place)
    schemas = document["components"]["schemas"]
    for reference in references(document):
        assert reference.startswith("#/components/schemas/")
        assert reference.removeprefix("#/components/schemas/") in schemas


def test_every_reference_in_the_v2_document_can_be_resolved() -> None:
    document = openapi_v2(KINDS)
    for reference in references(document):
        assert reference.startswith("#/definitions/")
        assert reference.removeprefix("#/definitions/") in document["definitions"]


def test_a_custom_kind_keeps_its_descriptions_and_gets_metadata() -> None:
    schemas = openapi_v3(KINDS, "aim.silogen.ai/v1alpha1")["components"]["schemas"]
    thing = schemas["ai.silogen.aim.v1alpha1.Thing"]
    assert thing["description"] == "A thing."
    assert thing["properties"]["spec"]["properties"]["model"]["enum"] == ["a", "b"]
    assert thing["properties"]["metadata"]["allOf"] == [
        {"$ref": "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}
    ]
    assert thing["x-kubernetes-group-version-kind"] == [
        {"group": "aim.silogen.ai", "version": "v1alpha1", "kind": "Thing"}
    ]
    assert "spec" in CRD["properties"], "the definition itself does not change"
    assert "metadata" not in CRD["properties"]


def test_a_patch_operation_has_field_validation_and_its_media_types() -> None:
    """By this, kubectl detects whether the server validates fields."""
    paths = openapi_v3(KINDS, "apis/aim.silogen.ai/v1alpha1")["paths"]
    patch = paths["/apis/aim.silogen.ai/v1alpha1/namespaces/{namespace}/things/{name}"]["patch"]
    assert {"dryRun", "fieldManager", "fieldValidation", "force"} == {p["name"] for p in patch["parameters"]}
    assert "application/strategic-merge-patch+json" not in patch["requestBody"]["content"]
    pods = openapi_v3(KINDS, "api/v1")["paths"]["/api/v1/namespaces/{namespace}/pods/{name}"]["patch"]
    assert "application/strategic-merge-patch+json" in pods["requestBody"]["content"]


def test_the_v2_document_has_only_keywords_of_v2() -> None:
    thing = openapi_v2(KINDS)["definitions"]["ai.silogen.aim.v1alpha1.Thing"]
    properties = thing["properties"]["spec"]["properties"]
    assert properties["size"] == {"x-kubernetes-int-or-string": True}
    assert "default" not in properties["model"]


def test_a_group_that_is_not_served_has_no_document() -> None:
    with pytest.raises(KeyError):
        openapi_v3(KINDS, "apis/nothing/v1")


def test_lists_in_pods_have_the_keys_of_strategic_merge() -> None:
    pod = openapi_v3(KINDS, "v1")["components"]["schemas"]["io.k8s.api.core.v1.PodSpec"]["properties"]
    assert pod["containers"]["x-kubernetes-patch-merge-key"] == "name"
    served = next(kind for kind in KINDS if kind.resource.kind == "Pod")
    assert merge_strategy(served.schema, "spec", "containers") == ("map", ("name",))
    assert merge_strategy(served.schema, "spec", "containers", "env") == ("map", ("name",))
    assert merge_strategy(served.schema, "spec", "containers", "ports") == (
        "map",
        ("containerPort", "protocol"),
    )
    assert merge_strategy(served.schema, "spec", "containers", "args") == ("atomic", ())


def test_built_in_kinds_drop_unknown_fields_and_fill_static_defaults() -> None:
    pod = next(kind for kind in KINDS if kind.resource.kind == "Pod").schema
    given = {
        "metadata": {"name": "x", "creationTimestamp": None},
        "spec": {
            "containers": [
                {
                    "name": "a",
                    "imag": "b",
                    "ports": [{"containerPort": 80}],
                    "resources": {"limits": {"cpu": 1}},
                }
            ],
            "nodeSelector": None,
        },
    }
    pruned, unknown = pod.prune(given)
    filled = pod.default(pruned)
    assert unknown == ["spec.containers[0].imag"]
    assert pod.validate(filled, None) == []
    assert filled["metadata"] == {"name": "x", "creationTimestamp": None}
    assert filled["spec"]["restartPolicy"] == "Always"
    assert "nodeSelector" not in filled["spec"]
    assert filled["spec"]["containers"][0]["ports"] == [{"containerPort": 80, "protocol": "TCP"}]
    wrong = {"spec": {"containers": [{"name": "a"}], "terminationGracePeriodSeconds": "soon"}}
    assert [error.field for error in pod.validate(wrong, None)] == ["spec.terminationGracePeriodSeconds"]


def test_kinds_are_named_as_in_kubernetes() -> None:
    found = {kind.resource.group_resource: kind for kind in KINDS}
    assert found["pods"].short_names == ("po",)
    assert found["jobs.batch"].categories == ("all",)
    assert found["leases.coordination.k8s.io"].resource.api_version == "coordination.k8s.io/v1"
    assert found["customresourcedefinitions.apiextensions.k8s.io"].short_names == ("crd", "crds")
    assert not found["nodes"].resource.namespaced
    assert found["selfsubjectaccessreviews.authorization.k8s.io"].verbs == ("create",)
    assert len({kind.resource.path() for kind in KINDS}) == len(KINDS)
