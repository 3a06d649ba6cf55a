"""Every action for which the manager has a permission, in one scenario.

``support.audit`` compares the requests that the manager sends in the meantime with its roles.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest

from support.waiting import eventually

if TYPE_CHECKING:
    from support.stage import Stage

IMAGE = "aim-mistral-small-24b"
WEIGHTS = {"name": "w", "sourceURI": "hf://example/weights", "size": "1Gi"}
STUCK = {"name": "w", "sourceURI": "hf://example/endless", "size": "1Gi"}
TOKEN = [{"name": "HF_TOKEN", "value": "hf_given"}]


def login(stage: Stage) -> None:
    """A pull secret."""
    auth = base64.b64encode(b"user:wrong").decode()
    config = json.dumps({"auths": {"registry.test": {"auth": auth}}})
    secret = {
        "metadata": {"name": "login"},
        "type": "kubernetes.io/dockerconfigjson",
        "stringData": {".dockerconfigjson": config},
    }
    stage.core.create_namespaced_secret(stage.namespace, secret)


def first_source(stage: Stage, name: str) -> dict[str, Any]:
    return next(iter(stage.status("AIMTemplateCache", name).get("models", ())), {})


@pytest.mark.proof
def test_models_templates_services_and_caches_are_created_changed_and_removed(stage: Stage) -> None:
    login(stage)
    stage.make(
        "AIMClusterRuntimeConfig",
        stage.named("shared"),
        {"model": {"creationScope": "Cluster", "allowedImages": ["*"]}},
    )
    stage.make(
        "AIMModel",
        "private",
        {"image": "registry.test/aim-private:1", "imagePullSecrets": [{"name": "login"}]},
    )
    stage.model()
    stage.template("base", metric="latency", modelSources=[WEIGHTS])
    stage.template(
        "cached", metric="latency", precision="fp8", modelSources=[WEIGHTS], caching={"enabled": True}
    )
    stage.template(
        "stuck", metric="latency", precision="fp16", modelSources=[STUCK], caching={"enabled": True}
    )
    stage.make("AIMService", "own-model", {"model": {"image": f"registry.test/{IMAGE}:2"}})
    stage.make(
        "AIMService",
        "cluster-model",
        {"model": {"image": f"registry.test/{IMAGE}:3"}, "runtimeConfigName": stage.named("shared")},
    )
    for name in ("one", "two"):
        stage.service(name, templateRef="base", overrides={"metric": "throughput"})

    setting = {"configMapKeyRef": {"name": "absent", "key": "token"}}
    stage.template(
        "lost",
        metric="throughput",
        serviceAccountName="absent",
        env=[{"name": "HF_TOKEN", "valueFrom": setting}],
    )
    eventually(
        lambda: "'absent'" in json.dumps(stage.status("AIMServiceTemplate", "lost")),
        60,
        "the missing service account and ConfigMap are named",
    )
    stage.delete("AIMServiceTemplate", "lost")

    stage.model("changing", image="slow")
    stage.template("turns", model="changing", metric="latency")
    eventually(lambda: stage.jobs("aim.silogen.ai/template=turns"), 60, "the discovery Job exists")
    stage.edit("AIMModel", "changing", {"image": stage.cluster.image("quick")})
    stage.until("AIMServiceTemplate", "turns", "Ready", 120)

    for name in ("one", "two"):
        stage.until("AIMService", name, "Running")
    stage.until("AIMServiceTemplate", "cached", "Ready", 120)
    eventually(lambda: stage.list("AIMModel"), 60, "the model of a service is created")
    auto = eventually(
        lambda: stage.status("AIMService", "cluster-model").get("resolvedImage"),
        60,
        "the cluster model is resolved",
    )
    assert auto["kind"] == "AIMClusterModel"
    stage.until("AIMClusterModel", auto["name"], "Ready", 120)
    eventually(lambda: first_source(stage, "stuck"), 60, "the download that never ends has begun")

    # Caches follow their template; what is not needed any more is removed.
    stage.edit("AIMServiceTemplate", "cached", {"caching": {"env": TOKEN}})
    stage.edit("AIMServiceTemplate", "stuck", {"caching": {"env": TOKEN}})
    eventually(
        lambda: all(
            (stage.get("AIMTemplateCache", n) or {}).get("spec", {}).get("env") for n in ("cached", "stuck")
        ),
        60,
        "the template caches have the new environment",
    )
    eventually(
        lambda: any(item["spec"].get("env") for item in stage.list("AIMModelCache")),
        60,
        "the model cache that is not filled has the new environment",
    )
    stage.edit("AIMServiceTemplate", "stuck", {"caching": {"enabled": False}})
    stage.until_gone("AIMTemplateCache", "stuck")
    eventually(
        lambda: [item["spec"]["sourceURI"] for item in stage.list("AIMModelCache")] == [WEIGHTS["sourceURI"]],
        60,
        "the model cache without content is removed",
    )
    derived = stage.status("AIMService", "one")["resolvedTemplate"]["name"]
    for name in ("one", "two"):
        stage.edit("AIMService", name, {"overrides": None})
    stage.until_gone("AIMServiceTemplate", derived)
    stage.until("AIMService", "one", "Running")
    stage.delete("AIMClusterModel", auto["name"])
