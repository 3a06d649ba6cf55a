"""What the document says about overrides: templates derived, found, shared and cleaned up.

Docstrings name the rows of ``docs/conformance.md`` that a test shows.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest

from support.stage import condition, said
from support.waiting import eventually

if TYPE_CHECKING:
    from support.managers import ManagerProcess
    from support.stage import Stage

PRINTED = {"metric": "throughput", "precision": "fp16"}
SMALL = {"metric": "latency", "precision": "fp16", "gpuSelector": {"count": 1, "model": "MI300X"}}


def foretold(base: str, overrides: dict[str, Any]) -> str:
    """The name that anyone can work out: SHA-256 over the overrides as sorted JSON without spaces."""
    text = json.dumps(overrides, sort_keys=True, separators=(",", ":"))
    return f"{base}-ovr-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def owners(document: dict[str, Any]) -> set[str]:
    return {item["name"] for item in document["metadata"].get("ownerReferences", ())}


def derived(stage: Stage, name: str, *services: str) -> dict[str, Any]:
    """The derived template, once these services own it."""
    return eventually(
        lambda: (found := stage.get("AIMServiceTemplate", name)) and owners(found) == set(services) and found,
        60,
        f"{name} belongs to {services}",
        otherwise=lambda: [stage.get("AIMServiceTemplate", name), stage.list("AIMService")],
    )


def test_overrides_make_a_template_of_a_name_that_can_be_foretold(stage: Stage) -> None:
    """Document 43, 46, 47, 48, 49, 51, 56, 93."""
    stage.model("meta-llama-3-8b", "llama-3-8b")
    stage.template(
        "base-template",
        model="meta-llama-3-8b",
        **SMALL,
        serviceAccountName="default",
        env=[{"name": "FROM_BASE", "value": "yes"}],
    )
    stage.service("chat-service", model="meta-llama-3-8b", templateRef="base-template", overrides=PRINTED)
    made = derived(stage, foretold("base-template", PRINTED), "chat-service")
    assert made["metadata"]["namespace"] == stage.namespace
    assert {
        "app.kubernetes.io/managed-by": "aim",
        "aim.silogen.ai/derived-template": "true",
    }.items() <= made["metadata"]["labels"].items()
    base = stage.get("AIMServiceTemplate", "base-template")
    assert made["spec"] == base["spec"] | PRINTED
    assert "aim.silogen.ai/derived-template" not in base["metadata"].get("labels", {})
    (owner,) = made["metadata"]["ownerReferences"]
    assert owner["uid"] == stage.get("AIMService", "chat-service")["metadata"]["uid"]

    status = stage.until("AIMServiceTemplate", made["metadata"]["name"], "Ready")
    assert status["profile"]["metadata"]["metric"] == "throughput"
    assert len(stage.jobs(f"aim.silogen.ai/template={made['metadata']['name']}")) == 1
    eventually(
        lambda: (
            stage.status("AIMService", "chat-service").get("resolvedTemplate", {}).get("name")
            == made["metadata"]["name"]
        ),
        30,
        "the service uses it",
    )


def test_the_base_is_named_or_selected(stage: Stage) -> None:
    """Document 42."""
    stage.model()
    stage.template("only", **SMALL)
    stage.until("AIMServiceTemplate", "only", "Ready")
    stage.service("selecting", overrides={"metric": "latency"})
    stage.service("naming", templateRef="only", overrides={"metric": "throughput"})
    stage.until_condition("AIMService", "selecting", "Derived", "TemplateFound")
    assert stage.status("AIMService", "selecting")["resolvedTemplate"]["name"] == "only"
    derived(stage, foretold("only", {"metric": "throughput"}), "naming")

    stage.service("deriving", overrides={"precision": "bf16"})
    name = foretold("only", {"precision": "bf16"})
    derived(stage, name, "deriving")
    stage.until_resolved("deriving", name)


def test_a_long_base_name_is_cut_to_63_characters_and_meets_no_other(stage: Stage) -> None:
    """Document 44."""
    stage.model()
    names = [f"{'long-' * 16}{letter}" for letter in "ab"]
    for letter, name in zip("ab", names, strict=True):
        precision = {"a": "fp8", "b": "bf16"}[letter]
        stage.template(name, metric="latency", precision=precision)
        stage.service(letter, templateRef=name, overrides={"metric": "throughput"})
    found = eventually(
        lambda: (
            len(
                items := [
                    item
                    for item in stage.list("AIMServiceTemplate")
                    if "aim.silogen.ai/derived-template" in item["metadata"].get("labels", {})
                ]
            )
            == 2
            and items
        ),
        60,
        "both are derived",
    )
    suffix = foretold("", {"metric": "throughput"})
    assert all(len(item["metadata"]["name"]) <= 63 for item in found)
    assert all(item["metadata"]["name"].endswith(suffix) for item in found)
    assert {item["spec"]["precision"] for item in found} == {"fp8", "bf16"}


@pytest.mark.parametrize("scope", ["namespace", "cluster"])
def test_a_template_that_fits_already_is_used_instead(stage: Stage, scope: str) -> None:
    """Document 45."""
    name = stage.named("model")
    stage.make(
        "AIMClusterModel", name, {"image": stage.cluster.image("quick"), "discovery": {"enabled": False}}
    )
    stage.template("base", model=name, **SMALL)
    fitting = stage.named("fitting")
    kind = "AIMServiceTemplate" if scope == "namespace" else "AIMClusterServiceTemplate"
    stage.make(kind, fitting, {"modelName": name, **SMALL, "metric": "throughput"})
    stage.until(kind, fitting, "Ready")
    stage.service(model=name, templateRef="base", overrides={"metric": "throughput"})
    stage.until_condition("AIMService", "service", "Derived", "TemplateFound")
    status = stage.status("AIMService", "service")
    assert (status["resolvedTemplate"]["kind"], status["resolvedTemplate"]["name"]) == (kind, fitting)
    assert stage.get("AIMServiceTemplate", foretold("base", {"metric": "throughput"})) is None
    assert owners(stage.get(kind, fitting)) == set(), "a hand-made template is owned by nobody"


def test_the_last_service_takes_the_derived_template_with_it(stage: Stage) -> None:
    """Document 50, 52."""
    stage.model()
    stage.template("base", **SMALL)
    for name in ("one", "two"):
        stage.service(name, templateRef="base", overrides=PRINTED)
    name = foretold("base", PRINTED)
    made = derived(stage, name, "one", "two")
    stage.delete("AIMService", "one")
    shared = derived(stage, name, "two")
    assert shared["metadata"]["uid"] == made["metadata"]["uid"]
    stage.delete("AIMService", "two")
    stage.until_gone("AIMServiceTemplate", name)
    assert stage.get("AIMServiceTemplate", "base") is not None


def test_no_derived_template_is_left_when_the_overrides_change_or_go(stage: Stage) -> None:
    stage.model()
    stage.template("base", **SMALL)
    stage.service(templateRef="base", overrides={"metric": "throughput"})
    first = foretold("base", {"metric": "throughput"})
    derived(stage, first, "service")
    stage.edit("AIMService", "service", {"overrides": {"metric": None, "precision": "fp8"}})
    second = foretold("base", {"precision": "fp8"})
    derived(stage, second, "service")
    stage.until_gone("AIMServiceTemplate", first)
    stage.edit("AIMService", "service", {"overrides": None})
    stage.until_gone("AIMServiceTemplate", second)
    assert stage.get("AIMServiceTemplate", "base") is not None


def test_a_cluster_base_is_derived_into_the_services_namespace(stage: Stage) -> None:
    """Document 53."""
    name = stage.named("base")
    stage.make(
        "AIMClusterModel", name, {"image": stage.cluster.image("quick"), "discovery": {"enabled": False}}
    )
    stage.make("AIMClusterServiceTemplate", name, {"modelName": name, **SMALL})
    stage.service(model=name, templateRef=name, overrides=PRINTED)
    made = derived(stage, foretold(name, PRINTED), "service")
    assert made["metadata"]["namespace"] == stage.namespace
    stage.until("AIMServiceTemplate", made["metadata"]["name"], "Ready")
    assert len(stage.jobs()) == 1, "its discovery runs in the service's namespace, too"


def test_a_restarted_operator_finds_what_it_derived(stage: Stage, operator: ManagerProcess) -> None:
    """Document 54."""
    name = foretold("base", PRINTED)
    stage.model()
    stage.template("base", **SMALL)
    stage.service(templateRef="base", overrides=PRINTED)
    for each in ("base", name):
        stage.until("AIMServiceTemplate", each, "Ready")
    before = stage.list("AIMServiceTemplate")
    assert operator.terminate() == 0
    operator.start()
    operator.wait_ready()
    stage.edit("AIMService", "service", {"replicas": 2})
    eventually(
        lambda: stage.status("AIMService", "service").get("observedGeneration") == 2, 30, "it looked again"
    )
    assert stage.list("AIMServiceTemplate") == before


def test_a_service_can_name_a_derived_template(stage: Stage) -> None:
    """Document 55."""
    stage.model()
    stage.template("base", **SMALL)
    stage.service("deriving", templateRef="base", overrides=PRINTED)
    name = foretold("base", PRINTED)
    stage.until("AIMServiceTemplate", name, "Ready")
    stage.service("naming", templateRef=name)
    stage.until_resolved("naming", name)


def test_a_missing_or_unready_base_is_explained_on_the_service(stage: Stage) -> None:
    """Document 99."""
    stage.model()
    stage.model("broken", "broken")
    stage.template("broken", model="broken", **SMALL)
    stage.service("missing", templateRef="nowhere", overrides=PRINTED)
    stage.service("unready", model="broken", templateRef="broken", overrides=PRINTED)
    missing = stage.until_condition("AIMService", "missing", "Derived", "BaseTemplateNotFound")
    assert missing["message"] == "see the condition Resolved"
    assert "nowhere" in condition(stage.status("AIMService", "missing"), "Resolved")["message"]
    assert said(stage.status("AIMService", "missing"))["Ready"][0] == "False"
    stage.until("AIMServiceTemplate", "broken", "Failed")
    eventually(
        lambda: "Failed" in condition(stage.status("AIMService", "unready"), "Derived").get("message", ""),
        60,
        "the service says how its base is",
        otherwise=lambda: stage.status("AIMService", "unready"),
    )

    stage.template("nowhere", **SMALL)
    derived(stage, foretold("nowhere", PRINTED), "missing")


def test_the_bases_later_edits_are_followed(stage: Stage) -> None:
    stage.model()
    stage.template("base", **SMALL)
    stage.service(templateRef="base", overrides=PRINTED)
    name = foretold("base", PRINTED)
    derived(stage, name, "service")
    stage.edit("AIMServiceTemplate", "base", {"env": [{"name": "LATER", "value": "1"}]})
    eventually(
        lambda: stage.get("AIMServiceTemplate", name)["spec"].get("env") == [{"name": "LATER", "value": "1"}],
        30,
        "the derived template has the base's new environment",
    )
    assert stage.get("AIMServiceTemplate", name)["spec"]["metric"] == "throughput"
