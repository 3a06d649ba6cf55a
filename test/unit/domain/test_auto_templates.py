"""The templates that an image recommends: their names, and what is in them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimctl.api.v1alpha1 import ModelSpec, Precision, RecommendedDeployment, RuntimeConfigSpec
from aimctl.domain.models.auto_templates import ModelIdentity, auto_templates

ONE = {"gpuModel": "MI300X", "gpuCount": 1, "precision": "fp8", "metric": "latency"}
PROPAGATE = {"labelPropagation": {"enabled": True, "match": ["cost/*", "app.kubernetes.io/*"]}}


def identity(name: str = "llama", namespace: str = "team", **labels: str) -> ModelIdentity:
    kind = "AIMModel" if namespace else "AIMClusterModel"
    return ModelIdentity(kind, namespace, name, f"uid-{name}", 1, False, labels)


def made(*deployments, name: str = "llama", namespace: str = "team", spec=None, config=None, **labels):
    return auto_templates(
        identity(name, namespace, **labels),
        ModelSpec.model_validate({"image": "aim:1", **(spec or {})}),
        [RecommendedDeployment.model_validate(item) for item in deployments],
        RuntimeConfigSpec.model_validate(config or {}),
    )


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
def test_the_name_says_what_it_is_for(what):
    deployment, stem = NAMES[what]
    (template,) = made(deployment)
    assert re.fullmatch(re.escape(stem) + "-[0-9a-f]{4}", template.name)


def test_the_spec_is_the_deployments_and_the_models():
    (template,) = made(ONE, spec={"runtimeConfigName": "fast", "imagePullSecrets": [{"name": "x"}]})
    assert template.manifest["kind"] == "AIMServiceTemplate"
    assert template.manifest["metadata"]["namespace"] == "team"
    assert template.manifest["spec"] == {
        "modelName": "llama",
        "metric": "latency",
        "precision": "fp8",
        "gpuSelector": {"model": "MI300X", "count": 1},
        "runtimeConfigName": "fast",
    }


def test_a_cluster_models_are_cluster_templates():
    (template,) = made(ONE, namespace="")
    assert template.manifest["kind"] == "AIMClusterServiceTemplate"
    assert "namespace" not in template.manifest["metadata"]
    (owner,) = template.manifest["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"], owner["controller"]) == ("AIMClusterModel", "uid-llama", True)


def test_labels_go_along_and_ours_win():
    (template,) = made(
        ONE, config=PROPAGATE, **{"cost/center": "7", "app.kubernetes.io/managed-by": "helm", "x": "y"}
    )
    assert template.manifest["metadata"]["labels"] == {
        "cost/center": "7",
        "app.kubernetes.io/managed-by": "aim",
        "aim.silogen.ai/auto-generated": "true",
    }


def test_deployments_that_differ_in_nothing_a_template_has_are_one():
    profiles = [{**ONE, "profileId": "a"}, {**ONE, "profileId": "b", "gpuModel": "Instinct MI300X"}]
    assert len(made(*profiles)) == 1


@pytest.mark.parametrize(
    "bad", [{**ONE, "gpuModel": "MI/300"}, {**ONE, "metric": "cost"}, {**ONE, "precision": "fp7"}]
)
def test_what_no_template_can_be_is_left_out(bad):
    assert len(made(bad, ONE)) == 1


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
def test_names_are_dns_labels_of_63_characters_unique_and_the_same_every_time(name, deployments):
    templates = made(*deployments, name=name)
    names = [item.name for item in templates]
    for text in names:
        assert re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", text), text
    assert len(set(names)) == len(names)
    assert made(*deployments, name=name) == templates


@pytest.mark.parametrize("end", ["x", "y", "-other", "0"])
def test_what_is_cut_from_a_models_name_is_in_the_hash(end):
    name = "a" * 80
    (one,), (other,) = made(ONE, name=name), made(ONE, name=name + end)
    assert one.name != other.name
    assert one.name[:-4] == other.name[:-4]
