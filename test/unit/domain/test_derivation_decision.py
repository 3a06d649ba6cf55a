"""What derivation does for a service: create, own, follow, let go, and what it says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimctl.api.v1alpha1 import RuntimeConfigSpec
from aimctl.domain.resolution import Missing
from aimctl.domain.services.derivation import derived_name, derived_template, overrides_digest
from aimctl.domain.services.derivation_decision import (
    DerivationDecision,
    DerivationObservation,
    base_of,
    decide_derivation,
)
from aimctl.domain.services.observation import ModelWish, ServiceObservation
from aimctl.domain.templates.template import Template, is_derived
from support.derived import edited, template_of
from support.services import service, template
from support.things import with_meta

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FAST: dict[str, Any] = {"metric": "throughput"}
BASE = template("base")
MINE = {"kind": "AIMService", "name": "chat", "uid": "service-uid"}
THEIRS = {"kind": "AIMService", "name": "other", "uid": "other-uid"}


def made(
    *owners: Mapping[str, Any], base: Template = BASE, said: Mapping[str, Any] = FAST, uid: str = ""
) -> Template:
    """The template that is derived from the base, with these owners."""
    seen = service(spec={"overrides": said})
    assert seen.view.spec.overrides is not None
    manifest = derived_template(base, seen.view.spec.overrides, seen.service, RuntimeConfigSpec())
    return with_meta(
        template_of(manifest, uid=uid or f"{manifest['metadata']['name']}-uid"), ownerReferences=list(owners)
    )


NAME = made().meta.name


def look(
    *templates: Template,
    spec: Mapping[str, Any] | None = None,
    holder: Template | None = None,
    owned: Sequence[Template] | None = None,
    refused: str = "",
    status: Mapping[str, Any] | None = None,
    **differs: Any,
) -> DerivationObservation:
    """A service that names the base and overrides the metric, and templates as the cache has them."""
    spec = {"templateRef": "base", "overrides": FAST} if spec is None else spec
    by_name = {item.meta.name: item for item in templates}
    named = by_name.get(spec.get("templateRef", ""))
    seen = service(status, templates=templates, spec=spec, named=named, **differs)
    base = base_of(seen)
    if holder is None and not isinstance(base, Missing) and overrides_digest(seen.view.spec.overrides):
        holder = by_name.get(derived_name(base.meta.name, seen.view.spec.overrides))
    if owned is None:
        owned = [
            item
            for item in templates
            if is_derived(item) and any(owner.uid == "service-uid" for owner in item.meta.owners)
        ]
    return DerivationObservation(seen, base, holder, tuple(owned), by_name, RuntimeConfigSpec(), refused)


def decide(*templates: Template, **differs: Any) -> DerivationDecision:
    return decide_derivation(look(*templates, **differs))


def said(decision: DerivationDecision) -> tuple[str, str]:
    """Status and reason of ``Derived``."""
    assert decision.status is not None
    (one,) = decision.status.conditions
    assert one["type"] == "Derived"
    assert one["message"]
    return one["status"], one["reason"]


def message(decision: DerivationDecision) -> str:
    assert decision.status is not None
    (one,) = decision.status.conditions
    return str(one["message"])


def nothing_to_write(decision: DerivationDecision) -> bool:
    return decision.create is None and not decision.changes and not decision.deletions


# ---- one that is to be made


def test_without_a_template_that_fits_one_is_created() -> None:
    decision = decide(BASE)
    assert decision.create is not None
    assert decision.create["metadata"]["name"] == NAME
    assert said(decision) == ("False", "DerivationPending")
    assert decision.events == ()


def test_a_cluster_base_gives_a_namespaced_template() -> None:
    decision = decide(template("base", cluster=True))
    assert decision.create is not None
    assert decision.create["kind"] == "AIMServiceTemplate"
    assert decision.create["metadata"]["namespace"] == "team"


def test_a_refusal_is_told_in_the_servers_words_once_and_tried_again() -> None:
    decision = decide(BASE, refused="exceeded quota: templates")
    assert said(decision) == ("False", "DerivationRefused")
    assert "exceeded quota: templates" in message(decision)
    assert NAME in message(decision)
    assert decision.create is not None
    assert [(event.type, event.reason) for event in decision.events] == [("Warning", "DerivationRefused")]
    assert decision.status is not None
    again = decide(BASE, refused="exceeded quota: templates", status=decision.status.status())
    assert again.events == ()
    assert again.status == decision.status


def test_while_it_is_refused_what_is_not_needed_any_more_goes_nevertheless() -> None:
    """It may be what takes the room in the quota."""
    old = made(MINE, said={"precision": "fp8"})
    assert decide(BASE, old, refused="exceeded quota").deletions == (old,)


# ---- one that is there


def test_a_derived_template_that_is_there_is_shared() -> None:
    there = made(THEIRS)
    (change,) = decide(BASE, there).changes
    assert change.template == there
    owners = change.patch["metadata"]["ownerReferences"]
    assert owners[0] == THEIRS
    assert (owners[1]["uid"], owners[1]["controller"], owners[1]["blockOwnerDeletion"]) == (
        "service-uid",
        False,
        False,
    )
    assert change.patch["metadata"]["resourceVersion"] == there.meta.resource_version
    assert set(change.patch) == {"metadata"}


def test_when_all_is_well_nothing_is_written_and_the_condition_says_where_it_came_from() -> None:
    decision = decide(BASE, made(THEIRS, MINE))
    assert nothing_to_write(decision)
    assert said(decision) == ("True", "TemplateDerived")
    assert f"{NAME!r}" in message(decision)
    assert "AIMServiceTemplate 'base'" in message(decision)


def test_one_that_nobody_owns_is_adopted() -> None:
    (change,) = decide(BASE, made()).changes
    assert [owner["uid"] for owner in change.patch["metadata"]["ownerReferences"]] == ["service-uid"]


def test_a_hand_made_template_is_used_and_never_written() -> None:
    hand = with_meta(template("hand", metric="throughput"), ownerReferences=[MINE])
    decision = decide(BASE, hand, owned=[hand])
    assert nothing_to_write(decision)
    assert said(decision) == ("True", "TemplateFound")
    assert "'hand'" in message(decision)


def test_one_with_our_label_that_somebody_else_manages_is_not_ours() -> None:
    foreign = with_meta(made(MINE), labels={"aim.silogen.ai/derived-template": "true"})
    assert nothing_to_write(decide(BASE, foreign))


@pytest.mark.parametrize("state", ["Pending", "Failed", "NotAvailable"])
def test_the_condition_tells_when_the_base_is_not_ready(state: str) -> None:
    decision = decide(template("base", state), made(MINE))
    assert said(decision) == ("True", "TemplateDerived")
    assert f"the base is {state}" in message(decision)


def test_the_bases_edits_are_brought_in_along_with_the_reference() -> None:
    base = edited(BASE, serviceAccountName="runner")
    (change,) = decide(base, made(THEIRS)).changes
    assert change.patch["spec"] == {"serviceAccountName": "runner"}
    assert len(change.patch["metadata"]["ownerReferences"]) == 2
    (change,) = decide(base, made(MINE)).changes
    assert change.patch == {
        "metadata": {"resourceVersion": "8"},
        "spec": {"serviceAccountName": "runner"},
    }


# ---- letting go


def test_a_template_that_is_not_needed_any_more_is_let_go_or_deleted_by_the_last() -> None:
    old = made(MINE, THEIRS, said={"precision": "fp8"})
    (change,) = decide(BASE, old, made(MINE)).changes
    assert change.patch["metadata"] == {"ownerReferences": [THEIRS], "resourceVersion": "8"}
    alone = with_meta(old, ownerReferences=[MINE])
    assert decide(BASE, alone, made(MINE)).deletions == (alone,)


def test_without_overrides_everything_is_let_go_and_the_condition_goes() -> None:
    alone = made(MINE)
    decision = decide(BASE, alone, spec={"templateRef": "base"})
    assert decision.deletions == (alone,)
    assert decision.status is not None
    assert decision.status.conditions == ()


@pytest.mark.parametrize("overrides", [{}, {"gpuSelector": {}}])
def test_overrides_that_say_nothing_are_none(overrides: dict[str, Any]) -> None:
    decision = decide(BASE, spec={"templateRef": "base", "overrides": overrides})
    assert nothing_to_write(decision)
    assert decision.status is not None
    assert decision.status.conditions == ()


def test_a_service_that_names_a_derived_template_owns_it_too() -> None:
    there = made(THEIRS)
    (change,) = decide(BASE, there, spec={"templateRef": NAME}).changes
    assert len(change.patch["metadata"]["ownerReferences"]) == 2
    assert nothing_to_write(decide(BASE, made(THEIRS, MINE), spec={"templateRef": NAME}))


def test_one_that_is_being_deleted_is_left_alone() -> None:
    going = with_meta(made(MINE), deletionTimestamp="2026-01-01T00:00:00Z")
    decision = decide(BASE, going)
    assert nothing_to_write(decision)
    assert said(decision) == ("False", "DerivationPending")
    assert nothing_to_write(decide(BASE, going, spec={"templateRef": "base"}))


def test_for_a_service_that_is_being_deleted_nothing_is_done() -> None:
    decision = decide(BASE, made(MINE), deleting=True)
    assert nothing_to_write(decision)
    assert decision.status is None


# ---- a base that is missing, or another


def test_a_missing_base_is_told_with_a_remedy() -> None:
    decision = decide()
    assert said(decision) == ("False", "BaseTemplateNotFound")
    assert "'base'" in message(decision)
    assert "create" in message(decision)
    assert [event.reason for event in decision.events] == ["BaseTemplateNotFound"]


def test_a_base_of_another_model_is_told() -> None:
    decision = decide(template("base", model_name="other"))
    assert said(decision) == ("False", "BaseTemplateNotResolved")
    assert "'other'" in message(decision)


def test_a_base_that_is_being_deleted_is_no_base_for_a_new_template() -> None:
    decision = decide(template("base", deleting=True))
    assert said(decision) == ("False", "BaseTemplateNotFound")
    assert decision.create is None


def test_without_its_base_a_derived_template_in_use_is_kept_as_it_is() -> None:
    there = made(MINE)
    decision = decide(there)
    assert nothing_to_write(decision)
    assert said(decision) == ("True", "TemplateDerived")
    assert "without its base" in message(decision)
    in_use = decide(there, current=there)
    assert nothing_to_write(in_use)
    assert said(in_use) == ("True", "TemplateDerived")


def test_one_that_is_kept_without_its_base_and_is_deleted_is_not_derived_from_itself() -> None:
    going = with_meta(made(MINE), deletionTimestamp="2026-01-01T00:00:00Z")
    decision = decide(going, current=going)
    assert decision.create is None
    assert said(decision)[0] == "False"


@pytest.mark.parametrize(
    "model", [Missing("ModelNotFound", "no model 'llama'"), ModelWish("x:1")], ids=["missing", "being made"]
)
def test_without_a_model_what_the_service_has_stays(model: Any) -> None:
    decision = decide_derivation(look(BASE, made(MINE), model_found=model))
    assert nothing_to_write(decision)
    assert said(decision)[0] == "False"


def test_a_template_that_an_earlier_base_gave_goes_and_is_made_anew() -> None:
    anew = template("base", precision="fp8", uid="new")
    alone = made(MINE)
    decision = decide(anew, alone)
    assert decision.deletions == (alone,)
    assert decision.create is None
    assert said(decision) == ("False", "DerivationPending")
    orphan = made()
    assert decide(anew, orphan).deletions == (orphan,)


def test_while_others_own_it_the_service_lets_go_and_says_whom_it_waits_for() -> None:
    anew = template("base", precision="fp8", uid="new")
    decision = decide(anew, made(MINE, THEIRS))
    (change,) = decision.changes
    assert change.patch["metadata"]["ownerReferences"] == [THEIRS]
    assert decision.deletions == ()
    assert said(decision) == ("False", "DerivedNameTaken")
    assert "AIMService 'other'" in message(decision)
    waiting = decide(anew, made(THEIRS))
    assert nothing_to_write(waiting)
    assert said(waiting) == ("False", "DerivedNameTaken")


def test_a_base_made_anew_with_the_same_values_changes_nothing() -> None:
    assert nothing_to_write(decide(template("base", uid="new"), made(MINE)))


def test_a_foreign_template_of_the_name_is_never_touched_and_the_remedy_is_told() -> None:
    foreign = with_meta(template(NAME), ownerReferences=[MINE])
    decision = decide(BASE, foreign, holder=foreign)
    assert nothing_to_write(decision)
    assert said(decision) == ("False", "DerivedNameTaken")
    assert NAME in message(decision)
    assert "delete" in message(decision)
    assert [event.type for event in decision.events] == ["Warning"]


def test_a_base_that_cannot_be_read_vouches_for_nothing_and_changes_nothing() -> None:
    newer = edited(BASE, precision="fp6")
    decision = decide(newer, made(MINE), current=made(MINE))
    assert nothing_to_write(decision)
    assert said(decision) == ("True", "TemplateDerived")
    assert "spec.precision" in message(decision)
    alone = decide(newer)
    assert (alone.create, said(alone)) == (None, ("False", "BaseTemplateNotResolved"))
    assert "spec.precision" in message(alone)


def test_a_derived_template_that_cannot_be_read_keeps_its_name_and_is_never_written() -> None:
    for owners in ((MINE,), ()):
        newer = edited(made(*owners), env="no list")
        decision = decide(BASE, holder=newer, owned=[newer] if owners else [])
        assert decision.create is None
        assert nothing_to_write(decision)
        assert said(decision) == ("False", "DerivedNameTaken")
        assert "spec.env" in message(decision)


def test_one_of_the_name_and_another_model_is_seen_too() -> None:
    foreign = template(NAME, model_name="other")
    assert said(decide(BASE, holder=foreign)) == ("False", "DerivedNameTaken")


# ---- whatever there is

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
    refused: bool,
) -> None:
    in_use = templates[current] if 0 <= current < len(templates) else None
    decision = decide(*templates, spec=spec, current=in_use, refused="quota" if refused else "")
    for change in decision.changes:
        assert is_derived(change.template)
        before = {owner.uid for owner in change.template.meta.owners}
        patched = change.patch["metadata"].get("ownerReferences")
        after = before if patched is None else {owner["uid"] for owner in patched}
        assert before - {"service-uid"} <= after
        assert after
        assert not set(change.patch.get("spec", {})) & {"modelName", "metric", "precision", "gpuSelector"}
    for one in decision.deletions:
        assert is_derived(one)
        assert {owner.uid for owner in one.meta.owners} <= {"service-uid"}
    touched = [change.template.meta.uid for change in decision.changes] + [
        one.meta.uid for one in decision.deletions
    ]
    assert len(touched) == len(set(touched))
    if decision.create is not None:
        assert all(
            one.meta.name != decision.create["metadata"]["name"] or not one.meta.namespace
            for one in templates
        )


def after(seen: ServiceObservation, decision: DerivationDecision) -> Mapping[str, Any]:
    assert decision.status is not None
    return decision.status.merged_into(seen.view.status.to_json())


@given(TEMPLATES, SPECS)
def test_deciding_again_on_what_was_said_says_the_same_and_records_no_event(
    templates: list[Template], spec: dict[str, Any]
) -> None:
    first = look(*templates, spec=spec)
    decision = decide_derivation(first)
    again = decide(*templates, spec=spec, status=after(first.seen, decision))
    assert again.status == decision.status
    assert again.events == ()
