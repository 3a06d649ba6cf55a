"""The plan for a template cache: states, sharing, caches that are no longer wanted, bounded progress."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aimctl.api.v1alpha1 import RuntimeConfigSpec
from aimctl.domain.caching.template_cache import model_cache_name
from aimctl.domain.caching.template_cache_decision import decide_template_cache
from aimctl.domain.caching.template_cache_observation import is_settled
from aimctl.domain.plan import Create, Delete, Patch, Plan, Target, WriteStatus
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
from support.plans import condition_of, events_of, outline, part_of, status_of
from support.things import with_fields


def after(seen, plan):
    """The observation after the status was written."""
    status = part_of(plan).merged_into(seen.cache.view.status.to_json())
    return replace(seen, cache=with_fields(seen.cache, status=status))


def says(plan, type_="Ready"):
    found = condition_of(plan, type_)
    return found["status"], found["reason"]


def message(plan, type_="Ready"):
    return condition_of(plan, type_)["message"]


def created(plan):
    """The specs of the model caches that the plan creates."""
    return [action.manifest["spec"] for action in plan.of_type(Create)]


def created_sources(plan):
    return [spec["sourceURI"] for spec in created(plan)]


def patched(plan):
    """The patches of specs: the kind of each object, and the patch."""
    return [(action.target.resource.kind, action.body["spec"]) for action in plan.of_type(Patch)]


def deletes(plan):
    return plan.of_type(Delete) != []


def both(one="", other="", **first):
    return [model_cache(LLAMA, one, **first), model_cache(TOKENIZER, other, size="200")]


# ---- which model caches


def test_each_source_gets_a_model_cache_whose_name_follows_from_the_source():
    plan = decide_template_cache(observe_cache())
    assert created_sources(plan) == [LLAMA, TOKENIZER]
    assert status_of(plan)["models"] == [
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


def test_what_exists_is_not_created_again():
    plan = decide_template_cache(observe_cache(models=[model_cache(LLAMA, "Progressing")]))
    assert created_sources(plan) == [TOKENIZER]


def test_sources_of_one_uri_share_a_model_cache_of_the_larger_size():
    plan = decide_template_cache(observe_cache(of=template([(LLAMA, 4096), (LLAMA, 1024)], caching=True)))
    (spec,) = created(plan)
    assert spec["size"] == "4Ki"
    assert len(status_of(plan)["models"]) == 2
    assert status_of(plan)["progress"]["totalBytes"] == 4096


def test_the_largest_size_that_any_template_cache_of_the_namespace_expects_is_asked_for():
    plan = decide_template_cache(
        observe_cache(
            of=template([(LLAMA, 1024)], caching=True), users=[user(sizes={LLAMA: 8192}), user("c")]
        )
    )
    assert created(plan)[0]["size"] == "8Ki"


def test_the_settings_of_all_template_caches_are_merged_the_older_takes_precedence():
    old = user(env=[{"name": "A", "value": "old"}], runtimeConfigName="old")
    plan = decide_template_cache(
        observe_cache(users=[old], env=[{"name": "A", "value": "new"}, TOKEN], storageClassName="fast")
    )
    spec = created(plan)[0]
    assert {item["name"]: item.get("value") for item in spec["env"]} == {"A": "old", "HF_TOKEN": None}
    assert spec["runtimeConfigName"] == "old"
    assert spec["storageClassName"] == "fast"
    assert created(plan)[1]["runtimeConfigName"] == "default", "the other does not use the tokenizer"


def test_a_runtime_config_that_does_not_exist_is_not_used_for_a_download_of_several_caches():
    """A mistake in one template must not delay the others."""
    old = user(env=[{"name": "A", "value": "old"}], runtimeConfigName="missing", configured=False)
    spec = created(decide_template_cache(observe_cache(users=[old])))[0]
    assert spec["runtimeConfigName"] == "default"
    assert spec["env"] == [{"name": "A", "value": "old"}]
    waiting = model_cache(LLAMA, "Pending", runtimeConfigName="missing", env=[{"name": "A", "value": "old"}])
    plan = decide_template_cache(observe_cache(users=[old], models=[waiting]))
    assert patched(plan) == [("AIMModelCache", {"runtimeConfigName": "default"})]


def test_a_model_cache_of_a_user_with_the_same_source_is_used():
    own = model_cache(LLAMA, "Available", name="mine", managed=False)
    plan = decide_template_cache(observe_cache(models=[own]))
    assert created_sources(plan) == [TOKENIZER]
    assert status_of(plan)["models"][0]["modelCache"] == "mine"
    assert status_of(plan)["models"][0]["persistentVolumeClaim"] == "mine"


def test_the_model_cache_in_use_stays_in_use_when_a_better_one_appears():
    listed = {"models": [{"name": "m", "source": LLAMA, "modelCache": "mine"}]}
    models = [
        model_cache(LLAMA, "Progressing", name="mine", managed=False),
        model_cache(LLAMA, "Available"),
        model_cache(LLAMA, "Available", name="another", managed=False),
    ]
    plan = decide_template_cache(observe_cache(listed, models=models))
    assert status_of(plan)["models"][0]["modelCache"] == "mine"


def test_of_several_model_caches_the_available_one_is_used_whatever_the_order():
    models = [
        model_cache(LLAMA, state, name=name)
        for name, state in (("a", "Failed"), ("b", "Available"), ("c", ""))
    ]
    for order in (models, models[::-1]):
        plan = decide_template_cache(observe_cache(models=order))
        assert status_of(plan)["models"][0]["modelCache"] == "b"


def test_a_model_cache_that_is_being_deleted_is_waited_for_and_created_again():
    going = model_cache(LLAMA, "Available", deleting=True)
    plan = decide_template_cache(observe_cache(models=[going, model_cache(TOKENIZER, "Available")]))
    assert created(plan) == []
    assert status_of(plan)["status"] == "Progressing"
    assert "is being deleted; a new one will be created" in message(plan)
    assert created_sources(
        decide_template_cache(observe_cache(models=[model_cache(TOKENIZER, "Available")]))
    ) == [LLAMA]


def test_another_model_cache_of_the_source_replaces_one_that_is_being_deleted():
    models = [model_cache(LLAMA, "Available", deleting=True), model_cache(LLAMA, "Available", name="mine")]
    plan = decide_template_cache(observe_cache(models=models))
    assert status_of(plan)["models"][0]["modelCache"] == "mine"


def test_a_model_cache_of_the_name_with_another_source_is_not_touched_and_reported():
    holder = model_cache("s3://b/else", "Available", name=model_cache_name(LLAMA))
    plan = decide_template_cache(observe_cache(models=[holder]))
    assert created_sources(plan) == [TOKENIZER]
    assert patched(plan) == []
    assert status_of(plan)["status"] == "Failed"
    assert "downloads s3://b/else: delete it" in message(plan)


def test_labels_are_propagated_as_the_runtime_config_says():
    config = RuntimeConfigSpec.model_validate(
        {"labelPropagation": {"enabled": True, "match": ["org.example/*"]}}
    )
    plan = decide_template_cache(
        observe_cache(config=Resolved(config, None), labels={"org.example/team": "a", "other": "b"})
    )
    assert plan.of_type(Create)[0].manifest["metadata"]["labels"] == {
        "org.example/team": "a",
        "app.kubernetes.io/managed-by": "aim",
    }


# ---- edits


@pytest.mark.parametrize("state", ["", "Pending", "Progressing", "Failed"])
def test_an_edit_reaches_a_model_cache_that_is_not_filled(state):
    found = model_cache(LLAMA, state)
    plan = decide_template_cache(
        observe_cache(
            of=template([(LLAMA, 1000)], caching=True, env=[TOKEN]),
            models=[found],
            env=[TOKEN],
            imagePullSecrets=[{"name": "s"}],
            storageClassName="fast",
            runtimeConfigName="ours",
            managed=False,
        )
    )
    assert outline(plan) == ["Patch " + model_cache_name(LLAMA), "WriteStatus"]
    (patch,) = plan.of_type(Patch)
    assert patch.target == Target.of(found)
    assert patch.body == {
        "spec": {
            "env": [TOKEN],
            "imagePullSecrets": [{"name": "s"}],
            "storageClassName": "fast",
            "runtimeConfigName": "ours",
        }
    }


def test_a_size_that_was_too_small_grows_and_one_that_is_larger_stays():
    of = template([(LLAMA, 2048)], caching=True)
    for size, users, patches in (
        ("1Ki", [], [("AIMModelCache", {"size": "2Ki"})]),
        ("1Ki", [user(sizes={LLAMA: 4096})], [("AIMModelCache", {"size": "4Ki"})]),
        ("8Ki", [], []),
    ):
        seen = observe_cache(of=of, models=[model_cache(LLAMA, size=size)], users=users)
        assert patched(decide_template_cache(seen)) == patches


def test_settings_that_are_no_longer_wanted_are_removed():
    before = model_cache(LLAMA, env=[TOKEN], imagePullSecrets=[{"name": "s"}], storageClassName="fast")
    patches = patched(decide_template_cache(observe_cache(models=[before])))
    assert patches == [("AIMModelCache", {"env": None, "imagePullSecrets": None})], (
        "the storage class may be the edit of a user"
    )


@pytest.mark.parametrize(
    "found",
    [
        model_cache(LLAMA, "Available"),
        model_cache(LLAMA, "Failed", managed=False),
        model_cache(LLAMA, "Failed", deleting=True),
        model_cache(LLAMA, "Failed", env=[TOKEN, {"name": "A", "value": "1"}]),
    ],
    ids=["available", "of a user", "being deleted", "in another order"],
)
def test_a_model_cache_is_left_alone(found):
    seen = observe_cache(models=[found], env=[{"name": "A", "value": "1"}, TOKEN], managed=False)
    assert patched(decide_template_cache(seen)) == []


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
    plan = decide_template_cache(observe_cache(models=models))
    true = "True" if state == "Available" else "False"
    assert status_of(plan)["status"] == state
    assert says(plan, "CacheWarm") == (true, reason)
    assert says(plan, "Ready") == (true, reason)
    assert says(plan, "Progressing")[0] == ("True" if state == "Progressing" else "False")
    assert says(plan, "Failure")[0] == ("True" if state == "Failed" else "False")
    assert says(plan, "Resolved") == ("True", "Resolved")


def test_a_failure_names_the_model_cache_the_source_and_the_cause():
    models = both(
        "Failed", "Failed", message="401 from huggingface.co: check Secret hf-creds", reason="AccessDenied"
    )
    text = message(decide_template_cache(observe_cache(models=models)), "CacheWarm")
    assert model_cache_name(LLAMA) in text
    assert LLAMA in text
    assert "AccessDenied: 401 from huggingface.co: check Secret hf-creds" in text
    assert "(and 1 more)" in text


def test_what_prevents_a_model_cache_from_starting_is_reported():
    models = [model_cache(LLAMA, "Pending", message="no storage class 'fast'")]
    assert "no storage class 'fast'" in message(decide_template_cache(observe_cache(models=models)))


def test_a_download_that_is_retried_reports_the_failure_before():
    models = [
        model_cache(LLAMA, "Progressing", failed=2, message="attempt 3; the last one failed: disk full")
    ]
    assert "disk full" in message(decide_template_cache(observe_cache(models=models)))


def test_a_rejected_model_cache_is_a_failure_with_the_message_of_the_server():
    plan = decide_template_cache(observe_cache(rejections={model_cache_name(LLAMA): "exceeded quota"}))
    assert status_of(plan)["status"] == "Failed"
    assert "exceeded quota" in message(plan)
    assert created_sources(plan) == [LLAMA, TOKENIZER]


def test_a_missing_template_is_named_and_its_model_caches_stay_in_use():
    listed = {"models": [{"name": "m", "source": LLAMA, "modelCache": "c", "status": "Progressing"}]}
    seen = observe_cache(listed, no_template=True, models=[model_cache(LLAMA, "Progressing", name="c")])
    plan = decide_template_cache(seen)
    assert created(plan) == []
    assert patched(plan) == []
    assert not deletes(plan)
    assert status_of(plan)["status"] == "Pending"
    assert says(plan, "Resolved") == ("False", "TemplateNotFound")
    assert says(plan, "CacheWarm") == ("False", "WarmRequested")
    assert "no AIMServiceTemplate 'llama' in namespace 'team'" in message(plan)
    assert [item["modelCache"] for item in status_of(plan)["models"]] == ["c"]
    assert "resolvedTemplate" not in status_of(plan)


def test_a_template_without_sources_is_waited_for_and_its_cause_reported():
    condition = {
        "type": "Discovered",
        "status": "False",
        "reason": "DiscoveryFailed",
        "message": "image not found",
        "lastTransitionTime": at(NOW),
    }
    of = template((), caching=True, status={"conditions": [condition]})
    plan = decide_template_cache(observe_cache(of=of))
    assert created(plan) == []
    assert says(plan) == ("False", "TemplateNotDiscovered")
    assert "image not found" in message(plan)
    assert "models" not in status_of(plan)


def test_a_missing_runtime_config_delays_creations_only():
    plan = decide_template_cache(observe_cache(config=NO_CONFIG))
    assert created(plan) == []
    assert status_of(plan)["status"] == "Pending"
    assert says(plan) == ("False", "RuntimeConfigNotFound")
    plan = decide_template_cache(observe_cache(config=NO_CONFIG, models=both("Available", "Available")))
    assert says(plan) == ("True", "Warm")
    assert says(plan, "Resolved") == ("False", "RuntimeConfigNotFound")


def test_a_cluster_template_is_resolved_as_such():
    plan = decide_template_cache(observe_cache(of=template(cluster=True), managed=False))
    assert status_of(plan)["resolvedTemplate"] == {
        "kind": "AIMClusterServiceTemplate",
        "name": "llama",
        "scope": "Cluster",
        "uid": "template-uid",
    }
    assert created_sources(plan) == [LLAMA, TOKENIZER]


def test_nothing_is_created_for_a_template_that_is_being_deleted():
    plan = decide_template_cache(observe_cache(of=template(caching=True, deleting=True)))
    assert outline(plan) == ["WriteStatus"]


def test_nothing_is_done_about_a_template_cache_that_is_being_deleted():
    assert decide_template_cache(observe_cache(deleting=True)) == Plan()


def test_an_event_is_recorded_at_a_change_of_the_state_only():
    seen = observe_cache(models=both("Failed", ""))
    plan = decide_template_cache(seen)
    (event,) = events_of(plan)
    assert (event.type, event.reason) == ("Warning", "Failed")
    assert events_of(decide_template_cache(after(seen, plan))) == []


# ---- the order of the actions


def test_model_caches_are_created_after_the_status_lists_them():
    first = observe_cache()
    creations = [f"Create {model_cache_name(uri)}" for uri in (LLAMA, TOKENIZER)]
    plan = decide_template_cache(first)
    assert outline(plan) == ["WriteStatus", *creations, "WriteStatus"]
    assert outline(decide_template_cache(after(first, plan))) == [*creations, "WriteStatus"]


def test_its_own_spec_is_updated_before_the_model_caches_are_created_with_its_settings():
    plan = decide_template_cache(observe_cache(of=template([(LLAMA, 1)], caching=True, env=[TOKEN])))
    assert outline(plan) == ["Patch llama", "WriteStatus", f"Create {model_cache_name(LLAMA)}", "WriteStatus"]


# ---- caches that are no longer wanted


@pytest.mark.parametrize("of", [template(caching=False), template(), template(cluster=True)])
def test_a_managed_cache_that_is_not_wanted_is_deleted_unless_it_is_available(of):
    plan = decide_template_cache(observe_cache(of=of, models=both("Progressing", "Available")))
    assert outline(plan) == ["Delete llama"]
    for kept in (
        observe_cache(of=of, models=both("Available", "Available")),
        observe_cache(of=of, services=[service()]),
        observe_cache(of=of, managed=False, controller="template-uid"),
        observe_cache(of=of, controller="another-uid"),
    ):
        assert not deletes(decide_template_cache(kept))


def test_a_young_cache_that_is_not_wanted_yet_is_kept_for_a_while_and_downloads_nothing():
    plan = decide_template_cache(observe_cache(of=template(cluster=True), age=10))
    assert outline(plan) == ["WriteStatus"]
    assert plan.requeue_after == 20


def test_a_cache_is_kept_while_a_new_service_has_not_reported_which_template_it_uses():
    """A user deletes a service and creates it again while its cache is filled."""
    seen = observe_cache(of=template(cluster=True), models=both("Progressing", "Available"), undecided=True)
    plan = decide_template_cache(seen)
    assert not deletes(plan)
    assert plan.requeue_after == 5
    assert outline(decide_template_cache(replace(seen, undecided=False))) == ["Delete llama"]


# ---- its own spec


def test_the_cache_of_a_template_follows_the_edits_of_the_template():
    of = template(caching=True, env=[TOKEN], imagePullSecrets=[{"name": "s"}], runtimeConfigName="ours")
    seen = observe_cache(of=of, env=[{"name": "OLD", "value": "1"}], storageClassName="by hand")
    wanted = {"env": [TOKEN], "imagePullSecrets": [{"name": "s"}], "runtimeConfigName": "ours"}
    assert patched(decide_template_cache(seen)) == [("AIMTemplateCache", wanted)]
    seen = observe_cache(env=[TOKEN], services=[service(env=[TOKEN])])
    assert patched(decide_template_cache(seen)) == [("AIMTemplateCache", {"env": None})], (
        "the template itself asks for the cache"
    )


def test_the_cache_for_a_service_follows_the_edits_of_the_service():
    seen = observe_cache(
        of=template(cluster=True, imagePullSecrets=[{"name": "s"}]),
        services=[service(env=[TOKEN], runtimeConfigName="ours")],
        storageClassName="by hand",
        env=[{"name": "OLD", "value": "1"}],
    )
    wanted = {"env": [TOKEN], "imagePullSecrets": [{"name": "s"}], "runtimeConfigName": "ours"}
    assert patched(decide_template_cache(seen)) == [("AIMTemplateCache", wanted)]


def test_of_two_services_the_older_one_takes_precedence():
    one, two = [{"name": "A", "value": "1"}], [{"name": "A", "value": "2"}, TOKEN]
    seen = observe_cache(of=template(cluster=True), services=[service(env=one), service(env=two)])
    ((_, spec),) = patched(decide_template_cache(seen))
    assert {item["name"]: item.get("value") for item in spec["env"]} == {"A": "1", "HF_TOKEN": None}


@pytest.mark.parametrize(
    "what",
    [
        {"managed": False},
        {"controller": "another"},
        {"services": []},
        {"env": [TOKEN]},
        {"of": template(cluster=True, deleting=True)},
    ],
    ids=["of a user", "of another owner", "not wanted", "up to date", "template is being deleted"],
)
def test_a_cache_is_not_changed(what):
    seen = observe_cache(**{"of": template(cluster=True), "services": [service(env=[TOKEN])], **what})
    assert patched(decide_template_cache(seen)) == []


# ---- progress


def test_progress_is_the_sum_over_the_sources():
    models = [
        model_cache(LLAMA, "Progressing", downloaded=250),
        model_cache(TOKENIZER, "Available", size="200"),
    ]
    plan = decide_template_cache(observe_cache(models=models))
    assert status_of(plan)["progress"] == {
        "downloadedBytes": 450,
        "totalBytes": 1200,
        "percent": 37,
        "updatedAt": at(NOW),
    }
    assert message(plan) == "1 of 2 model sources cached, 37 % downloaded"


def test_a_hundred_percent_is_reported_for_complete_downloads_only():
    models = both("Progressing", "Available", downloaded=5000)
    assert status_of(decide_template_cache(observe_cache(models=models)))["progress"]["percent"] == 99
    models = both("Available", "Available")
    assert status_of(decide_template_cache(observe_cache(models=models)))["progress"]["percent"] == 100


def test_a_sum_of_sizes_is_at_most_an_int64():
    models = [model_cache(source, size="7Ei") for source in (LLAMA, TOKENIZER)]
    progress = status_of(decide_template_cache(observe_cache(models=models)))["progress"]
    assert progress["totalBytes"] == 2**63 - 1


def test_progress_is_written_once_in_ten_seconds_and_a_change_of_state_at_once():
    first = observe_cache(models=both("Progressing", "", downloaded=100))
    written = after(first, decide_template_cache(first))
    later = replace(
        written, now=NOW + timedelta(seconds=4), model_caches=tuple(both("Progressing", "", downloaded=300))
    )
    plan = decide_template_cache(later)
    assert not part_of(plan).changes(later.cache.view.status.to_json())
    assert plan.requeue_after == 6
    due = replace(later, now=NOW + timedelta(seconds=10))
    plan = decide_template_cache(due)
    assert status_of(plan)["progress"]["downloadedBytes"] == 300
    assert plan.requeue_after is None
    done = replace(later, model_caches=tuple(both("Available", "Available")))
    plan = decide_template_cache(done)
    assert status_of(plan)["status"] == "Available"
    assert status_of(plan)["progress"]["percent"] == 100


def test_a_time_from_another_clock_does_not_hold_progress_back():
    seen = observe_cache(models=both("Progressing", "", downloaded=100))
    ahead = replace(after(seen, decide_template_cache(seen)), now=NOW - timedelta(hours=1))
    moved = replace(ahead, model_caches=tuple(both("Progressing", "", downloaded=200)))
    assert status_of(decide_template_cache(moved))["progress"]["downloadedBytes"] == 200


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
        models[item.meta.name] = item
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
        services=[service(env=[TOKEN])] if draw(st.booleans()) else [],
        managed=draw(st.booleans()),
        deleting=draw(st.booleans()),
        rejections={model_cache_name(LLAMA): "no"} if draw(st.booleans()) else None,
        age=draw(st.sampled_from([0, 5, 100])),
    )


@settings(deadline=None)
@given(_observations(), st.randoms(use_true_random=False))
def test_a_plan_is_settled_does_not_depend_on_order_and_creates_only_what_its_status_lists(seen, rng):
    plan = decide_template_cache(seen)
    shuffled = list(seen.model_caches)
    rng.shuffle(shuffled)
    assert decide_template_cache(replace(seen, model_caches=tuple(shuffled))) == plan
    if not plan.of_type(WriteStatus):
        assert plan.of_type(Create, Patch) == []
        return
    again = after(seen, plan)
    settled = decide_template_cache(again)
    assert not part_of(settled).changes(again.cache.view.status.to_json())
    assert events_of(settled) == []
    listed = {item["modelCache"] for item in status_of(plan).get("models", ())}
    existing = {item.meta.name for item in seen.model_caches}
    names = [action.key.name for action in plan.of_type(Create)]
    assert len(set(names)) == len(names)
    assert set(names) <= listed - existing
    changeable = {item.meta.name for item in seen.model_caches if not is_settled(item)}
    patches = {(action.key.kind, action.key.name) for action in plan.of_type(Patch)}
    assert patches <= {("AIMTemplateCache", "llama")} | {
        ("AIMModelCache", name) for name in changeable & listed
    }


@settings(deadline=None)
@given(_observations())
def test_only_a_cache_of_the_operator_that_is_not_wanted_is_ever_deleted(seen):
    if deletes(decide_template_cache(seen)):
        assert seen.created_for_template
        assert not seen.services
