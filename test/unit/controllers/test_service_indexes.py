"""Indexes of services and models: cheap decoders that must agree with the typed views."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from aimctl.api import kinds
from aimctl.controllers.indexes.services import MODEL_LOOKUPS, SERVICE_LOOKUPS, resolved_of
from aimctl.domain.naming import auto_model_name
from aimctl.runtime.kube import Object

AUTO = auto_model_name("i")


def made(resource: Any, namespace: str = "team", **fields: Any) -> Object[Any]:
    metadata = {"name": "a", "uid": "u", "resourceVersion": "1", "namespace": namespace}
    body = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata, **fields}
    return Object.parse(resource, msgspec.json.encode(body))


def found(indexes: Any, obj: Object[Any]) -> dict[str, list[str]]:
    """What is not empty."""
    values = {name: sorted(function(obj)) for name, function in indexes.items()}
    return {name: listed for name, listed in values.items() if listed}


def both(*names: str) -> list[str]:
    return sorted(f"{where}/{name}" for where in ("*", "team") for name in names)


@pytest.mark.parametrize(
    ("spec", "status", "expected"),
    [
        (
            {"model": {"ref": "m"}, "templateRef": "t"},
            None,
            {"template": both("t"), "any-model": both("m"), "runtime-config": both("default")},
        ),
        (
            {"model": {"ref": "m"}, "runtimeConfigName": "c"},
            {},
            {"model": both("m"), "any-model": both("m"), "runtime-config": both("c")},
        ),
        (
            {"model": {"image": "i"}},
            None,
            {"image": both("i"), "any-model": both(AUTO), "runtime-config": both("default")},
        ),
        (
            {"model": {"image": "i"}},
            {
                "resolvedImage": {"kind": "AIMModel", "name": "mine", "namespace": "team", "uid": "1"},
                "resolvedTemplate": {"kind": "AIMServiceTemplate", "name": "t", "namespace": "team"},
            },
            {
                "image": both("i"),
                "model": both("mine"),
                "any-model": both(AUTO, "mine"),
                "uses": ["AIMServiceTemplate/team/t"],
                "uses-name": ["team/t"],
                "runtime-config": both("default"),
            },
        ),
        (
            {"model": {"ref": "m"}},
            {"resolvedTemplate": {"kind": "AIMClusterServiceTemplate", "name": "t"}},
            {
                "model": both("m"),
                "any-model": both("m"),
                "uses": ["AIMClusterServiceTemplate//t"],
                "uses-name": ["team/t"],
                "runtime-config": both("default"),
            },
        ),
    ],
)
def test_a_service_is_found_by_all_that_it_names_and_uses(
    spec: Any, status: Any, expected: dict[str, list[str]]
) -> None:
    obj = made(kinds.SERVICES, spec=spec, **({} if status is None else {"status": status}))
    assert found(SERVICE_LOOKUPS, obj) == expected
    assert place_of_config(obj) in expected["runtime-config"]


def place_of_config(obj: Object[Any]) -> str:
    return f"team/{obj.view.spec.runtime_config_name}"


def test_what_a_service_was_resolved_to_compares_by_value() -> None:
    status = {"resolvedTemplate": {"kind": "K", "name": "t"}, "resolvedImage": {"kind": "M", "name": "m"}}
    first, second = (
        made(kinds.SERVICES, spec={"model": {"ref": "m"}}, status=status | {"status": state})
        for state in ("Starting", "Running")
    )
    assert resolved_of(first) == resolved_of(second)
    assert resolved_of(first) != resolved_of(made(kinds.SERVICES, spec={"model": {"ref": "m"}}))


def test_a_model_is_found_by_image_and_default_template() -> None:
    spec = {"image": "i", "defaultServiceTemplate": "t"}
    assert found(MODEL_LOOKUPS, made(kinds.MODELS, spec=spec)) == {
        "image": ["team/i"],
        "default-template": ["*/t", "team/t"],
    }
    assert found(MODEL_LOOKUPS, made(kinds.CLUSTER_MODELS, "", spec={"image": "i"})) == {"image": ["/i"]}
