"""The state of a service follows from model, template, cache and runtime; what it needs is wished for once."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aimctl.api.v1alpha1 import ServiceState
from aimctl.domain.resolution import Missing
from aimctl.domain.services.decision import decide_service
from aimctl.domain.services.derivation import derived_name
from aimctl.domain.services.observation import ModelWish, Refused
from aimctl.domain.services.resolution import resolve_template
from aimctl.domain.services.runtime_view import APPLIED_HASH_ANNOTATION, holds, manifest
from support.services import cache, runtime, service, template
from support.things import with_meta

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aimctl.domain.events import EventWish
    from aimctl.domain.services.decision import ServiceDecision
    from aimctl.domain.services.observation import ObservedInferenceService, ServiceObservation
    from aimctl.domain.templates.template import Template

A = template("a")
FAST = {"overrides": {"metric": "throughput"}}
WISH = ModelWish("ghcr.io/silogen/aim-llama:1")


@dataclass
class Settled:
    """The status and what was decided last, and every event on the way."""

    status: dict[str, Any]
    decision: ServiceDecision
    events: list[EventWish] = field(default_factory=list)
    writes: int = 0

    @property
    def state(self) -> str:
        return str(self.status["status"])

    def told(self, type_: str) -> tuple[str, str]:
        found = next(item for item in self.status["conditions"] if item["type"] == type_)
        return found["status"], found["reason"]

    def message(self, type_: str) -> str:
        return str(next(item["message"] for item in self.status["conditions"] if item["type"] == type_))

    @property
    def types(self) -> set[str]:
        return {item["type"] for item in self.status["conditions"]}


def settle(
    status: Mapping[str, Any] | None = None, refused: Refused | None = None, **differs: Any
) -> Settled:
    """Decide and apply until nothing changes; ``current`` follows the status, as the cache would."""
    now = dict(status or {})
    templates: list[Template] = list(differs.get("templates", ()))
    named: Template | None = differs.get("named")
    everyone = [*templates, *([named] if named is not None else [])]
    events: list[EventWish] = []
    for writes in range(4):
        known = (now.get("resolvedTemplate") or {}).get("uid")
        current = next((item for item in everyone if item.meta.uid == known), None)
        seen = replace(service(now, **{"current": current, **differs}), refused=refused)
        decision = decide_service(seen, resolve_template(seen))
        assert decision.status is not None
        if not decision.status.changes(now):
            return Settled(now, decision, events, writes)
        now = decision.status.merged_into(now)
        events += decision.events
    raise AssertionError(f"it never settles: {now}")


def deployed(seen: ServiceObservation, ready: str = "True", **differs: Any) -> ObservedInferenceService:
    """The runtime as it is after we applied it."""
    body = manifest(seen, A)
    return runtime(ready, body=body, annotations=body["metadata"]["annotations"], **differs)


def running(**differs: Any) -> dict[str, Any]:
    up = deployed(service(templates=[A]))
    return settle(templates=[A], kserve=True, runtime=up, **differs).status


# ---- the state of a new service


@pytest.mark.parametrize(
    ("differs", "state", "reason"),
    [
        ({"model_found": Missing("ModelNotFound", "no model")}, "Pending", "ModelNotFound"),
        ({"model_found": Missing("ModelAmbiguous", "two")}, "Pending", "ModelAmbiguous"),
        ({"model_found": WISH}, "Pending", "ModelRequested"),
        ({"config_name": "gold"}, "Pending", "RuntimeConfigNotFound"),
        ({"config_name": "gold", "model_found": WISH}, "Pending", "RuntimeConfigNotFound"),
        ({"spec": {"templateRef": "gone"}}, "Pending", "TemplateNotFound"),
        ({}, "Failed", "TemplateNotFound"),
        ({"templates": [A, template("b")]}, "Failed", "TemplateSelectionAmbiguous"),
        (
            {"spec": {"templateRef": "b"}, "named": template("b", model_name="other")},
            "Failed",
            "TemplateModelMismatch",
        ),
        ({"templates": [template("a", "Pending")]}, "Starting", "TemplateNotReady"),
        ({"spec": {"templateRef": "a"}, "named": template("a", "Failed")}, "Starting", "TemplateNotReady"),
        ({"templates": [A]}, "Starting", "RuntimeNotInstalled"),
        ({"templates": [A], "kserve": True}, "Starting", "RuntimeStarting"),
        ({"templates": [A], "kserve": True, "runtime": runtime(controller="other")}, "Failed", "NameTaken"),
        ({"templates": [A], "kserve": True, "runtime": runtime(controller="")}, "Failed", "NameTaken"),
        ({"templates": [A], "kserve": True, "runtime": runtime("")}, "Starting", "RuntimeStarting"),
        ({"templates": [A], "kserve": True, "runtime": runtime("Unknown")}, "Starting", "RuntimeStarting"),
        ({"templates": [A], "kserve": True, "runtime": runtime("False")}, "Starting", "RuntimeNotReady"),
        (
            {"templates": [A], "kserve": True, "runtime": runtime(deleting=True)},
            "Starting",
            "RuntimeStarting",
        ),
        ({"templates": [A], "kserve": True, "spec": {"cacheModel": True}}, "Starting", "CacheRequested"),
        (
            {"templates": [A], "kserve": True, "spec": {"cacheModel": True}, "cache": cache("Progressing")},
            "Starting",
            "CacheNotReady",
        ),
        (
            {"templates": [A], "kserve": True, "spec": {"cacheModel": True}, "cache": cache("Failed")},
            "Starting",
            "CacheFailed",
        ),
        (
            {"templates": [A], "kserve": True, "spec": {"cacheModel": True}, "cache": cache()},
            "Starting",
            "RuntimeStarting",
        ),
        (
            {"templates": [A], "spec": FAST, "named": A},
            "Starting",
            "DerivationPending",
        ),
    ],
)
def test_a_new_service_is_in_the_state_its_circumstances_say(
    differs: dict[str, Any], state: str, reason: str
) -> None:
    found = settle(**differs)
    assert found.state == state
    assert found.told("Ready") == (str(state == "Running"), reason)
    assert found.told("Failure")[0] == str(state == "Failed")
    stuck = reason == "TemplateNotReady" and "named" in differs
    progressing = state == "Starting" and reason != "RuntimeNotInstalled" and not stuck
    assert found.told("Progressing")[0] == str(progressing or reason == "ModelRequested")
    assert ("resolvedTemplate" in found.status) == (found.told("Resolved")[0] == "True")


def test_a_service_runs_when_its_runtime_is_ready_and_settles_when_that_is_up_to_date() -> None:
    old = settle(templates=[A], kserve=True, runtime=runtime("True"))
    assert (old.state, old.told("Ready")) == ("Running", ("True", "Running"))
    assert old.told("Progressing")[0] == "True"
    up = settle(old.status, templates=[A], kserve=True, runtime=deployed(service(templates=[A])))
    assert (up.state, up.told("Progressing")[0]) == ("Running", "False")


def test_the_template_that_is_waited_for_says_why() -> None:
    failed = template("a", "Failed", reason="DiscoveryFailed", message="image not found")
    found = settle(spec={"templateRef": "a"}, named=failed)
    assert found.told("Resolved") == ("True", "TemplateResolved")
    assert found.told("RuntimeReady") == ("False", "TemplateNotReady")
    for word in ("DiscoveryFailed", "image not found", "'a'"):
        assert word in found.message("RuntimeReady")


def test_how_far_a_template_is_writes_no_status() -> None:
    first = settle(
        templates=[one := template("a", "Progressing", reason="Warming", message="12 %")], named=one
    )
    second = settle(
        first.status,
        templates=[two := template("a", "Progressing", reason="Warming", message="34 %")],
        named=two,
    )
    assert second.writes == 0


def test_everything_resolved_is_shown() -> None:
    found = settle(templates=[A], generation=3)
    assert found.status["resolvedTemplate"] == {
        "kind": "AIMServiceTemplate",
        "name": "a",
        "namespace": "team",
        "scope": "Namespace",
        "uid": "a-uid",
    }
    assert found.status["resolvedImage"]["uid"] == "model-uid"
    assert found.status["resolvedRuntimeConfig"]["name"] == "default"
    assert found.status["observedGeneration"] == 3
    assert found.status["templateMatching"] == [
        {"name": "a", "scope": "Namespace", "selected": True, "message": "it fits"}
    ]


# ---- with overrides


def test_with_overrides_the_template_in_use_is_the_one_that_has_them() -> None:
    fast = template("z", metric="throughput")
    found = settle(templates=[A, fast], named=A, spec=FAST)
    assert found.status["resolvedTemplate"]["name"] == "z"
    assert "'a'" in found.message("Resolved")


@pytest.mark.parametrize(
    ("condition", "reason"),
    [
        (None, "DerivationPending"),
        ({"status": "False", "reason": "DerivedNameTaken", "message": "taken"}, "DerivedNameTaken"),
        ({"status": "True", "reason": "TemplateDerived", "message": "there"}, "DerivationPending"),
    ],
)
def test_until_there_is_one_derivation_says_why(condition: dict[str, Any] | None, reason: str) -> None:
    said = [{"type": "Derived", **condition}] if condition else []
    found = settle({"conditions": said}, templates=[A], named=A, spec=FAST)
    assert (found.state, found.told("Resolved")) == ("Starting", ("False", reason))
    assert [item for item in found.status["conditions"] if item["type"] == "Derived"] == said


def test_a_derived_template_is_kept_when_its_base_is_gone() -> None:
    derived = template("a-ovr-12345678", derived=True, base="a", metric="throughput")
    view = service(spec=FAST | {"templateRef": "a"}).view
    derived = with_meta(derived, name=derived_name("a", view.spec.overrides))
    found = settle(templates=[derived], current=derived, spec=FAST | {"templateRef": "a"})
    assert found.told("Resolved")[0] == "True"
    assert "kept" in found.message("Resolved")
    assert "'a'" in found.message("Resolved")


# ---- what is wished for


def test_a_model_is_wished_for_where_the_image_has_none_and_the_runtime_config_is_known() -> None:
    wish = settle(model_found=WISH).decision.create_model
    assert wish is not None
    assert wish["kind"] == "AIMModel"
    assert wish["spec"]["image"] == WISH.image
    assert settle(model_found=WISH, config_name="gold").decision.create_model is None
    assert settle(templates=[A]).decision.create_model is None


def test_a_refused_model_is_told_and_wished_for_again() -> None:
    found = settle(model_found=WISH, refused=Refused("AIMModel", "exceeded quota"))
    assert found.told("Resolved") == ("False", "ModelRefused")
    assert "exceeded quota" in found.message("Resolved")
    assert found.decision.create_model is not None


def test_a_cache_is_wished_for_by_a_service_that_asks_for_it_and_only_while_there_is_none() -> None:
    asked: dict[str, Any] = {"spec": {"cacheModel": True}, "templates": [A]}
    wish = settle(**asked).decision.create_cache
    assert wish is not None
    assert (wish["metadata"]["name"], wish["metadata"]["namespace"]) == ("a", "team")
    assert settle(cache=cache("Progressing"), **asked).decision.create_cache is None
    assert settle(templates=[A]).decision.create_cache is None
    caching = template("a", "Progressing", caching=True)
    by_itself = settle(templates=[caching], named=caching)
    assert by_itself.decision.create_cache is None
    assert by_itself.told("CacheReady") == ("False", "CacheRequested")


def test_where_no_caching_is_in_play_nothing_is_said_of_it() -> None:
    assert "CacheReady" not in settle(templates=[A]).types
    assert "CacheReady" not in settle(templates=[A], cache=cache()).types
    with_cache = settle(templates=[A], cache=cache(), spec={"cacheModel": True})
    assert with_cache.told("CacheReady") == ("True", "CacheAvailable")
    assert "CacheReady" not in settle(with_cache.status, templates=[A], cache=cache()).types


def test_a_cache_of_that_name_for_another_template_is_not_taken_for_ours() -> None:
    other = with_meta(cache(name="b"), name="a")
    found = settle(templates=[A], cache=other, spec={"cacheModel": True})
    assert found.told("CacheReady") == ("False", "CacheNameTaken")
    assert "'b'" in found.message("CacheReady")
    assert found.decision.create_cache is None


def test_a_refused_cache_is_told() -> None:
    found = settle(templates=[A], spec={"cacheModel": True}, refused=Refused("AIMTemplateCache", "not here"))
    assert found.told("CacheReady") == ("False", "CacheRefused")
    assert "not here" in found.message("Ready")
    assert found.decision.create_cache is not None


# ---- the runtime


def test_the_runtime_is_applied_once_and_again_only_for_what_changed() -> None:
    found = settle(templates=[A], kserve=True)
    body = found.decision.deploy
    assert body is not None
    assert body["metadata"]["ownerReferences"][0]["uid"] == "service-uid"
    there = runtime("", body=body, annotations=body["metadata"]["annotations"])
    assert settle(templates=[A], kserve=True, runtime=there).decision.deploy is None
    assert settle(templates=[A], kserve=True, runtime=there, spec={"replicas": 3}).decision.deploy is not None


def test_drift_is_repaired_and_what_we_did_not_ask_for_is_nobodys_business() -> None:
    body = settle(templates=[A], kserve=True).decision.deploy
    assert body is not None
    marks = body["metadata"]["annotations"]
    grown = {
        **body,
        "metadata": {**body["metadata"], "labels": {**body["metadata"]["labels"], "more": "x"}},
        "spec": {**body["spec"], "transformer": {"x": 1}},
    }
    kept = runtime("", body=grown, annotations=marks)
    assert settle(templates=[A], kserve=True, runtime=kept).decision.deploy is None
    predictor = {**body["spec"]["predictor"], "minReplicas": 7}
    for changed in (
        {**body, "spec": {**body["spec"], "predictor": predictor}},
        {**body, "spec": {}},
        {**body, "metadata": {**body["metadata"], "labels": {}}},
    ):
        drifted = runtime("", body=changed, annotations=marks)
        assert settle(templates=[A], kserve=True, runtime=drifted).decision.deploy == body


@pytest.mark.parametrize(
    ("have", "wanted", "whether"),
    [
        ({"a": 1, "b": 2}, {"a": 1}, True),
        ({"b": 2}, {"a": 1}, False),
        ({"a": [{"name": "y"}, {"name": "x", "v": 1}]}, {"a": [{"name": "x", "v": 1}]}, True),
        ({"a": [{"name": "x", "v": 2}]}, {"a": [{"name": "x", "v": 1}]}, False),
        ({"a": (1, 2)}, {"a": [1, 2]}, True),
        ({"a": (1, 2)}, {"a": [1]}, False),
        ({"a": 1}, {"a": []}, False),
        ({"a": 1}, {"a": {}}, False),
        ({}, {"a": None}, False),
    ],
)
def test_what_is_wanted_holds_when_all_of_it_is_there(have: Any, wanted: Any, whether: bool) -> None:
    assert holds(have, wanted) is whether


def test_a_foreign_runtime_is_never_touched_and_the_message_says_how_to_go_on() -> None:
    found = settle(templates=[A], kserve=True, runtime=runtime("True", controller="other"))
    assert found.decision.deploy is None
    assert "delete it" in found.message("Ready")


def test_what_kserve_says_is_mirrored() -> None:
    found = settle(templates=[A], kserve=True, runtime=runtime("False", message="no node fits"))
    assert "no node fits" in found.message("RuntimeReady")
    up = settle(templates=[A], kserve=True, runtime=runtime("True"))
    assert "http://chat.team.example.com" in up.message("Ready")


def test_without_the_runtime_installed_only_that_asks_for_another_look() -> None:
    assert settle(templates=[A]).decision.asks_for_runtime
    assert not settle(templates=[A], kserve=True).decision.asks_for_runtime
    assert not settle(templates=[template("a", "Pending")]).decision.asks_for_runtime


def test_a_refused_runtime_is_told_but_what_serves_goes_on_serving() -> None:
    no = Refused("InferenceService", "denied by policy")
    found = settle(templates=[A], kserve=True, refused=no)
    assert found.told("RuntimeReady") == ("False", "RuntimeRefused")
    assert found.decision.deploy is not None
    up = deployed(service(templates=[A]))
    change = {"templates": [A], "kserve": True, "runtime": up, "spec": {"replicas": 3}}
    assert settle(running(), refused=no, **change).state == "Running"


# ---- what was Running


@pytest.mark.parametrize(
    ("differs", "state", "reason"),
    [
        ({"templates": [A], "runtime": runtime("True")}, "Running", "Running"),
        ({"templates": [A], "runtime": runtime("False")}, "Degraded", "RuntimeNotReady"),
        ({"templates": [A], "runtime": None}, "Degraded", "RuntimeStarting"),
        ({"templates": [A], "runtime": None, "kserve": False}, "Degraded", "RuntimeNotInstalled"),
        ({"templates": [A], "runtime": runtime(deleting=True)}, "Degraded", "RuntimeStarting"),
        ({"templates": [template("a", "Degraded")], "runtime": runtime("True")}, "Running", "Running"),
        ({"templates": [template("a", "NotAvailable")], "runtime": runtime("True")}, "Running", "Running"),
        (
            {"templates": [template("a", "NotAvailable")], "runtime": runtime("False")},
            "Degraded",
            "RuntimeNotReady",
        ),
        ({"templates": [], "runtime": runtime("True")}, "Degraded", "TemplateNotFound"),
        ({"templates": [], "runtime": None}, "Failed", "TemplateNotFound"),
        (
            {"templates": [A], "runtime": runtime("True"), "model_found": Missing("ModelNotFound", "no")},
            "Degraded",
            "ModelNotFound",
        ),
        ({"templates": [A], "runtime": runtime("True", controller="other")}, "Failed", "NameTaken"),
        ({"templates": [A], "runtime": runtime("True"), "named": A, "spec": FAST}, "Running", "Running"),
    ],
)
def test_a_service_that_was_running_degrades_and_nothing_that_serves_is_taken_away(
    differs: dict[str, Any], state: str, reason: str
) -> None:
    found = settle(running(), **{"kserve": True, **differs})
    assert (found.state, found.told("Ready")) == (state, (str(state == "Running"), reason))


def test_what_is_not_ready_is_not_deployed_over_what_serves() -> None:
    up = deployed(service(templates=[A]))
    found = settle(
        running(),
        templates=[A],
        named=template("b", "Pending"),
        spec={"templateRef": "b"},
        kserve=True,
        runtime=up,
    )
    assert found.state == "Running"
    assert found.decision.deploy is None
    assert found.told("Progressing")[0] == "True"
    assert "'b'" in found.message("Ready")


def test_a_profile_is_deployed_with_the_image_that_it_is_of() -> None:
    mine, other = "ghcr.io/silogen/aim-llama:1", "ghcr.io/silogen/aim-llama:0"
    for asked in ("", mine):
        assert settle(templates=[template("a", asked=asked)], kserve=True).decision.deploy is not None
    late = template("a", asked=other)
    new = settle(templates=[late], kserve=True)
    assert (new.state, new.told("Ready")) == ("Starting", ("False", "TemplateNotReady"))
    assert new.told("Progressing")[0] == "True"
    assert new.decision.deploy is None
    assert f"{mine!r}" in new.message("Ready")
    assert f"{other!r}" in new.message("Ready")
    up = deployed(service(templates=[late]))
    old = settle(running(), templates=[late], kserve=True, runtime=up, spec={"replicas": 3})
    assert old.state == "Running"
    assert "as it was last set up" in old.message("Ready")
    assert old.decision.deploy is None


def test_what_the_runtime_was_last_set_up_with_stays_known() -> None:
    """So that it is kept, and not selected anew, once the model is back."""
    up = deployed(service(templates=[A]))
    lost = settle(
        running(), templates=[A], kserve=True, runtime=up, model_found=Missing("ModelNotFound", "no")
    )
    assert lost.status["resolvedTemplate"]["name"] == "a"
    back = settle(lost.status, templates=[A, template("b")], kserve=True, runtime=up)
    assert (back.state, back.status["resolvedTemplate"]["name"]) == ("Running", "a")


def test_a_service_being_deleted_is_left_alone() -> None:
    seen = service(templates=[A], deleting=True)
    assert decide_service(seen, resolve_template(seen)).status is None


def test_each_change_of_state_or_template_is_told_once() -> None:
    first = settle(templates=[A])
    assert [(event.type, event.reason) for event in first.events] == [
        ("Normal", "TemplateSelected"),
        ("Normal", "Starting"),
    ]
    lost = settle(first.status, templates=[])
    assert [(event.type, event.reason) for event in lost.events] == [("Warning", "Failed")]
    assert not settle(lost.status, templates=[]).events


# ---- whatever happens

BODY = manifest(service(templates=[A]), A)
MARKS = BODY["metadata"]["annotations"]
TEMPLATES = st.lists(
    st.builds(
        template,
        name=st.sampled_from(["a", "b"]),
        state=st.sampled_from(["Ready", "Ready", "Pending", "Failed", "Degraded", "NotAvailable", ""]),
        metric=st.sampled_from(["latency", "throughput"]),
        cluster=st.just(value=False),
        caching=st.booleans(),
    ),
    max_size=2,
    unique_by=lambda item: item.meta.name,
)
STEPS = st.fixed_dictionaries(
    {
        "templates": TEMPLATES,
        "by_name": st.booleans(),
        "model": st.sampled_from([None, None, None, Missing("ModelNotFound", "no"), WISH]),
        "config_name": st.sampled_from(["default", "default", "gold"]),
        "kserve": st.booleans(),
        "runtime": st.sampled_from(
            [
                None,
                runtime("True"),
                runtime("False"),
                runtime("True", controller="other"),
                runtime(deleting=True),
            ]
            + [runtime(ready, body=BODY, annotations=MARKS) for ready in ("True", "False", "")]
        ),
        "cache": st.sampled_from([None, cache(), cache("Progressing"), cache("Failed")]),
        "spec": st.sampled_from([{}, FAST, {"cacheModel": True}, {"replicas": 2}]),
        "refused": st.sampled_from(
            [None, None, Refused("InferenceService", "no"), Refused("AIMModel", "no")]
        ),
        "deleting": st.just(value=False),
    }
)


@settings(max_examples=250)
@given(st.lists(STEPS, min_size=1, max_size=6))
def test_whatever_happens_decisions_settle_and_hold_together(steps: list[dict[str, Any]]) -> None:
    status: dict[str, Any] = {}
    for step in steps:
        differs = dict(step)
        found_model = differs.pop("model")
        if differs.pop("by_name"):
            differs["spec"] = {**differs["spec"], "templateRef": "a"}
            differs["named"] = next((item for item in differs["templates"] if item.meta.name == "a"), None)
        if found_model is not None:
            differs["model_found"] = found_model
        if not differs["kserve"]:
            differs["runtime"] = None
        found = settle(status, **differs)
        status = found.status
        assert not settle(status, **differs).writes
        state, decision = found.state, found.decision
        assert state in set(ServiceState)
        assert found.told("Ready")[0] == str(state == "Running")
        if state == "Running":
            assert found.told("RuntimeReady")[0] == "True"
        if state == "Failed":
            assert found.told("Failure")[0] == "True"
        assert [decision.create_model, decision.create_cache, decision.deploy].count(None) >= 2
        if decision.deploy is not None:
            assert differs["kserve"]
            assert found.told("Resolved")[0] == "True"
            used = next(
                item for item in differs["templates"] if item.meta.name == status["resolvedTemplate"]["name"]
            )
            assert used.view.status.status == "Ready"
            if "CacheReady" in found.types:
                assert found.told("CacheReady")[0] == "True"
            assert decision.deploy["metadata"]["annotations"][APPLIED_HASH_ANNOTATION]
            there = differs["runtime"]
            assert there is None or there.controller == "service-uid"
