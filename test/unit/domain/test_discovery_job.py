"""The discovery Job: its pod, its name and its ownership."""

from __future__ import annotations

import json
from typing import Any

import pytest

from aimctl.api.v1alpha1 import RuntimeConfigSpec
from aimctl.domain.naming import auto_model_name
from aimctl.domain.resolution import Missing
from aimctl.domain.templates.discovery_job import DiscoveryInput, job_name, manifest
from aimctl.domain.templates.observation import TemplateObservation
from support.templates import model, observe


def input_of(seen: TemplateObservation) -> DiscoveryInput:
    found = seen.discovery_input()
    assert not isinstance(found, Missing)
    return found


def made(seen: TemplateObservation) -> dict[str, Any]:
    return manifest(seen.template, input_of(seen))


def container(job: dict[str, Any]) -> dict[str, Any]:
    (only,) = job["spec"]["template"]["spec"]["containers"]
    return only


def env(job: dict[str, Any]) -> dict[str, Any]:
    return {item["name"]: item.get("value", item.get("valueFrom")) for item in container(job)["env"]}


def test_the_container_runs_the_image_of_the_model_with_the_profile_in_its_environment() -> None:
    job = made(observe())
    assert container(job)["image"] == "ghcr.io/silogen/aim-llama:1"
    assert container(job)["args"] == ["dry-run", "--format=json"]
    assert env(job) == {
        "AIM_METRIC": "latency",
        "AIM_PRECISION": "fp16",
        "AIM_GPU_MODEL": "MI300X",
        "AIM_GPU_COUNT": "1",
        "AIM_LOG_LEVEL": "CRITICAL",
        "AIM_LOG_LEVEL_ROOT": "CRITICAL",
    }


def test_a_property_that_the_template_does_not_have_is_not_in_the_environment() -> None:
    job = made(observe(spec={"metric": None, "precision": None, "gpuSelector": None}))
    assert set(env(job)) == {"AIM_LOG_LEVEL", "AIM_LOG_LEVEL_ROOT"}


def test_the_environment_of_the_template_overrides_that_of_model_and_runtime_config() -> None:
    config = RuntimeConfigSpec.model_validate(
        {"env": [{"name": n, "value": "config"} for n in ("A", "B", "C")]}
    )
    llama = model(env=[{"name": n, "value": "model"} for n in ("B", "C")])
    own = [
        {"name": "C", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
        {"name": "AIM_METRIC", "value": "own"},
    ]
    found = env(made(observe(spec={"env": own}, model_spec=llama, config_spec=config)))
    assert found["A"] == "config"
    assert found["B"] == "model"
    assert found["C"] == {"secretKeyRef": {"name": "s", "key": "k"}}
    assert found["AIM_METRIC"] == "own"


def test_a_cluster_model_created_for_a_service_gets_no_environment_from_configs() -> None:
    config = RuntimeConfigSpec.model_validate({"env": [{"name": "HF_TOKEN", "value": "secret"}]})

    def names(model_name: str, *, cluster: bool) -> set[str]:
        seen = observe(cluster=cluster, spec={"modelName": model_name}, config_spec=config)
        return set(env(made(seen)))

    auto = auto_model_name("ghcr.io/silogen/aim-llama:1")
    assert "HF_TOKEN" not in names(auto, cluster=True)
    assert "HF_TOKEN" in names(auto, cluster=False)
    assert "HF_TOKEN" in names("llama", cluster=True)


def test_pull_secrets_are_those_of_the_template_then_of_the_model_each_once() -> None:
    llama = model(imagePullSecrets=[{"name": "b"}, {"name": "c"}])
    job = made(observe(spec={"imagePullSecrets": [{"name": "a"}, {"name": "b"}]}, model_spec=llama))
    assert job["spec"]["template"]["spec"]["imagePullSecrets"] == [
        {"name": "a"},
        {"name": "b"},
        {"name": "c"},
    ]
    assert "imagePullSecrets" not in made(observe())["spec"]["template"]["spec"]


def test_the_service_account_is_that_of_the_template_otherwise_of_the_model() -> None:
    llama = model(serviceAccountName="models")
    assert made(observe(model_spec=llama))["spec"]["template"]["spec"]["serviceAccountName"] == "models"
    job = made(observe(spec={"serviceAccountName": "own"}, model_spec=llama))
    assert job["spec"]["template"]["spec"]["serviceAccountName"] == "own"
    assert "serviceAccountName" not in made(observe())["spec"]["template"]["spec"]


def test_the_pod_passes_the_restricted_pod_security_standard() -> None:
    pod = made(observe())["spec"]["template"]["spec"]
    security = container(made(observe()))["securityContext"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert security["allowPrivilegeEscalation"] is False
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert not {"hostNetwork", "hostPID", "hostIPC", "volumes"} & set(pod)


def test_the_job_has_limits_and_is_removed_after_it_finished() -> None:
    spec = made(observe())["spec"]
    assert spec["backoffLimit"] == 3
    assert spec["ttlSecondsAfterFinished"] >= 3600
    assert spec["activeDeadlineSeconds"] > 0
    assert spec["template"]["spec"]["restartPolicy"] == "Never"


def test_the_job_of_a_namespaced_template_runs_in_its_namespace_and_is_owned_by_it() -> None:
    meta = made(observe())["metadata"]
    assert meta["namespace"] == "team"
    (owner,) = meta["ownerReferences"]
    assert owner["kind"] == "AIMServiceTemplate"
    assert (owner["uid"], owner["controller"]) == ("template-uid", True)


def test_the_job_of_a_cluster_template_runs_in_the_operator_namespace() -> None:
    meta = made(observe(cluster=True))["metadata"]
    assert meta["namespace"] == "kaiwo-system"
    assert meta["ownerReferences"][0]["kind"] == "AIMClusterServiceTemplate"


@pytest.mark.parametrize("name", ["short", "x" * 70, "a.b." * 60 + "c"])
def test_job_and_pods_have_the_template_label_and_its_full_name_as_an_annotation(name: str) -> None:
    job = made(observe(name=name))
    for meta in (job["metadata"], job["spec"]["template"]["metadata"]):
        label = meta["labels"]["aim.silogen.ai/template"]
        assert len(label) <= 63
        assert label == name or len(name) > 63
        assert meta["annotations"]["aim.silogen.ai/template-name"] == name
    assert len(job["metadata"]["name"]) <= 63


def test_the_same_input_gives_the_same_job() -> None:
    assert json.dumps(made(observe())) == json.dumps(made(observe()))


@pytest.mark.parametrize(
    "changed",
    [
        observe(model_spec=model("ghcr.io/silogen/aim-llama:2")),
        observe(spec={"env": [{"name": "A", "value": "1"}]}),
        observe(spec={"imagePullSecrets": [{"name": "a"}]}),
        observe(model_spec=model(imagePullSecrets=[{"name": "a"}])),
        observe(spec={"serviceAccountName": "own"}),
        observe(config_spec=RuntimeConfigSpec.model_validate({"env": [{"name": "A", "value": "1"}]})),
        observe(rediscover="2026-05-04T12:00:00Z"),
        observe(cluster=True),
        observe(spec={"metric": "throughput"}),
    ],
    ids=[
        "image",
        "env",
        "secrets",
        "model's secrets",
        "account",
        "config's env",
        "rediscover",
        "scope",
        "metric",
    ],
)
def test_everything_that_determines_the_pod_changes_hash_and_name(changed: TemplateObservation) -> None:
    before = observe()
    assert input_of(changed).hash != input_of(before).hash
    assert made(changed)["metadata"]["name"] != made(before)["metadata"]["name"]


@pytest.mark.parametrize(
    "changed",
    [
        observe(generation=7),
        observe(spec={"resources": {"limits": {"cpu": "1"}}}),
        observe(spec={"caching": {"enabled": True}}),
        observe(config_spec=RuntimeConfigSpec(pvc_headroom_percent=50)),
        observe(gpus=["MI325X"]),
        observe({"status": "Ready"}),
    ],
    ids=["generation", "resources", "caching", "headroom", "gpus", "status"],
)
def test_what_does_not_determine_the_pod_does_not_change_the_hash(changed: TemplateObservation) -> None:
    assert input_of(changed).hash == input_of(observe()).hash


def test_a_template_that_was_created_again_does_not_get_the_job_of_its_predecessor() -> None:
    one, other = observe(uid="a"), observe(uid="b")
    assert input_of(one).hash == input_of(other).hash
    assert job_name(one.template, "h") != job_name(other.template, "h")


def test_injectors_of_sidecars_are_asked_to_skip_the_pod() -> None:
    metadata = made(observe())["spec"]["template"]["metadata"]
    assert metadata["labels"]["sidecar.istio.io/inject"] == "false"
    assert metadata["annotations"]["linkerd.io/inject"] == "disabled"
