"""A status that does not fit its type counts as absent; a spec that does not fit is an error."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from aimctl.api.kinds import KINDS
from aimctl.api.v1alpha1 import AIMServiceTemplate, has_foreign_status

SPECS: dict[str, dict[str, Any]] = {
    "AIMModel": {"image": "a:1"},
    "AIMClusterModel": {"image": "a:1"},
    "AIMServiceTemplate": {"modelName": "m"},
    "AIMClusterServiceTemplate": {"modelName": "m"},
    "AIMService": {"model": {"ref": "m"}},
    "AIMTemplateCache": {"templateRef": "t"},
    "AIMModelCache": {"sourceURI": "hf://m/m", "size": "1Gi"},
    "AIMRuntimeConfig": {},
    "AIMClusterRuntimeConfig": {},
}


@pytest.mark.parametrize("kind", KINDS, ids=[kind.name for kind in KINDS])
def test_a_status_of_another_operator_counts_as_absent(kind) -> None:
    spec, foreign = SPECS[kind.name], {"conditions": "none"}
    absent = kind.view.model_validate({"spec": spec})
    view = kind.view.model_validate({"spec": spec, "status": foreign})
    assert view.status == absent.status
    assert view.spec == absent.spec
    assert has_foreign_status(view, foreign)
    assert not has_foreign_status(absent, {})


def test_a_status_that_fits_is_read() -> None:
    status = {"status": "Ready", "fieldOfANewerVersion": 1}
    view = AIMServiceTemplate.model_validate({"spec": {"modelName": "m"}, "status": status})
    assert view.status.status == "Ready"
    assert not has_foreign_status(view, status)


def test_a_spec_that_does_not_fit_is_an_error() -> None:
    with pytest.raises(ValidationError):
        AIMServiceTemplate.model_validate({"spec": {"modelName": 3}})
