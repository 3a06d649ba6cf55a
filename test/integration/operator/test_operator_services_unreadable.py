"""Templates that do not fit the types of this version: they are told of, and hold up nobody else."""

from __future__ import annotations

import asyncio
import copy

import pytest

from aimctl.api import kinds
from aimctl.api.crd import crd
from aimctl.api.kinds import KINDS
from aimctl.testing.virtualtime import virtual_time
from support.service_witness import serving

M = {"ref": "m"}
QUIET = {"enabled": False}
FAST = {"metric": "throughput"}


@pytest.fixture
def complaints(logged_errors):
    """Names of the objects whose reconcilers may fail, to be filled: that of the template itself."""
    allowed = set()
    yield allowed
    assert {event["name"] for event in logged_errors} <= allowed
    logged_errors.clear()


def newer_crds():
    """Those of a version that knows one more precision."""
    definitions = [copy.deepcopy(crd(kind)) for kind in KINDS]
    for body in definitions:
        for version in body["spec"]["versions"]:
            properties = version["schema"]["openAPIV3Schema"]["properties"]["spec"].get("properties", {})
            if "modelName" in properties and "precision" in properties:
                properties["precision"]["enum"].append("fp6")
    return definitions


@virtual_time
async def test_a_template_that_this_version_cannot_read_holds_up_nobody_and_is_told_of(complaints):
    complaints.add("new")
    async with serving(crds=newer_crds()) as w:
        await w.model("m", discovery=QUIET)
        await w.ready("new", precision="fp6")
        w.start()
        await w.service("s", "team", model=M)
        await w.until_service("s", "Failed", "TemplateNotFound", seconds=5)
        assert (
            "new (Enumeration: this version of the operator cannot read it: " in w.said("Resolved")["message"]
        )
        await w.ready("a")
        await w.until_service("s", "Running", seconds=5)
        (new,) = [item for item in w.service_status("s")["templateMatching"] if item["name"] == "new"]
        assert (new["droppedBy"], new["selected"]) == ("Enumeration", False)
        assert "spec.precision" in new["message"]
        assert "fp6" in new["message"]
        assert "\n" not in new["message"]


@pytest.mark.parametrize("how", ["templateRef", "defaultServiceTemplate"])
@virtual_time
async def test_a_service_that_is_to_use_one_says_why_it_cannot(how, complaints):
    complaints.add("new")
    async with serving(crds=newer_crds()) as w:
        default = how == "defaultServiceTemplate"
        await w.model("m", discovery=QUIET, **({how: "new"} if default else {}))
        await w.ready("new", precision="fp6")
        await w.ready("a")
        w.start()
        await w.service("s", "team", model=M, **({} if default else {how: "new"}))
        await w.until_service("s", "Pending", "TemplateUnreadable", seconds=5)
        message = w.said("Resolved")["message"]
        for words in (how, "AIMServiceTemplate 'new'", "spec.precision", "'fp6'", "upgrade the operator"):
            assert words in message
        await w.delete_template("new", "team")
        await w.ready("new", precision="fp8")
        await w.until_service("s", "Running", seconds=5)
        assert w.uses() == "new"


@virtual_time
async def test_a_service_that_runs_follows_its_edits_when_the_default_of_its_model_cannot_be_read(complaints):
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
async def test_a_service_whose_template_was_made_anew_unreadable_takes_the_one_that_is_left(complaints):
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
async def test_a_base_that_cannot_be_read_leaves_what_is_derived_alone_and_others_their_derivation(
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
