"""Views are frozen, tolerant of what they do not know, and speak JSON's names."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from aimctl.api.kinds import KINDS
from aimctl.api.v1alpha1 import SERVICE_TEMPLATES, SERVICES, Metric

if TYPE_CHECKING:
    from aimctl.runtime import CustomKind

SPECS = {
    "AIMModel": {"image": "i:1"},
    "AIMClusterModel": {"image": "i:1"},
    "AIMServiceTemplate": {"modelName": "m"},
    "AIMClusterServiceTemplate": {"modelName": "m"},
    "AIMService": {"model": {"ref": "m"}},
    "AIMTemplateCache": {"templateRef": "t"},
    "AIMModelCache": {"sourceURI": "hf://m", "size": 5},
    "AIMRuntimeConfig": {},
    "AIMClusterRuntimeConfig": {},
}


def read(kind: CustomKind[Any], **body: Any) -> Any:
    return kind.decode(
        json.dumps({"apiVersion": "x", "kind": kind.name, "metadata": {"name": "x"}, **body}).encode()
    )


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_the_least_object_of_each_kind_can_be_read(kind: CustomKind[Any]) -> None:
    view = read(kind, spec=SPECS[kind.name])
    assert view.status.conditions == ()
    assert read(kind, spec=SPECS[kind.name], status={}) == view


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_fields_of_another_version_are_ignored(kind: CustomKind[Any]) -> None:
    spec = SPECS[kind.name] | {"fromTheFuture": {"x": [1]}}
    assert read(kind, spec=spec, status={"alsoNew": 1}) == read(kind, spec=SPECS[kind.name])


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_view_cannot_be_changed(kind: CustomKind[Any]) -> None:
    view = read(kind, spec=SPECS[kind.name])
    with pytest.raises(ValidationError, match="frozen"):
        view.status = None
    with pytest.raises(ValidationError, match="frozen"):
        view.spec.x = 1


def test_an_object_stored_under_other_constraints_can_still_be_read() -> None:
    view = read(
        SERVICE_TEMPLATES,
        spec={"modelName": "Not A Name", "gpuSelector": {"count": 0}},
        status={"status": "New"},
    )
    assert view.spec.model_name == "Not A Name"
    assert view.status.status == "New"


def test_names_are_pythons_inside_and_jsons_outside() -> None:
    body = {
        "modelName": "m",
        "metric": "latency",
        "imagePullSecrets": [{"name": "s"}],
        "modelSources": [{"name": "a", "sourceURI": "hf://a", "size": 7}],
        "env": [{"name": "T", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}],
    }
    spec = read(SERVICE_TEMPLATES, spec=body).spec
    assert spec.metric is Metric.LATENCY
    assert spec.model_sources[0].source_uri == "hf://a"
    assert spec.model_sources[0].size == "7"
    assert spec.to_json() == body | {"modelSources": [{"name": "a", "sourceURI": "hf://a", "size": "7"}]}


def test_defaults_hold_for_objects_stored_before_they_existed() -> None:
    service = read(SERVICES, spec={"model": {"ref": "m"}}).spec
    assert (service.replicas, service.runtime_config_name, service.cache_model) == (1, "default", False)


def test_a_body_that_does_not_fit_is_told_on_one_line_with_field_rule_and_value() -> None:
    body = {"spec": {"modelName": "m", "precision": "fp6", "gpuSelector": {"count": "x\n" * 99}}}
    with pytest.raises(
        ValueError,
        match=r"^spec\.precision: Input should be .*, not 'fp6'; spec\.gpuSelector\.count: .*, not ",
    ) as caught:
        SERVICE_TEMPLATES.decode(json.dumps(body).encode())
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 600
