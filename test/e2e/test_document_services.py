"""What the document says about services: they wait for their template, then run what it says.

Docstrings name the rows of ``docs/conformance.md`` that a test shows. KServe is simulated: its kind InferenceService is
served, and a controller says that what was asked for is up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kubernetes.client.exceptions import ApiException

from support.stage import said
from support.waiting import eventually

if TYPE_CHECKING:
    from support.stage import Stage

KSERVE = ("serving.kserve.io", "v1beta1")
WEIGHTS = {"name": "weights", "sourceURI": "hf://example/weights", "size": "1Gi"}
TOKENIZER = {"name": "tokenizer", "sourceURI": "hf://example/tokenizer", "size": "2Mi"}


def inference(stage: Stage, name: str = "service") -> dict[str, Any] | None:
    """The InferenceService of a service."""
    try:
        return stage.cluster.custom.get_namespaced_custom_object(
            *KSERVE, stage.namespace, "inferenceservices", name
        )
    except ApiException as error:
        if error.status == 404:
            return None
        raise


def test_a_service_waits_for_its_template_before_it_deploys(stage: Stage) -> None:
    """Document 65."""
    stage.model(image="endless")
    stage.template(metric="latency")
    stage.service(templateRef="template")
    status = stage.until("AIMService", "service", "Starting")
    assert status["resolvedTemplate"]["name"] == "template"
    stage.until("AIMServiceTemplate", "template", "Progressing")
    assert inference(stage) is None
    stage.edit("AIMModel", "model", {"image": stage.cluster.image("quick")})
    status = stage.until("AIMService", "service", "Running")
    assert said(status)["RuntimeReady"][0] == "True"
    assert inference(stage) is not None


def test_a_service_runs_what_template_and_model_say(stage: Stage) -> None:
    """Document 17, 18, 19, 21, 22."""
    for name in ("of-template", "of-model"):
        stage.core.create_namespaced_service_account(stage.namespace, {"metadata": {"name": name}})
    stage.model(
        imagePullSecrets=[{"name": "model-login"}],
        serviceAccountName="of-model",
        resources={"requests": {"cpu": "1", "memory": "8Gi"}, "limits": {"memory": "16Gi"}},
    )
    stage.template(
        metric="latency",
        gpuSelector={"count": 2, "model": "MI300X"},
        imagePullSecrets=[{"name": "template-login"}],
        serviceAccountName="of-template",
        resources={"requests": {"cpu": "4"}},
    )
    stage.template("plain", metric="throughput")
    stage.service(templateRef="template", replicas=3)
    stage.service("plain", templateRef="plain")
    stage.until("AIMService", "service", "Running")
    predictor = inference(stage)["spec"]["predictor"]
    assert (predictor["minReplicas"], predictor["maxReplicas"]) == (3, 3)
    assert {item["name"] for item in predictor["imagePullSecrets"]} == {"template-login", "model-login"}
    assert predictor["serviceAccountName"] == "of-template"
    (container,) = predictor["containers"]
    assert container["image"] == stage.cluster.image("quick")
    resources = container["resources"]
    assert resources["limits"] == {"memory": "16Gi", "cpu": "16", "amd.com/gpu": "2"}
    assert resources["requests"] == {"cpu": "4", "memory": "8Gi", "amd.com/gpu": "2"}

    stage.until("AIMService", "plain", "Running")
    assert inference(stage, "plain")["spec"]["predictor"]["serviceAccountName"] == "of-model"
    (job,) = stage.jobs("aim.silogen.ai/template=template")
    assert job.spec.template.spec.service_account_name == "of-template"
    assert {item.name for item in job.spec.template.spec.image_pull_secrets} == {
        "template-login",
        "model-login",
    }


def test_a_cached_service_mounts_every_source_of_its_template(stage: Stage) -> None:
    """Document 33."""
    stage.model()
    stage.template(metric="latency", modelSources=[WEIGHTS, TOKENIZER])
    stage.service(templateRef="template", cacheModel=True)
    status = stage.until("AIMService", "service", "Running", 120)
    assert said(status)["CacheReady"][0] == "True"
    predictor = inference(stage)["spec"]["predictor"]
    claims = {
        item["persistentVolumeClaim"]["claimName"]
        for item in predictor["volumes"]
        if "persistentVolumeClaim" in item
    }
    cached = {item["status"]["persistentVolumeClaim"] for item in stage.list("AIMModelCache")}
    assert len(cached) == 2
    assert claims == cached
    mounts = [item for item in predictor["containers"][0]["volumeMounts"] if item["name"] in {
        volume["name"] for volume in predictor["volumes"] if "persistentVolumeClaim" in volume
    }]  # fmt: skip
    assert len(mounts) == 2
    assert all(item["readOnly"] for item in mounts)


def test_the_runtime_is_repaired_and_goes_with_its_service(stage: Stage) -> None:
    stage.model()
    stage.template(metric="latency", modelSources=[TOKENIZER])
    stage.service(templateRef="template")
    stage.until("AIMService", "service", "Running")
    stage.cluster.custom.patch_namespaced_custom_object(
        *KSERVE,
        stage.namespace,
        "inferenceservices",
        "service",
        {"spec": {"predictor": {"minReplicas": 7, "maxReplicas": 7}}},
    )
    eventually(
        lambda: inference(stage)["spec"]["predictor"]["minReplicas"] == 1,
        30,
        "what somebody changed is put right",
    )
    stage.delete("AIMService", "service")
    eventually(lambda: inference(stage) is None, 60, "the runtime goes with its service")
