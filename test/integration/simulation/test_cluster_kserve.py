"""The simulated KServe, in virtual time."""

import asyncio
import re

import msgspec
import pytest

from aimctl.kubetypes.builtin import CORE_EVENTS, NAMESPACES
from aimctl.runtime.kube.errors import Forbidden, Invalid, NotServed
from aimctl.simulation import Catalogue, kserve_add_on
from aimctl.simulation.kserve import INFERENCE_SERVICES, OUTCOME_ANNOTATION
from aimctl.testing.virtualtime import virtual_clock, virtual_time
from support.aim_cluster import aim_cluster
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


def cluster_of(**options):
    cluster, _ = aim_cluster(clock=virtual_clock(), crds=[], **{"kserve": True, **options})
    return cluster


def service(name="chat", image="ghcr.io/silogen/aim-llama-3-8b:0.3", **annotations):
    container = {"name": "kserve-container", "image": image, "resources": {"limits": {"amd.com/gpu": "1"}}}
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": name, "namespace": "default", "annotations": annotations},
        "spec": {"predictor": {"minReplicas": 1, "containers": [container], "anything": {"else": [1]}}},
    }


async def get(client, name="chat"):
    item = await client.get(INFERENCE_SERVICES, name, "default")
    return msgspec.json.decode(item.raw, type=dict)


def condition(body, type_="Ready"):
    return next(item for item in body["status"]["conditions"] if item["type"] == type_)


@virtual_time
async def test_a_service_becomes_ready_with_a_url():
    async with cluster_of(kserve_seconds=3) as cluster:
        client = cluster.client()
        await client.create(INFERENCE_SERVICES, service(), "default")
        await cluster.settled()
        first = await get(client)
        assert conditions_of(first) == STARTING
        assert "url" not in first["status"]
        begun = cluster.clock.monotonic()
        await cluster.settled(horizon_seconds=10)
        assert cluster.clock.monotonic() - begun == pytest.approx(3, abs=0.1)
        last = await get(client)
        assert conditions_of(last) == READY
        assert last["status"]["url"] == "http://chat-default.example.com"
        assert last["status"]["observedGeneration"] == 1
        assert last["spec"]["predictor"]["anything"] == {"else": [1]}
        events = [msgspec.json.decode(item.raw) for item in (await client.list(CORE_EVENTS, "default")).items]
        assert [event["reason"] for event in events] == ["InferenceServiceReady"]


@pytest.mark.parametrize(
    ("image", "reason", "words"),
    [
        ("nobody/has-it:1", "ImagePullBackOff", "nobody/has-it:1"),
        ("aim-broken:1", "ImagePullBackOff", "not found"),
        ("aim-refused:1", "ImagePullBackOff", "denied"),
        ("aim-crashing:1", "CrashLoopBackOff", "restarting failed container"),
        ("aim-oom:1", "CrashLoopBackOff", "OOMKilled"),
        ("aim-misconfigured:1", "CreateContainerError", "runAsNonRoot"),
        ("aim-unschedulable:1", "Unschedulable", "no node"),
    ],
)
def test_an_image_that_cannot_run_is_the_reason_in_the_status(image, reason, words):
    @virtual_time
    async def scenario():
        async with cluster_of() as cluster:
            client = cluster.client()
            await client.create(INFERENCE_SERVICES, service(image=image), "default")
            await cluster.settled(horizon_seconds=10)
            assert condition(await get(client))["status"] == "False"
            predictor = condition(await get(client), "PredictorReady")
            assert (predictor["status"], predictor["reason"]) == ("False", reason)
            assert words in predictor["message"]

    scenario()


@virtual_time
async def test_the_annotation_determines_the_outcome_at_once():
    async with cluster_of() as cluster:
        client = cluster.client()
        await client.create(INFERENCE_SERVICES, service(**{OUTCOME_ANNOTATION: "never"}), "default")
        await asyncio.sleep(600)
        assert conditions_of(await get(client)) == STARTING
        for outcome, expected in (
            (None, READY["PredictorReady"]),
            ("fail: the GPU fell off the bus", ("False", "Failed")),
            ("ready", READY["PredictorReady"]),
        ):
            patch = {"metadata": {"annotations": {OUTCOME_ANNOTATION: outcome}}}
            await client.patch(INFERENCE_SERVICES, "chat", patch, "default")
            await cluster.settled()
            predictor = condition(await get(client), "PredictorReady")
            assert (predictor["status"], predictor["reason"]) == expected
            assert ("the GPU fell off the bus" in predictor["message"]) == (expected[0] == "False")


@virtual_time
async def test_a_service_stays_ready_while_a_changed_spec_is_rolled_out():
    async with cluster_of(kserve_seconds=5) as cluster:
        client = cluster.client()
        await client.create(INFERENCE_SERVICES, service(), "default")
        await cluster.settled(horizon_seconds=10)
        moved = condition(await get(client))["lastTransitionTime"]
        patch = {"spec": service(image="ghcr.io/silogen/aim-llama-3-8b:0.4")["spec"]}
        await client.patch(INFERENCE_SERVICES, "chat", patch, "default")
        await asyncio.sleep(2)
        body = await get(client)
        assert condition(body)["status"] == "True"
        assert (body["metadata"]["generation"], body["status"]["observedGeneration"]) == (2, 1)
        await cluster.settled(horizon_seconds=10)
        body = await get(client)
        assert body["status"]["observedGeneration"] == 2
        assert condition(body)["lastTransitionTime"] == moved


@virtual_time
async def test_a_settled_service_costs_no_writes():
    async with cluster_of() as cluster:
        client = cluster.client()
        await client.create(INFERENCE_SERVICES, service(), "default")
        await cluster.settled(horizon_seconds=10)
        version = (await get(client))["metadata"]["resourceVersion"]
        await client.patch(INFERENCE_SERVICES, "chat", {"metadata": {"labels": {"a": "b"}}}, "default")
        changed = (await get(client))["metadata"]["resourceVersion"]
        await asyncio.sleep(3600)
        assert changed != version
        assert (await get(client))["metadata"]["resourceVersion"] == changed


@virtual_time
async def test_a_predictor_is_required_and_replicas_are_a_number():
    async with cluster_of() as cluster:
        client = cluster.client()
        bad = service()
        del bad["spec"]["predictor"]
        with pytest.raises(Invalid, match="predictor"):
            await client.create(INFERENCE_SERVICES, bad, "default")
        bad = service()
        bad["spec"]["predictor"]["minReplicas"] = "one"
        with pytest.raises(Invalid, match="minReplicas"):
            await client.create(INFERENCE_SERVICES, bad, "default")


@virtual_time
async def test_a_deleted_service_is_finalized():
    async with cluster_of() as cluster:
        client = cluster.client()
        await client.create(INFERENCE_SERVICES, service(), "default")
        await cluster.settled(horizon_seconds=10)
        assert (await get(client))["metadata"]["finalizers"] == ["inferenceservice.finalizers"]
        await client.delete(INFERENCE_SERVICES, "chat", "default")
        await cluster.settled(horizon_seconds=10)
        assert not (await client.list(INFERENCE_SERVICES, "default")).items


@virtual_time
async def test_kserve_can_be_installed_later():
    async with cluster_of(kserve=False) as cluster:
        client = cluster.client()
        with pytest.raises(NotServed):
            await client.list(INFERENCE_SERVICES, "default")
        await cluster.install(kserve_add_on(Catalogue.default()))
        await cluster.install(kserve_add_on(Catalogue.default()))
        await client.create(INFERENCE_SERVICES, service(), "default")
        await cluster.settled(horizon_seconds=10)
        assert condition(await get(client))["status"] == "True"


@virtual_time
async def test_without_controllers_kserve_cannot_be_installed():
    async with cluster_of(kserve=False, controllers=False) as cluster:
        with pytest.raises(RuntimeError, match="controllers"):
            await cluster.install(kserve_add_on(Catalogue.default()))


def test_after_a_restart_a_ready_service_is_ready(tmp_path):
    @virtual_time
    async def first():
        async with cluster_of(data_file=tmp_path / "data") as cluster:
            await cluster.client().create(INFERENCE_SERVICES, service(), "default")
            await cluster.settled(horizon_seconds=10)

    @virtual_time
    async def second():
        async with cluster_of(data_file=tmp_path / "data") as cluster:
            await cluster.settled(horizon_seconds=10)
            assert condition(await get(cluster.client()))["status"] == "True"

    first()
    second()


# ---- the webhooks


DENIED = 'admission webhook "inferenceservice.kserve-webhook-server.validator" denied the request: '


@pytest.mark.parametrize("case", DENIALS)
def test_what_kserve_denies_is_denied_with_its_reason(case):
    change, text = DENIALS[case]

    @virtual_time
    async def scenario():
        async with cluster_of() as cluster:
            with pytest.raises(Forbidden, match=re.escape(f"{DENIED}{text}")):
                await cluster.client().create(INFERENCE_SERVICES, changed(service(), change), "default")

    scenario()


@virtual_time
async def test_defaults_are_set_and_the_deployment_mode_cannot_be_changed():
    async with cluster_of() as cluster:
        client = cluster.client()
        mode = "serving.kserve.io/deploymentMode"
        await client.create(INFERENCE_SERVICES, service(**{mode: "RawDeployment"}), "default")
        await cluster.settled(horizon_seconds=10)
        body = await get(client)
        assert body["metadata"]["annotations"][mode] == body["status"]["deploymentMode"] == "Standard"
        (container,) = body["spec"]["predictor"]["containers"]
        assert container["name"] == "kserve-container"
        assert container["resources"] == {
            "limits": {"amd.com/gpu": "1", "cpu": "1", "memory": "2Gi"},
            "requests": {"cpu": "1", "memory": "2Gi"},
        }
        patch = {"metadata": {"annotations": {mode: "Serverless"}}}
        with pytest.raises(Forbidden, match="cannot be changed from 'Standard' to 'Knative'"):
            await client.patch(INFERENCE_SERVICES, "chat", patch, "default")


@pytest.mark.parametrize(
    ("resources", "words"),
    [
        (
            {"requests": {"cpu": "4"}},
            'requests: Invalid value: "4": must be less than or equal to cpu limit of 1',
        ),
        (
            {"limits": {"memory": "1Gi"}},
            'Invalid value: "2Gi": must be less than or equal to memory limit of 1Gi',
        ),
        ({"requests": {"amd.com/gpu": "1"}}, "Limit must be set for non overcommitable resources"),
        (
            {"requests": {"amd.com/gpu": "1"}, "limits": {"amd.com/gpu": "2"}},
            "must be equal to amd.com/gpu limit of 2",
        ),
    ],
    ids=["request above the default limit", "limit below the default request", "no limit", "not equal"],
)
def test_resources_that_a_pod_cannot_have_are_accepted_and_fail_in_the_deployment(resources, words):
    @virtual_time
    async def scenario():
        async with cluster_of() as cluster:
            body = service()
            body["spec"]["predictor"]["containers"][0]["resources"] = resources
            await cluster.client().create(INFERENCE_SERVICES, body, "default")
            await cluster.settled(horizon_seconds=10)
            failed = condition(await get(cluster.client()), "PredictorReady")
            assert (failed["status"], failed["reason"]) == ("False", "ReconcileFailed")
            assert 'Deployment.apps "chat-predictor" is invalid' in failed["message"]
            assert words in failed["message"]

    scenario()


# ---- names and scale


@virtual_time
async def test_with_the_stop_annotation_nothing_is_served_until_it_is_removed():
    async with cluster_of() as cluster:
        client = cluster.client()
        await client.create(INFERENCE_SERVICES, service(), "default")
        await cluster.settled(horizon_seconds=10)
        for value, ready, stopped in (("true", "False", "True"), (None, "True", "False")):
            patch = {"metadata": {"annotations": {"serving.kserve.io/stop": value}}}
            await client.patch(INFERENCE_SERVICES, "chat", patch, "default")
            await cluster.settled(horizon_seconds=10)
            body = await get(client)
            assert conditions_of(body) == (READY if stopped == "False" else STOPPED)
            assert ("url" in body["status"]) == (ready == "True")
            assert body["status"]["modelStatus"]["copies"]["totalCopies"] == (ready == "True")


@virtual_time
async def test_a_name_with_too_long_labels_is_accepted_and_has_no_deployment():
    async with cluster_of() as cluster:
        client = cluster.client()
        for name, namespace in (("a" * 20, "n" * 40), ("a" * 49, "no")):
            await client.create(NAMESPACES, {"metadata": {"name": namespace}})
            body = service(name)
            body["metadata"]["namespace"] = namespace
            await client.create(INFERENCE_SERVICES, body, namespace)
        await asyncio.sleep(600)
        for name, namespace, error in (
            ("a" * 20, "n" * 40, wrong_host("a" * 20, "n" * 40)),
            (
                "a" * 49,
                "no",
                f'Deployment.apps "{"a" * 49}-predictor" is invalid: must be no more than 63 characters',
            ),
        ):
            item = await client.get(INFERENCE_SERVICES, name, namespace)
            body = msgspec.json.decode(item.raw, type=dict)
            assert conditions_of(body) == REJECTED
            assert condition(body, "PredictorReady")["message"] == error
