"""The model made for a service that names an image."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimctl.api.v1alpha1 import RuntimeConfigSpec, Scope, ServiceSpec
from aimctl.domain.models.auto_model import auto_model, auto_model_name
from aimctl.domain.naming import LABEL_MANAGED_BY
from aimctl.domain.resolution import Reference, Resolved

IMAGE = "ghcr.io/silogen/aim-llama:1"
SECRETS = [{"name": "creds"}]


def service(**spec) -> ServiceSpec:
    return ServiceSpec.model_validate({"model": {"image": IMAGE}, **spec})


def config(scope: str = "", *, found: Scope | None = None) -> Resolved[RuntimeConfigSpec]:
    spec = RuntimeConfigSpec.model_validate({"model": {"creationScope": scope}} if scope else {})
    return Resolved(spec, None if found is None else Reference("X", "fast", "", found, "uid"))


def test_it_is_namespaced_labelled_and_owned_by_nobody():
    made = auto_model(IMAGE, "team", service(), config())
    assert made["kind"] == "AIMModel"
    assert made["metadata"]["namespace"] == "team"
    assert made["metadata"]["name"] == "auto-" + sha256(IMAGE.encode()).hexdigest()[:10]
    assert made["metadata"]["labels"][LABEL_MANAGED_BY] == "aim"
    assert "ownerReferences" not in made["metadata"]
    assert made["spec"] == {"image": IMAGE}


def test_what_the_image_needs_to_be_read_comes_along():
    wish = service(imagePullSecrets=SECRETS, serviceAccountName="runner", runtimeConfigName="fast")
    made = auto_model(IMAGE, "team", wish, config(found=Scope.NAMESPACE))
    assert made["spec"] == {
        "image": IMAGE,
        "imagePullSecrets": SECRETS,
        "serviceAccountName": "runner",
        "runtimeConfigName": "fast",
    }


def test_the_clusters_takes_nothing_that_lives_in_a_namespace():
    wish = service(imagePullSecrets=SECRETS, serviceAccountName="runner", runtimeConfigName="fast")
    made = auto_model(IMAGE, "team", wish, config("Cluster", found=Scope.CLUSTER))
    assert made["kind"] == "AIMClusterModel"
    assert "namespace" not in made["metadata"]
    assert made["spec"] == {"image": IMAGE, "runtimeConfigName": "fast"}


@pytest.mark.parametrize("found", [Scope.NAMESPACE, None])
def test_who_may_edit_a_namespace_makes_no_objects_of_the_cluster(found):
    made = auto_model(IMAGE, "team", service(), config("Cluster", found=found))
    assert (made["kind"], made["metadata"]["namespace"]) == ("AIMModel", "team")


@given(st.text(), st.text())
def test_names_are_told_apart_by_the_image_alone(one, other):
    assert (auto_model_name(one) == auto_model_name(other)) == (one == other)
    assert len(auto_model_name(one)) == 15
