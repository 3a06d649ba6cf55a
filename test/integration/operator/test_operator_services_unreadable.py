"""Templates that do not fit the types of this version are reported, and do not block others."""

from __future__ import annotations

import asyncio
import copy

import pytest

from aimctl.api import kinds
from aimctl.api.kinds import KINDS
from aimctl.testing.virtualtime import virtual_time
from support.service_witness import serving

M = {"ref": "m"}
QUIET = {"enabled": False}
FAST = {"metric": "throughput"}


@pytest.fixture
def complaints(logged_errors):
    """The names of the objects whose reconcile may fail, which the test adds."""
    allowed = set()
    yield allowed
    assert {event["name"] for event in logged_errors} <= allowed
    logged_errors.clear()


def newer_crds():
    """The CRDs of a version with one more precision."""
    definitions = [copy.deepcopy(kind.crd()) for kind in KINDS]
    for body in definitions:
        for version in body["spec"]["versions"]:
            properties = version["schema"]["openAPIV3Schema"]["properties"]["spec"].get("properties", {})
            if "modelName" in properties and "precision" in properties:
                properties["precision"]["enum"].append("fp6")
    return definitions


@virtual_time
async def test_an_unreadable_template_is_reported_and_does_not_block_others(complaints):
    complaints.add("new")
    async with serving(crds=newer_crds()) as w:
        await w.model("m", discovery=QUIET)
        await w.ready("new", precision="fp6")
        w.start()
        await w.service("s", "team", model=M)
        await w.until_service("s", "Failed", "TemplateNotFound", seconds=5)
        assert "new (this version of the operator cannot read it: " in w.condition("Resolved")["message"]
        await w.ready("a")
        await w.until_service("s", "Running", seconds=5)
        (new,) = [item for item in w.service_status("s")["templateMatching"] if item["name"] == "new"]
        assert (new["droppedBy"], new["selected"]) == ("Enumeration", False)
        assert "spec.precision" in new["message"]
        assert "fp6" in new["message"]
        assert "\n" not in new["message"]


@pytest.mark.parametrize("how", ["templateRef", "defaultServiceTemplate"])
@virtual_time
async def test_a_service_that_names_an_unreadable_template_reports_why_it_cannot_use_it(how, complaints):
    complaints.add("new")
    async with serving(crds=newer_crds()) as w:
        default = how == "defaultServiceTemplate"
        await w.model("m", discovery=QUIET, **({how: "new"} if default else {}))
        await w.ready("new", precision="fp6")
        await w.ready("a")
        w.start()
        await w.service("s", "team", model=M, **({} if default else {how: "new"}))
        await w.until_service("s", "Pending", "TemplateUnreadable", seconds=5)
        message = w.condition("Resolved")["message"]
        for words in (how, "AIMServiceTemplate 'new'", "spec.precision", "'fp6'", "upgrade the operator"):
            assert words in message
        await w.delete_template("new", "team")
        await w.ready("new", precision="fp8")
        await w.until_service("s", "Running", seconds=5)
        assert w.uses() == "new"


@virtual_time
async def test_a_running_service_follows_its_changes_while_the_default_of_its_model_is_unreadable(complaints):
    complaints.add("new")
    async with serving(crds=newer_crds()) as w:
        await w.model("m", discovery=QUIET, defaultServiceTemplate="new")
        await w.ready("a")
        w.start()
        await w.service("s", "team", model=M, templateRef="a")
        await w.until_service("s", "Running")
        await w.patch(kinds.SERVICES, "s", spec={"templateRef": None})
        await w.ready("new", precision="fp6")
        await w.patch(kinds.SERVICES, "s", spec={"replicas": 3})
        await w.until(lambda: w.runtime()["spec"]["predictor"]["minReplicas"] == 3, seconds=5)
        assert w.uses() == "a"


@virtual_time
async def test_a_service_whose_template_was_replaced_by_an_unreadable_one_uses_the_other(complaints):
    complaints.add("a")
    async with serving(crds=newer_crds()) as w:
        await w.model("m", discovery=QUIET)
        await w.ready("a")
        w.start()
        await w.service("s", "team", model=M)
        await w.until_service("s", "Running")
        await w.delete_template("a", "team")
        await w.ready("a", precision="fp6")
        await w.ready("b")
        await w.until(lambda: w.uses() == "b", seconds=60)
        await w.until_service("s", "Running")


@virtual_time
async def test_an_unreadable_base_affects_neither_its_derived_template_nor_other_services(
    complaints,
):
    complaints.add("base")
    async with serving(crds=newer_crds()) as w:
        await w.model("m", discovery=QUIET)
        await w.ready("base", metric="latency", env=[{"name": "A", "value": "1"}])
        await w.ready("other", metric="latency", precision="fp8")
        w.start()
        await w.service("x", "team", model=M, templateRef="base", overrides=FAST)
        await w.until_service("x", "Running")
        derived = w.uses("x")
        await w.delete_template("base", "team")
        await w.ready("base", metric="latency", precision="fp6")
        await w.service("s", "team", model=M, templateRef="other", overrides=FAST)
        await w.until_service("s", "Running")
        await asyncio.sleep(600)
        assert w.uses("x") == derived
        assert w.service_state("x") in ("Running", "Degraded")
        (variable,) = w.found(kinds.TEMPLATES, derived)["spec"]["env"]
        assert variable == {"name": "A", "value": "1"}
