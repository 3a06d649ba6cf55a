"""Selection: five steps, exactly one, and nothing depends on order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aimctl.api.v1alpha1 import ServiceOverrides
from aimctl.domain.resolution import Missing
from aimctl.domain.services.candidates import difference, has_overrides
from aimctl.domain.services.observation import ModelWish
from aimctl.domain.services.selection import MATCHES_SHOWN, choose, select
from support.services import service, template
from support.things import with_meta

if TYPE_CHECKING:
    from aimctl.domain.services.selection import Choice
    from aimctl.domain.templates.template import Template

FAST = {"overrides": {"metric": "throughput"}}


def dropped(choice: Choice) -> dict[str, str]:
    """By which step each template was dropped; "" for the one that was selected."""
    out = {}
    for match in choice.matching():
        assert match["selected"] == (not match.get("droppedBy"))
        assert match["message"]
        out[match["name"]] = match.get("droppedBy", "")
    return out


# ---- the five steps

A = template("a")


@pytest.mark.parametrize(
    ("templates", "differs", "steps"),
    [
        ([A], {}, {"a": ""}),
        ([template("a", cluster=True)], {}, {"a": ""}),
        ([A, template("b", "Pending")], {}, {"a": "", "b": "Ready"}),
        ([A, template("b", "Degraded")], {}, {"a": "", "b": "Ready"}),
        ([A, template("b", "NotAvailable", gpu=(1, "H100"))], {}, {"a": "", "b": "Ready"}),
        ([A, template("b", "", gpu=(1, "H100"))], {}, {"a": "", "b": "Ready"}),
        ([A, template("b", "", deleting=True)], {}, {"a": "", "b": "Ready"}),
        (
            [template("a", metric="throughput"), template("b", "", derived=True, metric="throughput")],
            {"spec": FAST},
            {"a": "", "b": "Ready"},
        ),
        ([A, template("b", deleting=True)], {}, {"a": "", "b": "Ready"}),
        ([A, template("b", gpu=(1, "H100"))], {}, {"a": "", "b": "GPU"}),
        ([A, template("b", gpu=None, metric="throughput")], {"gpus": []}, {"a": "GPU", "b": ""}),
        ([A, template("b", metric="throughput")], {"spec": FAST}, {"a": "Overrides", "b": ""}),
        (
            [A, template("b", metric=None)],
            {"spec": {"overrides": {"metric": "latency"}}},
            {"a": "", "b": "Overrides"},
        ),
        (
            [A, template("b", precision="fp8")],
            {"spec": {"overrides": {"precision": "fp8"}}},
            {"a": "Overrides", "b": ""},
        ),
        (
            [A, template("b", gpu=(4, "MI300X"))],
            {"spec": {"overrides": {"gpuSelector": {"count": 4}}}},
            {"a": "Overrides", "b": ""},
        ),
        (
            [A, template("b", gpu=(1, "MI325X"))],
            {
                "spec": {"overrides": {"gpuSelector": {"model": "Instinct MI325X"}}},
                "gpus": ["MI300X", "MI325X"],
            },
            {"a": "Overrides", "b": ""},
        ),
        (
            [template("a", cluster=True), template("b")],
            {"own_model": True},
            {"a": "Enumeration", "b": ""},
        ),
        ([A, template("b", derived=True, metric="throughput")], {}, {"a": "", "b": "Overrides"}),
        ([A, template("b", derived=True, metric="throughput")], {"spec": FAST}, {"a": "Overrides", "b": ""}),
        (
            [template("a", metric="throughput"), template("b", derived=True, metric="throughput")],
            {"spec": FAST},
            {"a": "", "b": "Overrides"},
        ),
    ],
)
def test_the_one_template_that_passes_every_step_is_selected_and_each_other_says_which_step_dropped_it(
    templates: list[Template], differs: dict[str, Any], steps: dict[str, str]
) -> None:
    choice = choose(service(templates=templates, **differs))
    assert dropped(choice) == steps
    assert choice.template is not None
    assert steps[choice.template.meta.name] == ""
    assert (choice.reason, choice.state) == ("TemplateResolved", None)


@pytest.mark.parametrize(
    ("templates", "differs", "reason", "state", "steps"),
    [
        ([], {}, "TemplateNotFound", "Failed", {}),
        (
            [A, template("b")],
            {},
            "TemplateSelectionAmbiguous",
            "Failed",
            {"a": "Selection", "b": "Selection"},
        ),
        (
            [A, template("b", cluster=True), template("c", "Failed")],
            {},
            "TemplateSelectionAmbiguous",
            "Failed",
            {"a": "Selection", "b": "Selection", "c": "Ready"},
        ),
        ([template("a", "Pending")], {}, "TemplateNotReady", "Starting", {"a": "Ready"}),
        ([template("a", "Progressing")], {}, "TemplateNotReady", "Starting", {"a": "Ready"}),
        ([template("a", "")], {}, "TemplateNotReady", "Starting", {"a": "Ready"}),
        (
            [template("a", "Pending"), template("b", "Failed")],
            {},
            "TemplateNotReady",
            "Starting",
            {"a": "Ready", "b": "Ready"},
        ),
        ([], {"settled": False}, "TemplateNotReady", "Starting", {}),
        ([template("a", "Failed")], {"settled": False}, "TemplateNotFound", "Failed", {"a": "Ready"}),
        ([template("a", "Failed")], {}, "TemplateNotFound", "Failed", {"a": "Ready"}),
        ([template("a", "Degraded")], {}, "TemplateNotFound", "Failed", {"a": "Ready"}),
        ([template("a", "Pending", deleting=True)], {}, "TemplateNotFound", "Failed", {"a": "Ready"}),
        ([template("a", "Pending", gpu=(1, "H100"))], {}, "TemplateNotFound", "Failed", {"a": "Ready"}),
        ([template("a", "Pending")], {"spec": FAST}, "TemplateNotFound", "Failed", {"a": "Ready"}),
        ([A], {"gpus": ["MI325X"]}, "TemplateNotFound", "Failed", {"a": "GPU"}),
        ([A], {"spec": FAST}, "TemplateNotFound", "Failed", {"a": "Overrides"}),
        ([template("a", derived=True)], {}, "TemplateNotFound", "Failed", {"a": "Overrides"}),
        (
            [template("a", cluster=True)],
            {"own_model": True},
            "TemplateNotFound",
            "Failed",
            {"a": "Enumeration"},
        ),
    ],
)
def test_none_or_several_are_a_failure_unless_one_that_would_fit_is_on_its_way(
    templates: list[Template],
    differs: dict[str, Any],
    reason: str,
    state: str,
    steps: dict[str, str],
) -> None:
    choice = choose(service(templates=templates, **differs))
    assert choice.template is None
    assert (choice.reason, choice.state) == (reason, state)
    assert dropped(choice) == steps
    if reason != "TemplateNotReady":
        assert all(name in choice.message for name in steps)
    if reason == "TemplateSelectionAmbiguous":
        assert "spec.templateRef" in choice.message


def test_a_derived_template_whose_gpu_is_back_is_kept_though_its_status_is_from_before() -> None:
    mine = template("mine", "NotAvailable", metric="throughput", derived=True)
    hand = template("hand", metric="throughput")
    assert choose(service(templates=[mine, hand], current=mine, spec=FAST)).template is mine


def test_what_was_waited_for_long_enough_is_waited_for_no_more() -> None:
    slow = [template("b", ""), template("c", "")]
    choice = choose(service(templates=[A, *slow]))
    assert set(choice.awaits) == {"b-uid", "c-uid"}
    one = choose(service(templates=[A, *slow], given_up=frozenset({"b-uid"})))
    assert one.template is None
    assert "'b'" not in one.message
    both = choose(service(templates=[A, *slow], given_up=frozenset(choice.awaits)))
    assert both.template is A
    assert set(both.awaits) == set(choice.awaits), "what was given up is remembered while it is as it was"


def test_a_service_that_serves_keeps_a_template_whose_gpu_is_away_for_a_while() -> None:
    a = template("a", gpu=(1, "H100"))
    running = {"status": "Running"}
    choice = choose(service(running, templates=[a, template("b")], current=a))
    assert (choice.template, choice.awaits) == (a, ("a-uid",))
    assert "H100" in choice.message
    assert "'b'" in choice.message
    given_up = frozenset({"a-uid"})
    moved = choose(service(running, templates=[a, template("b")], current=a, given_up=given_up))
    assert moved.template is not None
    assert moved.template.meta.name == "b"


NEWER = template("new", precision="fp6")


@pytest.mark.parametrize(
    "differs",
    [
        {"named": NEWER, "spec": {"templateRef": "new"}, "current": A},
        {"named": NEWER},
        {"current": NEWER},
        {"current": NEWER, "named": A},
        {"current": NEWER, "named": NEWER, "spec": {"overrides": {"metric": "throughput"}}},
    ],
)
def test_who_is_to_use_what_cannot_be_read_gets_nothing_else_instead(differs: dict[str, Any]) -> None:
    choice = choose(service({"status": "Running"}, templates=[A, NEWER], **differs))
    assert (choice.template, choice.reason, choice.state) == (None, "TemplateUnreadable", "Pending")
    assert "spec.precision" in choice.message


@pytest.mark.parametrize(
    "differs", [{"named": NEWER, "current": A}, {"named": A, "spec": {"templateRef": "a"}, "current": NEWER}]
)
def test_what_cannot_be_read_is_not_in_the_way_of_who_uses_another(differs: dict[str, Any]) -> None:
    assert choose(service(templates=[A, NEWER], **differs)).template is A


def test_a_missing_runtime_config_is_not_on_its_way_until_it_is_there() -> None:
    waits = template("b", "Pending", reason="RuntimeConfigNotFound")
    assert choose(service(templates=[waits])).state == "Failed"
    assert choose(service(templates=[A, waits])).template is A
    assert choose(service(templates=[A, waits], configured=frozenset({"b-uid"}))).state == "Starting"


@pytest.mark.parametrize("others", [[], ["b", "c"]])
def test_a_broken_template_that_is_kept_is_said_to_be_broken(others: list[str]) -> None:
    a = template("a", gpu=(1, "H100"))
    message = choose(service(templates=[a, *map(template, others)], current=a)).message
    assert "whose GPU H100 no node offers" in message
    assert all(f"'{name}'" in message for name in others)


@pytest.mark.parametrize(
    "new",
    [
        template("b", ""),
        template("b", "", cluster=True),
        template("b", "", metric=None),
        template("b", "Pending", reason="ModelNotFound"),
        template("b", "Degraded", reason="ModelNotFound"),
        template("b", "NotAvailable", reason="GPUNotAvailable"),
    ],
)
def test_nothing_is_selected_before_a_template_that_might_fit_was_looked_at(
    new: Template,
) -> None:
    choice = choose(service(templates=[A, new]))
    assert (choice.template, choice.reason, choice.state) == (None, "TemplateNotReady", "Starting")
    assert "'b'" in choice.message
    assert "'a'" in choice.message
    assert dropped(choice) == {"a": "Selection", "b": "Ready"}

    assert choose(service(templates=[A, new], current=A)).template == A, "what a service has, it keeps"


def test_the_message_names_value_step_and_remedy() -> None:
    choice = choose(
        service(
            templates=[
                template("one", gpu=(8, "MI355X")),
                template("two", "Failed", reason="DiscoveryFailed", message="image not found"),
                template("three", metric="latency"),
            ],
            spec=FAST,
        )
    )
    assert "one (GPU: it needs GPU MI355X, which no node offers)" in choice.message
    assert "two (Ready: it is Failed (DiscoveryFailed): image not found)" in choice.message
    assert "three (Overrides: metric is latency and not throughput)" in choice.message
    assert "spec.templateRef" in choice.message


def test_a_thousand_candidates_are_cut_and_those_that_went_furthest_are_shown() -> None:
    many = [template(f"t{number:04}", gpu=(1, "H100")) for number in range(600)]
    choice = choose(service(templates=[*many, template("zz"), template("zzz")]))
    shown = choice.matching()
    assert len(shown) == MATCHES_SHOWN
    assert [match["name"] for match in shown[:3]] == ["zz", "zzz", "t0000"]
    assert choice.message.count("t0") <= 8
    assert "592 more" in choice.message


# ---- what makes selection unnecessary


def test_a_named_template_is_used_whatever_its_state_and_whatever_else_fits() -> None:
    for state in ("Ready", "Pending", "Failed", "NotAvailable", "Degraded"):
        named = template("b", state)
        choice = choose(service(templates=[A, named], named=named, spec={"templateRef": "b"}))
        assert choice.template is named
        assert dropped(choice) == {"b": ""}


def test_a_named_template_that_is_not_there_is_waited_for() -> None:
    choice = choose(service(templates=[A], current=A, spec={"templateRef": "gone"}))
    assert (choice.template, choice.reason, choice.state) == (None, "TemplateNotFound", "Pending")
    assert "'gone'" in choice.message
    assert "'team'" in choice.message


@pytest.mark.parametrize(
    ("named", "own_model", "word"),
    [
        (template("b", model_name="other"), False, "'other'"),
        (template("b", cluster=True), True, "hides"),
    ],
)
def test_a_named_template_of_another_model_is_refused_with_a_remedy(
    named: Template, own_model: bool, word: str
) -> None:
    for spec, default in (({"templateRef": "b"}, None), ({}, "b")):
        seen = service(
            templates=[A],
            named=named,
            spec=spec,
            own_model=own_model,
            model_spec={"defaultServiceTemplate": default} if default else {},
        )
        choice = choose(seen)
        assert (choice.template, choice.reason, choice.state) == (None, "TemplateModelMismatch", "Failed")
        assert word in choice.message
        assert "spec.templateRef" in choice.message


def test_the_models_default_template_is_the_choice_of_a_new_service() -> None:
    choice = choose(service(templates=[A, template("b")], named=A))
    assert choice.template is A
    assert "defaultServiceTemplate" in choice.message


def test_a_service_keeps_its_template_when_another_appears_and_says_so() -> None:
    b = template("b")
    for templates in ([A, b], [b, A]):
        choice = choose(service(templates=templates, current=A))
        assert choice.template is A
        assert dropped(choice) == {"a": "", "b": "Selection"}
        assert "kept" in choice.message
        assert "'b'" in choice.message


@pytest.mark.parametrize("state", ["Pending", "Progressing", "Degraded", "Failed", "NotAvailable", ""])
def test_a_service_keeps_its_template_while_nothing_else_fits_whatever_its_state(state: str) -> None:
    mine = template("a", state)
    choice = choose(service(templates=[mine, template("b", "Pending")], current=mine))
    assert choice.template is mine
    assert dropped(choice)["a"] == ""


@pytest.mark.parametrize("state", ["Pending", "Progressing", "Degraded"])
def test_a_template_that_is_not_ready_for_a_while_is_not_left_for_another(state: str) -> None:
    mine = template("a", state)
    assert choose(service(templates=[mine, template("b")], current=mine)).template is mine


@pytest.mark.parametrize(
    ("mine", "others", "moved"),
    [
        (template("a", "Failed"), ["b"], True),
        (template("a", "NotAvailable", gpu=(1, "H100")), ["b"], True),
        (template("a", "NotAvailable"), ["b"], False),  # its GPU is back
        (template("a", gpu=(1, "H100")), ["b"], True),
        (template("a", "Failed"), ["b", "c"], False),
        (template("a", gpu=(1, "H100")), ["b", "c"], False),
        (template("a", "Failed"), [], False),
        (template("a", deleting=True), ["b"], True),
        (template("a", model_name="other"), ["b"], True),
        (template("a", cluster=True), ["b"], False),
    ],
)
def test_a_broken_template_is_left_only_for_the_only_other_one(
    mine: Template, others: list[str], moved: bool
) -> None:
    choice = choose(service(templates=[mine, *map(template, others)], current=mine))
    assert choice.template is not None
    assert choice.template.meta.name == (others[0] if moved else "a")
    if moved and not mine.meta.deleting and mine.view.spec.model_name == "llama":
        assert "in the place of" in choice.message


def test_a_service_whose_template_is_gone_selects_again() -> None:
    assert choose(service(templates=[template("b")], current=None)).template is not None
    choice = choose(service(templates=[template("b"), template("c")], current=None))
    assert choice.reason == "TemplateSelectionAmbiguous"


def test_a_change_of_overrides_or_of_the_name_selects_again() -> None:
    fast = template("b", metric="throughput")
    assert choose(service(templates=[A, fast], current=A, spec=FAST)).template is fast
    assert (
        choose(service(templates=[A, fast], named=fast, current=A, spec={"templateRef": "b"})).template
        is fast
    )


def test_without_overrides_a_derived_template_is_not_kept() -> None:
    derived = template("a-ovr-12345678", derived=True, base="a", metric="throughput")
    assert choose(service(templates=[A, derived], current=derived)).template is A


def test_with_overrides_the_default_template_is_the_base_also_of_a_service_that_has_a_template() -> None:
    derived = template("a-ovr-12345678", derived=True, base="a", metric="throughput")
    seen = service(templates=[A, derived], named=A, current=derived, spec=FAST)
    assert choose(seen).template is A


def test_without_a_model_there_is_nothing_to_choose() -> None:
    for model in (Missing("ModelNotFound", "no model"), ModelWish("image:1")):
        assert choose(service(model_found=model)).state == "Pending"


def test_empty_overrides_are_none() -> None:
    empty: list[dict[str, Any]] = [{}, {"gpuSelector": {}}]
    for body in empty:
        assert not has_overrides(ServiceOverrides.model_validate(body))
    given: list[dict[str, Any]] = [
        {"metric": "latency"},
        {"gpuSelector": {"count": 1}},
        {"gpuSelector": {"model": "x"}},
    ]
    for body in given:
        assert has_overrides(ServiceOverrides.model_validate(body))


def test_spellings_of_a_gpu_model_are_no_difference() -> None:
    spec = template(gpu=(1, "Instinct MI300X")).view.spec
    assert difference(spec, ServiceOverrides.model_validate({"gpuSelector": {"model": "mi300x"}})) == ""


# ---- whatever the templates

TEMPLATES = st.builds(
    template,
    state=st.sampled_from(["Ready", "Ready", "Ready", "Pending", "Failed", "NotAvailable", "Degraded", ""]),
    cluster=st.booleans(),
    metric=st.sampled_from(["latency", "throughput", None]),
    precision=st.sampled_from(["fp16", "fp8"]),
    gpu=st.sampled_from([(1, "MI300X"), (2, "MI300X"), (1, "H100"), None]),
    derived=st.booleans(),
    deleting=st.sampled_from([False, False, False, True]),
)
OVERRIDES = st.sampled_from(
    [
        {},
        {"metric": "throughput"},
        {"precision": "fp16"},
        {"gpuSelector": {"count": 2}},
        {"metric": "latency", "gpuSelector": {"model": "MI300X"}},
    ]
)


@settings(max_examples=300)
@given(
    st.lists(TEMPLATES, max_size=8),
    OVERRIDES,
    st.booleans(),
    st.integers(-1, 7),
    st.randoms(use_true_random=False),
)
def test_exactly_one_rule_and_independence_of_order(
    made: list[Template], overrides: dict[str, Any], own_model: bool, mine: int, rng: Any
) -> None:
    templates = [with_meta(item, name=f"t{at}", uid=f"u{at}") for at, item in enumerate(made)]
    current = templates[mine] if 0 <= mine < len(templates) else None

    def seen(order: list[Template]) -> Any:
        return service(templates=order, current=current, spec={"overrides": overrides}, own_model=own_model)

    shuffled = list(templates)
    rng.shuffle(shuffled)
    choice = choose(seen(templates))
    again = choose(seen(shuffled))
    assert choice == again
    selected = select(seen(templates))
    left = [match for match in selected.matches if not match.dropped_by]
    assert (selected.template is None) == (len(left) != 1)
    assert {match.template.meta.name for match in choice.matches} == {item.meta.name for item in templates}
    if choice.template is None:
        assert choice.state is not None
        assert all(match["droppedBy"] and not match["selected"] for match in choice.matching())
    else:
        assert sum(match["selected"] for match in choice.matching()) == 1
        assert not choice.template.meta.deleting
        assert not difference(choice.template.view.spec, seen(templates).view.spec.overrides)
        if own_model:
            assert choice.template.meta.namespace
        if current is None:
            assert choice.template.view.status.status == "Ready"


@settings(max_examples=150)
@given(st.lists(TEMPLATES, max_size=6), TEMPLATES)
def test_once_chosen_a_template_that_stays_as_it_is_is_never_left(
    made: list[Template], late: Template
) -> None:
    templates = [with_meta(item, name=f"t{at}", uid=f"u{at}") for at, item in enumerate(made)]
    first = choose(service(templates=templates))
    if first.template is None:
        return
    later = [*templates, with_meta(late, name="late", uid="late-uid")]
    assert choose(service(templates=later, current=first.template)).template == first.template
