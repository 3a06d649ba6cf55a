"""Services: which template they use, and what changes that."""

from __future__ import annotations

import asyncio

import pytest

from aimctl.api import kinds
from aimctl.devcluster.faults import Answer, Delay, Match
from aimctl.domain.services.selection import WAIT_SECONDS
from aimctl.kubetypes.builtin import NODES
from aimctl.simulation.machines import gpu_machine
from aimctl.testing.virtualtime import virtual_time
from support.proofs import variants
from support.service_witness import GPU, serving

M = {"ref": "m"}
FAST = {"metric": "throughput"}


# ---- each outcome of selection


@pytest.mark.parametrize("namespace", ["team", ""], ids=["namespaced", "cluster"])
@virtual_time
async def test_the_only_template_that_is_ready_is_selected_and_deployed(namespace):
    async with serving() as w:
        await w.model("m")
        await w.ready("a", namespace)
        w.start()
        await w.service("s", "team", model=M)
        await w.until_service("s", "Running")
        assert w.states["s"][-2:] == ["Starting", "Running"]
        assert (w.uses(), w.reason("Resolved")) == ("a", "TemplateResolved")
        assert w.service_status()["resolvedImage"]["name"] == "m"
        scope = "Namespace" if namespace else "Cluster"
        assert w.service_status()["templateMatching"] == [
            {"name": "a", "scope": scope, "selected": True, "message": "it matches"}
        ]
        (owner,) = w.runtime()["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["name"], owner["controller"]) == ("AIMService", "s", True)
        assert "http" in w.condition("Ready")["message"]


@virtual_time
async def test_several_matches_are_ambiguous_and_named_until_only_one_is_left():
    async with serving() as w:
        await w.model("m")
        await w.ready("a")
        await w.ready("b", "")
        w.start()
        await w.service("s", "team", model=M)
        await w.until_service("s", "Failed", "TemplateSelectionAmbiguous", seconds=5)
        message = w.condition("Resolved")["message"]
        assert "'a'" in message
        assert "'b'" in message
        assert "spec.templateRef" in message
        assert w.condition("Failure")["status"] == "True"
        assert {item["droppedBy"] for item in w.service_status()["templateMatching"]} == {"Selection"}
        assert w.runtime() is None
        await w.delete_template("b")
        await w.until_service("s", "Running")
        assert w.uses() == "a"
        assert w.condition("Failure")["status"] == "False"


@virtual_time
async def test_a_service_without_a_template_uses_the_first_one_that_appears():
    async with serving() as w:
        await w.model("m")
        w.start()
        await w.service("s", "team", model=M)
        await w.until_service("s", "Failed", "TemplateNotFound", seconds=1)
        await w.ready("other", "team", model="m2")
        await w.ready("a", "elsewhere")
        await asyncio.sleep(1)
        assert w.service_state() == "Failed"
        await w.ready("a")
        await w.until_service("s", "Running")


@virtual_time
async def test_a_service_waits_for_a_template_that_is_being_discovered():
    async with serving() as w:
        await w.model("m")
        await w.service("s", "team", model=M)
        await w.template("a", "team")
        w.start()
        await w.until_service("s", "Starting", "TemplateNotReady", seconds=2)
        assert w.condition("Failure")["status"] == "False"
        await w.until_service("s", "Running")
        assert "Failed" not in w.states["s"]


@pytest.mark.parametrize("slow", ["a", "b"])
@pytest.mark.parametrize(
    "trouble", [Delay(3), Answer(500, "InternalError", "etcd is away")], ids=["slow", "failing"]
)
@virtual_time
async def test_of_templates_created_together_the_first_to_be_reconciled_is_not_selected(slow, trouble):
    async with serving() as w:
        await w.model("m")
        for name in "ab":
            await w.ready(name)
        await w.service("s", "team", model=M)
        w.faults.add(trouble, Match(resource="aimservicetemplates", subresource="status", name=slow), times=3)
        w.start()
        await w.until_service("s", "Starting", "TemplateNotReady", seconds=2)
        assert f"'{slow}'" in w.condition("Resolved")["message"]
        await w.until_service("s", "Failed", "TemplateSelectionAmbiguous")
        assert w.states["s"][-2:] == ["Starting", "Failed"]
        assert w.uses() == ""


@pytest.mark.parametrize("late", ["model", "gpu"])
@virtual_time
async def test_of_templates_that_become_available_together_the_first_to_be_ready_is_not_selected(late):
    async with serving(machines=[] if late == "gpu" else [gpu_machine("n0")]) as w:
        if late != "model":
            await w.model("m")
        for name in "ab":
            await w.ready(name, gpuSelector=GPU)
        w.start()
        await w.service("s", "team", model=M)
        await asyncio.sleep(2)
        assert w.service_state() in {"Pending", "Failed"}
        w.faults.add(Delay(3), Match(resource="aimservicetemplates", subresource="status", name="b"))
        if late == "model":
            await w.model("m")
        else:
            await w.cluster.node.add_machine(gpu_machine("n0"))
        await w.until_service("s", "Starting", "TemplateNotReady", seconds=2)
        await w.until_service("s", "Failed", "TemplateSelectionAmbiguous")
        assert w.uses() == ""


@virtual_time
async def test_overrides_select_a_template_and_a_change_of_them_selects_again():
    async with serving() as w:
        await w.model("m")
        await w.ready("slow")
        await w.ready("fast", metric="throughput")
        w.start()
        await w.service("s", "team", model=M, overrides=FAST)
        await w.until_service("s", "Running")
        assert w.uses() == "fast"
        await w.service("s", "team", model=M, overrides={"metric": "latency"})
        await w.until(lambda: w.uses() == "slow", seconds=1)
        await w.until_service("s", "Running")
        variables = w.runtime()["spec"]["predictor"]["containers"][0]["env"]
        assert {"name": "AIM_METRIC", "value": "latency"} in variables
        await w.service("s", "team", model=M, overrides={"precision": "fp8"})
        await w.until_service("s", "Degraded", "TemplateSelectionAmbiguous", seconds=1)
        assert "spec.templateRef" in w.condition("Resolved")["message"]
        assert w.runtime() is not None, "both templates could be the base of the overrides"


@virtual_time
async def test_templates_are_excluded_while_no_node_offers_their_gpu():
    async with serving(machines=[]) as w:
        await w.model("m")
        await w.ready("a", gpuSelector=GPU)
        w.start()
        await w.service("s", "team", model=M)
        await w.until_service("s", "Failed", "TemplateNotFound", seconds=2)
        assert "MI300X" in w.condition("Resolved")["message"]
        await w.cluster.node.add_machine(gpu_machine("n0"))
        await w.until_service("s", "Running")


@virtual_time
async def test_a_service_whose_gpu_is_removed_moves_to_the_only_other_template_and_stays_there():
    async with serving(machines=[gpu_machine("n0")]) as w:
        await w.model("m")
        await w.ready("a", gpuSelector=GPU)
        w.start()
        await w.service("s", "team", model=M)
        await w.until_service("s", "Running")
        await w.ready("b")
        await asyncio.sleep(1)
        assert w.uses() == "a"
        labels = (await w.client.get(NODES, "n0")).meta.labels
        await w.label_node("n0", {key: None for key in labels if "gpu" in key})
        await asyncio.sleep(WAIT_SECONDS - 1)
        assert w.uses() == "a"
        assert "kept for now" in w.condition("Resolved")["message"]
        await w.until(lambda: w.uses() == "b", seconds=2)
        await w.until_service("s", "Running")
        await w.label_node("n0", dict(labels))
        await w.until_state("a", "team", "Ready")
        await asyncio.sleep(5)
        assert w.uses() == "b"
        assert "'a'" in w.condition("Resolved")["message"]


@virtual_time
async def test_a_removed_gpu_moves_a_service_before_the_status_of_its_template_reports_it():
    async with serving(machines=[gpu_machine("n0")]) as w:
        await w.model("m")
        await w.ready("a", gpuSelector=GPU)
        w.start()
        await w.service("s", "team", model=M)
        await w.until_service("s", "Running")
        await w.ready("b")
        await w.until_state("b", "team", "Ready")
        labels = (await w.client.get(NODES, "n0")).meta.labels
        with w.faults.active(Answer(500), Match(verb="patch", resource="aimservicetemplates")):
            await w.label_node("n0", {key: None for key in labels if "gpu" in key})
            await w.until(lambda: w.uses() == "b", seconds=WAIT_SECONDS + 2)
        assert "Failed" not in w.states["s"]


@pytest.mark.parametrize("how", ["labels", "node"])
@virtual_time
async def test_a_gpu_that_is_missing_for_a_moment_does_not_move_a_running_service(how):
    async with serving(machines=[gpu_machine("n0")]) as w:
        await w.model("m")
        await w.ready("a", gpuSelector=GPU)
        w.start()
        await w.service("s", "team", model=M)
        await w.until_service("s", "Running")
        await w.ready("b")
        for _ in range(3):
            labels = (await w.client.get(NODES, "n0")).meta.labels
            if how == "labels":
                await w.label_node("n0", {key: None for key in labels if "gpu" in key})
                await asyncio.sleep(20)
                await w.label_node("n0", dict(labels))
            else:
                await w.client.delete(NODES, "n0")
                await asyncio.sleep(20)
                await w.cluster.node.add_machine(gpu_machine("n0"))
            await asyncio.sleep(20)
            assert w.uses() == "a"


@pytest.mark.parametrize("status", variants([403, 422, 500]))
@virtual_time
async def test_a_template_that_is_never_reconciled_does_not_keep_a_service_from_another(status):
    async with serving() as w:
        await w.model("m")
        for name in "ab":
            await w.ready(name)
        await w.service("s", "team", model=M)
        w.faults.add(
            Answer(status, "Forbidden", "policy"),
            Match(resource="aimservicetemplates", subresource="status", name="b"),
        )
        w.start()
        await w.until_service("s", "Starting", "TemplateNotReady", seconds=2)
        await w.until_service("s", "Running", seconds=WAIT_SECONDS + 5)
        assert w.uses() == "a"
        writes = w.status_writes["s"]
        await asyncio.sleep(3600)
        assert (w.uses(), w.status_writes["s"]) == ("a", writes)


@virtual_time
async def test_a_wait_ends_whatever_else_happens():
    async with serving() as w:
        await w.model("m")
        for name in "ab":
            await w.ready(name)
        w.faults.add(
            Answer(403, "Forbidden", "policy"),
            Match(resource="aimservicetemplates", subresource="status", name="b"),
        )
        w.start()
        await w.service("s", "team", model=M)
        for number in range(4):
            assert w.uses() == ""
            await asyncio.sleep(WAIT_SECONDS / 4)
            await w.patch(kinds.SERVICES, "s", metadata={"annotations": {"aim.silogen.ai/look": str(number)}})
        await w.until(lambda: w.uses() == "a", seconds=1)


@virtual_time
async def test_waits_for_a_gpu_and_for_a_template_end_together():
    async with serving(machines=[gpu_machine("n0")]) as w:
        await w.model("m")
        await w.ready("a", gpuSelector=GPU)
        w.start()
        await w.service("s", "team", model=M)
        await w.until_service("s", "Running")
        await w.ready("b")
        w.faults.add(
            Answer(403, "Forbidden", "policy"),
            Match(resource="aimservicetemplates", subresource="status", name="c"),
        )
        await w.ready("c")
        await asyncio.sleep(600)
        labels = (await w.client.get(NODES, "n0")).meta.labels
        await w.label_node("n0", {key: None for key in labels if "gpu" in key})
        await asyncio.sleep(WAIT_SECONDS - 1)
        assert w.uses() == "a"
        await w.until(lambda: w.uses() == "b", seconds=3)
        await w.until_service("s", "Running")


@virtual_time
async def test_templates_that_wait_for_the_same_runtime_config_become_available_together():
    async with serving() as w:
        await w.model("m")
        for name in "ab":
            await w.ready(name, runtimeConfigName="gold")
        w.start()
        await w.service("s", "team", model=M)
        await w.until_service("s", "Failed", "TemplateNotFound", seconds=2)
        assert "RuntimeConfigNotFound" in w.condition("Resolved")["message"]
        w.faults.add(Delay(3), Match(resource="aimservicetemplates", subresource="status", name="b"))
        await w.config("gold")
        await w.until_service("s", "Failed", "TemplateSelectionAmbiguous")
        assert w.uses() == ""


@virtual_time
async def test_a_model_that_needs_intervention_is_not_reported_as_being_read():
    async with serving() as w:
        await w.model("m", runtimeConfigName="gone")
        w.start()
        await w.service("s", "team", model=M)
        await w.until_service("s", "Failed", "TemplateNotFound", seconds=2)
        assert "runtimeConfigName" in w.condition("Resolved")["message"], "the remedy of the model's problem"


@virtual_time
async def test_a_new_service_keeps_the_default_template_of_its_model_until_it_serves():
    async with serving(machines=[]) as w:
        await w.model("m", defaultServiceTemplate="d")
        await w.ready("d", gpuSelector=GPU)
        await w.ready("b")
        w.start()
        await w.service("s", "team", model=M)
        await asyncio.sleep(3600)
        assert w.uses() == "d"
        await w.cluster.node.add_machine(gpu_machine("n0"))
        await w.until_service("s", "Running")
        assert w.uses() == "d"


# ---- what a running service keeps


@virtual_time
async def test_a_running_service_is_not_moved_when_a_second_candidate_appears_and_reports_it():
    async with serving() as w:
        await w.model("m")
        await w.ready("a")
        w.start()
        await w.service("s", "team", model=M)
        await w.until_service("s", "Running")
        before = w.runtime()["metadata"]["resourceVersion"]
        await w.ready("b")
        await w.until(lambda: "'b'" in w.condition("Resolved")["message"], seconds=2)
        assert "kept" in w.condition("Resolved")["message"]
        assert w.uses() == "a"
        assert [item.get("droppedBy") for item in w.service_status()["templateMatching"]] == [
            None,
            "Selection",
        ]
        await asyncio.sleep(60)
        assert w.states["s"][-1] == "Running"
        assert w.runtime()["metadata"]["resourceVersion"] == before
        await w.service("late", "team", model=M)
        await w.until_service("late", "Failed", "TemplateSelectionAmbiguous", seconds=1)


@virtual_time
async def test_a_service_is_not_moved_by_a_restart_of_the_operator():
    async with serving() as w:
        await w.model("m")
        await w.ready("a")
        first = w.start()
        await w.service("s", "team", model=M)
        await w.until_service("s", "Running")
        await w.ready("b")
        await w.until_state("b", "team", "Ready")
        await first.crash()
        await w.ready("c")
        w.start()
        await w.until_state("c", "team", "Ready")
        await asyncio.sleep(30)
        assert (w.uses(), w.service_state()) == ("a", "Running")


@virtual_time
async def test_selection_is_repeated_when_the_template_of_a_service_is_deleted():
    async with serving() as w:
        await w.model("m")
        await w.ready("a")
        w.start()
        await w.service("s", "team", model=M)
        await w.until_service("s", "Running")
        await w.ready("b")
        await w.until_state("b", "team", "Ready")
        await w.delete_template("a", "team")
        await w.until(lambda: w.uses() == "b", seconds=1)
        await w.until_service("s", "Running")
        await w.delete_template("b", "team")
        await w.until_service("s", "Degraded", "TemplateNotFound", seconds=1)
        assert w.runtime() is not None
        await w.ready("b")
        await w.until_service("s", "Running", seconds=5)


@virtual_time
async def test_a_template_created_again_under_its_name_is_another_one():
    async with serving() as w:
        await w.model("m")
        await w.ready("a")
        w.start()
        await w.service("s", "team", model=M)
        await w.until_service("s", "Running")
        first = w.service_status()["resolvedTemplate"]["uid"]
        await w.delete_template("a", "team")
        await w.ready("a", metric="throughput")
        await w.until(lambda: w.service_status().get("resolvedTemplate", {}).get("uid") not in (None, first))
        await w.until_service("s", "Running")
        variables = w.runtime()["spec"]["predictor"]["containers"][0]["env"]
        assert {"name": "AIM_METRIC", "value": "throughput"} in variables


@virtual_time
async def test_a_namespaced_template_hides_the_cluster_template_of_its_name_as_soon_as_it_appears():
    async with serving() as w:
        await w.model("m")
        await w.ready("a", "")
        w.start()
        await w.service("s", "team", model=M, templateRef="a")
        await w.service("elsewhere", "other", model=M, templateRef="a")
        await w.until_service("s", "Running")
        assert w.service_status()["resolvedTemplate"]["scope"] == "Cluster"
        await w.ready("a", "team")
        await w.until(lambda: w.service_status()["resolvedTemplate"]["scope"] == "Namespace", seconds=1)
        await asyncio.sleep(1)
        assert w.service_status("elsewhere", "other")["resolvedTemplate"]["scope"] == "Cluster"
        await w.delete_template("a", "team")
        await w.until(lambda: w.service_status()["resolvedTemplate"]["scope"] == "Cluster", seconds=1)


@virtual_time
async def test_a_template_of_another_model_can_hide_the_only_candidate():
    async with serving(kserve=False) as w:
        await w.model("m")
        await w.ready("a", "")
        await w.ready("a", "team", model="other")
        w.start()
        await w.service("s", "team", model=M)
        await w.until_service("s", "Failed", "TemplateNotFound", seconds=2)
        await w.delete_template("a", "team")
        await w.until_service("s", "Starting", "RuntimeNotInstalled", seconds=2)


@virtual_time
async def test_an_edited_status_leads_to_no_other_namespace():
    async with serving(kserve=False) as w:
        await w.model("m")
        await w.ready("a")
        await w.ready("spy", "other")
        await w.service("s", "team", model=M)
        uid = w.found(kinds.TEMPLATES, "spy", "other")["metadata"]["uid"]
        reference = {"kind": "AIMServiceTemplate", "name": "spy", "namespace": "other", "uid": uid}
        forged = {"status": {"status": "Running", "resolvedTemplate": reference}}
        await w.client.patch(kinds.SERVICES, "s", forged, "team", subresource="status")
        w.start(watch_namespaces=("team",))
        await w.until(lambda: w.uses() == "a", seconds=5)


# ---- named templates


@virtual_time
async def test_a_service_waits_for_a_named_template_that_is_missing():
    async with serving() as w:
        await w.model("m")
        await w.ready("b")
        w.start()
        await w.service("s", "team", model=M, templateRef="late")
        await w.until_service("s", "Pending", "TemplateNotFound", seconds=1)
        assert "'late'" in w.condition("Resolved")["message"]
        assert w.condition("Failure")["status"] == "False"
        await w.ready("late")
        await w.until_service("s", "Running")
        assert w.uses() == "late"
        await w.service("s", "team", model=M, templateRef="b")
        await w.until(lambda: w.uses() == "b", seconds=1)


@virtual_time
async def test_a_named_template_that_appears_for_another_model_is_reported_at_once():
    async with serving() as w:
        await w.model("m")
        w.start()
        await w.service("s", "team", model=M, templateRef="late")
        await w.until_service("s", "Pending", "TemplateNotFound", seconds=1)
        await w.ready("late", "", model="other")
        await w.until_service("s", "Failed", "TemplateModelMismatch", seconds=1)


@virtual_time
async def test_a_named_template_of_another_model_is_a_failure_with_a_remedy_until_it_is_corrected():
    async with serving() as w:
        await w.model("m")
        await w.ready("a", "team", model="other")
        w.start()
        await w.service("s", "team", model=M, templateRef="a")
        await w.until_service("s", "Failed", "TemplateModelMismatch", seconds=2)
        message = w.condition("Resolved")["message"]
        assert "'other'" in message
        assert "'m'" in message
        await w.model("other")
        await w.service("s", "team", model={"ref": "other"}, templateRef="a")
        await w.until_service("s", "Running")


@virtual_time
async def test_a_cluster_template_of_a_hidden_model_cannot_be_named_or_selected():
    async with serving() as w:
        await w.model("m")
        await w.model("m", "team", image="aim-team:1")
        await w.ready("a", "")
        w.start()
        await w.service("named", "team", model=M, templateRef="a")
        await w.until_service("named", "Failed", "TemplateModelMismatch", seconds=2)
        await w.service("s", "team", model=M)
        await w.until_service("s", "Failed", "TemplateNotFound", seconds=2)
        assert w.service_status()["templateMatching"][0]["droppedBy"] == "Enumeration"
        await w.delete(kinds.MODELS, "m")
        await w.until_service("s", "Running")
        await w.until_service("named", "Running")


@virtual_time
async def test_a_named_template_is_used_when_it_is_ready_and_the_cause_is_reported_before():
    async with serving(machines=[]) as w:
        await w.model("m")
        await w.ready("a", gpuSelector=GPU)
        w.start()
        await w.service("s", "team", model=M, templateRef="a")
        await w.until_service("s", "Starting", "TemplateNotReady", seconds=2)
        await w.until(
            lambda: "GPU MI300X, which no node offers" in w.condition("RuntimeReady")["message"], seconds=2
        )
        assert w.reason("Resolved") == "TemplateResolved"
        await w.cluster.node.add_machine(gpu_machine("n0"))
        await w.until_service("s", "Running")


@virtual_time
async def test_new_services_use_the_default_template_of_their_model():
    async with serving() as w:
        await w.model("m", defaultServiceTemplate="b")
        await w.ready("a")
        await w.ready("b")
        w.start()
        await w.service("s", "team", model=M)
        await w.until_service("s", "Running")
        assert w.uses() == "b"
        await w.model("m", defaultServiceTemplate="a")
        await asyncio.sleep(1)
        assert w.uses() == "b"
        await w.service("late", "team", model=M)
        await w.until_service("late", "Running")
        assert w.uses("late") == "a"


@virtual_time
async def test_a_default_template_that_does_not_exist_yet_is_ignored():
    async with serving() as w:
        await w.model("m", defaultServiceTemplate="late")
        await w.ready("a")
        await w.ready("b")
        w.start()
        await w.service("s", "team", model=M)
        await w.until_service("s", "Failed", "TemplateSelectionAmbiguous", seconds=2)
        await w.ready("late", "team", model="other")
        await w.until_service("s", "Failed", "TemplateModelMismatch", seconds=2)
        await w.delete_template("late", "team")
        await w.until_service("s", "Failed", "TemplateSelectionAmbiguous", seconds=2)
        await w.ready("late", "")
        await w.until_service("s", "Running")
        assert w.uses() == "late"


# ---- order of discovery


@virtual_time
async def test_templates_that_services_wait_for_are_discovered_first_also_derived_ones():
    async with serving(kserve=False) as w:
        await w.model("m")
        await w.model("mine", image="aim-mine:1")
        for number in range(12):
            await w.template(f"t{number:02}", f"ns{number % 4}")
        await w.template("base", "team")
        await w.template("waited", "team", model="mine")
        await w.template("owned", "team", model="third")
        await w.model("third")
        await w.service("by-image", "team", model={"image": "aim-mine:1"})
        uid = w.found(kinds.SERVICES, "by-image")["metadata"]["uid"]
        owner = {
            "apiVersion": "aim.silogen.ai/v1alpha1",
            "kind": "AIMService",
            "name": "by-image",
            "uid": uid,
        }
        await w.patch(kinds.TEMPLATES, "owned", metadata={"ownerReferences": [owner]})
        await w.service("derives", "team", model=M, templateRef="base", overrides=FAST)
        w.start(discovery_limit=1)
        await w.until(lambda: len(w.ledger.creations) >= 6, seconds=120)
        order = [body["metadata"]["ownerReferences"][0]["name"] for _, body in w.ledger.creations]
        assert {"waited", "base", "owned"} < set(order[:5]), order
        assert any(name.startswith("base-ovr-") for name in order[:5]), order
