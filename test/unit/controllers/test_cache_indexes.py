"""Indexes over caches, and over the services that ask for them."""

from __future__ import annotations

from typing import Any

import pytest

from aimctl.api.kinds import MODEL_CACHES, SERVICES, TEMPLATE_CACHES
from aimctl.controllers.indexes.caching import (
    MODEL_CACHE_INDEXES,
    SERVICE_CACHE_INDEXES,
    TEMPLATE_CACHE_INDEXES,
    UNBOUND,
)
from aimctl.kubetypes import Resource
from support.things import make

INDEXES = {
    TEMPLATE_CACHES: TEMPLATE_CACHE_INDEXES,
    MODEL_CACHES: MODEL_CACHE_INDEXES,
    SERVICES: SERVICE_CACHE_INDEXES,
}
READY = {"type": "StorageReady", "status": "True"}
USED = {"name": "m", "source": "hf://a/b", "modelCache": "c"}
IN_USE = {"kind": "AIMServiceTemplate", "name": "t"}


def found(resource: Resource[Any], **body: Any) -> dict[str, set[str]]:
    obj = make("x", "team", resource=resource, **body)
    return {name: set(function(obj)) for name, function in INDEXES[resource].items()}


def test_a_template_cache_is_found_by_template_runtime_config_model_cache_and_source() -> None:
    spec = {"templateRef": "t", "runtimeConfigName": "c"}
    assert found(TEMPLATE_CACHES, spec=spec, status={"models": [USED]}) == {
        "template": {"team/t", "*/t"},
        "runtime-config": {"team/c", "*/c"},
        "model-cache": {"team/c"},
        "source": {"team/hf://a/b"},
    }


@pytest.mark.parametrize("ready", [False, True])
def test_a_model_cache_is_found_by_source_runtime_config_and_whether_its_volume_is_ready(ready: bool) -> None:
    status = {"conditions": [READY]} if ready else {}
    assert found(MODEL_CACHES, spec={"sourceURI": "hf://a/b", "size": "1"}, status=status) == {
        "source": {"team/hf://a/b"},
        "runtime-config": {"team/default", "*/default"},
        "volume": set() if ready else {UNBOUND},
    }


@pytest.mark.parametrize(
    ("cached", "status", "values"),
    [
        (True, {"resolvedTemplate": IN_USE}, {"team/t"}),
        (True, {}, set()),
        (False, {"resolvedTemplate": IN_USE}, set()),
    ],
)
def test_a_service_that_asks_for_a_cache_is_found_by_the_template_in_use(
    cached: bool, status: dict[str, Any], values: set[str]
) -> None:
    spec = {"model": {"ref": "m"}, "cacheModel": cached}
    assert found(SERVICES, spec=spec, status=status)["requested-cache"] == values


@pytest.mark.parametrize(
    ("cached", "observed", "values"), [(True, 0, {"team"}), (True, 1, set()), (False, 0, set())]
)
def test_a_service_that_asks_for_a_cache_and_has_not_reported_is_found_by_its_namespace(
    cached: bool, observed: int, values: set[str]
) -> None:
    spec = {"model": {"ref": "m"}, "cacheModel": cached}
    indexed = found(SERVICES, spec=spec, status={"observedGeneration": observed})
    assert indexed["undecided-cache"] == values


@pytest.mark.parametrize("resource", INDEXES, ids=lambda resource: resource.kind)
def test_an_object_that_does_not_fit_its_type_is_in_no_index(resource: Resource[Any]) -> None:
    assert set().union(*found(resource, spec=[]).values()) == set()
