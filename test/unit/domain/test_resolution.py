"""A reference resolves to the namespaced object, otherwise to the cluster-scoped one, otherwise to a reason."""

from __future__ import annotations

from typing import Any

import pytest

from aimctl.api import kinds
from aimctl.api.v1alpha1 import Scope
from aimctl.domain.resolution import (
    Missing,
    Reference,
    Resolved,
    resolve_model,
    resolve_runtime_config,
)
from support.things import make

OWN = make("m", "team", resource=kinds.MODELS, uid="own-uid", spec={"image": "own:1"})
CLUSTER = make("m", "", resource=kinds.CLUSTER_MODELS, uid="cluster-uid", spec={"image": "cluster:1"})
OWN_CONFIG = make("c", "team", resource=kinds.RUNTIME_CONFIGS, uid="own-uid", spec={})
CLUSTER_CONFIG = make("c", "", resource=kinds.CLUSTER_RUNTIME_CONFIGS, uid="cluster-uid", spec={})


def test_a_namespaced_model_takes_precedence() -> None:
    assert resolve_model("m", "team", namespaced=OWN, cluster=CLUSTER) == Resolved(
        OWN.view.spec, Reference("AIMModel", "m", "team", Scope.NAMESPACE, "own-uid")
    )


def test_without_a_namespaced_model_the_cluster_model_is_used() -> None:
    assert resolve_model("m", "team", namespaced=None, cluster=CLUSTER) == Resolved(
        CLUSTER.view.spec, Reference("AIMClusterModel", "m", "", Scope.CLUSTER, "cluster-uid")
    )


def test_a_cluster_template_never_uses_a_namespaced_model() -> None:
    assert isinstance(resolve_model("m", "", namespaced=OWN, cluster=None), Missing)
    found = resolve_model("m", "", namespaced=OWN, cluster=CLUSTER)
    assert isinstance(found, Resolved)
    assert found.spec is CLUSTER.view.spec


@pytest.mark.parametrize(
    ("namespace", "words"),
    [("team", ["'m'", "'team'", "AIMModel", "AIMClusterModel"]), ("", ["'m'", "AIMClusterModel"])],
)
def test_the_message_about_a_missing_model_says_where_it_may_be_created(
    namespace: str, words: list[str]
) -> None:
    found = resolve_model("m", namespace, namespaced=None, cluster=None)
    assert isinstance(found, Missing)
    assert found.reason == "ModelNotFound"
    assert all(word in found.message for word in words)


def test_a_namespaced_runtime_config_is_used_exclusively() -> None:
    found = resolve_runtime_config("c", "team", namespaced=OWN_CONFIG, cluster=CLUSTER_CONFIG)
    assert isinstance(found, Resolved)
    assert found.spec is OWN_CONFIG.view.spec
    assert found.reference == Reference("AIMRuntimeConfig", "c", "team", Scope.NAMESPACE, "own-uid")


def test_the_labels_to_propagate_are_those_of_the_cluster_config() -> None:
    labels = {"enabled": True, "match": ["team/*"]}

    def found(own: Any, cluster: Any) -> Any:
        def config(kind: Any, spec: Any, namespace: str) -> Any:
            return None if spec is None else make("c", namespace, resource=kind, spec=spec)

        return resolve_runtime_config(
            "c",
            "team",
            namespaced=config(kinds.RUNTIME_CONFIGS, own, "team"),
            cluster=config(kinds.CLUSTER_RUNTIME_CONFIGS, cluster, ""),
        ).spec

    own = {"labelPropagation": {"enabled": True, "match": ["*"]}, "pvcHeadroomPercent": 7}
    assert found(own, None).label_propagation is None
    assert found(own, {}).label_propagation is None
    merged = found(own, {"labelPropagation": labels, "pvcHeadroomPercent": 9})
    assert merged.label_propagation.match == ("team/*",)
    assert merged.pvc_headroom_percent == 7
    assert found({}, {"labelPropagation": labels}).label_propagation.match == ("team/*",)


def test_without_a_namespaced_runtime_config_the_cluster_one_is_used() -> None:
    found = resolve_runtime_config("c", "team", namespaced=None, cluster=CLUSTER_CONFIG)
    assert isinstance(found, Resolved)
    assert found.reference == Reference("AIMClusterRuntimeConfig", "c", "", Scope.CLUSTER, "cluster-uid")


@pytest.mark.parametrize("name", ["default", ""])
def test_the_default_runtime_config_may_be_missing(name: str) -> None:
    found = resolve_runtime_config(name, "team", namespaced=None, cluster=None)
    assert isinstance(found, Resolved)
    assert found.reference is None
    assert found.spec.pvc_headroom_percent == 10


def test_any_other_runtime_config_must_exist() -> None:
    found = resolve_runtime_config("gold", "team", namespaced=None, cluster=None)
    assert isinstance(found, Missing)
    assert found.reason == "RuntimeConfigNotFound"
    assert "'gold'" in found.message


def test_the_json_of_a_reference_to_a_cluster_scoped_object_has_no_namespace() -> None:
    assert Reference("AIMModel", "m", "team", Scope.NAMESPACE, "u").to_json() == {
        "kind": "AIMModel",
        "name": "m",
        "namespace": "team",
        "scope": "Namespace",
        "uid": "u",
    }
    assert "namespace" not in Reference("AIMClusterModel", "m", "", Scope.CLUSTER, "u").to_json()
