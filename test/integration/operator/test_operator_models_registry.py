"""Registries that are unreachable, require credentials or send invalid data."""

from __future__ import annotations

import asyncio
import base64

import pytest

from aimctl.api import kinds
from aimctl.devcluster.faults import Answer, Match
from aimctl.kubetypes.builtin import SECRETS
from aimctl.simulation import RegistryFault
from aimctl.testing.virtualtime import virtual_time
from support.models import (
    condition_of,
    deployment,
    image,
    images,
    model_of,
    pull_secret,
    said,
    templates_of,
    until_model,
)
from support.operator import OPERATOR_NAMESPACE, world
from support.proofs import variants

BOTH = pytest.mark.parametrize("namespace", variants(["team", ""]), ids=["namespaced", "cluster"])
TWO = image("aim-two:*", deployment(), deployment(count=8, metric="throughput"))
PRIVATE = image("aim-secret:*", deployment(), needs_pull_secret=True)
SECRET = [{"name": "creds"}]
DOWN = RegistryFault(status=0)


# ---- unreachable registries


@BOTH
@virtual_time
async def test_an_unreachable_registry_is_reported_and_the_image_read_when_it_is_back(namespace):
    async with world(catalogue=images(TWO)) as w:
        w.start()
        w.simulation.registry.faults.append(DOWN)
        await w.model("m", namespace, image="aim-two:1")
        await until_model(w, "m", namespace, "Failed", reason="RegistryUnreachable")
        found = await condition_of(w, "m", namespace, "MetadataExtracted")
        assert "docker.io" in found["message"]
        assert "connection refused" in found["message"]
        settled = w.version
        await asyncio.sleep(3600)
        assert w.version == settled, "the same failure is not written again"
        assert len(w.simulation.registry.calls) <= 3600 / 36 + 6
        w.simulation.registry.faults.clear()
        await until_model(w, "m", namespace, "Ready", reason="Extracted", seconds=60)
        assert len(await templates_of(w, namespace)) == 2
        recorded = [event for event in w.events_of("m") if event[1] == "RegistryUnreachable"]
        assert recorded == [("Warning", "RegistryUnreachable")]


@virtual_time
async def test_an_unresponsive_registry_delays_neither_other_models_nor_templates():
    async with world(catalogue=images(TWO, image("quay.io/org/fine:*", deployment()))) as w:
        w.simulation.registry.faults.append(RegistryFault("docker.io/*", status=None, seconds=1e6))
        for number in range(20):
            await w.model(f"slow{number}", "team", image=f"aim-two:{number}")
        w.start()
        await asyncio.sleep(1)
        await w.model("fine", "team", image="quay.io/org/fine:1")
        await w.template("a", "team", model="slow0")
        await until_model(w, "fine", "team", "Ready", reason="Extracted", seconds=5)
        await w.until_state("a", "team", "Ready", seconds=10)
        await until_model(w, "slow0", "team", "Ready", reason="RegistryUnreachable", seconds=40)
        await asyncio.sleep(1)
        for number in range(20):
            assert await said(w, f"slow{number}", "team") == ("False", "RegistryUnreachable")
        assert (
            "no complete response within 30 s"
            in (await condition_of(w, "slow0", "team", "MetadataExtracted"))["message"]
        )


@virtual_time
async def test_a_model_with_ready_templates_stays_ready_when_its_new_image_cannot_be_read():
    async with world(catalogue=images(TWO)) as w:
        w.start()
        await w.model("m", "team", image="aim-two:1")
        await until_model(w, "m", "team", "Ready", reason="Extracted")
        w.simulation.registry.faults.append(RegistryFault(status=503))
        await w.model("m", "team", image="aim-two:2")
        await until_model(w, "m", "team", "Ready", reason="RegistryUnreachable")
        body = await model_of(w, "m", "team")
        assert body["status"]["imageMetadata"]["image"] == "aim-two:1"
        assert {item["status"]["status"] for item in (await templates_of(w, "team")).values()} == {"Ready"}


@virtual_time
async def test_an_invalid_response_is_reported_and_retried_after_ten_minutes():
    async with world(catalogue=images(TWO)) as w:
        w.start()
        w.simulation.registry.faults.append(RegistryFault(status=200, body=b"<html>welcome"))
        await w.model("m", "team", image="aim-two:1")
        await until_model(w, "m", "team", "Failed", reason="MalformedMetadata")
        await asyncio.sleep(500)
        assert len(w.simulation.registry.calls) == 1
        w.simulation.registry.faults.clear()
        await until_model(w, "m", "team", "Ready", reason="Extracted", seconds=200)


@virtual_time
async def test_invalid_labels_are_reported_and_valid_deployments_used():
    labels = {"com.amd.aim.model.recommendedDeployments": '[{"gpuModel": "MI300X"}, 7, {"metric": "cost"}]'}
    worse = {"com.amd.aim.model.recommendedDeployments": "{'gpuModel': 'MI300X'}"}
    catalogue = images(image("aim-mixed:*", labels=labels), image("aim-worse:*", labels=worse))
    async with world(catalogue=catalogue) as w:
        w.start()
        await w.model("mixed", "team", image="aim-mixed:1")
        await w.model("worse", "team", image="aim-worse:1")
        await until_model(w, "mixed", "team", "Ready", reason="Extracted")
        message = (await condition_of(w, "mixed", "team", "MetadataExtracted"))["message"]
        assert "recommendedDeployments[1] is 7" in message
        assert "'cost'" in message
        assert len(await templates_of(w, "team")) == 1
        await until_model(w, "worse", "team", "Failed", reason="MalformedMetadata")
        assert "not JSON" in (await condition_of(w, "worse", "team", "MetadataExtracted"))["message"]


@pytest.mark.parametrize(
    ("name", "reason"), [("nowhere:1", "ImageNotFound"), ("No Image", ""), ("X:y", "InvalidImage")]
)
@virtual_time
async def test_a_missing_image_and_an_invalid_name_are_reported(name, reason):
    async with world(catalogue=images(image("nowhere:*", fail="image-not-found"))) as w:
        w.start()
        if not reason:
            with pytest.raises(Exception, match="image"):
                await w.model("m", "team", image=name)
            return
        await w.model("m", "team", image=name)
        await until_model(w, "m", "team", "Failed", reason=reason)
        assert name in (await condition_of(w, "m", "team", "MetadataExtracted"))["message"]


# ---- credentials


@BOTH
@virtual_time
async def test_a_private_image_is_read_with_the_pull_secret_of_the_model(namespace):
    async with world(catalogue=images(PRIVATE)) as w:
        w.start()
        await pull_secret(w, "creds", namespace or OPERATOR_NAMESPACE)
        await w.model("m", namespace, image="aim-secret:1", imagePullSecrets=SECRET)
        await until_model(w, "m", namespace, "Ready", reason="Extracted")
        assert {call.login for call in w.simulation.registry.calls} == {"", "robot"}


@BOTH
@virtual_time
async def test_a_missing_pull_secret_is_reported_with_its_namespace_until_it_is_created(namespace):
    where = namespace or OPERATOR_NAMESPACE
    async with world(catalogue=images(PRIVATE)) as w:
        w.start()
        await w.model("m", namespace, image="aim-secret:1", imagePullSecrets=SECRET)
        await until_model(w, "m", namespace, "Failed", reason="PullSecretNotFound")
        message = (await condition_of(w, "m", namespace, "MetadataExtracted"))["message"]
        assert "'creds'" in message
        assert f"'{where}'" in message
        await pull_secret(w, "creds", where)
        await until_model(w, "m", namespace, "Ready", reason="Extracted", seconds=60)


@virtual_time
async def test_wrong_credentials_are_reported_and_rediscovery_uses_corrected_ones_at_once(logged_errors):
    async with world(catalogue=images(PRIVATE)) as w:
        w.start()
        w.simulation.registry._logins = {"robot": "right"}
        await pull_secret(w, "creds", "team", password="wr0ng-hush")
        await w.model("m", "team", image="aim-secret:1", imagePullSecrets=SECRET)
        await until_model(w, "m", "team", "Failed", reason="AccessDenied")
        calls = len(w.simulation.registry.calls)
        await pull_secret(w, "creds", "team", password="right")
        await asyncio.sleep(30)
        assert len(w.simulation.registry.calls) == calls
        patch = {"metadata": {"annotations": {"aim.silogen.ai/rediscover": "now"}}}
        await w.client.patch(kinds.MODELS, "m", patch, "team")
        await until_model(w, "m", "team", "Ready", reason="Extracted", seconds=5)
        everything = f"{w.ledger.events} {await model_of(w, 'm', 'team')} {logged_errors}"
        assert "wr0ng-hush" not in everything
        assert "robot" not in everything


@virtual_time
async def test_another_pull_secret_is_used_at_once():
    async with world(catalogue=images(PRIVATE)) as w:
        w.start()
        await w.model("m", "team", image="aim-secret:1")
        await until_model(w, "m", "team", "Failed", reason="AccessDenied")
        await pull_secret(w, "creds", "team")
        await w.model("m", "team", image="aim-secret:1", imagePullSecrets=SECRET)
        await until_model(w, "m", "team", "Ready", reason="Extracted", seconds=5)


@pytest.mark.parametrize(
    "config",
    variants([None, '{"credsStore":"osxkeychain"}', "{}", '{"auths":null}', "[]"], quick=2),
    ids=repr,
)
@virtual_time
async def test_a_public_image_is_read_without_an_unusable_pull_secret_and_this_is_reported(config):
    async with world(catalogue=images(TWO)) as w:
        w.start()
        await w.namespace("team")
        if config is not None:
            metadata = {"name": "creds", "namespace": "team"}
            data = {".dockerconfigjson": base64.b64encode(config.encode()).decode()}
            body = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data}
            await w.client.apply(SECRETS, {**body, "type": "kubernetes.io/dockerconfigjson"})
        await w.model("m", "team", image="aim-two:1", imagePullSecrets=SECRET)
        await until_model(w, "m", "team", "Ready", reason="Extracted")
        message = (await condition_of(w, "m", "team", "MetadataExtracted"))["message"]
        assert "skipped: pull secret 'creds' in namespace 'team'" in message


@virtual_time
async def test_a_private_image_is_read_with_the_usable_one_of_two_pull_secrets():
    async with world(catalogue=images(PRIVATE)) as w:
        w.start()
        await w.namespace("team")
        await pull_secret(w, "creds", "team")
        both = [{"name": "missing"}, *SECRET]
        await w.model("m", "team", image="aim-secret:1", imagePullSecrets=both)
        await until_model(w, "m", "team", "Ready", reason="Extracted")


@virtual_time
async def test_an_invalid_pull_secret_and_a_forbidden_one_are_reported():
    async with world(catalogue=images(PRIVATE)) as w:
        w.start()
        await w.namespace("team")
        body = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "creds", "namespace": "team"},
            "stringData": {"password": "hush"},
        }
        await w.client.apply(SECRETS, {**body, "data": {"password": "aHVzaA=="}, "stringData": None})
        await w.model("m", "team", image="aim-secret:1", imagePullSecrets=SECRET)
        await until_model(w, "m", "team", "Failed", reason="PullSecretInvalid")
        message = (await condition_of(w, "m", "team", "MetadataExtracted"))["message"]
        assert "kubectl create secret docker-registry" in message
        assert "hush" not in message
        w.faults.add(Answer(403, "Forbidden", message="secrets is forbidden"), Match("get", "secrets"))
        await until_model(w, "m", "team", "Failed", reason="PullSecretUnreadable", seconds=60)


@virtual_time
async def test_pull_secrets_are_read_only_for_a_read_of_an_image():
    async with world(catalogue=images(PRIVATE, TWO)) as w:
        reads = []
        await pull_secret(w, "creds", "team")
        fault = w.faults.add(
            Answer(500, "InternalError"), Match("get", "secrets", predicate=lambda i: bool(reads.append(i)))
        )
        w.start()
        await w.model("open", "team", image="aim-two:1")
        await w.model(
            "off", "team", image="aim-secret:1", imagePullSecrets=SECRET, discovery={"enabled": False}
        )
        await until_model(w, "open", "team", "Ready", reason="Extracted")
        assert reads == []
        await w.model("m", "team", image="aim-secret:1", imagePullSecrets=SECRET)
        await until_model(w, "m", "team", "Ready", reason="Extracted")
        assert len(reads) == 1
        await asyncio.sleep(3600)
        assert len(reads) == 1
        w.faults.remove(fault)
