"""What a template cache says and makes: states, sharing, wishes that end, progress in bounds."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aimctl.api.v1alpha1 import TEMPLATE_CACHES, RuntimeConfigSpec
from aimctl.domain.caching.template_cache import model_cache_name
from aimctl.domain.caching.template_cache_decision import decide_template_cache
from aimctl.domain.resolution import Resolved
from support.caches import (
    LLAMA,
    NO_CONFIG,
    NOW,
    TOKEN,
    TOKENIZER,
    at,
    model_cache,
    observe_cache,
    service,
    template,
    user,
)


def after(seen, decision):
    """The observation once the decided status is written."""
    body = {
        "spec": seen.view.spec.to_json(),
        "status": decision.status.merged_into(seen.view.status.to_json()),
    }
    view = TEMPLATE_CACHES.decode(json.dumps(body).encode())
    return replace(seen, cache=replace(seen.cache, view=view))


def says(decision, type_="Ready"):
    (found,) = [item for item in decision.status.conditions if item["type"] == type_]
    return found["status"], found["reason"]


def message(decision, type_="Ready"):
    (found,) = [item for item in decision.status.conditions if item["type"] == type_]
    return found["message"]


def made(decision):
    return [manifest["spec"]["sourceURI"] for manifest in decision.create]


def both(one="", other="", **first):
    return [model_cache(LLAMA, one, **first), model_cache(TOKENIZER, other, size="200")]


# ---- which model caches


def test_each_source_gets_a_model_cache_of_its_own_name_which_the_status_lists_first():
    decision = decide_template_cache(observe_cache())
    assert made(decision) == [LLAMA, TOKENIZER]
    assert decision.status.fields["models"] == [
        {
            "name": "meta/llama",
            "source": LLAMA,
            "modelCache": model_cache_name(LLAMA),
            "status": "Pending",
        },
        {
            "name": "meta/llama/tokenizer.json",
            "source": TOKENIZER,
            "modelCache": model_cache_name(TOKENIZER),
            "status": "Pending",
        },
    ]


def test_what_is_there_is_not_made_again():
    decision = decide_template_cache(observe_cache(models=[model_cache(LLAMA, "Progressing")]))
    assert made(decision) == [TOKENIZER]


def test_sources_of_one_uri_share_a_model_cache_of_the_larger_size():
    decision = decide_template_cache(observe_cache(of=template([(LLAMA, 4096), (LLAMA, 1024)], caching=True)))
    (manifest,) = decision.create
    assert manifest["spec"]["size"] == "4Ki"
    assert len(decision.status.fields["models"]) == 2
    assert decision.status.fields["progress"]["totalBytes"] == 4096


def test_the_largest_size_that_any_template_cache_of_the_namespace_expects_is_asked_for():
    decision = decide_template_cache(
        observe_cache(
            of=template([(LLAMA, 1024)], caching=True), users=[user(sizes={LLAMA: 8192}), user("c")]
        )
    )
    assert decision.create[0]["spec"]["size"] == "8Ki"


def test_what_template_caches_say_of_a_source_is_put_together_the_older_first():
    old = user(env=[{"name": "A", "value": "old"}], runtimeConfigName="old")
    decision = decide_template_cache(
        observe_cache(users=[old], env=[{"name": "A", "value": "new"}, TOKEN], storageClassName="fast")
    )
    spec = decision.create[0]["spec"]
    assert {item["name"]: item.get("value") for item in spec["env"]} == {"A": "old", "HF_TOKEN": None}
    assert spec["runtimeConfigName"] == "old"
    assert spec["storageClassName"] == "fast"
    assert decision.create[1]["spec"]["runtimeConfigName"] == "default", (
        "the other does not use the tokenizer"
    )


def test_a_hand_made_model_cache_of_the_same_source_is_used():
    own = model_cache(LLAMA, "Available", name="mine", managed=False)
    decision = decide_template_cache(observe_cache(models=[own]))
    assert made(decision) == [TOKENIZER]
    assert decision.status.fields["models"][0]["modelCache"] == "mine"
    assert decision.status.fields["models"][0]["persistentVolumeClaim"] == "mine"


def test_the_model_cache_in_use_stays_in_use_when_a_better_one_appears():
    listed = {"models": [{"name": "m", "source": LLAMA, "modelCache": "mine"}]}
    models = [
        model_cache(LLAMA, "Progressing", name="mine", managed=False),
        model_cache(LLAMA, "Available"),
        model_cache(LLAMA, "Available", name="another", managed=False),
    ]
    decision = decide_template_cache(observe_cache(listed, models=models))
    assert decision.status.fields["models"][0]["modelCache"] == "mine"


def test_of_several_hand_made_ones_the_available_one_is_used_whatever_the_order():
    models = [
        model_cache(LLAMA, state, name=name)
        for name, state in (("a", "Failed"), ("b", "Available"), ("c", ""))
    ]
    for order in (models, models[::-1]):
        decision = decide_template_cache(observe_cache(models=order))
        assert decision.status.fields["models"][0]["modelCache"] == "b"


def test_a_model_cache_that_is_being_deleted_is_waited_for_and_made_again():
    going = model_cache(LLAMA, "Available", deleting=True)
    decision = decide_template_cache(observe_cache(models=[going, model_cache(TOKENIZER, "Available")]))
    assert decision.create == ()
    assert decision.status.fields["status"] == "Progressing"
    assert "is being deleted; another one follows" in message(decision)
    assert made(decide_template_cache(observe_cache(models=[model_cache(TOKENIZER, "Available")]))) == [LLAMA]


def test_another_model_cache_of_the_source_steps_in_for_one_that_goes():
    models = [model_cache(LLAMA, "Available", deleting=True), model_cache(LLAMA, "Available", name="mine")]
    decision = decide_template_cache(observe_cache(models=models))
    assert decision.status.fields["models"][0]["modelCache"] == "mine"


def test_a_name_that_holds_another_source_is_never_touched_and_said_so():
    holder = model_cache("s3://b/else", "Available", name=model_cache_name(LLAMA))
    decision = decide_template_cache(observe_cache(models=[holder]))
    assert made(decision) == [TOKENIZER]
    assert decision.patch == ()
    assert decision.status.fields["status"] == "Failed"
    assert "downloads s3://b/else: delete it" in message(decision)


def test_labels_go_along_as_the_runtime_config_says():
    config = RuntimeConfigSpec.model_validate(
        {"labelPropagation": {"enabled": True, "match": ["org.example/*"]}}
    )
    decision = decide_template_cache(
        observe_cache(config=Resolved(config, None), labels={"org.example/team": "a", "other": "b"})
    )
    assert decision.create[0]["metadata"]["labels"] == {
        "org.example/team": "a",
        "app.kubernetes.io/managed-by": "aim",
    }


# ---- edits


@pytest.mark.parametrize("state", ["", "Pending", "Progressing", "Failed"])
def test_an_edit_reaches_a_model_cache_that_is_not_filled(state):
    (patch,) = decide_template_cache(
        observe_cache(
            of=template([(LLAMA, 1000)], caching=True),
            models=[model_cache(LLAMA, state)],
            env=[TOKEN],
            imagePullSecrets=[{"name": "s"}],
            storageClassName="fast",
            runtimeConfigName="ours",
        )
    ).patch
    assert patch.name == model_cache_name(LLAMA)
    assert patch.resource_version == "21"
    assert patch.spec == {
        "env": [TOKEN],
        "imagePullSecrets": [{"name": "s"}],
        "storageClassName": "fast",
        "runtimeConfigName": "ours",
    }


def test_a_size_that_was_too_small_grows_and_one_that_is_larger_stays():
    of = template([(LLAMA, 2048)], caching=True)
    (patch,) = decide_template_cache(observe_cache(of=of, models=[model_cache(LLAMA, size="1Ki")])).patch
    assert patch.spec == {"size": "2Ki"}
    seen = observe_cache(of=of, models=[model_cache(LLAMA, size="1Ki")], users=[user(sizes={LLAMA: 4096})])
    assert decide_template_cache(seen).patch[0].spec == {"size": "4Ki"}
    seen = observe_cache(of=of, models=[model_cache(LLAMA, size="8Ki")])
    assert decide_template_cache(seen).patch == ()


def test_what_is_no_more_wished_is_taken_away():
    before = model_cache(LLAMA, env=[TOKEN], imagePullSecrets=[{"name": "s"}], storageClassName="fast")
    (patch,) = decide_template_cache(observe_cache(models=[before])).patch
    assert patch.spec == {"env": None, "imagePullSecrets": None}, "a storage class may be somebody's own edit"


@pytest.mark.parametrize(
    "found",
    [
        model_cache(LLAMA, "Available"),
        model_cache(LLAMA, "Failed", managed=False),
        model_cache(LLAMA, "Failed", deleting=True),
        model_cache(LLAMA, "Failed", env=[TOKEN, {"name": "A", "value": "1"}]),
    ],
    ids=["available", "hand-made", "being deleted", "in another order"],
)
def test_a_model_cache_is_left_alone(found):
    seen = observe_cache(models=[found], env=[{"name": "A", "value": "1"}, TOKEN])
    assert decide_template_cache(seen).patch == ()


# ---- states


@pytest.mark.parametrize(
    ("models", "state", "reason"),
    [
        ([], "Pending", "WarmRequested"),
        (both(), "Pending", "WarmRequested"),
        (both("Pending", "Pending"), "Pending", "WarmRequested"),
        (both("Progressing", "Pending"), "Progressing", "Warming"),
        (both("Available", "Pending"), "Progressing", "Warming"),
        (both("Available", ""), "Progressing", "Warming"),
        (both("Available", "Available"), "Available", "Warm"),
        (both("Available", "Failed"), "Failed", "WarmFailed"),
        (both("Failed", "Progressing"), "Failed", "WarmFailed"),
    ],
)
def test_the_state_follows_from_the_model_caches(models, state, reason):
    decision = decide_template_cache(observe_cache(models=models))
    true = "True" if state == "Available" else "False"
    assert decision.status.fields["status"] == state
    assert says(decision, "CacheWarm") == (true, reason)
    assert says(decision, "Ready") == (true, reason)
    assert says(decision, "Progressing")[0] == ("True" if state == "Progressing" else "False")
    assert says(decision, "Failure")[0] == ("True" if state == "Failed" else "False")
    assert says(decision, "Resolved") == ("True", "Resolved")


def test_a_failure_names_the_model_cache_the_source_and_the_cause():
    models = both(
        "Failed", "Failed", message="401 from huggingface.co: check Secret hf-creds", reason="AccessDenied"
    )
    text = message(decide_template_cache(observe_cache(models=models)), "CacheWarm")
    assert model_cache_name(LLAMA) in text
    assert LLAMA in text
    assert "AccessDenied: 401 from huggingface.co: check Secret hf-creds" in text
    assert "(and 1 more)" in text


def test_a_model_cache_that_cannot_begin_says_why():
    models = [model_cache(LLAMA, "Pending", message="no storage class 'fast'")]
    assert "no storage class 'fast'" in message(decide_template_cache(observe_cache(models=models)))


def test_a_download_that_is_tried_again_tells_of_the_failure_before():
    models = [
        model_cache(LLAMA, "Progressing", failed=2, message="attempt 3; the last one failed: disk full")
    ]
    assert "disk full" in message(decide_template_cache(observe_cache(models=models)))


def test_a_refused_model_cache_fails_with_the_servers_words_and_is_tried_again():
    decision = decide_template_cache(observe_cache(refused={model_cache_name(LLAMA): "exceeded quota"}))
    assert decision.status.fields["status"] == "Failed"
    assert "exceeded quota" in message(decision)
    assert made(decision) == [LLAMA, TOKENIZER]


def test_a_missing_template_is_named_and_what_was_cached_for_it_stays_in_use():
    listed = {"models": [{"name": "m", "source": LLAMA, "modelCache": "c", "status": "Progressing"}]}
    seen = observe_cache(listed, no_template=True, models=[model_cache(LLAMA, "Progressing", name="c")])
    decision = decide_template_cache(seen)
    assert decision.create == ()
    assert decision.patch == ()
    assert not decision.delete
    assert decision.status.fields["status"] == "Pending"
    assert says(decision, "Resolved") == ("False", "TemplateNotFound")
    assert says(decision, "CacheWarm") == ("False", "WarmRequested")
    assert "no AIMServiceTemplate 'llama' in namespace 'team'" in message(decision)
    assert [item["modelCache"] for item in decision.status.fields["models"]] == ["c"]
    assert "resolvedTemplate" not in decision.status.fields


def test_a_template_without_sources_is_waited_for_and_its_own_words_told():
    condition = {
        "type": "Discovered",
        "status": "False",
        "reason": "DiscoveryFailed",
        "message": "image not found",
        "lastTransitionTime": at(NOW),
    }
    of = template((), caching=True, status={"conditions": [condition]})
    decision = decide_template_cache(observe_cache(of=of))
    assert decision.create == ()
    assert says(decision) == ("False", "TemplateNotDiscovered")
    assert "image not found" in message(decision)
    assert "models" not in decision.status.fields


def test_a_missing_runtime_config_holds_up_what_is_to_be_made_only():
    decision = decide_template_cache(observe_cache(config=NO_CONFIG))
    assert decision.create == ()
    assert decision.status.fields["status"] == "Pending"
    assert says(decision) == ("False", "RuntimeConfigNotFound")
    decision = decide_template_cache(observe_cache(config=NO_CONFIG, models=both("Available", "Available")))
    assert says(decision) == ("True", "Warm")
    assert says(decision, "Resolved") == ("False", "RuntimeConfigNotFound")


def test_a_cluster_template_is_resolved_as_such():
    decision = decide_template_cache(observe_cache(of=template(cluster=True), managed=False))
    assert decision.status.fields["resolvedTemplate"] == {
        "kind": "AIMClusterServiceTemplate",
        "name": "llama",
        "scope": "Cluster",
        "uid": "template-uid",
    }
    assert made(decision) == [LLAMA, TOKENIZER]


def test_nothing_is_made_for_a_template_that_goes():
    assert decide_template_cache(observe_cache(of=template(caching=True, deleting=True))).create == ()


def test_a_template_cache_that_goes_is_left_alone():
    decision = decide_template_cache(observe_cache(deleting=True))
    assert (decision.status, decision.create, decision.delete) == (None, (), False)


def test_events_come_at_a_change_of_state_only():
    seen = observe_cache(models=both("Failed", ""))
    (event,) = decide_template_cache(seen).events
    assert (event.type, event.reason) == ("Warning", "Failed")
    assert decide_template_cache(after(seen, decide_template_cache(seen))).events == ()


# ---- wishes that end


@pytest.mark.parametrize("of", [template(caching=False), template(), template(cluster=True)])
def test_a_managed_cache_that_nobody_wishes_goes_unless_it_is_available(of):
    assert decide_template_cache(observe_cache(of=of, models=both("Progressing", "Available"))).delete
    assert not decide_template_cache(observe_cache(of=of, models=both("Available", "Available"))).delete
    assert not decide_template_cache(observe_cache(of=of, wishes=[service()])).delete
    assert not decide_template_cache(observe_cache(of=of, managed=False, controller="template-uid")).delete
    assert not decide_template_cache(observe_cache(of=of, controller="another-uid")).delete


def test_a_young_cache_that_nobody_wishes_yet_is_looked_at_later_and_downloads_nothing_till_then():
    decision = decide_template_cache(observe_cache(of=template(cluster=True), age=10))
    assert not decision.delete
    assert decision.create == ()
    assert decision.look_again_after == 20


# ---- a service's wish


def test_a_services_edit_reaches_the_cache_that_was_made_for_it():
    seen = observe_cache(
        of=template(cluster=True, imagePullSecrets=[{"name": "s"}]),
        wishes=[service(env=[TOKEN], runtimeConfigName="ours")],
        storageClassName="by hand",
        env=[{"name": "OLD", "value": "1"}],
    )
    follow = decide_template_cache(seen).follow
    assert follow == {"env": [TOKEN], "imagePullSecrets": [{"name": "s"}], "runtimeConfigName": "ours"}


def test_of_two_services_the_older_ones_word_counts():
    one, two = [{"name": "A", "value": "1"}], [{"name": "A", "value": "2"}, TOKEN]
    seen = observe_cache(of=template(cluster=True), wishes=[service(env=one), service(env=two)])
    env = {item["name"]: item.get("value") for item in decide_template_cache(seen).follow["env"]}
    assert env == {"A": "1", "HF_TOKEN": None}


@pytest.mark.parametrize(
    "what",
    [
        {"managed": False},
        {"of": template(caching=True)},
        {"controller": "another"},
        {"wishes": []},
        {"env": [TOKEN]},
    ],
    ids=["hand-made", "the template's own", "of another owner", "nobody's", "as it should be"],
)
def test_a_cache_is_left_as_it_is(what):
    seen = observe_cache(**{"of": template(cluster=True), "wishes": [service(env=[TOKEN])], **what})
    assert decide_template_cache(seen).follow is None


# ---- progress


def test_progress_is_the_sum_over_the_sources():
    models = [
        model_cache(LLAMA, "Progressing", downloaded=250),
        model_cache(TOKENIZER, "Available", size="200"),
    ]
    decision = decide_template_cache(observe_cache(models=models))
    assert decision.status.fields["progress"] == {
        "downloadedBytes": 450,
        "totalBytes": 1200,
        "percent": 37,
        "updatedAt": at(NOW),
    }
    assert message(decision) == "1 of 2 model sources cached, 37 % downloaded"


def test_a_hundred_percent_is_said_of_complete_downloads_only():
    models = both("Progressing", "Available", downloaded=5000)
    assert decide_template_cache(observe_cache(models=models)).status.fields["progress"]["percent"] == 99
    models = both("Available", "Available")
    assert decide_template_cache(observe_cache(models=models)).status.fields["progress"]["percent"] == 100


def test_progress_is_written_once_in_ten_seconds_and_a_change_of_state_at_once():
    first = observe_cache(models=both("Progressing", "", downloaded=100))
    written = after(first, decide_template_cache(first))
    later = replace(
        written, now=NOW + timedelta(seconds=4), model_caches=tuple(both("Progressing", "", downloaded=300))
    )
    decision = decide_template_cache(later)
    assert not decision.status.changes(later.view.status.to_json())
    assert decision.look_again_after == 6
    due = replace(later, now=NOW + timedelta(seconds=10))
    decision = decide_template_cache(due)
    assert decision.status.fields["progress"]["downloadedBytes"] == 300
    assert decision.look_again_after is None
    done = replace(later, model_caches=tuple(both("Available", "Available")))
    decision = decide_template_cache(done)
    assert decision.status.fields["status"] == "Available"
    assert decision.status.fields["progress"]["percent"] == 100


def test_a_time_from_another_clock_does_not_hold_progress_back():
    seen = observe_cache(models=both("Progressing", "", downloaded=100))
    ahead = replace(after(seen, decide_template_cache(seen)), now=NOW - timedelta(hours=1))
    moved = replace(ahead, model_caches=tuple(both("Progressing", "", downloaded=200)))
    assert decide_template_cache(moved).status.fields["progress"]["downloadedBytes"] == 200


# ---- for all observations

_STATES = st.sampled_from(["", "Pending", "Progressing", "Available", "Failed"])
_URIS = st.sampled_from([LLAMA, TOKENIZER, "s3://b/else"])


@st.composite
def _observations(draw):
    models = {}
    for _ in range(draw(st.integers(0, 4))):
        uri, own = draw(_URIS), draw(st.sampled_from(["", "mine", "x"]))
        item = model_cache(
            uri,
            draw(_STATES),
            name=own or model_cache_name(draw(_URIS)),
            managed=draw(st.booleans()),
            deleting=draw(st.booleans()),
            downloaded=draw(st.integers(0, 2000)),
            size=draw(st.sampled_from(["0", "1000", "1Ki"])),
            env=draw(st.sampled_from([[], [TOKEN]])),
            message=draw(st.sampled_from(["", "why"])),
        )
        models[item.name] = item
    listed = [
        {"name": f"n{index}", "source": draw(_URIS), "modelCache": draw(st.sampled_from([*models, "gone"]))}
        for index in range(draw(st.integers(0, 2)))
    ]
    of = template(
        draw(st.lists(st.tuples(_URIS, st.integers(0, 3000)), max_size=3)),
        cluster=draw(st.booleans()),
        deleting=draw(st.booleans()),
    )
    return observe_cache(
        {"models": listed} if listed else None,
        of=of,
        no_template=draw(st.booleans()),
        models=list(models.values()),
        users=[user(age=draw(st.sampled_from([0, 7200])), env=[TOKEN])] if draw(st.booleans()) else [],
        config=NO_CONFIG if draw(st.booleans()) else None,
        wishes=[service(env=[TOKEN])] if draw(st.booleans()) else [],
        managed=draw(st.booleans()),
        deleting=draw(st.booleans()),
        refused={model_cache_name(LLAMA): "no"} if draw(st.booleans()) else None,
        age=draw(st.sampled_from([0, 5, 100])),
    )


@settings(deadline=None)
@given(_observations(), st.randoms(use_true_random=False))
def test_a_decision_is_settled_does_not_depend_on_order_and_makes_only_what_it_lists(seen, rng):
    decision = decide_template_cache(seen)
    shuffled = list(seen.model_caches)
    rng.shuffle(shuffled)
    assert decide_template_cache(replace(seen, model_caches=tuple(shuffled))) == decision
    if decision.status is None:
        assert decision.create == ()
        return
    again = after(seen, decision)
    settled = decide_template_cache(again)
    assert not settled.status.changes(again.view.status.to_json())
    assert settled.events == ()
    listed = {item["modelCache"] for item in decision.status.fields.get("models", ())}
    there = {item.name for item in seen.model_caches}
    names = [manifest["metadata"]["name"] for manifest in decision.create]
    assert len(set(names)) == len(names)
    assert set(names) <= listed - there
    touched = {item.name for item in seen.model_caches if item.managed and item.state != "Available"}
    assert {patch.name for patch in decision.patch} <= touched & listed


@settings(deadline=None)
@given(_observations())
def test_only_the_operators_own_cache_that_nobody_wishes_is_ever_deleted(seen):
    if decide_template_cache(seen).delete:
        assert seen.cache.managed
        assert not seen.wishes
        assert seen.template is not None
        assert seen.cache.controller == seen.template.meta.uid
