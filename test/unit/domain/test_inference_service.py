"""The InferenceService: what runs, with which environment, resources, GPUs, secrets and caches."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aimctl.api import kinds
from aimctl.api.v1alpha1 import RuntimeConfigSpec
from aimctl.domain.gpu_nodes import Gpus, gpus_of
from aimctl.domain.gpus import AMD_DEVICE_IDS
from aimctl.domain.resolution import Resolved
from aimctl.domain.services.inference_service import inference_service
from aimctl.domain.services.observation import NewModel
from aimctl.kubetypes import Node
from support.services import cache, service, template
from support.things import make, with_fields, with_meta

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aimctl.api.v1alpha1 import AIMTemplateCache
    from aimctl.domain.services.observation import ServiceObservation
    from aimctl.domain.templates.template import Template
    from aimctl.kubetypes import Node
from aimctl.kubetypes import Object


def runs(profile: Any = None, *, cluster: bool = False, **spec: Any) -> Template:
    """The template in use, with further fields and what discovery found; None takes a field away."""
    one = template("a", cluster=cluster)
    body = {**one.view.spec.to_json(), **spec}
    raw = {
        "spec": {name: value for name, value in body.items() if value is not None},
        "status": {"status": "Ready", **({} if profile is None else {"profile": profile})},
    }
    return with_fields(one, **raw)


def made(
    one: Template | None = None, cached: Object[AIMTemplateCache] | None = None, **differs: Any
) -> dict[str, Any]:
    return inference_service(service(**differs), one or runs(), cached)


def predictor(one: Template | None = None, **differs: Any) -> dict[str, Any]:
    found: dict[str, Any] = made(one, **differs)["spec"]["predictor"]
    return found


def container(one: Template | None = None, **differs: Any) -> dict[str, Any]:
    (only,) = predictor(one, **differs)["containers"]
    return dict(only)


def env(one: Template | None = None, **differs: Any) -> dict[str, Any]:
    listed = container(one, **differs)["env"]
    found = {item["name"]: item.get("value", item.get("valueFrom")) for item in listed}
    assert len(found) == len(listed)
    return found


def with_config(seen: ServiceObservation, **spec: Any) -> ServiceObservation:
    return replace(seen, runtime_config=Resolved(RuntimeConfigSpec.model_validate(spec), None))


def variables(**values: str) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in values.items()]


# ---- the object


def test_it_has_the_services_name_and_namespace_and_is_owned_by_it() -> None:
    body = made()
    assert (body["apiVersion"], body["kind"]) == ("serving.kserve.io/v1beta1", "InferenceService")
    meta = body["metadata"]
    assert (meta["name"], meta["namespace"]) == ("chat", "team")
    (owner,) = meta["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"]) == ("AIMService", "chat", "service-uid")
    assert owner["controller"] is True
    assert owner["blockOwnerDeletion"] is True


def test_labels_name_the_operator_and_the_service() -> None:
    assert made()["metadata"]["labels"] == {
        "app.kubernetes.io/managed-by": "aim",
        "app.kubernetes.io/component": "inference",
        "aim.silogen.ai/service": "chat",
        "aim.silogen.ai/service-name": "chat",
    }


def test_labels_of_the_service_are_passed_on_and_the_operators_take_precedence() -> None:
    passed = {"org.example/team": "a", "networking.kserve.io/visibility": "cluster-local", "tier": "gold"}
    own = {"app.kubernetes.io/managed-by": "helm", "aim.silogen.ai/service-name": "x", "job-name": "x"}
    delivery = {
        "helm.sh/chart": "x",
        "kustomize.toolkit.fluxcd.io/name": "x",
        "argocd.argoproj.io/instance": "x",
    }
    assert made(labels={**passed, **own, **delivery})["metadata"]["labels"] == {
        **passed,
        "app.kubernetes.io/managed-by": "aim",
        "app.kubernetes.io/component": "inference",
        "aim.silogen.ai/service": "chat",
        "aim.silogen.ai/service-name": "chat",
    }


def test_annotations_of_the_service_are_passed_on_except_those_that_describe_the_service() -> None:
    passed = {
        "serving.kserve.io/autoscalerClass": "external",
        "prometheus.io/scrape": "true",
        "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
        "note": "x",
    }
    own = {
        "kubectl.kubernetes.io/last-applied-configuration": "{}",
        "aim.silogen.ai/rediscover": "now",
        "meta.helm.sh/release-name": "x",
        "argocd.argoproj.io/tracking-id": "x",
    }
    mode = {"serving.kserve.io/deploymentMode": "Serverless"}
    seen = service()
    seen = replace(seen, obj=with_meta(seen.obj, annotations={**passed, **own, **mode}))
    got = inference_service(seen, runs(), None)["metadata"]["annotations"]
    assert got == {**passed, "serving.kserve.io/deploymentMode": "RawDeployment"}


def test_a_name_that_kserve_rejects_is_replaced_and_the_label_has_the_name_of_the_service() -> None:
    seen = service()
    seen = replace(seen, obj=with_meta(seen.obj, name="llama-3.1"))
    meta = inference_service(seen, runs(), None)["metadata"]
    assert meta["name"].startswith("llama-3-1-")
    assert meta["labels"]["aim.silogen.ai/service"] == "llama-3.1"
    assert meta["ownerReferences"][0]["name"] == "llama-3.1"


def test_without_a_possible_name_there_is_no_inference_service() -> None:
    seen = service()
    seen = replace(seen, obj=with_meta(seen.obj, namespace="n" * 60))
    with pytest.raises(ValueError, match="too long"):
        inference_service(seen, runs(), None)


def test_it_is_a_raw_deployment_of_the_models_image() -> None:
    assert made()["metadata"]["annotations"] == {"serving.kserve.io/deploymentMode": "RawDeployment"}
    only = container()
    assert only["name"] == "kserve-container"
    assert only["image"] == "ghcr.io/silogen/aim-llama:1"
    assert only["ports"] == [{"name": "http", "containerPort": 8000, "protocol": "TCP"}]


@pytest.mark.parametrize("replicas", [1, 3])
def test_the_replicas_are_a_fixed_number(replicas: int) -> None:
    got = predictor(spec={"replicas": replicas})
    assert (got["minReplicas"], got["maxReplicas"]) == (replicas, replicas)


def test_without_replicas_it_is_stopped() -> None:
    body = made(spec={"replicas": 0})
    assert body["metadata"]["annotations"]["serving.kserve.io/stop"] == "true"
    assert body["spec"]["predictor"]["minReplicas"] == 0


def test_without_a_model_there_is_nothing_to_serve() -> None:
    with pytest.raises(ValueError, match="chat"):
        made(model_found=NewModel("x:1"))


def test_the_same_input_gives_the_same_object_byte_for_byte() -> None:
    one = runs({"env_vars": {"B": "1", "A": "2"}, "engine_args": {"b": 1, "a": 2}})
    other = runs({"engine_args": {"a": 2, "b": 1}, "env_vars": {"A": "2", "B": "1"}})
    assert json.dumps(made(one)) == json.dumps(made(other))


# ---- environment


def test_the_profile_is_in_the_environment_without_discoverys_log_levels() -> None:
    assert env() == {
        "AIM_METRIC": "latency",
        "AIM_PRECISION": "fp16",
        "AIM_GPU_MODEL": "MI300X",
        "AIM_GPU_COUNT": "1",
    }


def test_the_more_specific_variable_takes_precedence() -> None:
    letters = "ABCDE"
    discovered = dict.fromkeys(letters, "discovered")
    config = variables(**dict.fromkeys(letters[1:], "config"))
    model = variables(**dict.fromkeys(letters[2:], "model"))
    own = variables(**dict.fromkeys(letters[3:], "template"))
    seen = service(model_spec={"env": model}, spec={"env": variables(E="service")})
    one = runs({"env_vars": discovered}, env=own)
    (only,) = inference_service(with_config(seen, env=config), one, None)["spec"]["predictor"]["containers"]
    got = {item["name"]: item["value"] for item in only["env"]}
    assert [got[letter] for letter in letters] == ["discovered", "config", "model", "template", "service"]


def test_the_profile_can_be_overridden_by_the_template_and_the_service() -> None:
    one = runs(env=variables(AIM_METRIC="own"))
    assert env(one)["AIM_METRIC"] == "own"
    assert env(one, spec={"env": variables(AIM_METRIC="mine")})["AIM_METRIC"] == "mine"


def test_a_variable_from_a_secret_replaces_a_value_completely() -> None:
    secret = {"secretKeyRef": {"name": "s", "key": "k"}}
    one = runs({"env_vars": {"TOKEN": "x"}})
    assert env(one, spec={"env": [{"name": "TOKEN", "valueFrom": secret}]})["TOKEN"] == secret


def test_a_cluster_template_has_no_variables_of_its_own() -> None:
    assert "AIM_METRIC" in env(runs(cluster=True))


def test_the_discovered_profile_is_passed_to_the_container() -> None:
    profile = {
        "env_vars": {
            "TEXT": "x",
            "NUMBER": 1,
            "SHARE": 0.5,
            "FLAG": True,
            "NOTHING": None,
            "DEEP": {"a": [1]},
        },
        "engine_args": {"tensor-parallel-size": 1, "dtype": "float16", "ö": None},
    }
    got = env(runs(profile))
    assert {name: got[name] for name in ("TEXT", "NUMBER", "SHARE", "FLAG", "DEEP")} == {
        "TEXT": "x",
        "NUMBER": "1",
        "SHARE": "0.5",
        "FLAG": "true",
        "DEEP": '{"a":[1]}',
    }
    assert "NOTHING" not in got
    assert got["AIM_ENGINE_ARGS"] == '{"dtype":"float16","tensor-parallel-size":1,"ö":null}'


def test_the_arguments_of_the_engine_are_merged_from_all_sources_in_the_same_order() -> None:
    def args(**values: Any) -> list[dict[str, str]]:
        return variables(AIM_ENGINE_ARGS=json.dumps(values))

    profile = {
        "engine_args": dict.fromkeys("abcdef", "profile"),
        "env_vars": {"AIM_ENGINE_ARGS": json.dumps(dict.fromkeys("bcdef", "variable"))},
    }
    seen = service(
        model_spec={"env": args(**dict.fromkeys("def", "model"))},
        spec={"env": args(f="service", g="service")},
    )
    one = runs(profile, env=args(**dict.fromkeys("ef", "template")))
    body = inference_service(with_config(seen, env=args(**dict.fromkeys("cdef", "config"))), one, None)
    (only,) = body["spec"]["predictor"]["containers"]
    (found,) = (item["value"] for item in only["env"] if item["name"] == "AIM_ENGINE_ARGS")
    assert json.loads(found) == {
        "a": "profile",
        "b": "variable",
        "c": "config",
        "d": "model",
        "e": "template",
        "f": "service",
        "g": "service",
    }


@pytest.mark.parametrize(
    "profile",
    [
        {},
        {"env_vars": []},
        {"env_vars": {"": "x", "a b": "x", "=": "x", "1": "x", "x" * 254: "x"}},
        {"engine_args": []},
        {"engine_args": {}},
        {"engine_args": "--flag", "metadata": "text"},
    ],
    ids=str,
)
def test_what_is_not_a_variable_is_ignored(profile: dict[str, Any]) -> None:
    assert env(runs(profile)) == env()


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text("aA1_.é "),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("aA1_. "), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.dictionaries(st.sampled_from(["env_vars", "engine_args", "metadata", "x"]), JSON, max_size=4),
    st.sampled_from([None, {"count": 2}, {"model": "H100"}]),
)
def test_no_profile_causes_an_error(profile: dict[str, Any], gpu: Any) -> None:
    body = made(runs(profile, gpuSelector=gpu))
    for item in body["spec"]["predictor"]["containers"][0]["env"]:
        assert isinstance(item["value"], str)
    json.dumps(body)


# ---- resources


def test_resources_are_merged_by_key_and_the_more_specific_take_precedence() -> None:
    one = runs(resources={"limits": {"cpu": "2", "memory": "2Gi"}}, gpuSelector=None)
    got = container(
        one,
        model_spec={
            "resources": {"limits": {"cpu": "1", "memory": "1Gi", "x/y": "1"}, "requests": {"cpu": "1"}}
        },
        spec={"resources": {"limits": {"cpu": "3"}}},
    )["resources"]
    assert got == {
        "limits": {"cpu": "3", "memory": "2Gi", "x/y": "1"},
        "requests": {"cpu": "1", "memory": "2Gi"},
    }


def test_without_resources_the_container_has_none() -> None:
    assert "resources" not in container(runs(gpuSelector=None))


@pytest.mark.parametrize(
    ("selector", "profile", "expected"),
    [
        ({"count": 4, "model": "MI300X"}, None, {"amd.com/gpu": "4"}),
        ({"count": 2, "model": "Instinct MI325X"}, None, {"amd.com/gpu": "2"}),
        ({"count": 1, "model": "NVIDIA-H100-80GB-HBM3"}, None, {"nvidia.com/gpu": "1"}),
        ({"model": "MI300X"}, None, {"amd.com/gpu": "1"}),
        ({"model": "MI300X"}, {"metadata": {"gpu_count": 8}}, {"amd.com/gpu": "8"}),
        ({"model": "MI300X"}, {"metadata": {"gpu_count": True}}, {"amd.com/gpu": "1"}),
        ({"model": "MI300X"}, {"metadata": {"gpu_count": "8"}}, {"amd.com/gpu": "1"}),
        ({"count": 2}, None, {"amd.com/gpu": "2"}),
        ({"count": 2}, {"metadata": {"gpu": "H100"}}, {"nvidia.com/gpu": "2"}),
        ({"count": 2}, {"metadata": {"gpu": ["H100"]}}, {"amd.com/gpu": "2"}),
        ({}, {"metadata": {"gpu": "H100", "gpu_count": 2}}, None),
    ],
    ids=str,
)
def test_the_gpus_of_the_selector_are_in_requests_and_limits(
    selector: dict[str, Any], profile: Any, expected: Mapping[str, str] | None
) -> None:
    got = container(runs(profile, gpuSelector=selector)).get("resources", {})
    for kind in ("requests", "limits"):
        gpus = {name: amount for name, amount in got.get(kind, {}).items() if "/" in name}
        assert gpus == (expected or {})
    assert ("memory" in got.get("limits", {})) == (expected is not None)


def test_pods_are_restricted_to_nodes_with_the_gpu_model_of_the_template() -> None:
    nodes = {
        model: {"amd.com/gpu.device-id": device} for model, device in (("MI300X", "74a1"), ("MI325X", "74a5"))
    }
    gpus = Gpus.of(gpus_of(labels, Node()) for labels in nodes.values())
    for model in nodes:
        body = predictor(runs(gpuSelector={"count": 1, "model": model}), gpus=gpus)
        (term,) = body["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][
            "nodeSelectorTerms"
        ]
        (requirement,) = term["matchExpressions"]
        ids = sorted(device for device, name in AMD_DEVICE_IDS.items() if name == model)
        assert requirement == {"key": "amd.com/gpu.device-id", "operator": "In", "values": ids}
    for selector in (None, {"count": 2}):
        assert "affinity" not in predictor(runs(gpuSelector=selector), gpus=gpus)


@pytest.mark.parametrize(("count", "has"), [(1, False), (2, True), (8, True)])
def test_a_runtime_with_several_gpus_has_shared_memory(count: int, has: bool) -> None:
    one = runs(gpuSelector={"count": count, "model": "MI300X"})
    mounted = {item["mountPath"]: item["name"] for item in container(one).get("volumeMounts", ())}
    volumes = {item["name"]: item for item in predictor(one).get("volumes", ())}
    assert ("/dev/shm" in mounted) is has
    if has:
        assert volumes[mounted["/dev/shm"]]["emptyDir"] == {"medium": "Memory"}


def test_the_number_of_gpus_is_that_of_the_selector_whatever_the_resources_are() -> None:
    got = container(
        runs(gpuSelector={"count": 4, "model": "MI300X"}, resources={"limits": {"amd.com/gpu": "1"}}),
        spec={"resources": {"limits": {"amd.com/gpu": "2", "cpu": "1"}}},
    )["resources"]
    assert got == {
        "limits": {"amd.com/gpu": "4", "cpu": "1", "memory": "192Gi"},
        "requests": {"amd.com/gpu": "4", "cpu": "1", "memory": "128Gi"},
    }


# ---- secrets and accounts


def names(*listed: str) -> list[dict[str, str]]:
    return [{"name": name} for name in listed]


def test_pull_secrets_of_service_template_and_model_each_once() -> None:
    got = predictor(
        runs(imagePullSecrets=names("b", "c")),
        spec={"imagePullSecrets": names("a", "b")},
        model_spec={"imagePullSecrets": names("c", "d")},
    )
    assert got["imagePullSecrets"] == names("a", "b", "c", "d")
    assert "imagePullSecrets" not in predictor()


def test_the_service_account_is_that_of_the_service_otherwise_the_template_otherwise_the_model() -> None:
    own, model = runs(serviceAccountName="template"), {"serviceAccountName": "model"}
    assert (
        predictor(own, model_spec=model, spec={"serviceAccountName": "mine"})["serviceAccountName"] == "mine"
    )
    assert predictor(own, model_spec=model)["serviceAccountName"] == "template"
    assert predictor(model_spec=model)["serviceAccountName"] == "model"
    assert "serviceAccountName" not in predictor()


def test_without_a_named_account_the_pod_gets_no_token():
    assert predictor()["automountServiceAccountToken"] is False
    assert "automountServiceAccountToken" not in predictor(spec={"serviceAccountName": "mine"})


# ---- caches


def cache_of(*sources: tuple[str, str | None], state: str = "Available") -> Object[AIMTemplateCache]:
    models = [
        {"name": name, "source": "hf://x/y", **({"persistentVolumeClaim": claim} if claim else {})}
        for name, claim in sources
    ]
    body = {"spec": {"templateRef": "a"}, "status": {"status": state, "models": models}}
    return make("a", "team", resource=kinds.TEMPLATE_CACHES, **body)


def mounts(*sources: tuple[str, str | None]) -> dict[str, str]:
    """Where each claim is mounted."""
    got = predictor(cached=cache_of(*sources))
    volumes = {item["name"]: item["persistentVolumeClaim"] for item in got["volumes"]}
    (only,) = got["containers"]
    assert all(claim["readOnly"] for claim in volumes.values())
    assert all(item["readOnly"] for item in only["volumeMounts"])
    assert len(only["volumeMounts"]) == len(volumes)
    return {item["mountPath"]: volumes[item["name"]]["claimName"] for item in only["volumeMounts"]}


def test_each_cached_source_is_mounted_read_only_under_its_name() -> None:
    assert mounts(("meta-llama/Llama-3.1-8B", "llama-1"), ("tokenizer", "tok-2")) == {
        "/workspace/model-cache/meta-llama/Llama-3.1-8B": "llama-1",
        "/workspace/model-cache/tokenizer": "tok-2",
    }
    assert env(cached=cache_of(("m", "m-1")))["AIM_CACHE_PATH"] == "/workspace/model-cache"


@pytest.mark.parametrize(
    "unusable",
    [
        None,
        cache("Progressing"),
        cache("Failed"),
        with_meta(cache(), deletionTimestamp="2026-01-01T00:00:00Z"),
        with_meta(cache(), name="b"),
        cache_of(("m", None)),
        cache_of(),
    ],
    ids=["none", "progressing", "failed", "deleting", "another's", "no claim", "empty"],
)
def test_an_incomplete_cache_is_not_used(unusable: Object[AIMTemplateCache] | None) -> None:
    got = predictor(cached=unusable)
    assert "volumes" not in got
    assert "volumeMounts" not in got["containers"][0]
    assert "AIM_CACHE_PATH" not in env(cached=unusable)


@pytest.mark.parametrize(
    "name", ["../../etc", "..", "a/../b", "/etc", "a//b", "a b", "a:b", "~", "é", "a/./b", ""]
)
def test_no_name_of_a_source_leads_out_of_the_cache_folder(name: str) -> None:
    ((path, _),) = mounts((name, "claim")).items()
    assert path.startswith("/workspace/model-cache/")
    parts = path.removeprefix("/workspace/model-cache/").split("/")
    assert all(part and part.strip(".") and part.isascii() and ":" not in part for part in parts)


@example([("a//", "claim-1"), ("a/b", "claim-2")])
@example([("a/b", "c"), ("a", "claim-1"), ("a-b-c", "claim-2")])
@given(
    st.lists(
        st.tuples(st.text("ab/.:", max_size=6), st.integers(0, 99).map(lambda number: f"claim-{number}")),
        min_size=1,
        max_size=6,
        unique_by=lambda item: item[1],
    )
)
def test_no_mount_is_inside_another(sources: list[tuple[str, str | None]]) -> None:
    paths = list(mounts(*sources))
    assert len(paths) == len(sources)
    for one in paths:
        for other in paths:
            assert one == other or not one.startswith(f"{other}/")
