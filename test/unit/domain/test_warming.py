"""What caching says of a template: the four reasons of CacheWarm, and the template cache it asks for."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aimctl.api.v1alpha1 import RuntimeConfigSpec, TemplateState
from aimctl.domain.caching.warming import WarmingObservation, decide_warming
from aimctl.domain.resolution import Resolved
from aimctl.domain.templates.decision import decide_template
from support.caches import LLAMA, NO_CONFIG, NOW, TOKEN, TOKENIZER, at, seen_cache, template
from support.templates import observe as observe_template
from support.things import with_fields

BOTH = [{"name": "m", "source": LLAMA}, {"name": "t", "source": TOKENIZER}]


def observe(cache=None, *, of=None, config=None, refused=""):
    return WarmingObservation(
        of or template(caching=True), config or Resolved(RuntimeConfigSpec(), None), cache, NOW, refused
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
    return seen_cache(status, **cache)


def says(decision):
    (condition,) = decision.status.conditions
    assert condition["type"] == "CacheWarm"
    return condition["status"], condition["reason"]


def message(decision):
    return decision.status.conditions[0]["message"]


# ---- the four reasons


@pytest.mark.parametrize(
    ("cache", "said"),
    [
        (None, ("False", "WarmRequested")),
        (seen_cache(), ("False", "WarmRequested")),
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
        "not looked at",
        "pending",
        "progressing",
        "available",
        "failed",
        "being deleted",
        "warm for other sources",
        "warm for more",
        "of a former template",
        "hand-made",
        "hand-made for another template",
    ],
)
def test_cache_warm_follows_from_the_template_cache(cache, said):
    assert says(decide_warming(observe(cache))) == said


def test_without_sources_nothing_is_warm():
    of = template((), caching=True)
    assert says(decide_warming(observe(filled("Available"), of=of))) == ("False", "WarmRequested")


def test_a_failure_is_told_with_its_cause():
    text = message(decide_warming(observe(filled("Failed", message="AccessDenied: check Secret hf-creds"))))
    assert "AccessDenied: check Secret hf-creds" in text
    assert "AIMTemplateCache 'llama'" in text


def test_what_keeps_the_downloads_from_beginning_is_told():
    text = message(decide_warming(observe(filled("Pending", message="no storage class 'fast'"))))
    assert "no storage class 'fast'" in text


@pytest.mark.parametrize(
    ("percent", "told"), [(None, "0 %"), (9, "0 %"), (10, "10 %"), (47, "40 %"), (99, "90 %")]
)
def test_progress_is_told_in_steps_of_ten_percent(percent, told):
    assert f"at least {told}" in message(decide_warming(observe(filled("Progressing", percent=percent))))


def test_a_cache_for_another_template_is_said_to_be_in_the_way():
    decision = decide_warming(observe(filled(managed=False, templateRef="another")))
    assert "is there already, for template 'another': delete it" in message(decision)
    assert decision.create is None
    assert decision.patch is None


@pytest.mark.parametrize("of", [template(), template(caching=False)])
def test_a_template_that_does_not_ask_for_caching_has_no_condition(of):
    decision = decide_warming(observe(filled(), of=of))
    assert decision.status.conditions == ()
    assert decision.create is None
    assert decision.patch is None
    warm = {
        "type": "CacheWarm",
        "status": "True",
        "reason": "Warm",
        "message": "",
        "lastTransitionTime": at(NOW),
    }
    assert decision.status.changes({"conditions": [warm]})


def test_nothing_is_said_of_a_template_that_goes():
    decision = decide_warming(observe(of=template(caching=True, deleting=True)))
    assert (decision.status, decision.create, decision.patch) == (None, None, None)


# ---- the template cache


def test_the_template_cache_is_asked_for_with_labels_as_the_runtime_config_says():
    config = RuntimeConfigSpec.model_validate(
        {"labelPropagation": {"enabled": True, "match": ["org.example/*"]}}
    )
    of = template(caching=True, env=[TOKEN], labels={"org.example/a": "1", "b": "2"})
    made = decide_warming(observe(of=of, config=Resolved(config, None))).create
    assert made["metadata"]["name"] == "llama"
    assert made["metadata"]["namespace"] == "team"
    assert made["metadata"]["labels"] == {"org.example/a": "1", "app.kubernetes.io/managed-by": "aim"}
    assert made["spec"]["env"] == [TOKEN]


def test_the_template_cache_is_asked_for_before_discovery_and_without_a_runtime_config():
    assert decide_warming(observe(of=template((), caching=True), config=NO_CONFIG)).create is not None


def test_a_refusal_is_told_in_the_servers_words_and_asked_for_again():
    decision = decide_warming(observe(refused="exceeded quota: aim"))
    assert says(decision) == ("False", "WarmFailed")
    assert "exceeded quota: aim" in message(decision)
    assert decision.create is not None


def test_the_templates_own_cache_follows_its_edits():
    of = template(caching=True, env=[TOKEN], imagePullSecrets=[{"name": "s"}], runtimeConfigName="ours")
    decision = decide_warming(
        observe(filled(env=[{"name": "OLD", "value": "1"}], storageClassName="by hand"), of=of)
    )
    assert decision.patch == {
        "env": [TOKEN],
        "imagePullSecrets": [{"name": "s"}],
        "runtimeConfigName": "ours",
    }
    assert decide_warming(observe(filled(env=[TOKEN]))).patch == {"env": None}


@pytest.mark.parametrize(
    "cache",
    [
        filled(managed=False, env=[TOKEN]),
        filled(controller="another", env=[TOKEN]),
        filled(deleting=True, env=[TOKEN]),
    ],
    ids=["hand-made", "of another owner", "being deleted"],
)
def test_a_cache_that_is_not_the_templates_own_is_used_as_it_is(cache):
    decision = decide_warming(observe(cache))
    assert decision.create is None
    assert decision.patch is None


# ---- with the template's state


def state_of(condition, *, sources=True):
    """What the template reconciler makes of a CacheWarm condition."""
    status = {"conditions": [dict(condition)]}
    spec = {"caching": {"enabled": True}}
    if sources:
        spec["modelSources"] = [{"name": "m", "sourceURI": LLAMA, "size": "1Gi"}]
        status["modelSources"] = [{"name": "m", "source": LLAMA, "sizeBytes": 1}]
    decision = decide_template(observe_template(status, spec=spec))
    ready = next(item for item in decision.status.conditions if item["type"] == "Ready")
    return decision.status.fields["status"], ready


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
def test_a_template_is_ready_only_when_it_is_warm_and_says_why_it_is_not(cache, state):
    decision = decide_warming(observe(cache))
    (condition,) = decision.status.conditions
    found, ready = state_of(condition)
    assert found == state
    assert ready["status"] == ("True" if state is TemplateState.READY else "False")
    assert ready["reason"] == condition["reason"]
    if condition["reason"] != "Warming":  # how far it is is told in one place
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
def test_every_observation_has_a_settled_decision_and_warm_means_every_source_is_there(of, cache, refused):
    seen = observe(cache, of=of, refused=refused)
    decision = decide_warming(seen)
    if decision.status is None:
        assert of.meta.deleting
        return
    current = of.view.status.to_json()
    status = decision.status.merged_into(current)
    settled = decide_warming(replace(seen, template=with_fields(of, status=status)))
    assert not settled.status.changes(status)
    for condition in decision.status.conditions:
        if condition["status"] == "True":
            listed = {item.source for item in cache.view.status.models}
            assert {item.source for item in of.view.status.model_sources} <= listed
            assert cache.available
