"""The CRDs are structural, say everything about every field, and refuse bad input with a clear message."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest

from aimctl.api.kinds import KINDS
from aimctl.api.v1alpha1 import (
    CLUSTER_RUNTIME_CONFIGS,
    CLUSTER_SERVICE_TEMPLATES,
    MODEL_CACHES,
    RUNTIME_CONFIGS,
    SERVICE_TEMPLATES,
    SERVICES,
    TemplateState,
)
from aimctl.devcluster.apiserver.schema import Schema

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aimctl.runtime import CustomKind

IDS = [kind.name for kind in KINDS]
TEMPLATE = {
    "modelName": "llama",
    "metric": "latency",
    "precision": "fp16",
    "gpuSelector": {"count": 1, "model": "MI300X"},
}
CACHE = {"sourceURI": "hf://m/m", "size": "16Gi"}


def root(kind: CustomKind[Any]) -> dict[str, Any]:
    (version,) = kind.crd()["spec"]["versions"]
    return version["schema"]["openAPIV3Schema"]


def nodes(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    for word in ("items", "additionalProperties"):
        if isinstance(schema.get(word), dict):
            yield from nodes(schema[word], f"{path}[{word}]")


def refused(kind: CustomKind[Any], spec: Any, old: Any = None, **more: Any) -> list[str]:
    """What an API server says about an object with this spec, after defaults."""
    schema = Schema.from_crd(root(kind))

    def whole(value: Any) -> dict[str, Any]:
        metadata = {"name": "x"} | ({"namespace": "team"} if kind.namespaced else {})
        api_version = {"apiVersion": "aim.silogen.ai/v1alpha1", "kind": kind.name, "metadata": metadata}
        return schema.default(copy.deepcopy({**api_version, "spec": value, **more}))

    return [str(error) for error in schema.validate(whole(spec), None if old is None else whole(old))]


@pytest.mark.parametrize("kind", KINDS, ids=IDS)
def test_every_field_has_a_description(kind: CustomKind[Any]) -> None:
    bare = [
        path
        for path, node in nodes(root(kind))
        if path and path != ".metadata" and not node.get("description") and not path.endswith("]")
    ]
    assert not bare


@pytest.mark.parametrize("kind", KINDS, ids=IDS)
def test_the_schema_is_structural_and_has_no_words_beyond_the_standard(kind: CustomKind[Any]) -> None:
    for path, node in nodes(root(kind)):
        assert not {"$ref", "$defs", "anyOf", "allOf", "oneOf", "not", "nullable", "title", "const"} & set(
            node
        ), path
        assert ("type" in node) != bool(node.get("x-kubernetes-int-or-string")), path
        assert not {"properties", "additionalProperties"} <= set(node), path
        if node.get("type") == "array":
            assert "items" in node, path
            assert "maxItems" in node, path
            assert node["x-kubernetes-list-type"] in {"map", "atomic", "set"}, path
    assert Schema.from_crd(root(kind))


@pytest.mark.parametrize("kind", KINDS, ids=IDS)
def test_every_text_that_a_rule_compares_is_bounded(kind: CustomKind[Any]) -> None:
    for path, node in nodes(root(kind)):
        if node.get("type") == "string" and path.startswith(".spec"):
            assert "maxLength" in node or "enum" in node, path


@pytest.mark.parametrize("kind", KINDS, ids=IDS)
def test_names_of_other_objects_are_dns_subdomains(kind: CustomKind[Any]) -> None:
    for path, node in nodes(root(kind).get("properties", {})["spec"]):
        field = path.rpartition(".")[2]
        if field in {
            "modelName",
            "templateRef",
            "runtimeConfigName",
            "serviceAccountName",
            "defaultServiceTemplate",
            "ref",
        }:
            assert node["maxLength"] == 253, path
            assert node["pattern"].startswith("^[a-z0-9]"), path


@pytest.mark.parametrize("kind", KINDS, ids=IDS)
def test_a_kind_has_short_name_categories_status_and_columns(kind: CustomKind[Any]) -> None:
    spec = kind.crd()["spec"]
    assert spec["scope"] == ("Namespaced" if kind.namespaced else "Cluster")
    assert spec["names"]["categories"] == ["aim", "all"]
    assert spec["names"]["shortNames"]
    (version,) = spec["versions"]
    assert version["subresources"]["status"] == {}
    assert ("scale" in version["subresources"]) == (
        "replicas" in kind.view.model_fields["spec"].annotation.model_fields
    )
    assert version["additionalPrinterColumns"][-1]["jsonPath"] == ".metadata.creationTimestamp"


LONG = {
    ".status.status": "Progressing",
    '.status.conditions[?(@.type=="Ready")].reason': "RuntimeConfigNotFound",
    ".spec.gpuSelector.model": "MI300X",
    ".status.url": "http://assistant-ml-serving.example.com",
    ".spec.modelName": "meta-llama-3-8b-instruct",
    ".spec.image": "ghcr.io/silogen/aim-llama-3-8b:0.4.1",
    ".spec.size": "140Gi",
    ".status.progress.percent": "100",
    ".metadata.creationTimestamp": "9m24s",
}
"""Long values of the columns, as in clusters with generated names."""


@pytest.mark.parametrize("kind", KINDS, ids=IDS)
def test_a_line_of_kubectl_get_aim_has_at_most_160_characters(kind: CustomKind[Any]) -> None:
    """With ``-A``, and names of 24 characters after the kind that ``kubectl get aim`` puts before them."""
    (version,) = kind.crd()["spec"]["versions"]
    columns = [one for one in version["additionalPrinterColumns"] if not one.get("priority")]
    cells = [*(["ml-serving"] if kind.namespaced else []), f"{kind.name.lower()}.aim.silogen.ai/{'n' * 24}"]
    cells += [max(LONG.get(one["jsonPath"], ""), one["name"], key=len) for one in columns]
    assert sum(map(len, cells)) + 3 * (len(cells) - 1) <= 160


def test_short_names_are_those_of_the_document_and_all_different() -> None:
    names = {kind.name: kind.short_names[0] for kind in KINDS}
    assert names == {
        "AIMModel": "aimmdl",
        "AIMClusterModel": "aimclmdl",
        "AIMServiceTemplate": "aimst",
        "AIMClusterServiceTemplate": "aimclst",
        "AIMService": "aimsvc",
        "AIMTemplateCache": "aimtc",
        "AIMModelCache": "aimmc",
        "AIMRuntimeConfig": "aimrcfg",
        "AIMClusterRuntimeConfig": "aimcrcfg",
    }


def test_templates_show_model_gpu_status_and_reason() -> None:
    columns = [column.name for column in SERVICE_TEMPLATES.columns if column.priority == 0]
    assert columns == ["Model", "GPU", "Status", "Reason", "Age"]


def test_defaults_are_written_for_the_spec_only() -> None:
    for kind in KINDS:
        for path, node in nodes(root(kind)):
            assert "default" not in node or path.startswith(".spec"), path
    assert (
        root(SERVICE_TEMPLATES)["properties"]["spec"]["properties"]["runtimeConfigName"]["default"]
        == "default"
    )


def test_cluster_templates_have_neither_env_nor_caching() -> None:
    own, cluster = (
        set(root(kind)["properties"]["spec"]["properties"])
        for kind in (SERVICE_TEMPLATES, CLUSTER_SERVICE_TEMPLATES)
    )
    assert own - cluster == {"env", "caching"}
    assert not cluster - own


def test_status_fields_of_templates_are_the_documents() -> None:
    status = root(SERVICE_TEMPLATES)["properties"]["status"]["properties"]
    assert {
        "observedGeneration",
        "status",
        "conditions",
        "resolvedRuntimeConfig",
        "resolvedImage",
        "modelSources",
        "profile",
    } <= set(status)
    assert status["status"]["enum"] == list(TemplateState)
    assert status["conditions"]["x-kubernetes-list-map-keys"] == ["type"]
    assert status["profile"]["x-kubernetes-preserve-unknown-fields"] is True
    assert set(status["modelSources"]["items"]["properties"]) == {"name", "source", "sizeBytes"}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"modelName": "Not_A_Name"}, "spec.modelName"),
        ({"modelName": "a" * 254}, "spec.modelName"),
        (
            {"metric": "speed"},
            'spec.metric: Unsupported value: "speed": supported values: "latency", "throughput"',
        ),
        ({"precision": "fp17"}, "spec.precision"),
        ({"gpuSelector": {"count": 0}}, "spec.gpuSelector.count"),
        ({"gpuSelector": {"model": ""}}, "spec.gpuSelector.model"),
        ({"modelSources": [{"name": "a", "sourceURI": "ftp://x", "size": "1Gi"}]}, "sourceURI"),
        ({"modelSources": [{"name": "a", "sourceURI": "hf://x", "size": "-1Gi"}]}, "size"),
        ({"modelSources": [{"name": "a", "sourceURI": "hf://x", "size": "big"}]}, "size"),
        ({"modelSources": [{"name": "a", "sourceURI": "hf://x", "size": "1Gi"}] * 2}, "Duplicate value"),
        ({"env": [{"name": "A", "valueFrom": {}}]}, "valueFrom"),
        ({"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s"}}}]}, "key"),
        ({"imagePullSecrets": [{"name": "-"}]}, "imagePullSecrets"),
        ({"resources": {"limits": {"cpu": "many"}}}, "limits"),
    ],
)
def test_bad_input_is_refused_and_the_message_names_the_field(changed: dict[str, Any], message: str) -> None:
    errors = refused(SERVICE_TEMPLATES, TEMPLATE | changed)
    assert any(message in error for error in errors), errors


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"resources": {"limits": {"cpu": 2, "memory": "4Gi", "amd.com/gpu": "1"}}},
        {"modelSources": [{"name": "a", "sourceURI": "s3://b/x", "size": 1024}]},
    ],
)
def test_good_input_is_taken(changed: dict[str, Any]) -> None:
    assert refused(SERVICE_TEMPLATES, TEMPLATE | changed) == []


@pytest.mark.parametrize("kind", [SERVICE_TEMPLATES, CLUSTER_SERVICE_TEMPLATES], ids=lambda kind: kind.name)
@pytest.mark.parametrize(
    ("field", "changed"),
    [
        ("modelName", {"modelName": "other"}),
        ("metric", {"metric": "throughput"}),
        ("metric", {"metric": None}),
        ("precision", {"precision": "fp8"}),
        ("precision", {"precision": None}),
        ("gpuSelector", {"gpuSelector": None}),
        ("gpuSelector.count", {"gpuSelector": {"count": 2, "model": "MI300X"}}),
        ("gpuSelector.count", {"gpuSelector": {"model": "MI300X"}}),
        ("gpuSelector.model", {"gpuSelector": {"count": 1, "model": "MI325X"}}),
        ("gpuSelector.model", {"gpuSelector": {"count": 1}}),
    ],
)
def test_an_immutable_field_can_neither_change_nor_vanish_nor_appear(
    kind: CustomKind[Any], field: str, changed: dict[str, Any]
) -> None:
    new = {name: value for name, value in (TEMPLATE | changed).items() if value is not None}
    for before, after in ((TEMPLATE, new), (new, TEMPLATE)):
        errors = refused(kind, after, before)
        assert len(errors) == 1, errors
        assert f"spec.{field} is immutable; create a new template" in errors[0]


def test_what_is_not_immutable_may_change() -> None:
    changed = {"runtimeConfigName": "gold", "env": [{"name": "A", "value": "1"}], "serviceAccountName": "x"}
    assert refused(SERVICE_TEMPLATES, TEMPLATE | changed, TEMPLATE) == []


def test_the_source_of_a_model_cache_is_immutable() -> None:
    assert refused(MODEL_CACHES, CACHE | {"size": "20Gi"}, CACHE) == []
    (error,) = refused(MODEL_CACHES, CACHE | {"sourceURI": "hf://m/other"}, CACHE)
    assert "spec.sourceURI is immutable; create a new model cache" in error


@pytest.mark.parametrize(
    ("model", "good"),
    [({"ref": "m"}, True), ({"image": "i:1"}, True), ({}, False), ({"ref": "m", "image": "i:1"}, False)],
)
def test_a_service_names_its_model_by_exactly_one_of_ref_and_image(model: dict[str, str], good: bool) -> None:
    errors = refused(SERVICES, {"model": model})
    assert (not errors) is good
    if not good:
        assert "exactly one of spec.model.ref and spec.model.image" in errors[0]


def test_unknown_fields_are_pruned_except_in_the_profile() -> None:
    schema = Schema.from_crd(root(SERVICE_TEMPLATES))
    body = {
        "apiVersion": "aim.silogen.ai/v1alpha1",
        "kind": "AIMServiceTemplate",
        "metadata": {"name": "x"},
        "spec": {"modelName": "m", "typo": 1},
        "status": {"profile": {"any": {"thing": [None]}}},
    }
    pruned, unknown = schema.prune(copy.deepcopy(body))
    assert unknown == ["spec.typo"]
    assert pruned["status"] == body["status"]


@pytest.mark.parametrize(
    "model",
    [None, {}, {"autoDiscovery": False}, {"creationScope": "Namespace"}, {"creationScope": "Cluster"}],
)
def test_who_may_edit_one_namespace_asks_for_no_models_of_the_cluster(model: dict[str, Any] | None) -> None:
    spec = {} if model is None else {"model": model}
    assert refused(CLUSTER_RUNTIME_CONFIGS, spec) == []
    errors = refused(RUNTIME_CONFIGS, spec)
    if model is not None and model.get("creationScope") == "Cluster":
        (error,) = errors
        assert "spec.model.creationScope: Cluster is valid in AIMClusterRuntimeConfigs only" in error
    else:
        assert errors == []


@pytest.mark.parametrize("kind", KINDS, ids=IDS)
def test_exactly_the_immutable_fields_are_described_as_immutable(kind: CustomKind[Any]) -> None:
    schema = root(kind)["properties"]["spec"]
    said = {path for path, field in nodes(schema, "spec") if "mmutable" in field.get("description", "")}
    rules = [rule["message"] for rule in schema.get("x-kubernetes-validations", ())]
    enforced = {text.split()[0] for text in rules if " is immutable" in text}
    assert said == {".".join(path.split(".")[:2]) for path in enforced}


@pytest.mark.parametrize("kind", KINDS, ids=IDS)
def test_a_reference_to_a_runtime_config_is_described_with_where_it_is_looked_up(
    kind: CustomKind[Any],
) -> None:
    for path, field in nodes(root(kind)["properties"]["spec"], "spec"):
        text = field.get("description", "")
        if path.endswith(".runtimeConfigName"):
            assert "AIMRuntimeConfig in " in text
            assert "otherwise of the AIMClusterRuntimeConfig" in text
            assert ("operator namespace" in text) == (not kind.namespaced or kind.name == "AIMModel")
