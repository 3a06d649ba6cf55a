"""Template selection: the five steps, what takes precedence, and independence of the order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aimctl.api.v1alpha1 import ServiceOverrides
from aimctl.domain.conditions import MAX_MESSAGE
from aimctl.domain.resolution import Missing
from aimctl.domain.services.candidates import difference, has_overrides
from aimctl.domain.services.choice import MATCHES_SHOWN
from aimctl.domain.services.derivation.derived_template import derived_name
from aimctl.domain.services.observation import NewModel
from aimctl.domain.services.selection import choose, select
from aimctl.domain.templates.template import is_derived
from support.services import service, template
from support.things import with_meta

if TYPE_CHECKING:
    from aimctl.domain.services.choice import Choice
    from aimctl.domain.templates.template import Template

FAST = {"overrides": {"metric": "throughput"}}


def dropped(choice: Choice) -> dict[str, str]:
    """The step that excluded each template; "" for the selected one."""
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
def test_the_only_template_that_passes_every_step_is_selected_and_the_others_name_the_step_that_excluded_them(
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
        ([template("a", "Pending")], {"spec": FAST}, "TemplateNotReady", "Starting", {"a": "Ready"}),
        ([template("a", "Failed")], {"spec": FAST}, "TemplateNotFound", "Failed", {"a": "Ready"}),
        ([A], {"gpus": ["MI325X"]}, "TemplateNotFound", "Failed", {"a": "GPU"}),
        (
            [A, template("b", precision="fp8")],
            {"spec": FAST},
            "TemplateSelectionAmbiguous",
            "Failed",
            {"a": "Overrides", "b": "Overrides"},
        ),
        (
            [A, template("b", "Pending", metric="throughput")],
            {"spec": FAST},
            "TemplateNotReady",
            "Starting",
            {"a": "Overrides", "b": "Ready"},
        ),
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
def test_no_match_or_several_are_a_failure_unless_a_matching_template_is_not_ready_yet(
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


@pytest.mark.parametrize(
    ("names", "words", "remedy"),
    [
        (
            "a",
            "the only template of AIMClusterModel 'llama' does not match: a",
            "; remove the cause, and the service continues",
        ),
        (
            "ab",
            "none of the 2 templates of AIMClusterModel 'llama' matches: ",
            "; remove the cause, and the service continues",
        ),
    ],
)
def test_one_template_that_does_not_match_is_not_called_several(names: str, words: str, remedy: str) -> None:
    message = choose(service(templates=[template(name, "Failed") for name in names])).message
    assert message.startswith(words)
    assert remedy in message


def test_a_derived_template_whose_gpu_is_back_is_kept_although_its_status_is_out_of_date() -> None:
    mine = template("mine", "NotAvailable", metric="throughput", derived=True)
    hand = template("hand", metric="throughput")
    assert choose(service(templates=[mine, hand], current=mine, spec=FAST)).template is mine


def test_a_template_is_not_waited_for_any_more_when_its_wait_has_ended() -> None:
    slow = [template("b", ""), template("c", "")]
    choice = choose(service(templates=[A, *slow]))
    assert set(choice.awaits) == {"b-uid", "c-uid"}
    one = choose(service(templates=[A, *slow], waits={"b-uid": 0.0}))
    assert one.template is None
    assert "'b'" not in one.message
    both = choose(service(templates=[A, *slow], waits=dict.fromkeys(choice.awaits, 0.0)))
    assert both.template is A
    assert set(both.awaits) == set(choice.awaits), (
        "a wait that has ended is remembered while its template does not change"
    )


def test_a_running_service_keeps_a_template_whose_gpu_is_missing_until_the_wait_has_ended() -> None:
    a = template("a", gpu=(1, "H100"))
    running = {"status": "Running"}
    choice = choose(service(running, templates=[a, template("b")], current=a))
    assert (choice.template, choice.awaits) == (a, ("a-uid",))
    assert "H100" in choice.message
    assert "'b'" in choice.message
    moved = choose(service(running, templates=[a, template("b")], current=a, waits={"a-uid": -1.0}))
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
def test_a_service_whose_template_cannot_be_read_uses_no_other_instead(differs: dict[str, Any]) -> None:
    choice = choose(service({"status": "Running"}, templates=[A, NEWER], **differs))
    assert (choice.template, choice.reason, choice.state) == (None, "TemplateUnreadable", "Pending")
    assert "spec.precision" in choice.message


@pytest.mark.parametrize(
    "differs", [{"named": NEWER, "current": A}, {"named": A, "spec": {"templateRef": "a"}, "current": NEWER}]
)
def test_an_unreadable_template_does_not_affect_a_service_that_uses_another(differs: dict[str, Any]) -> None:
    assert choose(service(templates=[A, NEWER], **differs)).template is A


def test_a_template_without_its_runtime_config_is_not_expected_until_the_config_exists() -> None:
    waits = template("b", "Pending", reason="RuntimeConfigNotFound")
    assert choose(service(templates=[waits])).state == "Failed"
    assert choose(service(templates=[A, waits])).template is A
    assert choose(service(templates=[A, waits], configured=frozenset({"b-uid"}))).state == "Starting"


@pytest.mark.parametrize("others", [[], ["b", "c"]])
def test_the_message_reports_the_failure_of_a_template_that_is_kept(others: list[str]) -> None:
    a = template("a", gpu=(1, "H100"))
    message = choose(service(templates=[a, *map(template, others)], current=a)).message
    assert "which needs GPU H100, which no node offers" in message
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
def test_no_template_is_selected_before_another_that_might_match_is_reconciled(
    new: Template,
) -> None:
    choice = choose(service(templates=[A, new]))
    assert (choice.template, choice.reason, choice.state) == (None, "TemplateNotReady", "Starting")
    assert "'b'" in choice.message
    assert "'a'" in choice.message
    assert dropped(choice) == {"a": "Selection", "b": "Ready"}

    assert choose(service(templates=[A, new], current=A)).template == A, "the service keeps its template"


def test_the_message_names_value_step_and_remedy() -> None:
    choice = choose(
        service(
            templates=[
                template("one", gpu=(8, "MI355X")),
                template("two", "Failed", reason="DiscoveryFailed", message="image not found"),
                template("three", metric="latency", derived=True),
            ],
            spec=FAST,
        )
    )
    assert "one (it needs GPU MI355X, which no node offers)" in choice.message
    assert "two (it is Failed (DiscoveryFailed): image not found)" in choice.message
    assert "three (metric is latency and not throughput)" in choice.message
    assert "spec.templateRef" in choice.message


def test_a_cause_that_several_templates_have_in_common_is_stated_once_with_its_remedy() -> None:
    cause = "Secret 'hf' does not exist in namespace 'team': create it"
    failed = [
        template(name, "Failed", reason="DiscoveryFailed", message=cause) for name in ("a", "b", "c", "d")
    ]
    message = choose(service(templates=failed)).message
    assert f"a, b, c and 1 more (it is Failed (DiscoveryFailed): {cause})" in message
    assert message.endswith("; remove the cause, and the service continues")
    assert len(message) <= MAX_MESSAGE
    both = choose(service(templates=[*failed, template("e", gpu=(1, "H100"))])).message
    assert both.count("Secret 'hf'") == 1
    assert "e (it needs GPU H100, which no node offers)" in both


def test_a_model_that_is_not_ready_is_the_cause_of_missing_templates() -> None:
    problem = "denied access to image 'x:1': add a pull secret for this registry to spec.imagePullSecrets"
    choice = choose(service(problem=problem))
    assert (choice.reason, choice.state) == ("TemplateNotFound", "Failed")
    assert choice.message == (
        f"there is no template of AIMClusterModel 'llama', because it is not Ready: {problem}"
    )
    other = choose(service(problem=problem, templates=[template("a", "Failed", message="exit code 1")]))
    assert "exit code 1" in other.message
    assert problem not in other.message


def test_the_only_template_is_not_counted() -> None:
    message = choose(service(templates=[template("a", gpu=(1, "H100"))])).message
    assert message.startswith("the only template of AIMClusterModel ")
    assert "a (it needs GPU H100, which no node offers)" in message


def test_of_many_candidates_those_that_reached_the_latest_steps_are_shown() -> None:
    many = [template(f"t{number:04}", gpu=(1, f"H{number:04}")) for number in range(600)]
    choice = choose(service(templates=[*many, template("zz"), template("zzz")]))
    shown = choice.matching()
    assert len(shown) == MATCHES_SHOWN
    assert [match["name"] for match in shown[:3]] == ["zz", "zzz", "t0000"]
    assert choice.message.count("t0") <= 8
    assert "Excluded" not in choice.message, "it would be too long"


# ---- what takes precedence over selection


def test_a_named_template_is_used_in_any_state_and_whatever_else_matches() -> None:
    for state in ("Ready", "Pending", "Failed", "NotAvailable", "Degraded"):
        named = template("b", state)
        choice = choose(service(templates=[A, named], named=named, spec={"templateRef": "b"}))
        assert choice.template is named
        assert dropped(choice) == {"b": ""}


def test_a_named_template_that_does_not_exist_leaves_the_service_pending() -> None:
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
def test_a_named_template_of_another_model_is_rejected_with_a_remedy(
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


def test_a_new_service_uses_the_default_template_of_its_model() -> None:
    choice = choose(service(templates=[A, template("b")], named=A))
    assert choice.template is A
    assert "defaultServiceTemplate" in choice.message


def test_a_service_keeps_its_template_and_reports_it_when_another_matches() -> None:
    b = template("b")
    for templates in ([A, b], [b, A]):
        choice = choose(service(templates=templates, current=A))
        assert choice.template is A
        assert dropped(choice) == {"a": "", "b": "Selection"}
        assert "kept" in choice.message
        assert "'b'" in choice.message


@pytest.mark.parametrize("state", ["Pending", "Progressing", "Degraded", "Failed", "NotAvailable", ""])
def test_a_service_keeps_its_template_in_any_state_while_no_other_matches(state: str) -> None:
    mine = template("a", state)
    choice = choose(service(templates=[mine, template("b", "Pending")], current=mine))
    assert choice.template is mine
    assert dropped(choice)["a"] == ""


@pytest.mark.parametrize("state", ["Pending", "Progressing", "Degraded"])
def test_a_template_that_is_not_ready_for_a_while_is_not_replaced(state: str) -> None:
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
def test_a_failed_template_is_replaced_only_if_exactly_one_other_matches(
    mine: Template, others: list[str], moved: bool
) -> None:
    choice = choose(service(templates=[mine, *map(template, others)], current=mine))
    assert choice.template is not None
    assert choice.template.meta.name == (others[0] if moved else "a")
    if moved and not mine.meta.deleting and mine.view.spec.model_name == "llama":
        assert "instead of" in choice.message


def test_selection_is_repeated_when_the_template_does_not_exist_any_more() -> None:
    assert choose(service(templates=[template("b")], current=None)).template is not None
    choice = choose(service(templates=[template("b"), template("c")], current=None))
    assert choice.reason == "TemplateSelectionAmbiguous"


def test_selection_is_repeated_when_overrides_or_name_change() -> None:
    fast = template("b", metric="throughput")
    assert choose(service(templates=[A, fast], current=A, spec=FAST)).template is fast
    assert (
        choose(service(templates=[A, fast], named=fast, current=A, spec={"templateRef": "b"})).template
        is fast
    )


def test_without_overrides_a_derived_template_is_not_kept() -> None:
    derived = template("a-ovr-12345678", derived=True, base="a", metric="throughput")
    assert choose(service(templates=[A, derived], current=derived)).template is A


def test_with_overrides_the_default_template_is_the_base_even_if_the_service_uses_another() -> None:
    derived = template("a-ovr-12345678", derived=True, base="a", metric="throughput")
    seen = service(templates=[A, derived], named=A, current=derived, spec=FAST)
    assert choose(seen).template is A


def test_without_a_model_no_template_is_chosen() -> None:
    for model in (Missing("ModelNotFound", "no model"), NewModel("image:1")):
        assert choose(service(model_found=model)).state == "Pending"


def test_empty_overrides_count_as_none() -> None:
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


def test_spellings_of_a_gpu_model_are_equal() -> None:
    spec = template(gpu=(1, "Instinct MI300X")).view.spec
    assert difference(spec, ServiceOverrides.model_validate({"gpuSelector": {"model": "mi300x"}})) == ""


# ---- the base of overrides

FAST_NAME = derived_name("a", service(spec=FAST).spec.overrides)


@pytest.mark.parametrize(
    "others",
    [
        [],
        [template("b", "Failed")],
        [template("b", "Pending")],
        [template("b", gpu=(1, "H100"))],
        [template("b-ovr-12345678", derived=True, base="b", precision="fp8")],
        [template("b", "Failed", metric="throughput")],
    ],
    ids=["alone", "failed", "pending", "other-gpu", "derived", "failed-match"],
)
def test_the_only_template_that_passes_the_steps_before_the_overrides_is_their_base(
    others: list[Template],
) -> None:
    choice = choose(service(templates=[A, *others], spec=FAST))
    assert (choice.template, choice.reason, choice.state) == (A, "TemplateResolved", None)
    assert "'a'" in choice.message
    assert dropped(choice)["a"] == ""


def test_the_base_is_the_same_before_and_after_the_template_is_derived() -> None:
    derived = template(FAST_NAME, derived=True, base="a", metric="throughput")
    pending = template(FAST_NAME, "Pending", derived=True, base="a", metric="throughput")
    first = choose(service(templates=[A], spec=FAST))
    created = choose(service(templates=[A, pending], spec=FAST))
    in_use = choose(service(templates=[A, pending], current=pending, spec=FAST))
    ready = choose(service(templates=[A, derived], current=derived, spec=FAST))
    of_another_service = choose(service(templates=[A, derived], spec=FAST))
    later = [first, created, in_use, ready, of_another_service]
    assert {choice.template for choice in later} == {A}
    assert {choice.message for choice in later} == {first.message}
    assert {str(choice.matching()) for choice in later[1:]} == {str(created.matching())}


def test_a_base_that_becomes_one_of_several_stays_the_base_of_a_service_that_uses_it() -> None:
    derived = template(FAST_NAME, derived=True, base="a", metric="throughput")
    templates = [A, template("b", precision="fp8"), derived]
    assert choose(service(templates=templates, current=derived, spec=FAST)).template is A


def test_a_derived_template_whose_base_does_not_exist_is_kept() -> None:
    derived = template(FAST_NAME, derived=True, base="a", metric="throughput")
    assert choose(service(templates=[derived], current=derived, spec=FAST)).template is derived


def test_the_base_is_selected_after_templates_whose_status_is_out_of_date() -> None:
    outdated = template("b", "NotAvailable")
    choice = choose(service(templates=[A, outdated], spec=FAST))
    assert (choice.template, choice.state, choice.awaits) == (None, "Starting", ("b-uid",))
    ended = choose(service(templates=[A, outdated], spec=FAST, waits={"b-uid": 0.0}))
    assert ended.template is A


def test_several_possible_bases_are_listed_and_their_differences_are_in_template_matching() -> None:
    choice = choose(service(templates=[A, template("b", cluster=True, metric=None)], spec=FAST))
    assert "2 could be their base: a, b; name one of them in spec.templateRef" in choice.message
    assert {match.template.meta.name: match.message for match in choice.matches} == {
        "a": "metric is latency and not throughput",
        "b": "metric is not set and not throughput",
    }


# ---- any templates

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


@settings(max_examples=120)
@given(
    st.lists(TEMPLATES, max_size=8),
    OVERRIDES,
    st.booleans(),
    st.integers(-1, 7),
    st.randoms(use_true_random=False),
)
def test_a_template_is_selected_if_exactly_one_is_left_in_any_order(
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
        if difference(choice.template.view.spec, seen(templates).spec.overrides):
            assert not is_derived(choice.template), "only a template that was not derived is a base"
            assert {match.message for match in choice.matches if not match.dropped_by} == {
                "it is the base of the overrides"
            }
        if own_model:
            assert choice.template.meta.namespace
        if current is None:
            assert choice.template.view.status.status == "Ready"


@settings(max_examples=150)
@given(st.lists(TEMPLATES, max_size=6), TEMPLATES)
def test_a_chosen_template_that_does_not_change_is_kept(made: list[Template], late: Template) -> None:
    templates = [with_meta(item, name=f"t{at}", uid=f"u{at}") for at, item in enumerate(made)]
    first = choose(service(templates=templates))
    if first.template is None:
        return
    later = [*templates, with_meta(late, name="late", uid="late-uid")]
    assert choose(service(templates=later, current=first.template)).template == first.template
