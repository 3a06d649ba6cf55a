"""Failed discoveries have an actionable message and no partial status, and free their slots."""

from __future__ import annotations

import asyncio

import pytest

from aimctl.devcluster.faults import Answer, Match
from aimctl.kubetypes.builtin import JOBS, SECRETS
from aimctl.simulation.catalogue import Catalogue
from aimctl.testing.virtualtime import virtual_time
from support.operator import world
from support.proofs import variants

BOTH = pytest.mark.parametrize("namespace", variants(["team", ""]), ids=["namespaced", "cluster"])
HOSTILE = sorted(entry.image for entry in Catalogue.default().images if entry.image.startswith("hostile:"))

MORE = Catalogue.default().extended(
    {"image": "noise:*", "stdout": ["one\n", "two\n", "\x1b[31mthree\x1b[0m\n"], "exit_code": 7},
)


@pytest.mark.parametrize("image", variants(HOSTILE, quick=2))
@virtual_time
async def test_hostile_output_is_a_failed_discovery_with_a_message_and_never_a_partial_status(image):
    async with world() as w:
        await w.model("m", image=image)
        w.start()
        for namespace in ("team", ""):
            await w.template("a", namespace)
        for namespace in ("team", ""):
            await w.until_state("a", namespace, "Failed", seconds=30)
            await w.until(lambda at=namespace: w.told("a", at) == ("False", "DiscoveryFailed"))
            message = w.condition("a", namespace)["message"]
            assert 20 < len(message) <= 2048
            assert message.isprintable()
            assert message == w.status("a", namespace)["discovery"]["failure"]["message"]
            for status in w.ledger.history[namespace, "a"]:
                assert "modelSources" not in status
                assert "profile" not in status
        await w.until(lambda: ("Warning", "DiscoveryFailed") in w.events_of("a"))


@BOTH
@pytest.mark.parametrize(
    ("image", "words"),
    [
        ("aim-broken:1", ["aim-broken:1", "not found", "spec.image"]),
        ("registry.example/aim-refused:1", ["refused", "pull secret"]),
        ("nobody/knows-this:1", ["nobody/knows-this:1", "not found"]),
        ("aim-misconfigured:1", ["runAsNonRoot"]),
    ],
)
@virtual_time
async def test_an_image_problem_is_detected_from_the_waiting_reason_within_seconds_and_the_slot_is_freed(
    namespace, image, words
):
    async with world() as w:
        await w.model("m", image=image)
        w.start(discovery_limit=1)
        await w.template("a", namespace)
        await w.until_state("a", namespace, "Failed", seconds=20)
        await w.until(lambda: not w.ledger.unfinished, seconds=1)
        message = w.condition("a", namespace)["message"]
        for word in words:
            assert word in message
        assert w.condition("a", namespace, "Failure")["status"] == "True"
        assert w.condition("a", namespace, "Failure")["message"] == message


@BOTH
@virtual_time
async def test_the_message_about_a_crash_has_the_exit_code_and_the_last_lines_of_the_log(namespace):
    async with world(catalogue=MORE) as w:
        await w.model("m", image="aim-crashing:1")
        await w.model("n", image="noise:1")
        w.start()
        await w.template("a", namespace)
        await w.template("b", namespace, model="n")
        for name in "ab":
            await w.until_state(name, namespace, "Failed", seconds=200)
        message = w.condition("a", namespace)["message"]
        assert "exit code 3" in message
        assert "RuntimeError: no profile directory" in message
        message = w.condition("b", namespace)["message"]
        assert "exit code 7" in message
        assert "one | two | " in message
        assert "\x1b" not in message


@BOTH
@virtual_time
async def test_a_container_that_was_out_of_memory_is_reported(namespace):
    async with world() as w:
        await w.model("m", image="aim-oom:1")
        w.start()
        await w.template("a", namespace)
        await w.until_state("a", namespace, "Failed", seconds=200)
        message = w.condition("a", namespace)["message"]
        assert "137" in message
        assert "OOMKilled" in message
        assert "memory" in message


@BOTH
@virtual_time
async def test_a_container_that_hangs_frees_its_slot_after_the_deadline(namespace):
    async with world() as w:
        await w.model("m", image="aim-endless:1")
        w.start(discovery_limit=1)
        await w.template("a", namespace)
        await w.until_state("a", namespace, "Failed", seconds=1000)
        assert "hangs" in w.condition("a", namespace)["message"]
        assert not w.ledger.unfinished


@BOTH
@virtual_time
async def test_a_pod_that_cannot_be_scheduled_fails_after_minutes_and_frees_its_slot(namespace):
    async with world() as w:
        await w.model("m", image="aim-unschedulable:1")
        w.start(discovery_limit=1)
        await w.template("a", namespace)
        await w.until(
            lambda: "cannot be scheduled" in w.condition("a", namespace).get("message", ""), seconds=10
        )
        assert w.state("a", namespace) == "Pending"
        await w.until_state("a", namespace, "Failed", seconds=400)
        await w.until(lambda: not w.ledger.unfinished, seconds=1)


@virtual_time
async def test_a_missing_secret_has_a_grace_period_and_is_named_afterwards():
    async with world() as w:
        await w.model("m", image="aim-gated:1")
        w.start()
        for name in ("late", "never"):
            reference = {"secretKeyRef": {"name": name, "key": "token"}}
            await w.template(name, "team", env=[{"name": "HF_TOKEN", "valueFrom": reference}])
        await asyncio.sleep(20)
        assert "late" in w.condition("late", "team")["message"]
        await w.client.create(SECRETS, {"metadata": {"name": "late"}, "stringData": {"token": "t"}}, "team")
        await w.until_state("late", "team", "Ready", seconds=30)
        await w.until_state("never", "team", "Failed", seconds=120)
        assert "Secret 'never' does not exist" in w.condition("never", "team")["message"]
        await w.until(lambda: not w.ledger.unfinished, seconds=1)
        jobs = len(w.ledger.creations)
        await asyncio.sleep(3600)
        assert len(w.ledger.creations) == jobs, "no Job is created while the Secret is missing"


@BOTH
@virtual_time
async def test_a_failed_template_recovers_when_its_model_is_corrected(namespace):
    async with world() as w:
        await w.model("m", image="aim-broken:1")
        w.start()
        await w.template("a", namespace)
        await w.until_state("a", namespace, "Failed", seconds=20)
        await w.model("m", image="aim-m:1")
        await w.until_state("a", namespace, "Ready", seconds=10)
        assert "failure" not in w.status("a", namespace)["discovery"]
        assert w.condition("a", namespace, "Failure")["status"] == "False"


@virtual_time
async def test_failing_templates_do_not_block_slots_for_others():
    async with world() as w:
        await w.model("bad", image="aim-broken:1")
        await w.model("endless", image="aim-endless:1")
        await w.model("m")
        for number in range(12):
            await w.template(f"bad{number}", "team", model="bad")
        w.start(discovery_limit=4)
        await w.template("hangs", "team", model="endless")
        await w.template("good", "team")
        await w.until_state("good", "team", "Ready", seconds=120)
        await w.until(lambda: w.ledger.states()["Failed"] == 12, seconds=120)


@virtual_time
async def test_a_job_that_the_server_rejects_is_tried_again_with_increasing_delays_and_reported_in_an_event():
    async with world() as w:
        await w.model("m")
        await w.namespace("team")
        quota = Answer(403, "Forbidden", 'jobs.batch "x" is forbidden: exceeded quota: jobs')
        fault = w.faults.add(quota, Match("create", "jobs", namespace="team"))
        w.start(discovery_limit=1)
        await w.template("a", "team")
        await w.template("other", "")
        await w.until_state("other", "", "Ready", seconds=20)
        await asyncio.sleep(300)
        assert w.events_of("a").count(("Warning", "FailedCreate")) == 1
        assert "exceeded quota: jobs" in w.condition("a", "team")["message"]
        assert w.told("a", "team") == ("False", "AwaitingDiscovery")
        assert 3 <= fault.hits <= 12
        w.faults.clear()
        await w.until_state("a", "team", "Ready", seconds=320)


@virtual_time
async def test_a_job_of_the_same_name_that_does_not_belong_to_the_template_is_reported_until_it_is_deleted():
    async with world() as w:
        await w.model("m")
        first = w.start()
        await w.template("a", "team")
        await w.until_state("a", "team", "Progressing")
        await first.crash()
        body = w.ledger.creations[0][1]
        name = body["metadata"]["name"]
        await w.delete_job(body)
        await w.until(lambda: not w.ledger.unfinished)
        squatter = {
            "metadata": {"name": name},
            "spec": {
                "template": {
                    "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "pause"}]}
                }
            },
        }
        await w.client.create(JOBS, squatter, "team")
        w.start()
        await asyncio.sleep(120)
        assert w.state("a", "team") == "Pending"
        assert "does not belong to this template" in w.condition("a", "team")["message"]
        await w.client.delete(JOBS, name, "team", propagation="Background")
        await w.until_state("a", "team", "Ready", seconds=320)
