"""References of templates to models and runtime configs that are missing, created, changed or deleted."""

from __future__ import annotations

import asyncio

import pytest

from aimctl.api import kinds
from aimctl.simulation.machines import gpu_machine
from aimctl.testing.virtualtime import virtual_time
from support.operator import OPERATOR_NAMESPACE, world
from support.proofs import variants

BOTH = pytest.mark.parametrize("namespace", variants(["team", ""]), ids=["namespaced", "cluster"])


def env_of(job):
    (container,) = job["spec"]["template"]["spec"]["containers"]
    return {item["name"]: item.get("value") for item in container["env"]}


def image_of(job):
    return job["spec"]["template"]["spec"]["containers"][0]["image"]


# ---- models


@BOTH
@virtual_time
async def test_a_missing_model_is_named_and_the_template_recovers_when_it_is_created(namespace):
    async with world() as w:
        w.start()
        await w.template("a", namespace, model="late")
        await w.until_state("a", namespace, "Pending", seconds=1)
        await w.until(lambda: w.told("a", namespace) == ("False", "ModelNotFound"), seconds=1)
        assert "late" in w.condition("a", namespace)["message"]
        assert "late" in w.condition("a", namespace, "Ready")["message"]
        assert "resolvedImage" not in w.status("a", namespace)
        await asyncio.sleep(600)
        assert w.ledger.creations == []
        await w.model("late")
        await w.until_state("a", namespace, "Ready", seconds=10)
        assert len(w.ledger.creations) == 1
        resolved = w.status("a", namespace)["resolvedImage"]
        assert (resolved["kind"], resolved["name"], resolved["scope"]) == (
            "AIMClusterModel",
            "late",
            "Cluster",
        )
        assert resolved["uid"]
        assert "namespace" not in resolved


@virtual_time
async def test_models_of_other_namespaces_are_not_used_and_cluster_templates_use_no_namespaced_models():
    async with world() as w:
        w.start()
        await w.model("m", "other")
        for namespace in ("team", ""):
            await w.template("a", namespace)
            await w.until(lambda at=namespace: w.told("a", at) == ("False", "ModelNotFound"), seconds=1)
        await w.model("m", OPERATOR_NAMESPACE)
        await asyncio.sleep(5)
        assert w.told("a", "") == ("False", "ModelNotFound")
        await w.model("m", "team")
        await w.until_state("a", "team", "Ready")
        resolved = w.status("a", "team")["resolvedImage"]
        assert (resolved["kind"], resolved["namespace"], resolved["scope"]) == (
            "AIMModel",
            "team",
            "Namespace",
        )


@virtual_time
async def test_a_namespaced_model_takes_precedence_over_the_cluster_model_while_it_exists():
    async with world() as w:
        await w.model("m", image="aim-cluster:1")
        w.start()
        for namespace in ("team", "other", ""):
            await w.template("a", namespace)
        await w.until_all()
        assert len(w.ledger.creations) == 3

        await w.model("m", "team", image="aim-team:1")
        await w.until(lambda: w.status("a", "team")["resolvedImage"]["scope"] == "Namespace", seconds=1)
        await w.until(lambda: w.status("a", "team")["modelSources"][0]["name"] == "aim-team", seconds=10)
        kept = w.ledger.history["team", "a"]
        first = next(at for at, status in enumerate(kept) if status.get("modelSources"))
        assert all(status.get("modelSources") for status in kept[first:])
        assert {status["status"] for status in kept[first + 1 :]} == {"Ready"}

        await w.client.delete(kinds.MODELS, "m", "team")
        # The Job of this image still exists. It is read again, and no other one runs.
        await w.until(lambda: w.status("a", "team")["modelSources"][0]["name"] == "aim-cluster", seconds=1)
        await w.until_all()
        assert [image_of(job) for job in w.ledger.jobs_of("a", "team")] == ["aim-cluster:1", "aim-team:1"]
        assert len(w.ledger.jobs_of("a", "other")) == len(w.ledger.jobs_of("a", "")) == 1


@virtual_time
async def test_a_namespaced_model_with_the_same_image_changes_the_reference_and_runs_no_job():
    async with world() as w:
        await w.model("m")
        w.start()
        await w.template("a", "team")
        await w.until_state("a", "team", "Ready")
        await w.model("m", "team")
        await w.until(lambda: w.status("a", "team")["resolvedImage"]["scope"] == "Namespace", seconds=1)
        await asyncio.sleep(60)
        assert len(w.ledger.creations) == 1


@BOTH
@virtual_time
async def test_a_model_deleted_after_discovery_degrades_the_template_and_creating_it_again_runs_no_job(
    namespace,
):
    async with world() as w:
        await w.model("m")
        w.start()
        await w.template("a", namespace)
        await w.until_state("a", namespace, "Ready")
        sources = w.status("a", namespace)["modelSources"]
        await w.client.delete(kinds.CLUSTER_MODELS, "m")
        await w.until_state("a", namespace, "Degraded", seconds=1)
        await w.until(lambda: w.told("a", namespace) == ("False", "ModelNotFound"), seconds=1)
        assert w.status("a", namespace)["modelSources"] == sources
        await w.model("m")
        await w.until_state("a", namespace, "Ready", seconds=1)
        await w.until(lambda: w.told("a", namespace) == ("True", "ProfilesDiscovered"), seconds=1)
        await asyncio.sleep(60)
        assert len(w.ledger.creations) == 1


@virtual_time
async def test_a_change_of_a_model_affects_only_the_templates_that_use_it():
    async with world() as w:
        await w.model("m")
        await w.model("n", image="aim-n:1")
        replica = w.start()
        for number in range(6):
            await w.template(f"a{number}", "team", model="mn"[number % 2])
        await w.until_all()
        await asyncio.sleep(2)
        name, labels = "controller_runtime_reconcile_total", {"controller": "templates", "result": "success"}
        before = replica.metric(name, **labels)
        await w.model("n", image="aim-n:1", env=[{"name": "LOG", "value": "1"}], defaultServiceTemplate="x")
        await w.until(lambda: len(w.ledger.creations) == 9, seconds=5)
        assert {
            job["metadata"]["labels"]["aim.silogen.ai/template"] for _, job in w.ledger.creations[6:]
        } == {
            "a1",
            "a3",
            "a5",
        }
        await w.client.patch(kinds.CLUSTER_MODELS, "m", {"metadata": {"labels": {"x": "y"}}})
        await w.until_all()
        await asyncio.sleep(5)
        assert replica.metric(name, **labels) - before < 60


# ---- runtime configs


@BOTH
@virtual_time
async def test_the_default_runtime_config_may_be_missing_and_an_event_reports_it(namespace):
    async with world() as w:
        await w.model("m")
        w.start()
        await w.template("a", namespace)
        await w.until_state("a", namespace, "Ready")
        assert "resolvedRuntimeConfig" not in w.status("a", namespace)
        await asyncio.sleep(1)
        assert w.events_of("a").count(("Normal", "DefaultRuntimeConfigNotFound")) == 1
        await w.config("default")
        await w.until(lambda: "resolvedRuntimeConfig" in w.status("a", namespace), seconds=1)
        assert w.status("a", namespace)["resolvedRuntimeConfig"]["kind"] == "AIMClusterRuntimeConfig"
        await asyncio.sleep(60)
        assert len(w.ledger.creations) == 1


@BOTH
@virtual_time
async def test_any_other_runtime_config_must_exist_and_the_template_recovers_when_it_is_created(namespace):
    async with world() as w:
        await w.model("m")
        w.start()
        await w.template("a", namespace, runtimeConfigName="platform")
        await w.until_state("a", namespace, "Pending", seconds=1)
        await w.until(lambda: w.told("a", namespace) == ("False", "RuntimeConfigNotFound"), seconds=1)
        assert "platform" in w.condition("a", namespace)["message"]
        await asyncio.sleep(300)
        assert w.ledger.creations == []
        await w.config("platform")
        await w.until_state("a", namespace, "Ready", seconds=10)
        resolved = w.status("a", namespace)["resolvedRuntimeConfig"]
        assert (resolved["kind"], resolved["name"]) == ("AIMClusterRuntimeConfig", "platform")


@virtual_time
async def test_a_namespaced_runtime_config_is_used_exclusively():
    async with world() as w:
        await w.model("m")
        await w.config("c", env=[{"name": "FROM", "value": "cluster"}, {"name": "ONLY", "value": "cluster"}])
        w.start()
        await w.template("a", "team", runtimeConfigName="c")
        await w.until_state("a", "team", "Ready")
        assert env_of(w.ledger.jobs_of("a", "team")[0])["ONLY"] == "cluster"
        await w.config("c", "team", env=[{"name": "FROM", "value": "team"}])
        await w.until(lambda: len(w.ledger.creations) == 2, seconds=1)
        env = env_of(w.ledger.jobs_of("a", "team")[1])
        assert env["FROM"] == "team"
        assert "ONLY" not in env
        resolved = w.status("a", "team")["resolvedRuntimeConfig"]
        assert (resolved["kind"], resolved["namespace"]) == ("AIMRuntimeConfig", "team")


@virtual_time
async def test_cluster_templates_use_runtime_configs_of_the_operator_namespace_first():
    async with world() as w:
        await w.model("m")
        await w.config("c", "team", env=[{"name": "FROM", "value": "team"}])
        w.start()
        await w.template("a", "", runtimeConfigName="c")
        await w.until(lambda: w.told("a", "") == ("False", "RuntimeConfigNotFound"), seconds=1)
        await w.config("c", env=[{"name": "FROM", "value": "cluster"}])
        await w.until_state("a", "", "Ready", seconds=10)
        await w.config("c", OPERATOR_NAMESPACE, env=[{"name": "FROM", "value": "operator"}])
        await w.until(lambda: len(w.ledger.creations) == 2, seconds=1)
        assert [env_of(job)["FROM"] for job in w.ledger.jobs_of("a", "")] == ["cluster", "operator"]
        await w.until(
            lambda: w.status("a", "")["resolvedRuntimeConfig"].get("namespace") == OPERATOR_NAMESPACE
        )
        second = w.ledger.jobs_of("a", "")[1]["metadata"]["name"]
        await w.until(lambda: w.status("a", "")["discovery"]["result"]["jobName"] == second)
        await w.client.delete(kinds.RUNTIME_CONFIGS, "c", OPERATOR_NAMESPACE)
        first = w.ledger.jobs_of("a", "")[0]["metadata"]["name"]
        await w.until(lambda: w.status("a", "")["discovery"]["result"]["jobName"] == first, seconds=1)
        assert len(w.ledger.creations) == 2


@BOTH
@virtual_time
async def test_a_template_with_several_missing_references_reports_one_after_the_other(namespace):
    async with world(machines=[]) as w:
        w.start()
        gpu = {"count": 1, "model": "MI300X"}
        await w.template("a", namespace, model="late", runtimeConfigName="late", gpuSelector=gpu)
        await w.until(lambda: w.told("a", namespace) == ("False", "ModelNotFound"), seconds=1)
        await w.config("late")
        await asyncio.sleep(1)
        await w.until(lambda: w.told("a", namespace) == ("False", "ModelNotFound"), seconds=1)
        await w.model("late")
        await w.until_state("a", namespace, "NotAvailable", seconds=1)
        assert w.ledger.creations == []
        await w.cluster.node.add_machine(gpu_machine("n0"))
        await w.until_state("a", namespace, "Ready", seconds=10)
        assert len(w.ledger.creations) == 1
