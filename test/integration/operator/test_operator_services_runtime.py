"""Services and their runtime: the InferenceService and the template cache."""

from __future__ import annotations

import asyncio

import pytest

from aimctl.api import kinds
from aimctl.devcluster.faults import Answer, Match
from aimctl.domain.services.kserve.name import runtime_name
from aimctl.kubetypes.builtin import CRDS
from aimctl.simulation.kserve import OUTCOME_ANNOTATION
from aimctl.testing.virtualtime import virtual_time
from support.service_witness import GPU, serving
from support.terminating import terminating

M = {"ref": "m"}
QUIET = {"enabled": False}
RUNTIMES = kinds.INFERENCE_SERVICES


async def prepare(w, **spec):
    """A service of a model with one template, and a manager."""
    await w.model("m", discovery=QUIET)
    await w.ready("a")
    replica = w.start()
    await w.service("s", "team", **{"model": M, **spec})
    return replica


async def say(w, outcome, name="s"):
    """The state that the simulated KServe gives a runtime."""
    await w.patch(RUNTIMES, name, metadata={"annotations": {OUTCOME_ANNOTATION: outcome}})


SMALL = {"cpu": "1", "memory": "2Gi"}
OTHER = {
    "name": "kserve-container",
    "image": "other:1",
    "resources": {"limits": SMALL, "requests": SMALL},
}
FOREIGN = {"predictor": {"minReplicas": 3, "containers": [OTHER]}}


async def foreign(w, name="s", **metadata):
    body = {
        "apiVersion": RUNTIMES.api_version,
        "kind": RUNTIMES.kind,
        "metadata": {"name": name, "namespace": "team", **metadata},
        "spec": FOREIGN,
    }
    return await w.client.create(RUNTIMES, body)


# ---- KServe is installed and removed


@virtual_time
async def test_without_kserve_the_service_reports_it_and_continues_when_it_is_installed():
    async with serving(kserve=False) as w:
        await prepare(w)
        await w.until_service("s", "Starting", "RuntimeNotInstalled", seconds=2)
        assert "install KServe" in w.condition("RuntimeReady")["message"]
        assert (w.reason("Resolved"), w.uses()) == ("TemplateResolved", "a")
        assert w.condition("Progressing")["status"] == "False"
        await asyncio.sleep(600)
        writes = w.status_writes["s"]
        await asyncio.sleep(600)
        assert w.status_writes["s"] == writes
        await w.install_kserve()
        await w.until_service("s", "Running", seconds=60)


@virtual_time
async def test_removing_kserve_degrades_running_services():
    async with serving() as w:
        await prepare(w)
        await w.until_service("s", "Running")
        await w.client.delete(CRDS, "inferenceservices.serving.kserve.io")
        await w.until_service("s", "Degraded", "RuntimeNotInstalled", seconds=60)


# ---- conditions of KServe


@virtual_time
async def test_the_conditions_of_kserve_are_reported_and_a_running_service_degrades_with_its_runtime():
    async with serving() as w:
        await prepare(w)
        await w.until_service("s", "Running")
        assert w.condition("Ready")["status"] == "True"
        await say(w, "fail: no node has room")
        await w.until_service("s", "Degraded", "RuntimeNotReady", seconds=30)
        assert "no node has room" in w.condition("Ready")["message"]
        assert ("Warning", "Degraded") in w.events_of("s")
        await say(w, "ready")
        await w.until_service("s", "Running", seconds=30)


@virtual_time
async def test_a_gpu_service_that_only_requests_memory_runs_beside_the_defaults_of_kserve():
    async with serving() as w:
        await w.model("m", discovery=QUIET, resources={"requests": {"memory": "64Gi"}})
        await w.ready("a", gpuSelector=GPU)
        w.start()
        await w.service("s", "team", model=M)
        await w.until_service("s", "Running")
        (container,) = w.runtime()["spec"]["predictor"]["containers"]
        assert container["resources"] == {
            "requests": {"cpu": "4", "memory": "64Gi", "amd.com/gpu": "1"},
            "limits": {"cpu": "8", "memory": "64Gi", "amd.com/gpu": "1"},
        }


@virtual_time
async def test_a_request_above_the_limit_of_the_same_service_is_reported_until_it_is_corrected():
    async with serving() as w:
        wrong = {"requests": {"memory": "64Gi"}, "limits": {"memory": "48Gi"}}
        await prepare(w, resources=wrong)
        cause = "must be less than or equal to memory limit of 48Gi"
        await w.until(lambda: cause in w.condition("Ready").get("message", ""), seconds=30)
        assert w.reason("Ready") == "RuntimeNotReady"
        await w.patch(kinds.SERVICES, "s", spec={"resources": {"limits": {"memory": "64Gi"}}})
        await w.until_service("s", "Running")


@virtual_time
async def test_a_runtime_that_never_becomes_ready_leaves_the_service_starting_with_its_message():
    async with serving() as w:
        await w.model("m", discovery=QUIET)
        await w.ready("a")
        w.start()
        await w.service("s", "team", model=M)
        await w.until(lambda: w.runtime() is not None, seconds=5)
        await say(w, "fail: CrashLoopBackOff")
        await w.until(lambda: "CrashLoopBackOff" in w.condition("RuntimeReady")["message"], seconds=30)
        assert (w.service_state(), w.reason()) == ("Starting", "RuntimeNotReady")
        assert "Running" not in w.states["s"]


@virtual_time
async def test_a_degraded_template_does_not_stop_a_runtime():
    async with serving() as w:
        await w.model("m", discovery=QUIET)
        await w.template("a", "team")
        w.start()
        await w.service("s", "team", model=M)
        await w.until_service("s", "Running")
        before = w.runtime()["metadata"]["generation"]
        await w.delete(kinds.CLUSTER_MODELS, "m")
        await w.until_state("a", "team", "Degraded")
        await w.until_service("s", "Degraded", "ModelNotFound")
        await w.model("m", image="aim-m:1", discovery=QUIET)
        await w.until_service("s", "Running")
        assert w.runtime()["metadata"]["generation"] == before


# ---- creation and changes


@virtual_time
async def test_changes_of_the_service_reach_the_runtime():
    async with serving() as w:
        await prepare(w)
        await w.until_service("s", "Running")
        await w.service("s", "team", model=M, replicas=3, env=[{"name": "X", "value": "1"}])
        await w.until(lambda: w.runtime()["spec"]["predictor"]["minReplicas"] == 3, seconds=1)
        await w.until_service("s", "Running")
        await w.service("s", "team", model=M, replicas=3)

        def variables():
            return [item["name"] for item in w.runtime()["spec"]["predictor"]["containers"][0]["env"]]

        await w.until(lambda: "X" not in variables(), seconds=1)
        assert ("Normal", "RuntimeUpdated") in w.events_of("s")


@virtual_time
async def test_changed_fields_of_the_runtime_are_restored_and_additional_ones_stay():
    async with serving() as w:
        await prepare(w)
        await w.until_service("s", "Running")
        wanted = w.runtime()["spec"]["predictor"]["containers"]
        await w.patch(
            RUNTIMES,
            "s",
            metadata={"labels": {"app.kubernetes.io/managed-by": "me", "mine": "x"}},
            spec={"predictor": {"minReplicas": 7, "maxReplicas": 7, "timeout": 5}},
        )
        await w.until(lambda: w.runtime()["spec"]["predictor"]["minReplicas"] == 1, seconds=1)
        found = w.runtime()
        assert found["spec"]["predictor"]["containers"] == wanted
        assert found["spec"]["predictor"]["timeout"] == 5
        assert found["metadata"]["labels"]["mine"] == "x"
        assert found["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "aim"


@virtual_time
async def test_a_deleted_runtime_is_created_again():
    async with serving() as w:
        await prepare(w)
        await w.until_service("s", "Running")
        first = w.runtime()["metadata"]["uid"]
        await w.delete(RUNTIMES, "s")
        await w.until(
            lambda: (w.runtime() or {"metadata": {"uid": first}})["metadata"]["uid"] != first, seconds=5
        )
        await w.until_service("s", "Running")


@virtual_time
async def test_deleting_a_service_deletes_its_runtime_and_not_its_template():
    async with serving() as w:
        await prepare(w)
        await w.until_service("s", "Running")
        await w.delete(kinds.SERVICES, "s")
        await w.until(lambda: w.runtime() is None, seconds=30)
        assert w.state("a", "team") == "Ready"


# ---- runtimes of others


@pytest.mark.parametrize("when", ["before", "unseen"])
@virtual_time
async def test_a_runtime_of_the_name_that_the_service_does_not_control_is_never_changed(when):
    async with serving() as w:
        await w.model("m", discovery=QUIET)
        await w.ready("a")
        if when == "before":
            await w.namespace("team")
            await foreign(w)
            w.start()
        else:
            # The cache does not have it yet: its watch reports it after the decision about the service.
            w.start()
            await w.until_state("a", "team", "Ready")
            w.faults.add(Answer(500), Match(verb="watch", resource="inferenceservices"))
            w.cluster.server.storage.end_streams()
            await asyncio.sleep(0.01)
            await foreign(w)
        await w.service("s", "team", model=M)
        await w.until_service("s", "Failed", "NameTaken", seconds=5)
        w.faults.clear()
        assert "delete it" in w.condition("Ready")["message"]
        await asyncio.sleep(60)
        body = w.runtime()
        assert body["spec"]["predictor"]["containers"] == FOREIGN["predictor"]["containers"]
        assert "ownerReferences" not in body["metadata"]
        await w.delete(RUNTIMES, "s")
        await w.until_service("s", "Running", seconds=30)


@virtual_time
async def test_a_runtime_of_an_earlier_service_of_the_name_is_not_taken_over():
    async with serving() as w:
        await prepare(w)
        await w.until_service("s", "Running")
        await w.client.delete(kinds.SERVICES, "s", "team", propagation="Orphan")
        await w.until(lambda: w.found(kinds.SERVICES, "s") is None, seconds=5)
        owner = {"apiVersion": "aim.silogen.ai/v1alpha1", "kind": "AIMService", "name": "s", "uid": "gone"}
        await w.patch(RUNTIMES, "s", metadata={"ownerReferences": [{**owner, "controller": True}]})
        await w.service("s", "team", model=M)
        await w.until(lambda: w.service_state() == "Running", seconds=120)
        assert w.runtime()["metadata"]["ownerReferences"][0]["uid"] != "gone"


# ---- names, scale and address


@virtual_time
async def test_a_service_whose_name_kserve_rejects_is_served_under_another_name():
    async with serving() as w:
        await w.model("m", discovery=QUIET)
        await w.ready("a")
        w.start()
        await w.service("llama-3.1", "team", model=M)
        await w.until_service("llama-3.1", "Running", seconds=30)
        name = runtime_name("llama-3.1", "team")
        assert w.runtime(name)["metadata"]["ownerReferences"][0]["name"] == "llama-3.1"
        await w.patch(RUNTIMES, name, metadata={"annotations": {OUTCOME_ANNOTATION: "fail: broken"}})
        await w.until_service("llama-3.1", "Degraded", "RuntimeNotReady", seconds=5)
        await w.delete(RUNTIMES, name)
        await w.until_service("llama-3.1", "Running", seconds=30)
        await w.delete(kinds.SERVICES, "llama-3.1")
        await w.until(lambda: w.runtime(name) is None, seconds=30)


@virtual_time
async def test_an_object_that_has_the_other_name_is_reported_until_it_is_deleted():
    async with serving() as w:
        await w.model("m", discovery=QUIET)
        await w.ready("a")
        name = runtime_name("llama-3.1", "team")
        await w.namespace("team")
        await foreign(w, name)
        w.start()
        await w.service("llama-3.1", "team", model=M)
        await w.until_service("llama-3.1", "Failed", "NameTaken", seconds=10)
        await w.delete(RUNTIMES, name)
        await w.until_service("llama-3.1", "Running", seconds=30)


@virtual_time
async def test_the_scale_subresource_changes_the_replicas_and_the_status_reports_url_and_pods():
    async with serving() as w:
        await prepare(w)
        await w.until_service("s", "Running")
        assert w.service_status("s")["url"].startswith("http://s-team.")
        for number in (3, 0, 1):
            await w.client.patch(
                kinds.SERVICES, "s", {"spec": {"replicas": number}}, "team", subresource="scale"
            )
            await w.until(lambda n=number: w.service_status("s").get("replicas", 0) == n, seconds=30)
            assert w.runtime()["spec"]["predictor"]["minReplicas"] == number
            assert ("url" in w.service_status("s")) == (number > 0)
        assert w.service_status("s")["selector"] == "serving.kserve.io/inferenceservice=s"


@virtual_time
async def test_what_kserve_denies_is_a_failure_with_its_reason_until_it_is_corrected():
    async with serving() as w:
        await prepare(w)
        await w.until_service("s", "Running")
        await w.service("s2", "team", model=M, env=[{"name": "PROTOCOL", "value": "v9"}])
        await w.until_service("s2", "Failed", "RuntimeRefused", seconds=10)
        assert "invalid protocol" in w.condition("Ready", "s2")["message"]
        await w.service("s2", "team", model=M, env=[{"name": "PROTOCOL", "value": "v2"}])
        await w.until_service("s2", "Running", seconds=30)


# ---- rejections


@virtual_time
async def test_a_rejected_runtime_is_reported_with_the_servers_message_and_tried_again():
    async with serving() as w:
        no = Answer(403, "Forbidden", "admission webhook: image not allowed")
        with w.faults.active(no, Match(verb="patch", resource="inferenceservices")) as fault:
            await prepare(w)
            await w.until_service("s", "Failed", "RuntimeRefused", seconds=5)
            assert w.condition("Failure")["status"] == "True"
            assert "image not allowed" in w.condition("RuntimeReady")["message"]
            await asyncio.sleep(3600)
            assert 50 < fault.hits < 100
            writes = w.status_writes["s"]
            await asyncio.sleep(3600)
            assert w.status_writes["s"] == writes
        await w.until_service("s", "Running", seconds=61)


@virtual_time
async def test_a_namespace_that_is_being_deleted_is_no_failure():
    async with serving(kserve=False) as w:
        answer = terminating("aimtemplatecaches")
        with w.faults.active(answer, Match(verb="create", resource="aimtemplatecaches")):
            await prepare(w, cacheModel=True)
            await w.until_service("s", "Starting", "CacheRequested", seconds=5)
            await asyncio.sleep(60)
        assert w.reason() == "CacheRequested"
        assert not [reason for _, reason in w.events_of("s") if "Refused" in reason or "Failed" in reason]


# ---- the cache


@virtual_time
async def test_a_service_that_requests_a_cache_runs_from_it():
    async with serving() as w:
        await prepare(w, cacheModel=True)
        await w.until_service("s", "Running", seconds=600)
        made = w.found(kinds.TEMPLATE_CACHES, "a")
        assert made["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "aim"
        assert made["metadata"]["ownerReferences"][0]["name"] == "a"
        assert w.condition("CacheReady")["status"] == "True"
        (volume,) = w.runtime()["spec"]["predictor"]["volumes"]
        assert volume["persistentVolumeClaim"]["readOnly"] is True


@virtual_time
async def test_the_runtime_is_not_deployed_before_the_cache_is_available():
    async with serving() as w:
        with w.faults.active(
            Answer(403, "Forbidden", "no volumes"), Match("create", "persistentvolumeclaims")
        ):
            await prepare(w, cacheModel=True)
            await w.until(lambda: w.found(kinds.TEMPLATE_CACHES, "a") is not None, seconds=5)
            await asyncio.sleep(30)
            assert w.service_state() == "Starting"
            assert w.condition("CacheReady")["status"] == "False"
            assert w.runtime() is None


# ---- writes


@virtual_time
async def test_neither_time_nor_restarts_cause_writes_in_a_settled_cluster():
    async with serving() as w:
        await w.model("m", discovery=QUIET)
        await w.model("several", discovery=QUIET)
        await w.ready("a")
        await w.ready("x", "", model="several")
        await w.ready("y", "", model="several")
        replica = w.start()
        await w.service("s", "team", model=M)
        await w.service("named", "team", model=M, templateRef="a")
        await w.service("derived", "team", model=M, templateRef="a", overrides={"metric": "throughput"})
        await w.service("cached", "team", model=M, cacheModel=True)
        await w.service("ambiguous", "team", model={"ref": "several"})
        await w.service("pending", "team", model={"ref": "none"})
        await w.service("by-image", "team", model={"image": "aim-unheard:1"})
        for name in ("s", "named", "derived", "cached"):
            await w.until_service(name, "Running", seconds=600)
        await asyncio.sleep(120)
        version = w.version
        await asyncio.sleep(3600)
        assert w.version == version, replica.wire.writes[-5:]
        await replica.stop()
        version = w.version
        again = w.start()
        await asyncio.sleep(600)
        assert w.version == version, again.wire.writes
        assert [item for item in again.wire.writes if "/events" not in item.path] == []


@virtual_time
async def test_a_service_starts_with_few_writes():
    async with serving() as w:
        await w.model("m", discovery=QUIET)
        await w.ready("a")
        replica = w.start()
        await w.until_state("a", "team", "Ready")
        before = len(replica.wire.writes)
        await w.service("s", "team", model=M)
        await w.until_service("s", "Running")
        mine = [item for item in replica.wire.writes[before:] if "/events" not in item.path]
        assert w.status_writes["s"] <= 4, [item.path for item in mine]
        assert len(mine) <= 5


@virtual_time
async def test_services_are_counted_by_state():
    async with serving() as w:
        await w.model("m", discovery=QUIET)
        await w.ready("a")
        replica = w.start()
        for name in ("s", "s2"):
            await w.service(name, "team", model=M)
        await w.service("lost", "team", model={"ref": "none"})
        for name in ("s", "s2"):
            await w.until_service(name, "Running")
        assert replica.metric("aim_services", status="Running") == 2
        assert replica.metric("aim_services", status="Pending") == 1
        await w.delete(kinds.SERVICES, "s")
        await asyncio.sleep(1)
        assert replica.metric("aim_services", status="Running") == 1
        assert replica.metric("aim_services", status="") == 0
