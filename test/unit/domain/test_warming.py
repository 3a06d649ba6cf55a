"""What caching reports about a template: the four reasons of CacheWarm, and the template cache it creates."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aimctl.api.v1alpha1 import RuntimeConfigSpec, TemplateState
from aimctl.domain.caching.warming import WarmingObservation, decide_warming
from aimctl.domain.plan import Create, Plan
from aimctl.domain.resolution import Resolved
from aimctl.domain.templates.decision import decide_template
from support.caches import LLAMA, NO_CONFIG, NOW, TOKEN, TOKENIZER, at, template, template_cache
from support.plans import condition_of, outline, part_of, status_of
from support.templates import observe as observe_template
from support.things import with_fields

BOTH = [{"name": "m", "source": LLAMA}, {"name": "t", "source": TOKENIZER}]


def observe(cache=None, *, of=None, config=None, rejection=""):
    return WarmingObservation(
        of or template(caching=True), config or Resolved(RuntimeConfigSpec(), None), cache, NOW, rejection
    )


def filled(state="Available", *, models=BOTH, uid="template-uid", percent=None, message="", **cache):
    """A template cache that knows the template and its sources."""
    status = {
        "status": state,
        "observedGeneration": 1,
        "models": models,
        "resolvedTemplate": {"kind": "AIMServiceTemplate", "name": "llama", "uid": uid},
    }
    if percent is not None:
        status["progress"] = {"percent": percent}
    if message:
        ready = {
            "type": "Ready",
            "status": "False",
            "reason": "R",
            "message": message,
            "lastTransitionTime": at(NOW),
        }
        status["conditions"] = [ready]
    return template_cache(status, **cache)


def says(plan):
    condition = condition_of(plan, "CacheWarm")
    return condition["status"], condition["reason"]


def message(plan):
    return condition_of(plan, "CacheWarm")["message"]


def created(plan):
    (create,) = plan.of_type(Create)
    return create.manifest


# ---- the four reasons


@pytest.mark.parametrize(
    ("cache", "reported"),
    [
        (None, ("False", "WarmRequested")),
        (template_cache(), ("False", "WarmRequested")),
        (filled("Pending"), ("False", "WarmRequested")),
        (filled("Progressing"), ("False", "Warming")),
        (filled("Available"), ("True", "Warm")),
        (filled("Failed"), ("False", "WarmFailed")),
        (filled("Available", deleting=True), ("False", "WarmRequested")),
        (filled("Available", models=BOTH[:1]), ("False", "WarmRequested")),
        (filled("Available", models=[*BOTH, {"name": "x", "source": "s3://b/x"}]), ("True", "Warm")),
        (filled("Available", uid="of-a-former-template"), ("False", "WarmRequested")),
        (filled("Available", managed=False), ("True", "Warm")),
        (filled("Available", managed=False, templateRef="another"), ("False", "WarmFailed")),
    ],
    ids=[
        "none",
        "not reconciled yet",
        "pending",
        "progressing",
        "available",
        "failed",
        "being deleted",
        "warm for other sources",
        "warm for more",
        "of a former template",
        "of a user",
        "of a user, for another template",
    ],
)
def test_cache_warm_follows_from_the_template_cache(cache, reported):
    assert says(decide_warming(observe(cache))) == reported


def test_without_sources_nothing_is_warm():
    of = template((), caching=True)
    assert says(decide_warming(observe(filled("Available"), of=of))) == ("False", "WarmRequested")


def test_a_failure_is_reported_with_its_cause():
    text = message(decide_warming(observe(filled("Failed", message="AccessDenied: check Secret hf-creds"))))
    assert "AccessDenied: check Secret hf-creds" in text
    assert "AIMTemplateCache 'llama'" in text


def test_what_prevents_the_downloads_from_starting_is_reported():
    text = message(decide_warming(observe(filled("Pending", message="no storage class 'fast'"))))
    assert "no storage class 'fast'" in text


@pytest.mark.parametrize(
    ("percent", "reported"), [(None, "0 %"), (9, "0 %"), (10, "10 %"), (47, "40 %"), (99, "90 %")]
)
def test_progress_is_reported_in_steps_of_ten_percent(percent, reported):
    assert f"at least {reported}" in message(decide_warming(observe(filled("Progressing", percent=percent))))


def test_a_cache_for_another_template_is_reported_with_the_remedy():
    plan = decide_warming(observe(filled(managed=False, templateRef="another")))
    assert "exists already, for template 'another': delete it" in message(plan)
    assert outline(plan) == ["WriteStatus"]


@pytest.mark.parametrize("of", [template(), template(caching=False)])
def test_a_template_without_caching_has_no_condition(of):
    plan = decide_warming(observe(filled(), of=of))
    assert outline(plan) == ["WriteStatus"]
    assert status_of(plan)["conditions"] == []
    warm = {
        "type": "CacheWarm",
        "status": "True",
        "reason": "Warm",
        "message": "",
        "lastTransitionTime": at(NOW),
    }
    assert part_of(plan).changes({"conditions": [warm]})


def test_nothing_is_done_about_a_template_that_is_being_deleted():
    assert decide_warming(observe(of=template(caching=True, deleting=True))) == Plan()


# ---- the template cache


def test_the_template_cache_is_created_before_the_status_is_written_with_the_labels_to_propagate():
    config = RuntimeConfigSpec.model_validate(
        {"labelPropagation": {"enabled": True, "match": ["org.example/*"]}}
    )
    of = template(caching=True, env=[TOKEN], labels={"org.example/a": "1", "b": "2"})
    plan = decide_warming(observe(of=of, config=Resolved(config, None)))
    assert outline(plan) == ["Create llama", "WriteStatus"]
    assert created(plan)["metadata"]["namespace"] == "team"
    assert created(plan)["metadata"]["labels"] == {
        "org.example/a": "1",
        "app.kubernetes.io/managed-by": "aim",
    }
    assert created(plan)["spec"]["env"] == [TOKEN]


def test_the_template_cache_is_created_before_discovery_and_without_a_runtime_config():
    assert created(decide_warming(observe(of=template((), caching=True), config=NO_CONFIG)))


def test_a_rejection_is_reported_with_its_message_and_the_creation_stays_planned():
    plan = decide_warming(observe(rejection="exceeded quota: aim"))
    assert says(plan) == ("False", "WarmFailed")
    assert "exceeded quota: aim" in message(plan)
    assert outline(plan) == ["Create llama", "WriteStatus"]


@pytest.mark.parametrize(
    "cache",
    [filled(env=[TOKEN]), filled(managed=False, env=[TOKEN]), filled(deleting=True, env=[TOKEN])],
    ids=["outdated", "of a user", "being deleted"],
)
def test_a_cache_that_exists_is_not_touched(cache):
    assert outline(decide_warming(observe(cache))) == ["WriteStatus"]


# ---- with the template's state


def state_of(condition, *, sources=True):
    """State and condition Ready that the template reconciler derives from the condition CacheWarm."""
    status = {"conditions": [dict(condition)]}
    spec = {"caching": {"enabled": True}}
    if sources:
        spec["modelSources"] = [{"name": "m", "sourceURI": LLAMA, "size": "1Gi"}]
        status["modelSources"] = [{"name": "m", "source": LLAMA, "sizeBytes": 1}]
    (action,) = decide_template(observe_template(status, spec=spec)).actions
    ready = next(item for item in action.part.conditions if item["type"] == "Ready")
    return action.part.fields["status"], ready


@pytest.mark.parametrize(
    ("cache", "state"),
    [
        (None, TemplateState.PROGRESSING),
        (filled("Pending"), TemplateState.PROGRESSING),
        (filled("Progressing"), TemplateState.PROGRESSING),
        (filled("Available"), TemplateState.READY),
        (filled("Failed", message="AccessDenied: hf-creds"), TemplateState.DEGRADED),
    ],
)
def test_a_template_is_ready_only_if_it_is_warm_and_reports_why_it_is_not(cache, state):
    condition = condition_of(decide_warming(observe(cache)), "CacheWarm")
    found, ready = state_of(condition)
    assert found == state
    assert ready["status"] == ("True" if state is TemplateState.READY else "False")
    assert ready["reason"] == condition["reason"]
    if condition["reason"] != "Warming":  # the percentage is reported in one place
        assert ready["message"] == condition["message"]


# ---- for all observations

_CACHES = st.one_of(
    st.none(),
    st.builds(
        filled,
        st.sampled_from(["", "Pending", "Progressing", "Available", "Failed"]).map(
            lambda state: state or "Pending"
        ),
        models=st.lists(st.sampled_from(BOTH), max_size=2, unique_by=lambda item: item["name"]),
        uid=st.sampled_from(["template-uid", "former"]),
        percent=st.one_of(st.none(), st.integers(0, 100)),
        managed=st.booleans(),
        deleting=st.booleans(),
        templateRef=st.sampled_from(["llama", "another"]),
    ),
)
_TEMPLATES = st.builds(
    template,
    st.lists(st.sampled_from([(LLAMA, 1), (TOKENIZER, 2)]), max_size=2, unique=True),
    caching=st.sampled_from([None, False, True]),
    deleting=st.booleans(),
)


@settings(deadline=None)
@given(_TEMPLATES, _CACHES, st.sampled_from(["", "no"]))
def test_every_observation_has_a_settled_plan_and_warm_means_every_source_is_cached(of, cache, rejection):
    seen = observe(cache, of=of, rejection=rejection)
    plan = decide_warming(seen)
    if of.meta.deleting:
        assert plan == Plan()
        return
    status = part_of(plan).merged_into(of.view.status.to_json())
    settled = decide_warming(replace(seen, template=with_fields(of, status=status)))
    assert not part_of(settled).changes(status)
    for condition in status_of(plan)["conditions"]:
        if condition["status"] == "True":
            listed = {item.source for item in cache.view.status.models}
            assert {item.source for item in of.view.status.model_sources} <= listed
            assert cache.view.status.status == "Available"
