"""What derivation does for a service: creating, owning, following and releasing templates, and the condition."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimctl.api import kinds
from aimctl.api.v1alpha1 import RuntimeConfigSpec
from aimctl.domain.conditions import abridge
from aimctl.domain.plan import Create, Delete, Patch, Plan
from aimctl.domain.resolution import Missing
from aimctl.domain.services.decision import decide_service
from aimctl.domain.services.derivation.decision import DerivationObservation, decide_derivation
from aimctl.domain.services.derivation.derived_template import derived_template
from aimctl.domain.services.observation import DeploymentObservation, NewModel
from aimctl.domain.services.resolution import name_to_derive, rejection_message, resolve
from aimctl.domain.services.selection import choose
from aimctl.domain.templates.template import Template, is_derived
from support.derived import edited, template_of
from support.plans import condition_of, events_of, outline, part_of, status_of
from support.services import TEAM, rejected, service, template
from support.things import with_meta

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FAST: dict[str, Any] = {"metric": "throughput"}
BASE = template("base")
MINE = {"kind": "AIMService", "name": "chat", "uid": "service-uid"}
THEIRS = {"kind": "AIMService", "name": "other", "uid": "other-uid"}
DELETED = "2026-01-01T00:00:00Z"


def made(
    *owners: Mapping[str, Any], base: Template = BASE, said: Mapping[str, Any] = FAST, uid: str = ""
) -> Template:
    """The template that is derived from the base, with these owners."""
    seen = service(spec={"overrides": said})
    assert seen.spec.overrides is not None
    manifest = derived_template(base, seen.spec.overrides, seen.obj, RuntimeConfigSpec())
    return with_meta(
        template_of(manifest, uid=uid or f"{manifest['metadata']['name']}-uid"), ownerReferences=list(owners)
    )


NAME = made().meta.name


def look(
    *templates: Template,
    spec: Mapping[str, Any] | None = None,
    holder: Template | None = None,
    owned: Sequence[Template] | None = None,
    rejection: str = "",
    status: Mapping[str, Any] | None = None,
    **differs: Any,
) -> DerivationObservation:
    """A service that names the base and overrides the metric, and templates as the cache has them."""
    spec = {"templateRef": "base", "overrides": FAST} if spec is None else spec
    by_name = {item.meta.name: item for item in templates}
    named = by_name.get(spec.get("templateRef", ""))
    seen = service(status, templates=templates, spec=spec, named=named, **differs)
    choice = choose(seen)
    name = name_to_derive(seen, choice)
    if holder is None and name:
        holder = by_name.get(name)
    message = ""
    if rejection and name:
        found = rejected(kinds.TEMPLATES, name, rejection).rejection(kinds.TEMPLATES, TEAM, name)
        assert found is not None
        assert choice.template is not None
        message = rejection_message(name, choice.template, found)
    if owned is None:
        owned = [
            item
            for item in templates
            if is_derived(item) and any(owner.uid == "service-uid" for owner in item.meta.owners)
        ]
    resolution = resolve(seen, choice, holder, message)
    return DerivationObservation(seen, resolution, holder, tuple(owned), by_name, RuntimeConfigSpec())


def decide(*templates: Template, **differs: Any) -> Plan:
    return decide_derivation(look(*templates, **differs))


def said(plan: Plan) -> tuple[str, str]:
    """Status and reason of ``Derived``."""
    (only,) = status_of(plan)["conditions"]
    assert only["type"] == "Derived"
    assert only["message"]
    return only["status"], only["reason"]


def message(plan: Plan) -> str:
    return str(condition_of(plan, "Derived")["message"])


def writes_nothing(plan: Plan) -> bool:
    """Whether the plan writes no more than the status."""
    return not plan.of_type(Create, Patch, Delete)


def owners_of(patch: Patch) -> list[str]:
    return [owner["uid"] for owner in patch.body["metadata"]["ownerReferences"]]


# ---- a template that has to be derived


def test_the_service_is_confirmed_the_template_is_created_and_then_the_status_is_written() -> None:
    plan = decide(BASE)
    assert outline(plan) == ["Confirm chat", f"Create {NAME}", "WriteStatus"]
    assert said(plan) == ("False", "DerivationPending")
    assert events_of(plan) == []


def test_a_cluster_base_leads_to_a_namespaced_template() -> None:
    (create,) = decide(template("base", cluster=True)).of_type(Create)
    assert create.resource == kinds.TEMPLATES
    assert create.manifest["metadata"]["namespace"] == "team"


def test_a_rejection_is_reported_with_its_message_and_the_creation_stays_planned() -> None:
    plan = decide(BASE, rejection="exceeded quota: templates")
    assert said(plan) == ("False", "DerivationRefused")
    assert "exceeded quota: templates" in message(plan)
    assert NAME in message(plan)
    assert plan.of_type(Create)
    assert events_of(plan) == [], "the executor records rejections"


def test_a_template_that_is_derived_again_has_an_event_although_the_condition_does_not_change() -> None:
    derived = status_of(decide(BASE, made(MINE)))
    (event,) = events_of(decide(BASE, status=derived))
    assert (event.type, event.reason) == ("Normal", "TemplateDerived")
    assert NAME in event.message


def test_while_the_new_template_is_rejected_the_old_one_is_deleted_nevertheless() -> None:
    """It may be what uses up the quota."""
    old = made(MINE, said={"precision": "fp8"})
    plan = decide(BASE, old, rejection="exceeded quota")
    assert outline(plan) == ["Confirm chat", f"Create {NAME}", f"Delete {old.meta.name}", "WriteStatus"]


# ---- a template that exists


def test_a_derived_template_that_exists_is_shared() -> None:
    existing = made(THEIRS)
    plan = decide(BASE, existing)
    assert outline(plan) == ["Confirm chat", f"Patch {NAME}", "WriteStatus"]
    (patch,) = plan.of_type(Patch)
    assert (patch.target.uid, patch.target.resource_version) == (existing.meta.uid, "8")
    theirs, mine = patch.body["metadata"]["ownerReferences"]
    assert theirs == THEIRS
    assert (mine["uid"], mine["controller"], mine["blockOwnerDeletion"]) == ("service-uid", False, False)
    assert set(patch.body) == {"metadata"}


def test_a_template_that_is_owned_already_causes_no_write_and_the_condition_names_its_base() -> None:
    plan = decide(BASE, made(THEIRS, MINE))
    assert outline(plan) == ["WriteStatus"]
    assert said(plan) == ("True", "TemplateDerived")
    assert f"{NAME!r}" in message(plan)
    assert "AIMServiceTemplate 'base'" in message(plan)


def test_a_derived_template_without_owners_is_used_again() -> None:
    (patch,) = decide(BASE, made()).of_type(Patch)
    assert owners_of(patch) == ["service-uid"]


def test_a_template_that_was_not_derived_is_used_and_never_written() -> None:
    manual = with_meta(template("manual", metric="throughput"), ownerReferences=[MINE])
    plan = decide(BASE, manual, owned=[manual])
    assert writes_nothing(plan)
    assert said(plan) == ("True", "TemplateFound")
    assert "'manual'" in message(plan)


def test_a_derived_template_that_the_operator_does_not_manage_is_never_written() -> None:
    foreign = with_meta(made(MINE), labels={"aim.silogen.ai/derived-template": "true"})
    assert writes_nothing(decide(BASE, foreign))


@pytest.mark.parametrize("state", ["Pending", "Failed", "NotAvailable"])
def test_the_condition_reports_a_base_that_is_not_ready(state: str) -> None:
    plan = decide(template("base", state), made(MINE))
    assert said(plan) == ("True", "TemplateDerived")
    assert f"the base is {state}" in message(plan)


def test_changes_of_the_base_and_the_reference_are_one_patch() -> None:
    base = edited(BASE, serviceAccountName="runner")
    (patch,) = decide(base, made(THEIRS)).of_type(Patch)
    assert patch.body["spec"] == {"serviceAccountName": "runner"}
    assert len(patch.body["metadata"]["ownerReferences"]) == 2
    plan = decide(base, made(MINE))
    assert outline(plan) == [f"Patch {NAME}", "WriteStatus"]
    assert plan.of_type(Patch)[0].body == {"spec": {"serviceAccountName": "runner"}}


# ---- templates that are no longer used


def test_a_template_that_is_not_used_any_more_is_released_after_the_new_one_is_owned() -> None:
    old = made(MINE, THEIRS, said={"precision": "fp8"})
    plan = decide(BASE, old, made(THEIRS))
    assert outline(plan) == ["Confirm chat", f"Patch {NAME}", f"Patch {old.meta.name}", "WriteStatus"]
    assert owners_of(plan.of_type(Patch)[1]) == ["other-uid"]


def test_the_last_owner_deletes_a_template_that_is_not_used_any_more() -> None:
    alone = made(MINE, said={"precision": "fp8"})
    plan = decide(BASE, alone, made(MINE))
    assert outline(plan) == ["Confirm chat", f"Delete {alone.meta.name}", "WriteStatus"]
    (delete,) = plan.of_type(Delete)
    assert (delete.target.uid, delete.target.resource_version) == (alone.meta.uid, "8")


def test_without_overrides_every_template_is_released_and_the_condition_is_removed() -> None:
    plan = decide(BASE, made(MINE), spec={"templateRef": "base"})
    assert outline(plan) == ["Confirm chat", f"Delete {NAME}", "WriteStatus"]
    assert status_of(plan)["conditions"] == []


@pytest.mark.parametrize("overrides", [{}, {"gpuSelector": {}}])
def test_empty_overrides_count_as_none(overrides: dict[str, Any]) -> None:
    plan = decide(BASE, spec={"templateRef": "base", "overrides": overrides})
    assert writes_nothing(plan)
    assert status_of(plan)["conditions"] == []


def test_a_service_that_names_a_derived_template_owns_it_too() -> None:
    (patch,) = decide(BASE, made(THEIRS), spec={"templateRef": NAME}).of_type(Patch)
    assert owners_of(patch) == ["other-uid", "service-uid"]
    assert writes_nothing(decide(BASE, made(THEIRS, MINE), spec={"templateRef": NAME}))


def test_a_template_that_is_being_deleted_is_not_written() -> None:
    deleted = with_meta(made(MINE), deletionTimestamp=DELETED)
    plan = decide(BASE, deleted)
    assert writes_nothing(plan)
    assert said(plan) == ("False", "DerivationPending")
    assert writes_nothing(decide(BASE, deleted, spec={"templateRef": "base"}))


def test_nothing_is_done_for_a_service_that_is_being_deleted() -> None:
    assert decide(BASE, made(MINE), deleting=True) == Plan()


# ---- a base that is missing, or another


def test_a_missing_base_is_reported_with_a_remedy() -> None:
    plan = decide()
    assert said(plan) == ("False", "BaseTemplateNotFound")
    assert message(plan) == "see the condition Resolved"
    (event,) = events_of(plan)
    assert event.reason == "BaseTemplateNotFound"
    assert "'base'" in event.message
    assert "create" in event.message


def test_a_base_of_another_model_is_reported() -> None:
    plan = decide(template("base", model_name="other"))
    assert said(plan) == ("False", "BaseTemplateNotResolved")
    assert message(plan) == "see the condition Resolved"
    assert "'other'" in events_of(plan)[0].message


def test_no_template_is_derived_from_a_base_that_is_being_deleted() -> None:
    plan = decide(template("base", deleting=True))
    assert said(plan) == ("False", "BaseTemplateNotFound")
    assert writes_nothing(plan)


def test_without_its_base_a_derived_template_in_use_is_kept() -> None:
    existing = made(MINE)
    for plan in (decide(existing), decide(existing, current=existing)):
        assert writes_nothing(plan)
        assert said(plan) == ("True", "TemplateDerived")
        assert message(plan) == "see the condition Resolved"
        assert "without its base" in look(existing).resolution.message


def test_a_template_that_is_kept_without_its_base_is_not_derived_again_when_it_is_deleted() -> None:
    deleted = with_meta(made(MINE), deletionTimestamp=DELETED)
    plan = decide(deleted, current=deleted)
    assert writes_nothing(plan)
    assert said(plan)[0] == "False"


@pytest.mark.parametrize(
    "model",
    [Missing("ModelNotFound", "no model 'llama'"), NewModel("x:1")],
    ids=["missing", "being created"],
)
def test_without_a_model_the_service_keeps_what_it_has(model: Any) -> None:
    plan = decide_derivation(look(BASE, made(MINE), model_found=model))
    assert writes_nothing(plan)
    assert said(plan)[0] == "False"


def test_a_template_of_an_earlier_base_is_deleted_before_it_is_derived_again() -> None:
    changed = template("base", precision="fp8", uid="new")
    for alone in (made(MINE), made()):
        plan = decide(changed, alone)
        assert outline(plan) == ["Confirm chat", f"Delete {NAME}", "WriteStatus"]
        assert said(plan) == ("False", "DerivationPending")


def test_while_others_own_a_template_of_an_earlier_base_the_service_releases_it_and_names_them() -> None:
    changed = template("base", precision="fp8", uid="new")
    plan = decide(changed, made(MINE, THEIRS))
    assert outline(plan) == ["Confirm chat", f"Patch {NAME}", "WriteStatus"]
    assert owners_of(plan.of_type(Patch)[0]) == ["other-uid"]
    assert said(plan) == ("False", "DerivedNameTaken")
    assert "AIMService 'other'" in message(plan)
    waiting = decide(changed, made(THEIRS))
    assert writes_nothing(waiting)
    assert said(waiting) == ("False", "DerivedNameTaken")


def test_a_base_that_was_created_again_with_the_same_values_changes_nothing() -> None:
    assert writes_nothing(decide(template("base", uid="new"), made(MINE)))


def test_another_template_of_the_name_is_never_changed_and_the_message_has_a_remedy() -> None:
    foreign = with_meta(template(NAME), ownerReferences=[MINE])
    plan = decide(BASE, foreign, holder=foreign)
    assert writes_nothing(plan)
    assert said(plan) == ("False", "DerivedNameTaken")
    assert NAME in message(plan)
    assert "delete" in message(plan)
    assert [event.type for event in events_of(plan)] == ["Warning"]


def test_an_unreadable_base_changes_nothing() -> None:
    newer = edited(BASE, precision="fp6")
    plan = decide(newer, made(MINE), current=made(MINE))
    assert writes_nothing(plan)
    assert said(plan) == ("True", "TemplateDerived")
    assert message(plan) == "see the condition Resolved"
    assert "spec.precision" in look(newer, made(MINE), current=made(MINE)).resolution.message
    alone = decide(newer)
    assert writes_nothing(alone)
    assert said(alone) == ("False", "BaseTemplateNotResolved")
    assert "spec.precision" in look(newer).resolution.message


def test_an_unreadable_derived_template_keeps_its_name_and_is_never_written() -> None:
    for owners in ((MINE,), ()):
        newer = edited(made(*owners), env="no list")
        plan = decide(BASE, holder=newer, owned=[newer] if owners else [])
        assert writes_nothing(plan)
        assert said(plan) == ("False", "DerivedNameTaken")
        assert "spec.env" in message(plan)


def test_a_template_of_the_name_and_of_another_model_is_found_too() -> None:
    foreign = template(NAME, model_name="other")
    assert said(decide(BASE, holder=foreign)) == ("False", "DerivedNameTaken")


# ---- any templates

OWNERS = st.lists(st.sampled_from([MINE, THEIRS]), unique_by=lambda owner: owner["uid"], max_size=2)
TEMPLATES = st.lists(
    st.one_of(
        st.builds(
            template,
            st.sampled_from(["base", "hand", NAME]),
            st.sampled_from(["Ready", "Pending", ""]),
            metric=st.sampled_from(["latency", "throughput"]),
            precision=st.sampled_from(["fp16", "fp8"]),
            cluster=st.booleans(),
            deleting=st.booleans(),
        ),
        st.builds(
            lambda owners, said: made(*owners, said=said),
            OWNERS,
            st.sampled_from([FAST, {"precision": "fp8"}, {"metric": "latency"}]),
        ),
    ),
    max_size=5,
    unique_by=lambda one: one.meta.name,
)
SPECS = st.fixed_dictionaries(
    {},
    optional={
        "templateRef": st.sampled_from(["base", "hand", NAME, "nowhere"]),
        "overrides": st.sampled_from([FAST, {"precision": "fp8"}, {}]),
    },
)


@given(TEMPLATES, SPECS, st.integers(-1, 4), st.booleans())
def test_only_derived_templates_are_written_and_none_that_others_own_is_deleted(
    templates: list[Template],
    spec: dict[str, Any],
    current: int,
    rejection: bool,
) -> None:
    in_use = templates[current] if 0 <= current < len(templates) else None
    plan = decide(*templates, spec=spec, current=in_use, rejection="quota" if rejection else "")
    by_uid = {one.meta.uid: one for one in templates}
    for patch in plan.of_type(Patch):
        one = by_uid[patch.target.uid]
        assert is_derived(one)
        before = {owner.uid for owner in one.meta.owners}
        after = set(owners_of(patch)) if "metadata" in patch.body else before
        assert before - {"service-uid"} <= after
        assert after
        assert not set(patch.body.get("spec", {})) & {"modelName", "metric", "precision", "gpuSelector"}
    for delete in plan.of_type(Delete):
        one = by_uid[delete.target.uid]
        assert is_derived(one)
        assert {owner.uid for owner in one.meta.owners} <= {"service-uid"}
    written = [action.target.uid for action in plan.of_type(Patch, Delete)]
    assert len(written) == len(set(written))
    for create in plan.of_type(Create):
        assert all(one.meta.name != create.key.name or not one.meta.namespace for one in templates)


@given(TEMPLATES, SPECS)
def test_deciding_again_after_the_status_was_written_changes_nothing_and_records_no_event(
    templates: list[Template], spec: dict[str, Any]
) -> None:
    first = look(*templates, spec=spec)
    part = part_of(decide_derivation(first))
    status = part.merged_into(first.service.status.to_json())
    again = decide(*templates, spec=spec, status=status)
    assert part_of(again) == part
    assert not [event for event in events_of(again) if event.reason not in _OF_WRITES]


_OF_WRITES = {"DerivedTemplateDeleted", "TemplateDerived"}


@given(TEMPLATES, SPECS, st.integers(-1, 4), st.booleans())
def test_one_of_two_conditions_states_the_cause_and_the_other_refers_to_it(
    templates: list[Template], spec: dict[str, Any], current: int, rejection: bool
) -> None:
    in_use = templates[current] if 0 <= current < len(templates) else None
    seen = look(*templates, spec=spec, current=in_use, rejection="quota" if rejection else "")
    service_plan = decide_service(DeploymentObservation(seen.service, seen.resolution))
    resolved = condition_of(service_plan, "Resolved")
    derived = status_of(decide_derivation(seen))["conditions"]
    if derived:
        (condition,) = derived
        assert condition["status"] == resolved["status"]
        if resolved["status"] == "False":
            references = ("see the condition Derived", "see the condition Resolved")
            found = (resolved["message"], condition["message"])
            assert [text in references for text in found].count(True) == 1
            assert abridge(seen.resolution.message) in found
