"""Names of maximum length, deletions during discovery, large objects, and metrics."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from aimctl.api import kinds
from aimctl.kubetypes.builtin import JOBS, NAMESPACES, NODES, PODS
from aimctl.simulation.catalogue import Catalogue
from aimctl.testing.virtualtime import virtual_time
from support.operator import OPERATOR_NAMESPACE, world
from support.proofs import variants

BOTH = pytest.mark.parametrize("namespace", variants(["team", ""]), ids=["namespaced", "cluster"])
LONGEST = "a" * 63 + "." + "b" * 63 + "." + "c" * 63 + "." + "d" * 61


# ---- names


@BOTH
@virtual_time
async def test_names_of_253_characters_of_everything_work(namespace):
    assert len(LONGEST) == 253
    async with world() as w:
        await w.model(LONGEST)
        await w.config(LONGEST)
        w.start()
        await w.template(LONGEST, namespace, LONGEST, runtimeConfigName=LONGEST)
        await w.until_state(LONGEST, namespace, "Ready", seconds=10)
        (job,) = w.ledger.jobs_of(LONGEST, namespace)
        assert len(job["metadata"]["name"]) <= 63
        assert len(job["metadata"]["labels"]["aim.silogen.ai/template"]) <= 63
        assert job["metadata"]["annotations"]["aim.silogen.ai/template-name"] == LONGEST
        await w.until(lambda: ("Normal", "ProfilesDiscovered") in w.events_of(LONGEST))


@virtual_time
async def test_names_with_the_same_shortened_form_are_distinguished():
    async with world() as w:
        await w.model("m")
        await w.model("n", image="aim-n:1")
        w.start()
        alike = [LONGEST[:-1] + letter for letter in "xyz"] + ["a" * 63, "a" * 64, "a.b-c", "a-b.c", "a-b-c"]
        for number, name in enumerate(alike):
            await w.template(name, ("team", "")[number % 2], "mn"[number % 2])
            await w.template(name, ("", "team")[number % 2], "mn"[number % 2])
        await w.until_all()
        assert len(w.ledger.created) == 2 * len(alike)
        assert set(w.ledger.created.values()) == {1}
        for number, name in enumerate(alike):
            for namespace in ("team", ""):
                assert w.status(name, namespace)["modelSources"][0]["name"] == ("aim-m", "aim-n")[number % 2]


@virtual_time
async def test_the_troubleshooting_commands_of_the_document_find_the_job_by_its_label():
    async with world() as w:
        await w.model("m")
        w.start()
        await w.template("llama", "team")
        await w.template("llama", "")
        await w.until_all()
        for namespace in ("team", OPERATOR_NAMESPACE):
            page = await w.client.list(JOBS, namespace, label_selector="aim.silogen.ai/template=llama")
            assert len(page.items) == 1
            page = await w.client.list(PODS, namespace, label_selector="aim.silogen.ai/template=llama")
            assert len(page.items) == 1


# ---- deletions


@virtual_time
async def test_a_namespace_is_deleted_while_its_templates_are_discovered():
    async with world() as w:
        await w.model("m")
        await w.model("slow", image="aim-slow:1")
        w.start(discovery_limit=2)
        for number in range(6):
            await w.template(f"t{number}", "doomed", "slow")
        await w.until(lambda: len(w.ledger.unfinished) == 2)
        await w.client.delete(NAMESPACES, "doomed")
        await w.template("a", "team")
        await w.until_state("a", "team", "Ready", seconds=20)
        await asyncio.sleep(30)
        names = {item.meta.name for item in (await w.client.list(NAMESPACES)).items}
        assert "doomed" not in names
        assert set(w.ledger.templates) == {("team", "a")}
        assert w.ledger.jobs.keys() == {key for key in w.ledger.jobs if key[0] == "team"}
        assert w.replicas[0].admission.running == w.replicas[0].admission.pending == 0


@virtual_time
async def test_a_namespace_whose_deletion_is_blocked_takes_no_slots():
    async with world() as w:
        await w.model("m")
        await w.namespace("doomed")
        pod = {
            "metadata": {"name": "holds", "finalizers": ["example.org/hold"]},
            "spec": {"containers": [{"name": "c", "image": "pause"}]},
        }
        await w.client.create(PODS, pod, "doomed")
        for number in range(4):
            await w.template(f"t{number}", "doomed")
        await w.client.delete(NAMESPACES, "doomed")
        w.start(discovery_limit=1)
        await asyncio.sleep(5)
        await w.template("a", "team")
        await w.until_state("a", "team", "Ready", seconds=20)


@BOTH
@virtual_time
async def test_a_deleted_template_frees_the_slot_of_its_job(namespace):
    async with world() as w:
        await w.model("slow", image="aim-slow:1")
        await w.model("m")
        w.start(discovery_limit=1)
        await w.template("goes", namespace, "slow")
        await w.until_state("goes", namespace, "Progressing")
        await w.template("next", namespace)
        await asyncio.sleep(5)
        await w.delete_template("goes", namespace)
        await w.until_state("next", namespace, "Ready", seconds=10)
        assert {name for _, name in w.ledger.templates} == {"next"}
        assert len(w.ledger.jobs) == 1


@BOTH
@virtual_time
async def test_a_template_with_a_finalizer_is_not_reconciled_while_it_is_being_deleted(namespace):
    async with world() as w:
        await w.model("m")
        w.start()
        kind = kinds.TEMPLATES if namespace else kinds.CLUSTER_TEMPLATES
        await w.template("a", namespace)
        await w.until_state("a", namespace, "Ready")
        hold = {"metadata": {"finalizers": ["example.org/hold"]}}
        await w.client.patch(kind, "a", hold, namespace)
        await w.delete_template("a", namespace)
        await w.model("m", image="aim-m:2")
        await asyncio.sleep(30)
        assert len(w.ledger.creations) == 1
        await w.client.patch(kind, "a", {"metadata": {"finalizers": None}}, namespace)
        await asyncio.sleep(5)
        assert w.ledger.templates == {}


@virtual_time
async def test_a_status_that_was_changed_by_someone_else_is_corrected():
    async with world() as w:
        await w.model("m")
        w.start()
        await w.template("a", "team")
        await w.until_state("a", "team", "Ready")
        good = w.status("a", "team")
        spoiled = {"status": {"status": "Failed", "modelSources": [], "conditions": [], "profile": {"x": 1}}}
        await w.client.patch(kinds.TEMPLATES, "a", spoiled, "team", subresource="status")
        await w.until_state("a", "team", "Ready", seconds=10)
        await w.until(lambda: w.status("a", "team").get("modelSources") == good["modelSources"])
        await w.until(lambda: w.told("a", "team") == ("True", "ProfilesDiscovered"))
        assert w.status("a", "team")["profile"] == good["profile"]


# ---- large objects


@virtual_time
async def test_objects_of_several_megabytes_do_not_stop_discovery():
    async with world() as w:
        huge = "x" * (5 * 1024 * 1024)
        storage = w.cluster.server.storage
        await w.model("m")
        w.start()
        await asyncio.sleep(1)
        await w.model("big")
        collection = next(item for item in storage if "aimclustermodels" in item.name)
        body = collection.records["big"].object()
        body["metadata"]["annotations"] = {"big": huge}
        storage.put(collection, body)
        await w.template("a", "team", "big")
        await w.until_state("a", "team", "Ready", seconds=10)
        body["spec"]["image"] = "aim-other:1"
        body["metadata"]["generation"] += 1
        storage.put(collection, body)
        await w.until(lambda: w.status("a", "team")["modelSources"][0]["name"] == "aim-other", seconds=10)
        w.start("late")
        await asyncio.sleep(5)
        assert w.replicas[1].leads


@virtual_time
async def test_the_largest_accepted_result_can_be_stored():
    models = [
        {"name": f"{number}-" + "n" * 500, "source": f"hf://{number}/" + "s" * 2000} for number in range(256)
    ]
    answer = [{"profile": {"blob": "p" * 250_000}, "models": [{**item, "size_gb": 1.5} for item in models]}]
    text = msgspec.json.encode(answer).decode()
    more = Catalogue.default().extended({"image": "largest:*", "stdout": text})
    wide = [
        {
            "profile": {},
            "models": [{"name": "\u4e2d" * 512, "source": "hf://" + "\U0001f600" * 2000, "size_gb": 1}] * 250,
        }
    ]
    more = more.extended({"image": "wide:*", "stdout": msgspec.json.encode(wide).decode()})
    async with world(catalogue=more) as w:
        await w.model("m", image="largest:1")
        await w.model("n", image="wide:1")
        w.start()
        await w.template("a", "team")
        await w.template("b", "team", "n")
        for name in "ab":
            await w.until(lambda at=name: w.state(at, "team") in {"Ready", "Failed"}, seconds=20)
            raw = msgspec.json.encode(w.ledger.templates["team", name])
            assert len(raw) < 1.5 * 1024 * 1024
        assert w.state("b", "team") == "Failed"
        assert "bytes" in w.condition("b", "team")["message"]


# ---- metrics


@virtual_time
async def test_the_metrics_report_each_phase_of_discovery():
    async with world() as w:
        await w.model("m")
        await w.model("bad", image="hostile:empty")
        replica = w.start(discovery_limit=3)

        def gauges():
            return (
                replica.metric("aim_discovery_pending_templates"),
                replica.metric("aim_discovery_jobs_running"),
                replica.metric("aim_discovery_jobs_limit"),
            )

        def templates(state, scope="Namespace"):
            return replica.metric("aim_templates", scope=scope, status=state)

        await asyncio.sleep(1)
        assert gauges() == (0, 0, 3)
        for number in range(6):
            await w.template(f"t{number}", "team")
        await w.template("c", "", "bad")
        await w.template("no-gpu", "", gpuSelector={"count": 1, "model": "H100"})
        await w.until(lambda: w.ledger.states()["Progressing"] == 3)
        await asyncio.sleep(0.1)
        assert gauges() == (4, 3, 3)
        assert templates("Progressing") + templates("Progressing", "Cluster") == 3
        assert templates("NotAvailable", "Cluster") == 1
        await w.until(lambda: w.ledger.states() == {"Ready": 6, "Failed": 1, "NotAvailable": 1})
        await asyncio.sleep(0.1)
        assert gauges() == (0, 0, 3)
        assert (templates("Ready"), templates("Failed", "Cluster")) == (6, 1)
        assert sum(templates(state) for state in ("", "Pending", "Progressing", "Failed", "Degraded")) == 0
        duration = "aim_discovery_duration_seconds_count"
        assert replica.metric(duration, result="succeeded") == 6
        assert replica.metric(duration, result="failed") == 1
        assert 3 * 6 <= replica.metric("aim_discovery_duration_seconds_sum", result="succeeded") <= 5 * 6
        assert replica.metric("aim_discovery_wait_seconds_count") == 7
        assert replica.metric("aim_discovery_wait_seconds_sum") > 6
        await w.delete_template("t0", "team")
        await w.delete_template("no-gpu", "")
        await asyncio.sleep(1)
        assert templates("Ready") == 5
        assert templates("NotAvailable", "Cluster") == 0
        assert len((await w.client.list(NODES)).items) == 2
