"""The templates that an image recommends: their names and manifests."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimctl.api import kinds
from aimctl.api.v1alpha1 import Precision, RecommendedDeployment, RuntimeConfigSpec
from aimctl.domain.models.auto_templates import auto_templates
from support.things import make

ONE = {"gpuModel": "MI300X", "gpuCount": 1, "precision": "fp8", "metric": "latency"}
PROPAGATE = {"labelPropagation": {"enabled": True, "match": ["cost/*", "app.kubernetes.io/*"]}}


def templates(
    *deployments, name: str = "llama", namespace: str = "team", spec=None, config=None, labels=None
):
    model = make(
        name,
        namespace,
        resource=kinds.MODELS if namespace else kinds.CLUSTER_MODELS,
        labels=labels,
        spec={"image": "aim:1", **(spec or {})},
    )
    return auto_templates(
        model,
        [RecommendedDeployment.model_validate(item) for item in deployments],
        RuntimeConfigSpec.model_validate(config or {}),
    )


def template(*deployments, **more):
    """The manifest of the only template."""
    (manifest,) = templates(*deployments, **more).values()
    return manifest


NAMES = {
    "all": (ONE, "llama-1x-mi300x-lat-fp8"),
    "throughput": ({**ONE, "metric": "throughput", "gpuCount": 8}, "llama-8x-mi300x-thr-fp8"),
    "no metric": ({**ONE, "metric": None}, "llama-1x-mi300x-fp8"),
    "no precision": ({**ONE, "precision": None}, "llama-1x-mi300x-lat"),
    "no GPU": ({"metric": "latency"}, "llama-lat"),
    "no count": ({**ONE, "gpuCount": None}, "llama-mi300x-lat-fp8"),
    "a count of none": ({**ONE, "gpuCount": 0}, "llama-lat-fp8"),
    "a GPU by its product name": ({**ONE, "gpuModel": "Instinct MI300X"}, "llama-1x-mi300x-lat-fp8"),
    "a GPU with spaces": ({**ONE, "gpuModel": "Some Odd.Card"}, "llama-1x-some-odd-card-lat-fp8"),
}


@pytest.mark.parametrize("what", NAMES)
def test_the_name_describes_the_deployment(what):
    deployment, stem = NAMES[what]
    (name,) = templates(deployment)
    assert re.fullmatch(re.escape(stem) + "-[0-9a-f]{4}", name)


def test_the_spec_combines_the_deployment_and_the_model():
    manifest = template(ONE, spec={"runtimeConfigName": "fast", "imagePullSecrets": [{"name": "x"}]})
    assert manifest["kind"] == "AIMServiceTemplate"
    assert manifest["metadata"]["namespace"] == "team"
    assert manifest["spec"] == {
        "modelName": "llama",
        "metric": "latency",
        "precision": "fp8",
        "gpuSelector": {"model": "MI300X", "count": 1},
        "runtimeConfigName": "fast",
    }


def test_a_cluster_model_owns_cluster_templates():
    manifest = template(ONE, namespace="")
    assert manifest["kind"] == "AIMClusterServiceTemplate"
    assert "namespace" not in manifest["metadata"]
    (owner,) = manifest["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"], owner["controller"]) == ("AIMClusterModel", "uid-llama", True)


def test_labels_are_propagated_and_the_labels_of_the_operator_take_precedence():
    labels = {"cost/center": "7", "app.kubernetes.io/managed-by": "helm", "x": "y"}
    assert template(ONE, config=PROPAGATE, labels=labels)["metadata"]["labels"] == {
        "cost/center": "7",
        "app.kubernetes.io/managed-by": "aim",
        "aim.silogen.ai/auto-generated": "true",
    }


def test_deployments_with_the_same_template_result_in_one():
    profiles = [{**ONE, "profileId": "a"}, {**ONE, "profileId": "b", "gpuModel": "Instinct MI300X"}]
    assert len(templates(*profiles)) == 1


@pytest.mark.parametrize(
    "bad", [{**ONE, "gpuModel": "MI/300"}, {**ONE, "metric": "cost"}, {**ONE, "precision": "fp7"}]
)
def test_a_deployment_that_does_not_fit_the_schema_of_a_template_is_left_out(bad):
    assert len(templates(bad, ONE)) == 1


NAME = st.from_regex(r"[a-z0-9]([-a-z0-9.]{0,250}[a-z0-9])?", fullmatch=True)
DEPLOYMENT = st.fixed_dictionaries(
    {},
    optional={
        "gpuModel": st.from_regex(r"[A-Za-z0-9]([-A-Za-z0-9_. ]{0,60}[A-Za-z0-9])?", fullmatch=True),
        "gpuCount": st.integers(0, 1024),
        "precision": st.sampled_from([str(one) for one in Precision]),
        "metric": st.sampled_from(["latency", "throughput"]),
    },
)


@given(NAME, st.lists(DEPLOYMENT, max_size=6))
def test_names_are_dns_labels_of_63_characters_and_the_same_every_time(name, deployments):
    found = templates(*deployments, name=name)
    for text in found:
        assert re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", text), text
    assert templates(*deployments, name=name) == found


@pytest.mark.parametrize("end", ["x", "y", "-other", "0"])
def test_names_differ_if_the_name_of_the_model_differs_only_in_the_part_that_is_cut(end):
    name = "a" * 80
    (one,), (other,) = templates(ONE, name=name), templates(ONE, name=name + end)
    assert one != other
    assert one[:-4] == other[:-4]
