"""The state of a service follows from model, template, cache and runtime, and the plan creates what it needs once."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aimctl.api import kinds
from aimctl.api.v1alpha1 import ServiceState
from aimctl.domain.naming import auto_model_name
from aimctl.domain.plan import Apply, Create, Plan, WriteStatus
from aimctl.domain.resolution import Missing
from aimctl.domain.services.decision import decide_service
from aimctl.domain.services.derivation.derived_template import derived_name
from aimctl.domain.services.observation import NewModel
from aimctl.domain.services.runtime import APPLIED_HASH_ANNOTATION, contains, fingerprint, manifest
from aimctl.domain.services.selection import WAIT_SECONDS
from support.plans import outline, part_of
from support.services import cache, deployment, rejected, runtime, service, template
from support.things import with_fields, with_meta

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aimctl.domain.events import PlannedEvent
    from aimctl.domain.services.observation import DeploymentObservation
    from aimctl.domain.services.runtime import InferenceService
    from aimctl.domain.templates.template import Template

A = template("a")
FAST = {"overrides": {"metric": "throughput"}}
NEW_MODEL = NewModel("ghcr.io/silogen/aim-llama:1")


@dataclass
class Settled:
    """The status and the last plan, and every Event on the way."""

    status: dict[str, Any]
    plan: Plan
    events: list[PlannedEvent] = field(default_factory=list)
    writes: int = 0

    @property
    def state(self) -> str:
        return str(self.status["status"])

    @property
    def created(self) -> list[str]:
        """The kinds that the plan creates."""
        return [action.resource.kind for action in self.plan.of_type(Create)]

    @property
    def applied(self) -> dict[str, Any] | None:
        """The InferenceService that the plan applies."""
        applies = [action.manifest for action in self.plan.of_type(Apply)]
        return applies[0] if applies else None

    def finding(self, type_: str) -> tuple[str, str]:
        """Status and reason of a condition."""
        found = next(item for item in self.status["conditions"] if item["type"] == type_)
        return found["status"], found["reason"]

    def message(self, type_: str) -> str:
        return str(next(item["message"] for item in self.status["conditions"] if item["type"] == type_))

    @property
    def types(self) -> set[str]:
        return {item["type"] for item in self.status["conditions"]}


def settle(status: Mapping[str, Any] | None = None, **differs: Any) -> Settled:
    """Decide and write the status until nothing changes; ``current`` follows the status, as the cache would."""
    now = dict(status or {})
    templates: list[Template] = list(differs.get("templates", ()))
    named: Template | None = differs.get("named")
    existing = [*templates, *([named] if named is not None else [])]
    events: list[PlannedEvent] = []
    for writes in range(4):
        known = (now.get("resolvedTemplate") or {}).get("uid")
        current = next((item for item in existing if item.meta.uid == known), None)
        plan = decide_service(deployment(now, **{"current": current, **differs}))
        part = part_of(plan)
        if not part.changes(now):
            return Settled(now, plan, events, writes)
        now = part.merged_into(now)
        events += [event for action in plan.of_type(WriteStatus) for event in action.events]
    raise AssertionError(f"it never settles: {now}")


def deployed(seen: DeploymentObservation, ready: str = "True") -> InferenceService:
    """The runtime after it was applied."""
    return runtime(ready, body=manifest(seen, A))


UP = deployed(deployment(templates=[A]))


def running(**differs: Any) -> dict[str, Any]:
    return settle(templates=[A], kserve=True, runtime=UP, **differs).status


# ---- the state of a new service


@pytest.mark.parametrize(
    ("differs", "state", "reason"),
    [
        ({"model_found": Missing("ModelNotFound", "no model")}, "Pending", "ModelNotFound"),
        ({"model_found": Missing("ModelAmbiguous", "two")}, "Pending", "ModelAmbiguous"),
        ({"model_found": NEW_MODEL}, "Pending", "ModelRequested"),
        ({"config_name": "gold"}, "Pending", "RuntimeConfigNotFound"),
        ({"config_name": "gold", "model_found": NEW_MODEL}, "Pending", "RuntimeConfigNotFound"),
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
def test_the_state_of_a_new_service(differs: dict[str, Any], state: str, reason: str) -> None:
    found = settle(**differs)
    assert found.state == state
    assert found.finding("Ready") == (str(state == "Running"), reason)
    assert found.finding("Failure")[0] == str(state == "Failed")
    stuck = reason == "TemplateNotReady" and "named" in differs
    progressing = state == "Starting" and reason != "RuntimeNotInstalled" and not stuck
    assert found.finding("Progressing")[0] == str(progressing or reason == "ModelRequested")
    assert ("resolvedTemplate" in found.status) == (found.finding("Resolved")[0] == "True")


def test_a_service_is_running_when_its_runtime_is_ready_and_not_progressing_when_that_is_up_to_date() -> None:
    old = settle(templates=[A], kserve=True, runtime=runtime("True"))
    assert (old.state, old.finding("Ready")) == ("Running", ("True", "Running"))
    assert old.finding("Progressing")[0] == "True"
    up = settle(old.status, templates=[A], kserve=True, runtime=UP)
    assert (up.state, up.finding("Progressing")[0]) == ("Running", "False")


def test_the_cause_of_a_template_that_is_not_ready_is_reported() -> None:
    failed = template("a", "Failed", reason="DiscoveryFailed", message="image not found")
    found = settle(spec={"templateRef": "a"}, named=failed)
    assert found.finding("Resolved") == ("True", "TemplateResolved")
    assert found.finding("RuntimeReady") == ("False", "TemplateNotReady")
    for word in ("DiscoveryFailed", "image not found", "'a'"):
        assert word in found.message("Ready")


def test_the_progress_of_a_template_causes_no_write() -> None:
    first = settle(
        templates=[one := template("a", "Progressing", reason="Warming", message="12 %")], named=one
    )
    second = settle(
        first.status,
        templates=[two := template("a", "Progressing", reason="Warming", message="34 %")],
        named=two,
    )
    assert second.writes == 0


def test_the_status_has_all_resolved_references() -> None:
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
        {"name": "a", "scope": "Namespace", "selected": True, "message": "it matches"}
    ]


# ---- with overrides


def test_with_overrides_the_template_in_use_is_the_one_that_has_their_values() -> None:
    fast = template("z", metric="throughput")
    found = settle(templates=[A, fast], named=A, spec=FAST)
    assert found.status["resolvedTemplate"]["name"] == "z"
    assert "'a'" in found.message("Resolved")


@pytest.mark.parametrize(
    ("condition", "reason"),
    [
        (None, "DerivationPending"),
        ({"status": "False", "reason": "DerivationRefused", "message": "quota"}, "DerivationRefused"),
        (
            {"status": "False", "reason": "DerivationRefused", "message": "quota", "observedGeneration": 1},
            "DerivationPending",
        ),
        ({"status": "False", "reason": "DerivedNameTaken", "message": "taken"}, "DerivationPending"),
        ({"status": "True", "reason": "TemplateDerived", "message": "there"}, "DerivationPending"),
    ],
)
def test_only_a_rejection_for_the_current_spec_is_read_from_the_condition_of_derivation(
    condition: dict[str, Any] | None, reason: str
) -> None:
    derived = [{"type": "Derived", "observedGeneration": 2, **condition}] if condition else []
    found = settle({"conditions": derived}, templates=[A], named=A, spec=FAST, generation=2)
    assert (found.state, found.finding("Resolved")) == ("Starting", ("False", reason))
    assert [item for item in found.status["conditions"] if item["type"] == "Derived"] == derived
    assert found.message("Resolved") == "see the condition Derived"
    assert found.message("RuntimeReady") == "see the condition Derived"
    assert ("quota" in found.message("Ready")) == (reason == "DerivationRefused")


def test_a_template_that_has_the_derived_name_and_differs_is_reported_without_derivation() -> None:
    name = derived_name("a", service(spec=FAST).spec.overrides)
    found = settle(templates=[A], named=A, spec=FAST, holder=template(name))
    assert (found.state, found.finding("Resolved")) == ("Starting", ("False", "DerivedNameTaken"))
    assert found.finding("Progressing")[0] == "False"


def test_a_derived_template_is_kept_when_its_base_does_not_exist_any_more() -> None:
    spec = FAST | {"templateRef": "a"}
    derived = template("a-ovr-12345678", derived=True, base="a", metric="throughput")
    derived = with_meta(derived, name=derived_name("a", service(spec=spec).spec.overrides))
    found = settle(templates=[derived], current=derived, spec=spec)
    assert found.finding("Resolved")[0] == "True"
    assert "kept" in found.message("Resolved")
    assert "'a'" in found.message("Resolved")


# ---- what is created


def test_a_model_is_created_if_the_image_has_none_and_the_runtime_config_exists() -> None:
    found = settle(model_found=NEW_MODEL)
    assert outline(found.plan) == ["WriteStatus", f"Create {auto_model_name(NEW_MODEL.image)}"]
    (create,) = found.plan.of_type(Create)
    assert create.resource == kinds.MODELS
    assert create.manifest["spec"]["image"] == NEW_MODEL.image
    assert settle(model_found=NEW_MODEL, config_name="gold").created == []
    assert settle(templates=[A]).created == []


def test_a_rejected_model_is_reported_and_planned_again() -> None:
    known = rejected(kinds.MODELS, auto_model_name(NEW_MODEL.image), "exceeded quota")
    found = settle(model_found=NEW_MODEL, known=known)
    assert found.finding("Resolved") == ("False", "ModelRefused")
    assert "exceeded quota" in found.message("Resolved")
    assert found.created == ["AIMModel"]


def test_a_cache_is_created_for_a_service_that_requests_it_after_the_status_names_its_template() -> None:
    request: dict[str, Any] = {"spec": {"cacheModel": True}, "templates": [A]}
    found = settle(**request)
    assert outline(found.plan) == ["WriteStatus", "Create a"]
    (create,) = found.plan.of_type(Create)
    assert (create.resource, create.manifest["metadata"]["namespace"]) == (kinds.TEMPLATE_CACHES, "team")
    assert settle(cache=cache("Progressing"), **request).created == []
    assert settle(templates=[A]).created == []
    caching = template("a", "Progressing", caching=True)
    by_template = settle(templates=[caching], named=caching)
    assert by_template.created == []
    assert by_template.finding("CacheReady") == ("False", "CacheRequested")


def test_no_cache_is_created_of_a_template_that_is_being_deleted() -> None:
    deleted = template("a", deleting=True)
    spec = {"cacheModel": True, "templateRef": "a"}
    for known in (None, rejected(kinds.TEMPLATE_CACHES, "a", "no")):
        found = settle(templates=[deleted], named=deleted, spec=spec, known=known)
        assert found.created == []


def test_a_service_that_needs_no_cache_does_not_report_one() -> None:
    assert "CacheReady" not in settle(templates=[A]).types
    assert "CacheReady" not in settle(templates=[A], cache=cache()).types
    with_cache = settle(templates=[A], cache=cache(), spec={"cacheModel": True})
    assert with_cache.finding("CacheReady") == ("True", "CacheAvailable")
    assert "CacheReady" not in settle(with_cache.status, templates=[A], cache=cache()).types


def test_a_cache_of_that_name_for_another_template_is_not_used() -> None:
    other = with_meta(cache(name="b"), name="a")
    found = settle(templates=[A], cache=other, spec={"cacheModel": True})
    assert found.finding("CacheReady") == ("False", "CacheNameTaken")
    assert "'b'" in found.message("Ready")
    assert "'b'" in found.message("CacheReady")
    assert found.message("RuntimeReady") == "see the condition CacheReady"
    assert found.created == []


def test_a_rejected_cache_is_reported() -> None:
    known = rejected(kinds.TEMPLATE_CACHES, "a", "not here")
    found = settle(templates=[A], spec={"cacheModel": True}, known=known)
    assert found.finding("CacheReady") == ("False", "CacheRefused")
    assert "not here" in found.message("Ready")
    assert found.created == ["AIMTemplateCache"]


def test_the_service_is_decided_about_again_when_the_next_wait_ends() -> None:
    slow = [template("b", ""), template("c", "")]
    assert settle(templates=[A, *slow]).plan.requeue_after == WAIT_SECONDS
    waits = {"b-uid": 3.0, "c-uid": 7.0}
    assert settle(templates=[A, *slow], waits=waits).plan.requeue_after == 3.0
    assert settle(templates=[A, *slow], waits={"b-uid": -1.0}).plan.requeue_after == WAIT_SECONDS
    assert settle(templates=[A, *slow], waits=dict.fromkeys(waits, 0.0)).plan.requeue_after is None


# ---- the runtime


def test_the_runtime_is_confirmed_absent_before_it_is_created_and_applied_again_if_it_changes() -> None:
    found = settle(templates=[A], kserve=True)
    assert outline(found.plan) == ["WriteStatus", "Confirm chat", "Apply chat"]
    body = found.applied
    assert body is not None
    assert "resourceVersion" not in body["metadata"]
    assert body["metadata"]["ownerReferences"][0]["uid"] == "service-uid"
    existing = with_meta(runtime("", body=body), resourceVersion="7")
    assert settle(templates=[A], kserve=True, runtime=existing).applied is None
    changed = settle(templates=[A], kserve=True, runtime=existing, spec={"replicas": 3})
    assert outline(changed.plan) == ["WriteStatus", "Apply chat"]
    assert changed.applied is not None
    assert changed.applied["metadata"]["resourceVersion"] == "7"


def test_changed_fields_are_restored_and_additional_fields_are_ignored() -> None:
    body = settle(templates=[A], kserve=True).applied
    assert body is not None
    more = {
        **body,
        "metadata": {**body["metadata"], "labels": {**body["metadata"]["labels"], "more": "x"}},
        "spec": {**body["spec"], "transformer": {"x": 1}},
    }
    assert settle(templates=[A], kserve=True, runtime=runtime("", body=more)).applied is None
    predictor = {**body["spec"]["predictor"], "minReplicas": 7}
    for changed in (
        {**body, "spec": {**body["spec"], "predictor": predictor}},
        {**body, "spec": {}},
        {**body, "metadata": {**body["metadata"], "labels": {}}},
    ):
        applied = settle(templates=[A], kserve=True, runtime=runtime("", body=changed)).applied
        assert applied is not None
        assert applied["spec"] == body["spec"]


def test_what_a_webhook_made_of_the_runtime_stays_until_it_is_changed_again() -> None:
    predictor = {**manifest(deployment(templates=[A]), A)["spec"]["predictor"], "minReplicas": 7}
    admitted = with_fields(UP, spec={"predictor": predictor})
    differs = {"templates": [A], "kserve": True, "admitted": fingerprint(admitted)}
    assert settle(runtime=admitted, **differs).applied is None
    edited = with_fields(admitted, spec={"predictor": {**predictor, "maxReplicas": 9}})
    assert settle(runtime=edited, **differs).applied is not None
    assert settle(runtime=with_meta(admitted, uid="another"), **differs).applied is not None
    assert settle(runtime=admitted, spec={"replicas": 3}, **differs).applied is not None


@pytest.mark.parametrize(
    ("current", "wanted", "whether"),
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
def test_a_value_contains_another_if_it_has_all_of_its_fields(
    current: Any, wanted: Any, whether: bool
) -> None:
    assert contains(current, wanted) is whether


def test_a_runtime_that_the_service_does_not_control_is_never_changed_and_the_message_has_a_remedy() -> None:
    found = settle(templates=[A], kserve=True, runtime=runtime("True", controller="other"))
    assert found.applied is None
    assert "delete it" in found.message("Ready")


def test_the_conditions_of_kserve_are_reported() -> None:
    found = settle(templates=[A], kserve=True, runtime=runtime("False", message="no node fits"))
    assert "no node fits" in found.message("RuntimeReady")
    up = settle(templates=[A], kserve=True, runtime=runtime("True"))
    assert "http://chat.team.example.com" in up.message("Ready")


def test_a_rejected_runtime_is_reported_and_a_running_one_stays_running() -> None:
    known = rejected(kinds.INFERENCE_SERVICES, "chat", "denied by policy")
    found = settle(templates=[A], kserve=True, known=known)
    assert found.finding("RuntimeReady") == ("False", "RuntimeRefused")
    assert (found.state, found.finding("Failure")[0]) == ("Failed", "True")
    assert found.applied is not None
    change = {"templates": [A], "kserve": True, "runtime": UP, "spec": {"replicas": 3}}
    changed = settle(running(), known=known, **change)
    assert changed.state == "Running"
    assert "denied by policy" in changed.message("Ready")


def test_a_webhook_that_does_not_answer_is_no_failure_of_the_service() -> None:
    known = rejected(kinds.INFERENCE_SERVICES, "chat", "failed calling webhook", temporary=True)
    found = settle(templates=[A], kserve=True, known=known)
    assert (found.state, found.finding("Ready")[1]) == ("Starting", "RuntimeRefused")
    assert found.finding("Failure")[0] == "False"


def test_a_namespace_without_a_possible_name_is_a_failure_with_a_remedy() -> None:
    seen = deployment(templates=[A], kserve=True)
    seen = replace(seen, service=replace(seen.service, obj=with_meta(seen.service.obj, namespace="n" * 60)))
    plan = decide_service(seen)
    assert not plan.of_type(Apply)
    ready = next(item for item in part_of(plan).conditions if item["type"] == "Ready")
    assert ready["reason"] == "RuntimeNameImpossible"
    assert "at most 45 characters" in ready["message"]


def test_the_status_has_the_url_and_what_the_scale_subresource_needs() -> None:
    found = settle(templates=[A], kserve=True, runtime=UP).status
    assert found["url"] == "http://chat.team.example.com"
    assert found["replicas"] == 1
    assert found["selector"] == "serving.kserve.io/inferenceservice=chat"
    gone = settle(found, templates=[A], kserve=True, runtime=None).status
    assert {"url", "replicas"}.isdisjoint(gone)


def test_a_service_is_progressing_until_it_has_the_requested_pods() -> None:
    """So one write of the status reports the last pod and the end of the progress."""
    request: dict[str, Any] = {"templates": [A], "kserve": True, "spec": {"replicas": 3}}
    wanted = deployed(deployment(**request))

    def with_pods(number: int) -> InferenceService:
        status = {**wanted.view["status"], "modelStatus": {"copies": {"totalCopies": number}}}
        return with_fields(wanted, status=msgspec.json.decode(msgspec.json.encode(status, enc_hook=dict)))

    edited = settle(running(), **{**request, "runtime": UP})
    applied = settle(edited.status, **{**request, "runtime": with_pods(1)})
    assert applied.applied is None
    assert applied.writes == 0
    assert applied.finding("Progressing")[0] == "True"
    assert applied.message("Ready").endswith("with 1 of 3 pods")
    for number in (3, 4):  # terminating pods may still be counted
        done = settle(applied.status, **{**request, "runtime": with_pods(number)})
        assert (done.state, done.finding("Progressing")[0]) == ("Running", "False")
        assert done.status["replicas"] == number
        assert done.writes == 1
        assert "pods" not in done.message("Ready")


def test_a_runtime_that_a_user_has_stopped_is_reported_as_stopped() -> None:
    stopped = with_fields(
        deployed(deployment(templates=[A]), "False"),
        status={"conditions": [{"type": "Ready", "status": "False"}, {"type": "Stopped", "status": "True"}]},
    )
    found = settle(templates=[A], kserve=True, runtime=stopped)
    assert (found.state, found.finding("RuntimeReady")[1]) == ("Starting", "RuntimeStopped")


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
def test_a_service_that_was_running_is_degraded_when_it_loses_what_it_needs(
    differs: dict[str, Any], state: str, reason: str
) -> None:
    found = settle(running(), **{"kserve": True, **differs})
    assert (found.state, found.finding("Ready")) == (state, (str(state == "Running"), reason))


def test_a_template_that_is_not_ready_does_not_replace_a_running_one() -> None:
    found = settle(
        running(),
        templates=[A],
        named=template("b", "Pending"),
        spec={"templateRef": "b"},
        kserve=True,
        runtime=UP,
    )
    assert found.state == "Running"
    assert found.applied is None
    assert found.finding("Progressing")[0] == "True"
    assert "'b'" in found.message("Ready")


def test_a_profile_is_deployed_with_its_own_image_only() -> None:
    mine, other = "ghcr.io/silogen/aim-llama:1", "ghcr.io/silogen/aim-llama:0"
    for discovered in ("", mine):
        assert settle(templates=[template("a", discovered=discovered)], kserve=True).applied is not None
    late = template("a", discovered=other)
    new = settle(templates=[late], kserve=True)
    assert (new.state, new.finding("Ready")) == ("Starting", ("False", "TemplateNotReady"))
    assert new.finding("Progressing")[0] == "True"
    assert new.applied is None
    assert f"{mine!r}" in new.message("Ready")
    assert f"{other!r}" in new.message("Ready")
    old = settle(running(), templates=[late], kserve=True, runtime=UP, spec={"replicas": 3})
    assert old.state == "Running"
    assert "last configuration" in old.message("Ready")
    assert old.applied is None


def test_the_template_of_the_runtime_stays_in_the_status() -> None:
    """So that it is used again, and no other is selected, when the model exists again."""
    lost = settle(
        running(), templates=[A], kserve=True, runtime=UP, model_found=Missing("ModelNotFound", "no")
    )
    assert lost.status["resolvedTemplate"]["name"] == "a"
    back = settle(lost.status, templates=[A, template("b")], kserve=True, runtime=UP)
    assert (back.state, back.status["resolvedTemplate"]["name"]) == ("Running", "a")


def test_nothing_is_done_for_a_service_that_is_being_deleted() -> None:
    assert decide_service(deployment(templates=[A], deleting=True)) == Plan()


def test_each_change_of_state_or_template_has_one_event() -> None:
    first = settle(templates=[A])
    assert [(event.type, event.reason) for event in first.events] == [
        ("Normal", "TemplateSelected"),
        ("Warning", "Starting"),
    ], "KServe is not installed"
    lost = settle(first.status, templates=[])
    assert [(event.type, event.reason) for event in lost.events] == [("Warning", "Failed")]
    assert not settle(lost.status, templates=[]).events


# ---- any sequence of observations

BODY = manifest(deployment(templates=[A]), A)
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
        "model": st.sampled_from([None, None, None, Missing("ModelNotFound", "no"), NEW_MODEL]),
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
            + [runtime(ready, body=BODY) for ready in ("True", "False", "")]
        ),
        "cache": st.sampled_from([None, cache(), cache("Progressing"), cache("Failed")]),
        "spec": st.sampled_from([{}, FAST, {"cacheModel": True}, {"replicas": 2}]),
        "known": st.sampled_from(
            [
                None,
                None,
                rejected(kinds.INFERENCE_SERVICES, "chat", "no"),
                rejected(kinds.MODELS, auto_model_name(NEW_MODEL.image), "no"),
            ]
        ),
        "deleting": st.just(value=False),
    }
)


@settings(max_examples=120)
@given(st.lists(STEPS, min_size=1, max_size=6))
def test_decisions_settle_and_are_consistent(steps: list[dict[str, Any]]) -> None:
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
        state, applied = found.state, found.applied
        assert state in set(ServiceState)
        assert found.finding("Ready")[0] == str(state == "Running")
        if state == "Running":
            assert found.finding("RuntimeReady")[0] == "True"
        if state == "Failed":
            assert found.finding("Failure")[0] == "True"
        assert len(found.plan.of_type(Create, Apply)) <= 1
        if applied is not None:
            assert differs["kserve"]
            assert found.finding("Resolved")[0] == "True"
            used = next(
                item for item in differs["templates"] if item.meta.name == status["resolvedTemplate"]["name"]
            )
            assert used.view.status.status == "Ready"
            if "CacheReady" in found.types:
                assert found.finding("CacheReady")[0] == "True"
            assert applied["metadata"]["annotations"][APPLIED_HASH_ANNOTATION]
            existing = differs["runtime"]
            assert existing is None or existing.meta.controller.uid == "service-uid"
