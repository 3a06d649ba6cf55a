"""The discovery Job: its properties, where it runs, and its output."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from aimctl.kubetypes.builtin import PODS, SECRETS
from aimctl.testing.virtualtime import virtual_time
from support.operator import OPERATOR_NAMESPACE, json_of, world
from support.proofs import variants

BOTH = pytest.mark.parametrize("namespace", variants(["team", ""]), ids=["namespaced", "cluster"])


@virtual_time
async def test_discovery_goes_through_any_number_of_evictions_with_one_job():
    async with world(pace=5) as w:
        await w.model("m", image="aim-m:1")
        w.start()
        await w.template("a", "team")
        for _ in range(6):
            await w.until(lambda: w.told("a", "team") == ("False", "DiscoveryRunning"))
            (job,) = w.ledger.jobs.values()
            for pod in await w.pods_of(job):
                meta = pod["metadata"]
                path = PODS.path(meta["namespace"], meta["name"], "eviction")
                await w.client.raw("POST", path, body=json_of({"metadata": {"name": meta["name"]}}).encode())
            await asyncio.sleep(1)
        await w.until_state("a", "team", "Ready")
        assert len(w.ledger.creations) == 1


@BOTH
@virtual_time
async def test_the_job_of_a_template_has_the_documented_properties(namespace):
    async with world() as w:
        await w.model(
            "m",
            image="ghcr.io/org/aim-m:1",
            imagePullSecrets=[{"name": "from-model"}, {"name": "both"}],
            serviceAccountName="model-account",
        )
        w.start()
        await w.template(
            "shape",
            namespace,
            metric="throughput",
            precision="fp8",
            gpuSelector={"count": 2, "model": "MI300X"},
            imagePullSecrets=[{"name": "both"}, {"name": "from-template"}],
            env=[{"name": "HF_TOKEN", "value": "secret"}] if namespace else None,
        )
        await w.until(lambda: w.ledger.creations)
        (job,) = w.ledger.jobs_of("shape", namespace)
        meta, spec = job["metadata"], job["spec"]
        pod = spec["template"]["spec"]
        (container,) = pod["containers"]

        assert meta["namespace"] == (namespace or OPERATOR_NAMESPACE)
        assert meta["name"].startswith("discover-shape-")
        assert len(meta["name"]) <= 63
        assert meta["labels"]["aim.silogen.ai/template"] == "shape"
        assert spec["template"]["metadata"]["labels"]["aim.silogen.ai/template"] == "shape"
        (owner,) = meta["ownerReferences"]
        template = w.ledger.templates[namespace, "shape"]
        assert (owner["kind"], owner["uid"], owner["controller"]) == (
            template["kind"],
            template["metadata"]["uid"],
            True,
        )
        assert (spec["backoffLimit"], spec["ttlSecondsAfterFinished"]) == (3, 21600)

        assert container["image"] == "ghcr.io/org/aim-m:1"
        assert container["args"] == ["dry-run", "--format=json"]
        env = {item["name"]: item["value"] for item in container["env"]}
        assert env.pop("HF_TOKEN", "") == ("secret" if namespace else "")
        assert env == {
            "AIM_METRIC": "throughput",
            "AIM_PRECISION": "fp8",
            "AIM_GPU_MODEL": "MI300X",
            "AIM_GPU_COUNT": "2",
            "AIM_LOG_LEVEL": "CRITICAL",
            "AIM_LOG_LEVEL_ROOT": "CRITICAL",
        }
        assert [item["name"] for item in pod["imagePullSecrets"]] == ["both", "from-template", "from-model"]
        assert pod["serviceAccountName"] == "model-account"
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert "hostNetwork" not in pod
        assert "volumes" not in pod
        assert all("gpu" not in name for group in container["resources"].values() for name in group)


@BOTH
@virtual_time
async def test_the_output_becomes_profile_and_sources_and_other_lines_are_ignored(namespace):
    async with world() as w:
        await w.model("m", image="ghcr.io/org/aim-llama-3-8b:0.3")
        w.start()
        await w.template("a", namespace, precision="fp16", gpuSelector={"count": 4, "model": "MI300X"})
        await w.until_state("a", namespace, "Ready")
        status = w.status("a", namespace)
        assert status["modelSources"] == [
            {
                "name": "meta-llama/Llama-3.1-8B-Instruct",
                "source": "hf://meta-llama/Llama-3.1-8B-Instruct",
                "sizeBytes": 16 * 1024**3,
            },
            {
                "name": "tokenizer",
                "source": "hf://meta-llama/Llama-3.1-8B-Instruct/tokenizer.json",
                "sizeBytes": 2147484,
            },
        ]
        profile = status["profile"]
        assert profile["model"] == "meta-llama/Llama-3.1-8B-Instruct"
        assert profile["metadata"]["gpu_count"] == 4
        assert profile["engine_args"]["max-model-len"] == 32768
        assert profile["env_vars"] == {"VLLM_USE_TRITON_FLASH_ATTN": "0"}
        assert (
            status["discovery"]["result"]["jobName"]
            == w.ledger.jobs_of("a", namespace)[0]["metadata"]["name"]
        )


@BOTH
@virtual_time
async def test_a_template_becomes_pending_progressing_and_ready_with_conditions_and_events(
    namespace,
):
    async with world() as w:
        await w.model("m")
        w.start()
        await w.template("a", namespace)
        await w.until_state("a", namespace, "Ready")
        states = [
            status["status"]
            for status in w.ledger.history["team" if namespace else "", "a"]
            if status.get("status")
        ]
        assert list(dict.fromkeys(states)) == ["Pending", "Progressing", "Ready"]
        conditions = {item["type"]: item for item in w.status("a", namespace)["conditions"]}
        assert {name: item["status"] for name, item in conditions.items()} == {
            "Discovered": "True",
            "Ready": "True",
            "Progressing": "False",
            "Failure": "False",
        }
        assert all(item["observedGeneration"] == 1 for item in conditions.values())
        await asyncio.sleep(1)
        events = w.events_of("a")
        assert ("Normal", "ProfilesDiscovered") in events
        assert [kind for kind, _ in events if kind == "Warning"] == []


@BOTH
@virtual_time
async def test_transition_times_change_only_with_the_status_of_the_condition(namespace):
    async with world() as w:
        await w.model("m")
        w.start()
        await w.template("a", namespace)
        await w.until_state("a", namespace, "Ready")
        history = w.ledger.history[namespace, "a"]
        for before, after in itertools.pairwise(history):
            old = {item["type"]: item for item in before.get("conditions") or []}
            for item in after.get("conditions") or []:
                known = old.get(item["type"])
                if known and known["status"] == item["status"]:
                    assert item["lastTransitionTime"] == known["lastTransitionTime"]


@virtual_time
async def test_secrets_of_the_namespace_of_the_template_are_available_to_the_container():
    async with world() as w:
        await w.model("m", image="aim-gated:1")
        w.start()
        token = {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hf-creds", "key": "token"}}}
        await w.template("a", "team", env=[token])
        await w.client.create(
            SECRETS, {"metadata": {"name": "hf-creds"}, "stringData": {"token": "t"}}, "team"
        )
        await w.until_state("a", "team", "Ready")
        assert w.status("a", "team")["modelSources"][0]["name"] == "example/gated-7b"


@BOTH
@virtual_time
async def test_pull_secrets_are_those_of_the_namespace_of_the_job(namespace):
    async with world() as w:
        await w.model("m", image="registry.example/aim-private:1", imagePullSecrets=[{"name": "creds"}])
        where = namespace or OPERATOR_NAMESPACE
        await w.namespace(where)
        config = '{"auths": {"registry.example": {"username": "u", "password": "p"}}}'
        await w.client.create(
            SECRETS,
            {
                "metadata": {"name": "creds"},
                "type": "kubernetes.io/dockerconfigjson",
                "stringData": {".dockerconfigjson": config},
            },
            where,
        )
        w.start()
        await w.template("a", namespace)
        await w.until_state("a", namespace, "Ready")


@virtual_time
async def test_templates_of_the_same_name_in_several_namespaces_have_separate_jobs():
    async with world() as w:
        await w.model("m")
        w.start()
        places = ["team", "other", OPERATOR_NAMESPACE, ""]
        for namespace in places:
            await w.template("same", namespace)
        await w.until_all()
        names = [key for key, count in w.ledger.created.items() if count == 1]
        assert len(names) == len({name for _, name in names}) == len(places)


@virtual_time
async def test_the_job_of_a_cluster_template_runs_in_the_configured_operator_namespace():
    async with world() as w:
        await w.namespace("aim-system")
        await w.model("m")
        w.start(operator_namespace="aim-system")
        await w.template("a", "")
        await w.until_state("a", "", "Ready")
        assert [job["metadata"]["namespace"] for _, job in w.ledger.creations] == ["aim-system"]


@virtual_time
async def test_a_manager_of_some_namespaces_ignores_the_others():
    async with world() as w:
        await w.model("m")
        for namespace in ("mine", "theirs", ""):
            await w.template("a", namespace)
        w.start(watch_namespaces=("mine",))
        await w.until_state("a", "mine", "Ready")
        await w.until_state("a", "", "Ready")
        await asyncio.sleep(60)
        assert w.status("a", "theirs") == {}


@BOTH
@virtual_time
async def test_a_template_with_caching_is_ready_when_its_cache_is_warm(namespace):
    async with world() as w:
        await w.model("m")
        w.start()
        await w.template("a", namespace, caching={"enabled": True} if namespace else None)
        await w.until(lambda: w.told("a", namespace) == ("True", "ProfilesDiscovered"))
        if namespace:
            ready = w.condition("a", namespace, "Ready")
            assert ready["status"] == "False"
            assert ready["reason"] in {"WarmRequested", "Warming"}
        await w.until_state("a", namespace, "Ready", 120)
        ready = w.condition("a", namespace, "Ready")
        assert (ready["status"], ready["reason"]) == ("True", "Warm" if namespace else "ProfilesDiscovered")
