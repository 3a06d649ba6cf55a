"""The operator with KServe's own manager on a real API server, and what the simulation of KServe claims about it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import kubernetes
import pytest
from kubernetes.client.exceptions import ApiException

from support.kserve_cases import (
    DENIALS,
    READY,
    REJECTED,
    STARTING,
    STOPPED,
    changed,
    conditions_of,
    wrong_host,
)
from support.kserve_manager import set_available
from support.waiting import eventually

if TYPE_CHECKING:
    from support.stage import Stage

KSERVE = ("serving.kserve.io", "v1beta1")
DENIED = 'admission webhook "inferenceservice.kserve-webhook-server.validator" denied the request: '


def runtime(stage: Stage, name: str = "service") -> dict[str, Any]:
    """The InferenceService of this name; {} without one."""
    try:
        found: dict[str, Any] = stage.cluster.custom.get_namespaced_custom_object(
            *KSERVE, stage.namespace, "inferenceservices", name
        )
    except ApiException as error:
        if error.status == 404:
            return {}
        raise
    return found


def until_conditions(
    stage: Stage, expected: dict[str, tuple[str, str]], name: str = "service"
) -> dict[str, Any]:
    """Wait until the InferenceService has these conditions; returns it."""
    return eventually(
        lambda: conditions_of(one := runtime(stage, name)) == expected and one,
        60,
        f"InferenceService {name} has the conditions {expected}",
        otherwise=lambda: runtime(stage, name).get("status"),
    )


def deployed(stage: Stage, name: str = "service", **status: Any) -> dict[str, Any]:
    """Make the Deployment of a service available, or give it another status; returns the Deployment."""
    return set_available(stage.cluster.api, stage.namespace, f"{name}-predictor", **status)


def deployments(stage: Stage) -> list[str]:
    items = kubernetes.client.AppsV1Api(stage.cluster.api).list_namespaced_deployment(stage.namespace).items
    return [item.metadata.name for item in items]


def prepare(stage: Stage, **service: Any) -> None:
    """A model for two GPUs, its template, and a service."""
    stage.model(env=[{"name": "FROM_MODEL", "value": "1"}])
    stage.template(metric="latency", gpuSelector={"count": 2, "model": "MI300X"})
    stage.service(templateRef="template", **service)


def plain(name: str = "chat") -> dict[str, Any]:
    return {
        "apiVersion": "/".join(KSERVE),
        "kind": "InferenceService",
        "metadata": {"name": name, "annotations": {"serving.kserve.io/deploymentMode": "RawDeployment"}},
        "spec": {
            "predictor": {"minReplicas": 1, "containers": [{"name": "kserve-container", "image": "x:1"}]}
        },
    }


def test_the_deployment_runs_what_the_service_says(stage: Stage) -> None:
    stage.core.create_namespaced_service_account(stage.namespace, {"metadata": {"name": "runner"}})
    prepare(
        stage,
        replicas=1,
        serviceAccountName="runner",
        imagePullSecrets=[{"name": "login"}],
        env=[{"name": "AIM_ENGINE_ARGS", "value": '{"max-model-len": 4096}'}],
    )
    deployment = deployed(stage)
    template = deployment["spec"]["template"]
    pod, labels = template["spec"], template["metadata"]["labels"]
    assert labels["aim.silogen.ai/service"] == "service"
    assert labels["serving.kserve.io/inferenceservice"] == "service"
    (container,) = pod["containers"]
    assert (container["name"], container["image"]) == ("kserve-container", stage.cluster.image("quick"))
    assert container["resources"] == {
        "requests": {"cpu": "8", "memory": "64Gi", "amd.com/gpu": "2"},
        "limits": {"cpu": "16", "memory": "96Gi", "amd.com/gpu": "2"},
    }
    env = {item["name"]: item.get("value") for item in container["env"]}
    assert (env["AIM_GPU_MODEL"], env["AIM_GPU_COUNT"], env["FROM_MODEL"]) == ("MI300X", "2", "1")
    assert json.loads(env["AIM_ENGINE_ARGS"])["max-model-len"] == 4096
    assert container["readinessProbe"]["tcpSocket"]["port"] == container["ports"][0]["containerPort"] == 8000
    assert {"name": "shared-memory", "mountPath": "/dev/shm"} in container["volumeMounts"]
    assert {"name": "shared-memory", "emptyDir": {"medium": "Memory"}} in pod["volumes"]
    required = pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    (requirement,) = required["nodeSelectorTerms"][0]["matchExpressions"]
    assert (requirement["key"], requirement["operator"]) == ("amd.com/gpu.device-id", "In")
    assert "74a1" in requirement["values"]
    assert pod["serviceAccountName"] == "runner"
    assert [item["name"] for item in pod["imagePullSecrets"]] == ["login"]


def test_a_service_follows_its_deployment_and_reports_address_and_failures(stage: Stage) -> None:
    prepare(stage)
    deployed(stage, available=False)
    until_conditions(stage, STARTING)
    assert stage.status("AIMService", "service")["status"] == "Starting"
    deployed(stage)
    until_conditions(stage, READY)
    status = stage.until("AIMService", "service", "Running")
    assert status["url"] == f"http://service-{stage.namespace}.example.com"
    deployed(
        stage,
        available=False,
        type="ReplicaFailure",
        status="True",
        reason="FailedCreate",
        message="no quota",
    )
    stage.until("AIMService", "service", "Degraded")
    condition = stage.until_condition("AIMService", "service", "Ready", "RuntimeNotReady")
    assert "FailedCreate: no quota" in condition["message"]
    deployed(stage)
    stage.until("AIMService", "service", "Running")


def test_without_replicas_the_deployment_is_removed_and_created_again_later(stage: Stage) -> None:
    prepare(stage)
    deployed(stage)
    stage.until("AIMService", "service", "Running")
    stage.edit("AIMService", "service", {"replicas": 0})
    until_conditions(stage, STOPPED)
    eventually(lambda: deployments(stage) == [], 60, "the Deployment is removed")
    status = stage.until("AIMService", "service", "Starting")
    assert "url" not in status
    stage.until_condition("AIMService", "service", "Ready", "RuntimeStopped")
    stage.edit("AIMService", "service", {"replicas": 2})
    deployed(stage)
    until_conditions(stage, READY)
    stage.until("AIMService", "service", "Running")
    predictor = runtime(stage)["spec"]["predictor"]
    assert (predictor["minReplicas"], predictor["maxReplicas"]) == (2, 2)
    scalers = kubernetes.client.AutoscalingV2Api(stage.cluster.api)
    scaler = scalers.read_namespaced_horizontal_pod_autoscaler("service-predictor", stage.namespace)
    assert (scaler.spec.min_replicas, scaler.spec.max_replicas) == (2, 2)


@pytest.mark.parametrize("name", ["llama-3.1-8b", "3b-chat", "a" * 60], ids=["dots", "digit", "long"])
def test_a_service_of_any_name_is_deployed(stage: Stage, name: str) -> None:
    stage.model()
    stage.template(metric="latency")
    stage.service(name, templateRef="template")
    selector = "aim.silogen.ai/service"
    apps = kubernetes.client.AppsV1Api(stage.cluster.api)
    (found,) = eventually(
        lambda: apps.list_namespaced_deployment(stage.namespace, label_selector=selector).items,
        60,
        "there is a Deployment",
    )
    set_available(stage.cluster.api, stage.namespace, found.metadata.name)
    assert stage.until("AIMService", name, "Running")["url"]


def test_the_settled_state_causes_no_writes(stage: Stage) -> None:
    prepare(stage)
    deployed(stage)
    stage.until("AIMService", "service", "Running")
    versions = [
        (item["metadata"]["resourceVersion"], item["metadata"]["generation"])
        for item in (until_conditions(stage, READY), stage.get("AIMService", "service"))
    ]
    stage.service("other", templateRef="template", env=[{"name": "A", "value": "1"}])
    deployed(stage, "other")
    stage.until("AIMService", "other", "Running")
    again = [runtime(stage), stage.get("AIMService", "service")]
    assert [
        (item["metadata"]["resourceVersion"], item["metadata"]["generation"]) for item in again
    ] == versions


def test_resources_that_a_pod_cannot_have_are_reported_with_their_cause(stage: Stage) -> None:
    prepare(stage, resources={"requests": {"memory": "64Gi"}, "limits": {"memory": "48Gi"}})
    condition = stage.until_condition("AIMService", "service", "Ready", "RuntimeNotReady")
    assert "must be less than or equal to memory limit of 48Gi" in condition["message"]
    until_conditions(stage, REJECTED)
    stage.edit("AIMService", "service", {"resources": {"limits": {"memory": "64Gi"}}})
    deployed(stage)
    stage.until("AIMService", "service", "Running")


def test_a_deleted_service_leaves_nothing_behind(stage: Stage) -> None:
    prepare(stage)
    deployed(stage)
    stage.until("AIMService", "service", "Running")
    stage.delete("AIMService", "service")
    eventually(lambda: not runtime(stage), 60, "the InferenceService is deleted")
    eventually(lambda: deployments(stage) == [], 60, "the Deployment is deleted")


# ---- what the simulation claims


@pytest.mark.parametrize("case", DENIALS)
def test_the_webhook_denies_what_the_simulation_denies(stage: Stage, case: str) -> None:
    change, text = DENIALS[case]
    body = json.dumps(changed(plain(), change))
    refused = stage.cluster.kubectl.fails(
        "-n", stage.namespace, "apply", "--server-side", "-f", "-", stdin=body
    )
    assert refused.strip().endswith(f"{DENIED}{text}")


def test_the_webhook_sets_the_defaults_of_the_simulation(stage: Stage) -> None:
    stage.cluster.kubectl("-n", stage.namespace, "apply", "-f", "-", stdin=json.dumps(plain()))
    body = runtime(stage, "chat")
    assert body["metadata"]["annotations"]["serving.kserve.io/deploymentMode"] == "Standard"
    (container,) = body["spec"]["predictor"]["containers"]
    defaults = {"cpu": "1", "memory": "2Gi"}
    assert container["resources"] == {"limits": defaults, "requests": defaults}
    assert "automountServiceAccountToken" not in body["spec"]["predictor"]
    mode = json.dumps({"metadata": {"annotations": {"serving.kserve.io/deploymentMode": "Serverless"}}})
    until_conditions(stage, {**STARTING, "PredictorReady": ("False", "")}, "chat")
    refused = stage.cluster.kubectl.fails(
        "-n", stage.namespace, "patch", "isvc", "chat", "--type=merge", "-p", mode
    )
    assert "deploymentMode cannot be changed from 'Standard' to 'Knative'" in refused


def test_a_host_with_a_label_that_is_too_long_has_the_conditions_of_the_simulation(stage: Stage) -> None:
    name = "a" * (64 - len(f"-predictor-{stage.namespace}"))
    stage.cluster.kubectl("-n", stage.namespace, "apply", "-f", "-", stdin=json.dumps(plain(name)))
    body = until_conditions(stage, REJECTED, name)
    (predictor,) = (item for item in body["status"]["conditions"] if item["type"] == "PredictorReady")
    assert predictor["message"] == wrong_host(name, stage.namespace)
    assert deployments(stage) == []
