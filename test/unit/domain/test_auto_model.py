"""The model that is created for a service that specifies an image."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimctl.api.v1alpha1 import RuntimeConfigSpec, Scope, ServiceSpec
from aimctl.domain.models.auto_model import auto_model, auto_model_scope
from aimctl.domain.naming import LABEL_MANAGED_BY, auto_model_name
from aimctl.domain.resolution import Reference, Resolved

IMAGE = "ghcr.io/silogen/aim-llama:1"
SECRETS = [{"name": "creds"}]


def service(**spec) -> ServiceSpec:
    return ServiceSpec.model_validate({"model": {"image": IMAGE}, **spec})


def config(
    scope: str = "", *, found: Scope | None = None, allowed: tuple[str, ...] = ("ghcr.io/silogen/*",)
) -> Resolved[RuntimeConfigSpec]:
    model = {"creationScope": scope, "allowedImages": list(allowed)}
    spec = RuntimeConfigSpec.model_validate({"model": model} if scope else {})
    return Resolved(spec, None if found is None else Reference("X", "fast", "", found, "uid"))


def test_it_is_namespaced_labelled_and_has_no_owner():
    manifest = auto_model(IMAGE, "team", service(), config())
    assert manifest["kind"] == "AIMModel"
    assert manifest["metadata"]["namespace"] == "team"
    assert manifest["metadata"]["name"] == "auto-" + sha256(IMAGE.encode()).hexdigest()[:10]
    assert manifest["metadata"]["labels"][LABEL_MANAGED_BY] == "aim"
    assert "ownerReferences" not in manifest["metadata"]
    assert manifest["spec"] == {"image": IMAGE}


def test_it_has_what_may_be_needed_to_read_the_image():
    spec = service(imagePullSecrets=SECRETS, serviceAccountName="runner", runtimeConfigName="fast")
    manifest = auto_model(IMAGE, "team", spec, config(found=Scope.NAMESPACE))
    assert manifest["spec"] == {
        "image": IMAGE,
        "imagePullSecrets": SECRETS,
        "serviceAccountName": "runner",
        "runtimeConfigName": "fast",
    }


def test_a_cluster_model_has_no_references_to_namespaced_objects():
    spec = service(imagePullSecrets=SECRETS, serviceAccountName="runner", runtimeConfigName="fast")
    manifest = auto_model(IMAGE, "team", spec, config("Cluster", found=Scope.CLUSTER))
    assert manifest["kind"] == "AIMClusterModel"
    assert "namespace" not in manifest["metadata"]
    assert manifest["spec"] == {"image": IMAGE, "runtimeConfigName": "fast"}


@pytest.mark.parametrize("found", [Scope.NAMESPACE, None])
def test_a_namespaced_runtime_config_cannot_request_a_cluster_model(found):
    manifest = auto_model(IMAGE, "team", service(), config("Cluster", found=found))
    assert (manifest["kind"], manifest["metadata"]["namespace"]) == ("AIMModel", "team")


@pytest.mark.parametrize(
    ("image", "allowed", "scope"),
    [
        ("ghcr.io/silogen/x:1", (), Scope.NAMESPACE),
        ("ghcr.io/silogen/x:1", ("ghcr.io/silogen/*",), Scope.CLUSTER),
        ("ghcr.io/silogen/x:1", ("quay.io/*", "ghcr.io/silogen/x:1"), Scope.CLUSTER),
        ("GHCR.io/silogen/x", ("ghcr.io/silogen/x:latest",), Scope.CLUSTER),
        ("x", ("docker.io/library/x:*",), Scope.CLUSTER),
        ("x", ("x",), Scope.NAMESPACE),
        ("ghcr.io.evil.example/silogen/x:1", ("ghcr.io/silogen/*",), Scope.NAMESPACE),
        ("evil.example/ghcr.io/silogen/x:1", ("ghcr.io/silogen/*",), Scope.NAMESPACE),
        ("ghcr.io/silogen/../evil:1", ("ghcr.io/silogen/*",), Scope.NAMESPACE),
        ("ghcr.io/silogen/x:1 ", ("ghcr.io/silogen/*",), Scope.NAMESPACE),
    ],
)
def test_a_cluster_model_is_created_for_allowed_images_only(image, allowed, scope):
    assert auto_model_scope(image, config("Cluster", found=Scope.CLUSTER, allowed=allowed)) is scope


@given(st.text(), st.text())
def test_the_name_depends_on_the_image_alone(one, other):
    assert (auto_model_name(one) == auto_model_name(other)) == (one == other)
    assert len(auto_model_name(one)) == 15
