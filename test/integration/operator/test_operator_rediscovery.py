"""Discovery runs once for each input: what starts it again, and what the status contains until then."""

from __future__ import annotations

import asyncio

import pytest

from aimctl.api import kinds
from aimctl.devcluster.faults import Delay, Match
from aimctl.kubetypes.builtin import JOBS, PODS
from aimctl.testing.virtualtime import virtual_time
from support.operator import world
from support.proofs import variants

BOTH = pytest.mark.parametrize("namespace", variants(["team", ""]), ids=["namespaced", "cluster"])
LONG = 600.0

CHANGES = {
    "image": ({}, {"image": "aim-m:2"}),
    "model's env": ({}, {"image": "aim-m:1", "env": [{"name": "X", "value": "1"}]}),
    "model's pull secrets": ({}, {"image": "aim-m:1", "imagePullSecrets": [{"name": "s"}]}),
    "model's service account": ({}, {"image": "aim-m:1", "serviceAccountName": "default"}),
    "template's pull secrets": ({"imagePullSecrets": [{"name": "s"}]}, {"image": "aim-m:1"}),
    "template's service account": ({"serviceAccountName": "default"}, {"image": "aim-m:1"}),
}


@BOTH
@pytest.mark.parametrize("change", variants(list(CHANGES), quick=3))
@virtual_time
async def test_a_changed_input_is_discovered_once_and_the_old_result_is_kept_until_then(namespace, change):
    async with world() as w:
        await w.model("m")
        w.start()
        await w.template("a", namespace)
        await w.until_state("a", namespace, "Ready")
        before = len(w.ledger.history[namespace, "a"])
        template, model = CHANGES[change]
        if template:
            await w.template("a", namespace, **template)
        else:
            await w.model("m", **model)
        await w.until(lambda: len(w.ledger.creations) == 2, seconds=1)
        await w.until(lambda: not w.ledger.unfinished)
        await asyncio.sleep(300)
        assert len(w.ledger.creations) == 2
        for status in w.ledger.history[namespace, "a"][before:]:
            assert status["status"] == "Ready"
            assert status["modelSources"]
            assert status["profile"]
        second = w.ledger.creations[1][1]["metadata"]["name"]
        assert w.status("a", namespace)["discovery"]["result"]["jobName"] == second
        assert w.condition("a", namespace, "Progressing")["status"] == "False"


@virtual_time
async def test_a_changed_env_of_a_namespaced_template_is_discovered_once():
    async with world() as w:
        await w.model("m")
        w.start()
        await w.template("a", "team", env=[{"name": "X", "value": "1"}])
        await w.until_state("a", "team", "Ready")
        await w.template("a", "team", env=[{"name": "X", "value": "2"}])
        await w.until(lambda: len(w.ledger.creations) == 2, seconds=1)
        await w.until_state("a", "team", "Ready")
        await asyncio.sleep(300)
        assert len(w.ledger.creations) == 2


@BOTH
@virtual_time
async def test_what_does_not_determine_the_pod_runs_no_job(namespace):
    async with world() as w:
        await w.model("m")
        w.start()
        await w.template("a", namespace)
        await w.until_state("a", namespace, "Ready")
        await w.template("a", namespace, resources={"limits": {"cpu": "1"}})
        await w.until_state("a", namespace, "Ready")
        await w.model("m", defaultServiceTemplate="a", resources={"limits": {"cpu": "2"}})
        await w.annotate("a", namespace, note="hello")
        await w.config("default", pvcHeadroomPercent=20)
        await asyncio.sleep(300)
        assert len(w.ledger.creations) == 1
        assert w.state("a", namespace) == "Ready"


@BOTH
@virtual_time
async def test_a_template_is_ready_and_progressing_while_a_changed_input_is_discovered(namespace):
    async with world() as w:
        await w.model("m")
        w.start()
        await w.template("a", namespace)
        await w.until_state("a", namespace, "Ready")
        await w.model("m", image="aim-slow:2")
        await w.until(
            lambda: w.condition("a", namespace, "Progressing").get("reason") == "Rediscovering", seconds=5
        )
        assert w.condition("a", namespace, "Ready")["status"] == "True"
        assert w.told("a", namespace) == ("True", "ProfilesDiscovered")


@BOTH
@virtual_time
async def test_a_failed_rediscovery_degrades_the_template_and_keeps_the_old_result_until_the_input_is_corrected(
    namespace,
):
    async with world() as w:
        await w.model("m")
        w.start()
        await w.template("a", namespace)
        await w.until_state("a", namespace, "Ready")
        good = w.status("a", namespace)
        await w.model("m", image="aim-broken:2")
        await w.until_state("a", namespace, "Degraded", seconds=30)
        status = w.status("a", namespace)
        assert status["modelSources"] == good["modelSources"]
        assert status["profile"] == good["profile"]
        assert status["discovery"]["result"] == good["discovery"]["result"]
        await w.until(lambda: w.told("a", namespace) == ("False", "DiscoveryFailed"), seconds=1)
        assert w.condition("a", namespace, "Failure")["status"] == "True"
        await asyncio.sleep(LONG)
        assert len(w.ledger.creations) == 2

        await w.model("m", image="aim-third:1")
        await w.until_state("a", namespace, "Ready", seconds=10)
        assert w.status("a", namespace)["modelSources"][0]["name"] == "aim-third"
        await w.until(lambda: "failure" not in w.status("a", namespace)["discovery"])
        assert len(w.ledger.creations) == 3


@BOTH
@virtual_time
async def test_a_degraded_template_with_the_input_of_its_result_is_ready_without_a_job(namespace):
    async with world() as w:
        await w.model("m", image="aim-m:1")
        w.start()
        await w.template("a", namespace)
        await w.until_state("a", namespace, "Ready")
        await w.model("m", image="aim-broken:2")
        await w.until_state("a", namespace, "Degraded", seconds=30)
        await w.model("m", image="aim-m:1")
        await w.until_state("a", namespace, "Ready", seconds=1)
        await w.until(lambda: w.told("a", namespace) == ("True", "ProfilesDiscovered"), seconds=1)
        await asyncio.sleep(60)
        assert len(w.ledger.creations) == 2


@BOTH
@pytest.mark.parametrize("image", variants(["aim-broken:1", "aim-crashing:1", "hostile:empty"]))
@virtual_time
async def test_a_failed_discovery_is_retried_only_once_for_each_new_value_of_the_annotation(namespace, image):
    async with world() as w:
        await w.model("m", image=image)
        w.start()
        await w.template("a", namespace)
        await w.until_state("a", namespace, "Failed", seconds=200)
        await asyncio.sleep(LONG)
        assert len(w.ledger.creations) == 1
        for number, value in enumerate(("now", "later"), 2):
            await w.annotate("a", namespace, rediscover=value)
            await w.until(lambda wanted=number: len(w.ledger.creations) == wanted, seconds=1)
            await asyncio.sleep(LONG)
            assert w.state("a", namespace) == "Failed"
            await w.annotate("a", namespace, rediscover=value, other="x")
            await asyncio.sleep(300)
            assert len(w.ledger.creations) == number


@BOTH
@virtual_time
async def test_the_annotation_also_refreshes_a_good_result(namespace):
    async with world() as w:
        await w.model("m")
        w.start()
        await w.template("a", namespace)
        await w.until_state("a", namespace, "Ready")
        await w.annotate("a", namespace, rediscover="once")
        await w.until(lambda: len(w.ledger.creations) == 2, seconds=1)
        await w.until(lambda: not w.ledger.unfinished)
        await asyncio.sleep(300)
        assert len(w.ledger.creations) == 2
        assert {status.get("status") for status in w.ledger.history[namespace, "a"][-4:]} == {"Ready"}


@BOTH
@virtual_time
async def test_an_input_that_changes_while_its_job_runs_replaces_the_job(namespace):
    async with world() as w:
        await w.model("m", image="aim-slow:1")
        w.start()
        await w.template("a", namespace)
        await w.until_state("a", namespace, "Progressing")
        await w.model("m", image="aim-m:1")
        await w.until_state("a", namespace, "Ready", seconds=10)
        assert len(w.ledger.creations) == 2
        assert not w.ledger.unfinished
        assert w.status("a", namespace)["modelSources"][0]["name"] == "aim-m"
        await asyncio.sleep(300)
        assert w.status("a", namespace)["modelSources"][0]["name"] == "aim-m"


@pytest.mark.proof
@BOTH
@virtual_time
async def test_after_ten_changes_in_a_second_the_last_input_is_discovered(namespace):
    async with world() as w:
        await w.model("m", image="aim-v0:1")
        w.start()
        await w.template("a", namespace)
        for number in range(1, 11):
            await w.model("m", image=f"aim-v{number}:1")
            await asyncio.sleep(0.1)
        await w.until(
            lambda: (w.status("a", namespace).get("modelSources") or [{}])[0].get("name") == "aim-v10"
        )
        await w.until_state("a", namespace, "Ready")
        await asyncio.sleep(300)
        assert not w.ledger.unfinished
        assert w.status("a", namespace)["modelSources"][0]["name"] == "aim-v10"
        assert w.ledger.most_unfinished <= 10


# ---- Jobs that are deleted


@pytest.mark.proof
@virtual_time
async def test_finished_jobs_are_removed_after_their_ttl_and_that_runs_no_job():
    namespace = "team"
    async with world() as w:
        await w.model("m")
        w.start()
        await w.template("a", namespace)
        await w.until_state("a", namespace, "Ready")
        assert w.ledger.jobs
        await asyncio.sleep(6 * 3600 + 60)
        assert w.ledger.jobs == {}
        await asyncio.sleep(LONG)
        assert len(w.ledger.creations) == 1
        assert w.state("a", namespace) == "Ready"


@BOTH
@virtual_time
async def test_a_job_that_is_deleted_manually_before_it_was_read_runs_again(namespace):
    async with world() as w:
        await w.model("m")
        w.start()
        await w.template("a", namespace)
        await w.until_state("a", namespace, "Progressing")
        await w.delete_job(w.ledger.creations[0][1])
        await w.until(lambda: len(w.ledger.creations) == 2, seconds=2)
        await w.until_state("a", namespace, "Ready", seconds=10)
        assert len(w.ledger.creations) == 2
        assert w.ledger.most_unfinished == 1


@BOTH
@virtual_time
async def test_a_job_that_is_deleted_manually_after_it_was_read_does_not_run_again(namespace):
    async with world() as w:
        for name, image in (("m", "aim-m:1"), ("bad", "hostile:empty")):
            await w.model(name, image=image)
        w.start()
        await w.template("a", namespace)
        await w.template("b", namespace, model="bad")
        await w.until_state("a", namespace, "Ready")
        await w.until_state("b", namespace, "Failed")
        for _, job in list(w.ledger.creations):
            await w.delete_job(job)
        await asyncio.sleep(300)
        assert len(w.ledger.creations) == 2
        assert (w.state("a", namespace), w.state("b", namespace)) == ("Ready", "Failed")


@BOTH
@virtual_time
async def test_a_job_deleted_in_the_foreground_keeps_its_slot_until_it_is_gone(namespace):
    async with world() as w:
        await w.model("m", image="aim-slow:1")
        w.start(discovery_limit=1)
        await w.template("a", namespace)
        await w.until_state("a", namespace, "Progressing")
        meta = w.ledger.creations[0][1]["metadata"]
        pod = (await w.pods_of(w.ledger.creations[0][1]))[0]["metadata"]
        hold = {"metadata": {"finalizers": ["example.org/hold"]}}
        await w.client.patch(PODS, pod["name"], hold, pod["namespace"])
        await w.client.delete(JOBS, meta["name"], meta["namespace"], propagation="Foreground")
        await asyncio.sleep(60)
        assert len(w.ledger.creations) == 1
        assert "deleted" in w.condition("a", namespace)["message"]
        await w.client.patch(PODS, pod["name"], {"metadata": {"finalizers": None}}, pod["namespace"])
        await w.until(lambda: len(w.ledger.creations) == 2, seconds=5)
        assert w.ledger.most_unfinished == 1


@BOTH
@virtual_time
async def test_a_pod_lost_before_its_output_was_read_runs_discovery_again(namespace):
    async with world() as w:
        await w.model("m")
        await w.template("a", namespace)
        first = w.start()
        await w.until_state("a", namespace, "Progressing")
        await first.crash()
        await w.until(lambda: not w.ledger.unfinished)
        (pod,) = await w.pods_of(w.ledger.creations[0][1])
        meta = pod["metadata"]
        await w.client.delete(PODS, meta["name"], meta["namespace"], grace_period_seconds=0)
        await asyncio.sleep(1)
        w.start()
        await w.until_state("a", namespace, "Ready", seconds=10)
        assert len(w.ledger.creations) == 2
        assert ("Warning", "DiscoveryOutputLost") in w.events_of("a")


@BOTH
@virtual_time
async def test_a_template_that_is_created_again_is_discovered_again(namespace):
    async with world() as w:
        await w.model("m")
        w.start()
        await w.template("a", namespace)
        await w.until_state("a", namespace, "Ready")
        old = w.status("a", namespace)["discovery"]["result"]["jobName"]
        marker = len(w.ledger.history[namespace, "a"])
        await w.delete_template("a", namespace)
        await w.template("a", namespace, precision="fp8")
        await w.until_state("a", namespace, "Ready", seconds=10)
        fresh = w.ledger.history[namespace, "a"][marker:]
        assert not fresh[0].get("modelSources")
        assert next(status["status"] for status in fresh if status.get("status")) == "Pending"
        assert w.status("a", namespace)["profile"]["metadata"]["precision"] == "fp8"
        assert w.status("a", namespace)["discovery"]["result"]["jobName"] != old
        await asyncio.sleep(60)
        assert len(w.ledger.creations) == 2
        assert len(w.ledger.jobs) == 1


@BOTH
@pytest.mark.parametrize("image", ["aim-m:1", "hostile:empty"])
@virtual_time
async def test_writes_to_a_deleted_template_do_not_affect_a_new_one_of_the_same_name(namespace, image):
    async with world() as w:
        await w.model("m", image=image)
        w.start()
        await w.template("a", namespace)
        await w.until_state("a", namespace, "Progressing")
        w.faults.add(Delay(2.0), Match("patch", "aim*servicetemplates", "status"))
        await w.until(lambda: w.ledger.freed)
        await asyncio.sleep(1)
        await w.delete_template("a", namespace)
        await w.template("a", namespace)
        mark = len(w.ledger.history[namespace, "a"])
        w.faults.clear()
        await w.until(lambda: len(w.ledger.creations) == 2, seconds=60)
        second = w.ledger.creations[1][1]["metadata"]["name"]
        for status in w.ledger.history[namespace, "a"][mark:]:
            for record in (status.get("discovery") or {}).values():
                assert record["jobName"] == second
        await w.until_state("a", namespace, "Ready" if image == "aim-m:1" else "Failed")


@pytest.mark.proof
@BOTH
@virtual_time
async def test_a_template_that_is_created_again_repeatedly_while_its_job_runs_becomes_ready(namespace):
    async with world() as w:
        await w.model("m")
        w.start(discovery_limit=2)
        for number in range(8):
            await w.template("a", namespace, precision=("fp8", "fp16")[number % 2])
            await asyncio.sleep(0.4 * (number % 4))
            if number < 7:
                await w.delete_template("a", namespace)
        await w.until_state("a", namespace, "Ready", seconds=30)
        assert w.status("a", namespace)["profile"]["metadata"]["precision"] == "fp16"
        assert w.ledger.most_unfinished <= 2
        await asyncio.sleep(10)
        assert not w.ledger.unfinished


@virtual_time
async def test_a_waiting_template_that_is_deleted_never_had_a_job():
    async with world() as w:
        await w.model("slow", image="aim-slow:1")
        w.start(discovery_limit=1)
        await w.template("first", "team", model="slow")
        await w.until_state("first", "team", "Progressing")
        await w.template("waits", "team", model="slow")
        await w.until_state("waits", "team", "Pending")
        await w.delete_template("waits", "team")
        await w.client.delete(kinds.TEMPLATES, "first", "team")
        await asyncio.sleep(10)
        assert len(w.ledger.creations) == 1
        assert w.ledger.jobs == {}
        assert w.replicas[0].admission.pending == 0
        assert w.replicas[0].admission.running == 0
