"""What caching creates: names, the manifests of template caches and model caches."""

from __future__ import annotations

import json
import re

from hypothesis import given, settings
from hypothesis import strategies as st

from aimctl.api.v1alpha1 import (
    CLUSTER_SERVICE_TEMPLATES,
    MODEL_CACHES,
    SERVICE_TEMPLATES,
    TEMPLATE_CACHES,
    ServiceSpec,
)
from aimctl.domain.caching.template_cache import (
    DownloadSettings,
    model_cache_manifest,
    model_cache_name,
    template_cache_manifest,
)
from support.things import make

LLAMA = "hf://meta-llama/Llama-3.1-8B-Instruct"
TOKEN = {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hf-creds", "key": "token"}}}


def template(namespace="team", **spec):
    kind = SERVICE_TEMPLATES if namespace else CLUSTER_SERVICE_TEMPLATES
    return make("llama", namespace, resource=kind.resource, uid="t-uid", spec={"modelName": "m", **spec})


def cache_spec(**spec):
    return TEMPLATE_CACHES.decode(json.dumps({"spec": {"templateRef": "llama", **spec}}).encode()).spec


def service(**spec):
    return ServiceSpec.model_validate({"model": {"ref": "m"}, **spec})


# ---- names


def test_the_name_of_a_model_cache_shows_the_source():
    assert re.fullmatch(r"meta-llama-llama-3-1-8b-instruct-[0-9a-f]{10}", model_cache_name(LLAMA))


def test_uris_that_differ_in_case_or_punctuation_only_have_different_names():
    uris = ["hf://a/b", "hf://a/B", "hf://a-b", "s3://a/b", "hf://a/b/"]
    assert len({model_cache_name(uri) for uri in uris}) == len(uris)


@settings(deadline=None)
@given(st.text(max_size=300))
def test_every_uri_gives_a_dns_label(uri):
    name = model_cache_name(uri)
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", name)
    assert name == model_cache_name(uri)


# ---- template caches


def test_the_cache_of_a_template_has_its_name_env_secrets_and_runtime_config_and_is_owned_by_it():
    made = template_cache_manifest(
        template(
            runtimeConfigName="research",
            env=[TOKEN, {"name": "A", "value": "template"}],
            caching={"enabled": True, "env": [{"name": "A", "value": "caching"}]},
            imagePullSecrets=[{"name": "regcred"}],
        ),
        "team",
        labels={"team": "x", "app.kubernetes.io/managed-by": "another"},
    )
    assert made == {
        "apiVersion": "aim.silogen.ai/v1alpha1",
        "kind": "AIMTemplateCache",
        "metadata": {
            "name": "llama",
            "namespace": "team",
            "labels": {"team": "x", "app.kubernetes.io/managed-by": "aim"},
            "ownerReferences": [
                {
                    "apiVersion": "aim.silogen.ai/v1alpha1",
                    "kind": "AIMServiceTemplate",
                    "name": "llama",
                    "uid": "t-uid",
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "spec": {
            "templateRef": "llama",
            "runtimeConfigName": "research",
            "env": [TOKEN, {"name": "A", "value": "caching"}],
            "imagePullSecrets": [{"name": "regcred"}],
        },
    }


def test_env_and_secrets_of_a_service_take_precedence_over_those_of_the_template():
    made = template_cache_manifest(
        template(env=[{"name": "A", "value": "template"}], imagePullSecrets=[{"name": "a"}]),
        "team",
        service=service(
            env=[{"name": "A", "value": "service"}], imagePullSecrets=[{"name": "b"}, {"name": "a"}]
        ),
    )
    assert made["spec"]["env"] == [{"name": "A", "value": "service"}]
    assert made["spec"]["imagePullSecrets"] == [{"name": "a"}, {"name": "b"}]
    assert made["spec"]["runtimeConfigName"] == "default"


def test_the_cache_of_a_cluster_template_has_the_runtime_config_of_the_service_and_does_not_block_deletion():
    made = template_cache_manifest(
        template("", runtimeConfigName="platform"), "team", service=service(runtimeConfigName="ours")
    )
    assert made["spec"] == {"templateRef": "llama", "runtimeConfigName": "ours"}
    (owner,) = made["metadata"]["ownerReferences"]
    assert owner["kind"] == "AIMClusterServiceTemplate"
    assert owner["blockOwnerDeletion"] is False


# ---- model caches


def test_a_model_cache_has_storage_class_env_and_secrets_of_the_template_cache_and_no_owner():
    made = model_cache_manifest(
        "team",
        LLAMA,
        16 * 1024**3,
        DownloadSettings.merged(
            [cache_spec(storageClassName="fast", env=[TOKEN], imagePullSecrets=[{"name": "regcred"}])]
        ),
    )
    assert made == {
        "apiVersion": "aim.silogen.ai/v1alpha1",
        "kind": "AIMModelCache",
        "metadata": {
            "name": model_cache_name(LLAMA),
            "namespace": "team",
            "labels": {"app.kubernetes.io/managed-by": "aim"},
        },
        "spec": {
            "sourceURI": LLAMA,
            "size": "16Gi",
            "runtimeConfigName": "default",
            "storageClassName": "fast",
            "env": [TOKEN],
            "imagePullSecrets": [{"name": "regcred"}],
        },
    }
    assert MODEL_CACHES.decode(json.dumps(made).encode()).spec.source_uri == LLAMA


def test_settings_that_are_not_given_are_absent_in_a_model_cache():
    made = model_cache_manifest("team", "s3://b/m", 1000, DownloadSettings.merged([cache_spec()]))
    assert made["spec"] == {"sourceURI": "s3://b/m", "size": "1k", "runtimeConfigName": "default"}


def test_of_two_contradicting_settings_of_one_source_the_older_one_wins():
    old = cache_spec(env=[{"name": "A", "value": "old"}], imagePullSecrets=[{"name": "a"}])
    new = cache_spec(
        env=[{"name": "A", "value": "new"}, TOKEN],
        imagePullSecrets=[{"name": "b"}],
        storageClassName="fast",
        runtimeConfigName="new",
    )
    together = DownloadSettings.merged([old, new]).to_json()
    assert {item["name"]: item.get("value") for item in together["env"]} == {"A": "old", "HF_TOKEN": None}
    assert together["imagePullSecrets"] == [{"name": "a"}, {"name": "b"}]
    assert together["storageClassName"] == "fast"
    assert together["runtimeConfigName"] == "default"
