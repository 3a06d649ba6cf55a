"""What the document says about templates: their profile, their discovery, static sources.

Docstrings name the rows of ``docs/conformance.md`` that a test shows.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from support.documents import load_all_yaml
from support.stage import condition, said
from support.waiting import eventually

if TYPE_CHECKING:
    from support.stage import Stage

PRINTED = """
apiVersion: aim.silogen.ai/v1alpha1
kind: AIMServiceTemplate
metadata: {name: llama-3-8b-throughput}
spec:
  modelName: meta-llama-3-8b-instruct
  runtimeConfigName: ml-research
  metric: throughput
  precision: fp8
  gpuSelector: {count: 2, model: MI300X}
  env:
  - name: HF_TOKEN
    valueFrom: {secretKeyRef: {name: huggingface-creds, key: token}}
  imagePullSecrets:
  - name: registry-credentials
---
apiVersion: aim.silogen.ai/v1alpha1
kind: AIMServiceTemplate
metadata: {name: llama-3-8b-static}
spec:
  modelName: meta-llama-3-8b-instruct
  metric: latency
  precision: fp16
  gpuSelector: {count: 1, model: MI300X}
  modelSources:
  - {name: meta-llama/Llama-3.1-8B-Instruct, sourceURI: "hf://meta-llama/Llama-3.1-8B-Instruct", size: 16Gi}
  - {name: tokenizer, sourceURI: "hf://meta-llama/Llama-3.1-8B-Instruct/tokenizer.json", size: 2Mi}
---
apiVersion: aim.silogen.ai/v1alpha1
kind: AIMService
metadata: {name: chat-service}
spec:
  model: {ref: meta-llama-3-8b}
  templateRef: base-template
  overrides: {metric: throughput, precision: fp16}
"""


def test_a_template_is_a_runtime_profile(stage: Stage) -> None:
    """Document 1, 14."""
    stage.model()
    stage.template(metric="throughput", precision="fp8", gpuSelector={"count": 2, "model": "MI300X"})
    status = stage.until("AIMServiceTemplate", "template", "Ready")
    assert (
        status["profile"]["metadata"] | {"metric": "throughput", "precision": "fp8", "gpu_count": 2}
        == (status["profile"]["metadata"])
    )
    assert stage.get("AIMServiceTemplate", "template")["spec"]["runtimeConfigName"] == "default"


def test_a_new_template_is_discovered_in_its_own_namespace(stage: Stage) -> None:
    """Document 3, 9, 10, 26, 28, 29, 30, 32, 66."""
    stage.core.create_namespaced_secret(
        stage.namespace, {"metadata": {"name": "token"}, "stringData": {"token": "hf_secret"}}
    )
    stage.model(image="gated")
    secret = {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "token", "key": "token"}}}
    stage.template(env=[secret], metric="latency")
    status = stage.until("AIMServiceTemplate", "template", "Ready")

    (job,) = stage.jobs("aim.silogen.ai/template=template")
    (container,) = job.spec.template.spec.containers
    assert container.image == stage.cluster.image("gated")
    assert container.args == ["dry-run", "--format=json"]
    assert not container.resources.limits.keys() & {"amd.com/gpu", "nvidia.com/gpu"}, (
        "a dry run loads nothing"
    )
    assert {"AIM_METRIC": "latency", "AIM_LOG_LEVEL": "CRITICAL"}.items() <= {
        item.name: item.value for item in container.env
    }.items()
    assert any(item.name == "HF_TOKEN" and item.value_from.secret_key_ref for item in container.env)

    (source,) = status["modelSources"]
    assert set(source) == {"name", "source", "sizeBytes"}
    assert source["source"].startswith("hf://")
    assert source["sizeBytes"] == int(14.0 * 1024**3)
    assert {"engine_args", "env_vars", "metadata", "model"} <= set(status["profile"])
    assert said(status)["Discovered"] == ("True", "ProfilesDiscovered")


def test_a_cluster_template_is_discovered_in_the_operator_namespace(stage: Stage) -> None:
    """Document 7."""
    name = stage.named("profile")
    stage.make(
        "AIMClusterModel", name, {"image": stage.cluster.image("quick"), "discovery": {"enabled": False}}
    )
    stage.make("AIMClusterServiceTemplate", name, {"modelName": name})
    stage.until("AIMClusterServiceTemplate", name, "Ready")
    (job,) = stage.jobs(f"aim.silogen.ai/template={name}", "kaiwo-system")
    assert job.metadata.owner_references[0].kind == "AIMClusterServiceTemplate"
    assert stage.jobs() == []


def test_a_cluster_template_takes_neither_caching_nor_env(stage: Stage) -> None:
    """Document 5."""
    name = stage.named("profile")
    document = stage.document(
        "AIMClusterServiceTemplate", name, {"modelName": name, "caching": {"enabled": True}, "env": []}
    )
    refused = stage.cluster.kubectl.fails("create", "--validate=true", "-f", "-", stdin=json.dumps(document))
    assert "caching" in refused
    made = stage.make("AIMClusterServiceTemplate", name, document["spec"])
    assert not {"caching", "env"} & set(made["spec"]), "a client that asks for no validation gets them pruned"


def test_the_printed_specifications_are_taken_as_they_stand(stage: Stage) -> None:
    """Document 11."""
    stage.cluster.kubectl("create", "-n", stage.namespace, "-f", "-", stdin=PRINTED)
    for document in load_all_yaml(PRINTED):
        kept = stage.get(document["kind"], document["metadata"]["name"])["spec"]
        assert kept | document["spec"] == kept


def test_a_model_name_means_the_namespaces_model_else_the_clusters(stage: Stage) -> None:
    """Document 12, 58."""
    name = stage.named("model")
    shared = stage.make(
        "AIMClusterModel", name, {"image": stage.cluster.image("quick"), "discovery": {"enabled": False}}
    )
    config = stage.make("AIMRuntimeConfig", "default", {})
    stage.template(model=name)
    status = stage.until("AIMServiceTemplate", "template", "Ready")
    assert status["resolvedImage"] == {
        "kind": "AIMClusterModel", "name": name, "scope": "Cluster", "uid": shared["metadata"]["uid"],
    }  # fmt: skip
    assert status["resolvedRuntimeConfig"] == {
        "kind": "AIMRuntimeConfig", "name": "default", "namespace": stage.namespace, "scope": "Namespace",
        "uid": config["metadata"]["uid"],
    }  # fmt: skip

    own = stage.model(name, "own")
    eventually(
        lambda: (
            stage.status("AIMServiceTemplate", "template")["resolvedImage"]["uid"] == own["metadata"]["uid"]
        ),
        30,
        "the namespace's model hides the cluster's",
    )
    assert stage.status("AIMServiceTemplate", "template")["resolvedImage"]["namespace"] == stage.namespace


def test_the_profile_cannot_change_after_creation(stage: Stage) -> None:
    """Document 13."""
    stage.template(metric="latency", precision="fp16", gpuSelector={"count": 1, "model": "MI300X"})
    for field, value in (
        ("modelName", "other"),
        ("metric", "throughput"),
        ("precision", "fp8"),
        ("gpuSelector", {"count": 2}),
        ("gpuSelector", {"model": "MI325X"}),
    ):
        patch = json.dumps({"spec": {field: value}})
        where = ("aimst", "template", "-n", stage.namespace)
        assert "immutable" in stage.cluster.kubectl.fails("patch", *where, "--type=merge", "-p", patch), field


def test_values_outside_the_profile_are_refused(stage: Stage) -> None:
    """Document 15, 16."""
    for field, good, bad in (
        ("metric", ("latency", "throughput"), "speed"),
        ("precision", ("auto", "fp4", "fp8", "fp16", "fp32", "bf16", "int4", "int8"), "fp7"),
    ):
        for value in good:
            stage.template(f"{field}-{value}", **{field: value})
        document = stage.document("AIMServiceTemplate", "bad", {"modelName": "model", field: bad})
        refused = stage.cluster.kubectl.fails(
            "create", "--validate=false", "-f", "-", stdin=json.dumps(document)
        )
        assert f"spec.{field}" in refused
        assert bad in refused


def test_pull_secrets_are_looked_for_where_discovery_runs(stage: Stage) -> None:
    """Document 20."""
    login = {
        "metadata": {"name": stage.named("login")},
        "type": "kubernetes.io/dockerconfigjson",
        "stringData": {
            ".dockerconfigjson": json.dumps({"auths": {"registry.test": {"username": "u", "password": "p"}}})
        },
    }
    secrets = [{"name": login["metadata"]["name"]}]
    name = stage.named("private")
    image = {"image": stage.cluster.image("private"), "discovery": {"enabled": False}}
    stage.make("AIMClusterModel", name, image)
    stage.make("AIMClusterServiceTemplate", name, {"modelName": name, "imagePullSecrets": secrets})
    stage.template(model=name, imagePullSecrets=secrets)
    stage.core.create_namespaced_secret(stage.namespace, login)
    stage.until("AIMServiceTemplate", "template", "Ready")
    stage.until("AIMClusterServiceTemplate", name, "Failed")
    assert "pull" in condition(stage.status("AIMClusterServiceTemplate", name), "Discovered")["message"]

    stage.core.create_namespaced_secret("kaiwo-system", login)
    try:
        stage.edit("AIMClusterServiceTemplate", name, {}, annotations={"aim.silogen.ai/rediscover": "now"})
        stage.until("AIMClusterServiceTemplate", name, "Ready")
    finally:
        stage.core.delete_namespaced_secret(login["metadata"]["name"], "kaiwo-system")


def test_discovery_is_asked_once_and_its_answer_serves_everybody(stage: Stage) -> None:
    """Document 2, 4, 31."""
    stage.model()
    stage.template(metric="latency")
    before = stage.until("AIMServiceTemplate", "template", "Ready")
    for name in ("one", "two"):
        stage.service(name, templateRef="template")
        stage.until_resolved(name, "template")
    assert len(stage.jobs("aim.silogen.ai/template=template")) == 1
    assert stage.status("AIMServiceTemplate", "template")["modelSources"] == before["modelSources"]


def test_a_changed_input_is_discovered_again_while_the_old_answer_serves(stage: Stage) -> None:
    """Document 27, 57."""
    stage.model(image="slow:fast")
    stage.edit("AIMModel", "model", {"image": stage.cluster.image("quick")})
    stage.template(metric="latency")
    before = stage.until("AIMServiceTemplate", "template", "Ready")
    assert before["observedGeneration"] == 1
    stage.edit("AIMServiceTemplate", "template", {"env": [{"name": "EXTRA", "value": "1"}]})
    eventually(lambda: len(stage.jobs()) == 2, 60, "the changed specification has a Job of its own")
    assert stage.status("AIMServiceTemplate", "template")["modelSources"] == before["modelSources"]
    hashed = before["discovery"]["result"]["inputHash"]
    eventually(
        lambda: stage.status("AIMServiceTemplate", "template")["discovery"]["result"]["inputHash"] != hashed,
        60,
        "the new answer stands in the status",
    )
    assert stage.status("AIMServiceTemplate", "template")["observedGeneration"] == 2


def test_static_sources_are_used_without_discovery(stage: Stage) -> None:
    """Document 23, 34, 35, 36, 37, 62."""
    stage.model()
    source = {"name": "weights", "sourceURI": "hf://example/weights", "size": "16Gi"}
    stage.template(metric="latency", modelSources=[source])
    status = stage.until("AIMServiceTemplate", "template", "Ready")
    assert status["modelSources"] == [
        {"name": "weights", "source": "hf://example/weights", "sizeBytes": 16 * 1024**3}
    ]
    assert said(status)["Discovered"] == ("True", "ProfilesDiscovered")
    stage.edit("AIMServiceTemplate", "template", {"modelSources": [source | {"size": "17Gi"}]})
    eventually(
        lambda: (
            stage.status("AIMServiceTemplate", "template")["modelSources"][0]["sizeBytes"] == 17 * 1024**3
        ),
        30,
        "the edit is in the status",
    )
    assert stage.jobs() == []
