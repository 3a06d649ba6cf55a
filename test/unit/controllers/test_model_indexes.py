"""Indexes of models and of the states of their templates."""

from __future__ import annotations

from typing import Any

import pytest

from aimctl.api import kinds
from aimctl.controllers.indexes.models import MODEL_INDEXES, TEMPLATE_STATE_INDEXES
from support.things import make


def values(indexes: Any, *args: Any, **fields: Any) -> list[str]:
    ((_, function),) = indexes.items()
    return list(function(make(*args, **fields)))


READY = {"status": {"status": "Ready"}}


@pytest.mark.parametrize(
    ("namespace", "fields", "expected"),
    [
        ("team", READY, ["team/m/Ready", "*/m/Ready"]),
        ("", READY, ["/m/Ready"]),
        ("team", {}, ["team/m/", "*/m/"]),
        ("team", {"status": {"status": "Unheard"}}, ["team/m/", "*/m/"]),
        ("team", {**READY, "spec": {"modelName": "m", "precision": "fp6"}}, ["team/m/Ready", "*/m/Ready"]),
        ("team", {"spec": {"modelName": "m", "precision": "fp6"}, "status": None}, ["team/m/", "*/m/"]),
        ("team", {**READY, "labels": {"aim.silogen.ai/derived-template": "true"}}, []),
    ],
    ids=["namespaced", "cluster", "new", "unknown state", "unreadable", "new and unreadable", "derived"],
)
def test_a_template_is_found_by_its_model_and_its_state(namespace, fields, expected):
    resource = kinds.TEMPLATES if namespace else kinds.CLUSTER_TEMPLATES
    fields = {"spec": {"modelName": "m"}, **fields}
    assert values(TEMPLATE_STATE_INDEXES, "a", namespace, resource=resource, **fields) == expected


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"image": "i"}, ["team/default", "*/default"]),
        ({"image": "i", "runtimeConfigName": "fast"}, ["team/fast", "*/fast"]),
        ({"image": {"newer": "version"}}, []),
    ],
)
def test_a_model_is_found_by_its_runtime_config_if_it_can_be_read(spec, expected):
    assert values(MODEL_INDEXES, "m", "team", resource=kinds.MODELS, spec=spec) == expected
