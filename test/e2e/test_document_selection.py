"""What the document says about choosing a template for a service that names none.

Docstrings name the rows of ``docs/conformance.md`` that a test shows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from support.stage import condition, said
from support.waiting import eventually

if TYPE_CHECKING:
    from support.stage import Stage

SMALL = {"metric": "latency", "precision": "fp16", "gpuSelector": {"count": 1, "model": "MI300X"}}


def matching(status: dict[str, Any]) -> dict[str, str]:
    """Template -> the step that dropped it, "" for none."""
    return {item["name"]: item.get("droppedBy", "") for item in status.get("templateMatching", ())}


def test_the_one_template_that_fits_is_selected(stage: Stage) -> None:
    """Document 83, 84, 89, 100."""
    stage.model()
    stage.model("other")
    stage.template("fits", **SMALL)
    stage.template("of-another-model", model="other", **SMALL)
    stage.until("AIMServiceTemplate", "fits", "Ready")
    stage.service()
    status = stage.until_resolved("service", "fits")
    assert said(status)["Resolved"][0] == "True"
    made = stage.get("AIMServiceTemplate", "fits")
    assert status["resolvedTemplate"] == {
        "kind": "AIMServiceTemplate", "name": "fits", "namespace": stage.namespace, "scope": "Namespace",
        "uid": made["metadata"]["uid"],
    }  # fmt: skip
    assert matching(status) == {"fits": ""}
    assert status["templateMatching"][0]["selected"] is True


def test_an_image_leads_to_its_model_and_that_models_template(stage: Stage) -> None:
    """Document 85."""
    image = stage.cluster.image(f"aim-{stage.namespace}:1")
    stage.make("AIMService", "service", {"model": {"image": image}})
    model = eventually(
        lambda: stage.status("AIMService", "service").get("resolvedImage"),
        60,
        "a model is made for the image",
    )
    assert model["name"].startswith("auto-")
    assert stage.get("AIMModel", model["name"])["spec"]["image"] == image
    stage.template("fits", model=model["name"], **SMALL)
    stage.until_resolved("service", "fits")


def test_each_step_drops_its_candidates_and_says_so(stage: Stage) -> None:
    """Document 86, 87, 88, 90."""
    stage.model()
    stage.model("other", "broken")
    stage.template("no-gpu", metric="latency", gpuSelector={"count": 1, "model": "MI355X"})
    for name in ("other-metric", "other-too"):
        stage.template(name, metric="throughput")
    stage.template("not-ready", runtimeConfigName="missing", metric="latency")
    stage.until("AIMServiceTemplate", "no-gpu", "NotAvailable")
    stage.until("AIMServiceTemplate", "other-metric", "Ready")
    stage.until("AIMServiceTemplate", "other-too", "Ready")
    stage.until("AIMServiceTemplate", "not-ready", "Pending")
    stage.service(overrides={"metric": "latency", "precision": "fp8"})
    eventually(
        lambda: len(matching(stage.status("AIMService", "service"))) == 4,
        60,
        "every candidate is listed",
        otherwise=lambda: stage.status("AIMService", "service"),
    )
    status = stage.status("AIMService", "service")
    dropped = matching(status)
    assert dropped["not-ready"] == "Ready"
    assert dropped["no-gpu"] in {"Ready", "GPU"}, (
        "NotAvailable is not Ready, for the reason that its GPU is missing"
    )
    assert dropped["other-metric"] == "Overrides"
    messages = {item["name"]: item["message"] for item in status["templateMatching"]}
    assert "MI355X" in messages["no-gpu"]
    assert "throughput" in messages["other-metric"]

    stage.edit("AIMServiceTemplate", "not-ready", {"runtimeConfigName": "default"})
    stage.delete("AIMServiceTemplate", "not-ready")
    failure = stage.until_condition("AIMService", "service", "Failure", "TemplateSelectionAmbiguous")
    assert failure["status"] == "True"
    for name in ("other-metric", "other-too"):
        assert name in failure["message"], "several templates could be the base of the overrides"
    assert "templateRef" in failure["message"]

    stage.delete("AIMService", "service")  # with one of the two, a template would be derived from it
    for name in ("other-metric", "other-too"):
        stage.delete("AIMServiceTemplate", name)
    stage.service("again", overrides={"metric": "latency", "precision": "fp8"})
    failure = stage.until_condition("AIMService", "again", "Failure", "TemplateNotFound")
    assert "no-gpu" in failure["message"]
    assert "MI355X" in failure["message"]
    assert "remove the cause" in failure["message"]


def test_several_that_fit_are_ambiguous_and_the_service_says_between_which(stage: Stage) -> None:
    """Document 91."""
    stage.model()
    for name in ("one", "two"):
        stage.template(name, metric="latency", serviceAccountName="default")
        stage.until("AIMServiceTemplate", name, "Ready")
    stage.service()
    failure = stage.until_condition("AIMService", "service", "Failure", "TemplateSelectionAmbiguous")
    assert failure["status"] == "True"
    assert all(word in failure["message"] for word in ("one", "two", "templateRef"))
    assert stage.status("AIMService", "service")["status"] == "Failed"

    stage.delete("AIMServiceTemplate", "two")
    stage.until_resolved("service", "one")


def test_a_service_that_has_its_template_is_not_moved_when_a_second_one_appears(stage: Stage) -> None:
    stage.model()
    stage.template("first", **SMALL)
    stage.until("AIMServiceTemplate", "first", "Ready")
    stage.service()
    stage.until_resolved("service", "first")
    stage.template("second", **SMALL | {"metric": "throughput"})
    stage.until("AIMServiceTemplate", "second", "Ready")
    eventually(
        lambda: "second" in condition(stage.status("AIMService", "service"), "Resolved").get("message", ""),
        30,
        "the service says that it keeps what it has, and what would fit as well",
        otherwise=lambda: stage.status("AIMService", "service"),
    )
    assert stage.status("AIMService", "service")["resolvedTemplate"]["name"] == "first"
