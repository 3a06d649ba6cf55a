"""Templates with static sources, and GPUs that the nodes offer or do not offer."""

from __future__ import annotations

import asyncio

import pytest

from aimctl.devcluster.node.machines import Machine
from aimctl.simulation.machines import gpu_machine
from aimctl.testing.virtualtime import virtual_time
from support.operator import world
from support.proofs import variants

BOTH = pytest.mark.parametrize("namespace", variants(["team", ""]), ids=["namespaced", "cluster"])
SOURCES = [
    {
        "name": "meta-llama/Llama-3.1-8B-Instruct",
        "sourceURI": "hf://meta-llama/Llama-3.1-8B-Instruct",
        "size": "16Gi",
    },
    {
        "name": "tokenizer",
        "sourceURI": "hf://meta-llama/Llama-3.1-8B-Instruct/tokenizer.json",
        "size": "2Mi",
    },
]


@BOTH
@virtual_time
async def test_static_sources_are_copied_and_the_template_is_ready_without_a_job(namespace):
    async with world() as w:
        await w.model("m")
        w.start()
        await w.template(
            "static", namespace, modelSources=SOURCES, gpuSelector={"count": 1, "model": "MI300X"}
        )
        await w.until_state("static", namespace, "Ready", seconds=1)
        assert w.status("static", namespace)["modelSources"] == [
            {
                "name": "meta-llama/Llama-3.1-8B-Instruct",
                "source": "hf://meta-llama/Llama-3.1-8B-Instruct",
                "sizeBytes": 17179869184,
            },
            {
                "name": "tokenizer",
                "source": "hf://meta-llama/Llama-3.1-8B-Instruct/tokenizer.json",
                "sizeBytes": 2097152,
            },
        ]
        assert w.told("static", namespace) == ("True", "ProfilesDiscovered")
        await asyncio.sleep(60)
        assert w.ledger.creations == []


@BOTH
@virtual_time
async def test_a_change_of_static_sources_is_copied(namespace):
    async with world() as w:
        await w.model("m")
        w.start()
        await w.template("static", namespace, modelSources=SOURCES)
        await w.until_state("static", namespace, "Ready")
        await w.template("static", namespace, modelSources=[{**SOURCES[1], "size": "1.5Ki"}])
        await w.until(
            lambda: w.status("static", namespace)["modelSources"][0]["sizeBytes"] == 1536, seconds=1
        )
        assert len(w.status("static", namespace)["modelSources"]) == 1
        assert w.state("static", namespace) == "Ready"
        assert w.ledger.creations == []


@BOTH
@virtual_time
async def test_a_template_whose_static_sources_are_removed_is_discovered_and_keeps_them_until_then(namespace):
    async with world() as w:
        await w.model("m", image="aim-m:1")
        w.start()
        await w.template("a", namespace, modelSources=SOURCES)
        await w.until_state("a", namespace, "Ready")
        await w.template("a", namespace)
        await w.until(lambda: "profile" in w.status("a", namespace))
        assert [item["name"] for item in w.status("a", namespace)["modelSources"]] == ["aim-m"]
        assert len(w.ledger.creations) == 1
        ready = [
            status["status"] for status in w.ledger.history[namespace, "a"] if status.get("modelSources")
        ]
        assert set(ready) <= {"Ready", "Pending"}
        assert all(status.get("modelSources") for status in w.ledger.history[namespace, "a"][3:])


@BOTH
@virtual_time
async def test_static_sources_added_to_a_discovered_template_replace_its_result_and_profile(namespace):
    async with world() as w:
        await w.model("m")
        w.start()
        await w.template("a", namespace)
        await w.until_state("a", namespace, "Ready")
        await w.template("a", namespace, modelSources=SOURCES)
        await w.until(lambda: len(w.status("a", namespace)["modelSources"]) == 2)
        assert "profile" not in w.status("a", namespace)
        assert "discovery" not in w.status("a", namespace)
        assert len(w.ledger.creations) == 1


@BOTH
@virtual_time
async def test_static_sources_added_while_the_job_runs_delete_the_job(namespace):
    async with world() as w:
        await w.model("m", image="aim-slow:1")
        w.start()
        await w.template("a", namespace)
        await w.until_state("a", namespace, "Progressing")
        await w.template("a", namespace, modelSources=SOURCES)
        await w.until_state("a", namespace, "Ready", seconds=1)
        await w.until(lambda: not w.ledger.unfinished, seconds=1)


@BOTH
@virtual_time
async def test_an_invalid_size_fails_with_the_field_until_it_is_corrected(namespace):
    async with world() as w:
        await w.model("m")
        w.start()
        await w.template("a", namespace, modelSources=[{**SOURCES[0], "size": "100Ei"}])
        await w.until_state("a", namespace, "Failed", seconds=1)
        message = w.condition("a", namespace)["message"]
        assert SOURCES[0]["name"] in message
        assert "100Ei" in message
        await w.template("a", namespace, modelSources=SOURCES)
        await w.until_state("a", namespace, "Ready", seconds=1)


@BOTH
@virtual_time
async def test_static_sources_need_neither_model_nor_runtime_config(namespace):
    async with world() as w:
        w.start()
        await w.template("a", namespace, model="absent", modelSources=SOURCES)
        await w.until(lambda: w.told("a", namespace) == ("True", "ProfilesDiscovered"), seconds=1)
        assert len(w.status("a", namespace)["modelSources"]) == 2


# ---- GPUs


@BOTH
@virtual_time
async def test_a_template_whose_gpu_no_node_offers_is_not_available_and_runs_no_job(namespace):
    async with world(machines=[gpu_machine("n0", "MI300X")]) as w:
        await w.model("m")
        w.start()
        await w.template("a", namespace, gpuSelector={"count": 1, "model": "MI325X"})
        await w.until_state("a", namespace, "NotAvailable", seconds=1)
        message = w.condition("a", namespace, "Ready")["message"]
        assert "MI325X" in message
        assert "MI300X" in message
        await asyncio.sleep(600)
        assert w.ledger.creations == []
        await w.cluster.node.add_machine(gpu_machine("n1", "MI325X"))
        await w.until_state("a", namespace, "Ready", seconds=10)
        assert len(w.ledger.creations) == 1


@BOTH
@virtual_time
async def test_the_state_of_a_ready_template_follows_added_removed_and_relabelled_nodes_without_a_new_discovery(
    namespace,
):
    async with world(machines=[gpu_machine("n0", "MI300X"), Machine("plain")]) as w:
        await w.model("m")
        w.start()
        await w.template("a", namespace, gpuSelector={"count": 1, "model": "MI300X"})
        await w.until_state("a", namespace, "Ready")
        sources = w.status("a", namespace)["modelSources"]

        await w.cluster.node.remove_machine("n0")
        await w.until_state("a", namespace, "NotAvailable", seconds=1)
        assert w.status("a", namespace)["modelSources"] == sources
        await w.label_node("plain", {"amd.com/gpu.device-id": "74a1"})
        await w.until_state("a", namespace, "Ready", seconds=1)
        await w.label_node("plain", {"amd.com/gpu.device-id": "74a5"})
        await w.until_state("a", namespace, "NotAvailable", seconds=1)
        await w.label_node("plain", {"amd.com/gpu.device-id": None, "beta.amd.com/gpu.device-id.74bd": "4"})
        await w.until_state("a", namespace, "Ready", seconds=1)
        await w.label_node("plain", {"beta.amd.com/gpu.device-id.74bd": None})
        await w.until_state("a", namespace, "NotAvailable", seconds=1)
        await w.cluster.node.add_machine(gpu_machine("n1", "MI300X"))
        await w.until_state("a", namespace, "Ready", seconds=1)
        assert len(w.ledger.creations) == 1


@BOTH
@pytest.mark.parametrize(
    ("wanted", "labels"),
    [
        ("A100", {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-40GB"}),
        ("Instinct MI300X", {"amd.com/gpu.device-id.74b9": "8", "amd.com/gpu.device-id.74b5": "8"}),
        ("H100", {"feature.node.kubernetes.io/nvidia-gpu-model": "NVIDIA-H100-80GB-HBM3"}),
    ],
)
@virtual_time
async def test_gpus_are_matched_for_every_spelling_in_node_and_template(namespace, wanted, labels):
    async with world(machines=[Machine("n0", labels)]) as w:
        await w.model("m")
        w.start()
        await w.template("a", namespace, gpuSelector={"count": 1, "model": wanted})
        await w.until_state("a", namespace, "Ready")


@BOTH
@virtual_time
async def test_a_gpu_that_is_removed_while_the_job_runs_deletes_the_job_and_adding_it_again_runs_it_again(
    namespace,
):
    async with world(machines=[gpu_machine("n0", "MI300X"), Machine("plain")]) as w:
        await w.model("m")
        w.start()
        await w.template("a", namespace, gpuSelector={"count": 1, "model": "MI300X"})
        await w.until_state("a", namespace, "Progressing")
        await w.label_node("n0", {"amd.com/gpu.device-id": None, "amd.com/gpu.device-id.74a1": None})
        await w.until_state("a", namespace, "NotAvailable", seconds=1)
        await w.until(lambda: not w.ledger.unfinished, seconds=1)
        await w.label_node("n0", {"amd.com/gpu.device-id": "74a1"})
        await w.until_state("a", namespace, "Ready", seconds=10)
        assert len(w.ledger.creations) == 2


@virtual_time
async def test_changes_of_nodes_that_do_not_concern_gpus_cause_no_reconciles():
    async with world(machines=[gpu_machine("n0"), gpu_machine("n1")]) as w:
        await w.model("m")
        replica = w.start()
        for number in range(5):
            await w.template(f"a{number}", "team", gpuSelector={"count": 1, "model": "MI300X"})
        await w.until_all()
        await asyncio.sleep(1)
        name = "controller_runtime_reconcile_total"
        before = replica.metric(name, controller="templates", result="success")
        await w.cluster.node.add_machine(gpu_machine("n2"))
        await w.cluster.node.remove_machine("n1")
        await w.label_node("n0", {"zone": "north"})
        await asyncio.sleep(5)
        assert replica.metric(name, controller="templates", result="success") == before
