"""Decisions about models: what is read, what is made, what is said."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimctl.api.v1alpha1 import CLUSTER_MODELS, MODELS, ModelState, RuntimeConfigSpec, TemplateState
from aimctl.domain.images.metadata import read_metadata
from aimctl.domain.images.reading import FailedReading, ImageQuestion, Reading
from aimctl.domain.models.auto_templates import ModelIdentity
from aimctl.domain.models.decision import decide_model
from aimctl.domain.models.observation import ModelObservation, SeenTemplate
from aimctl.domain.resolution import Found, resolve_runtime_config

NOW = datetime(2026, 5, 4, 12, 0, 0, tzinfo=UTC)
ONE = {"gpuModel": "MI300X", "gpuCount": 1, "precision": "fp8", "metric": "latency"}
DOWN = FailedReading("RegistryUnreachable", "registry ghcr.io: connection refused")


def reading(*deployments: dict[str, Any], name: str = "org/model") -> Reading:
    prefix = "com.amd.aim.model."
    labels = {f"{prefix}canonicalName": name, f"{prefix}recommendedDeployments": json.dumps(deployments)}
    return Reading("sha256:" + "0" * 64, read_metadata(labels))


PLAIN = Reading("sha256:" + "1" * 64, read_metadata({"org.opencontainers.image.title": "vLLM"}))


def observe(
    status=None,
    *,
    spec=None,
    namespace: str = "team",
    generation: int = 1,
    config: dict[str, Any] | None = None,
    config_name: str = "default",
    deleting: bool = False,
    rediscover: str = "",
    **more,
) -> ModelObservation:
    kind = MODELS if namespace else CLUSTER_MODELS
    body = {"spec": {"image": "ghcr.io/aim:1", **(spec or {})}, "status": status or {}}
    found = (
        None if config is None else Found(config_name, "", "uid", RuntimeConfigSpec.model_validate(config))
    )
    return ModelObservation(
        ModelIdentity(kind.name, namespace, "llama", "uid", generation, deleting, {}, rediscover),
        kind.decode(json.dumps(body).encode()),
        resolve_runtime_config(config_name, namespace or "kaiwo-system", namespaced=None, cluster=found),
        namespace or "kaiwo-system",
        more.pop("now", NOW),
        **more,
    )


def after(seen: ModelObservation, **changes) -> ModelObservation:
    """The same model once the decision's status is written."""
    status = decide_model(seen).status
    assert status is not None
    view = type(seen.view).model_validate({"spec": seen.view.spec.to_json(), "status": status.status()})
    return replace(seen, **{"view": view, "now": seen.now + timedelta(hours=1), **changes})


def said(seen: ModelObservation) -> dict[str, tuple[str, str]]:
    status = decide_model(seen).status
    assert status is not None
    return {item["type"]: (item["status"], item["reason"]) for item in status.conditions}


def state(seen: ModelObservation) -> str:
    status = decide_model(seen).status
    assert status is not None
    return status.fields["status"]


def events(seen: ModelObservation) -> list[tuple[str, str]]:
    return [(wish.type, wish.reason) for wish in decide_model(seen).events]


# ---- what is asked


def test_a_new_model_asks_for_its_image_anonymously_unless_it_names_secrets():
    assert observe().to_read() == ImageQuestion("ghcr.io/aim:1")
    asked = observe(spec={"imagePullSecrets": [{"name": "b"}, {"name": "a"}]}, rediscover="now").to_read()
    assert asked == ImageQuestion("ghcr.io/aim:1", "team", ("b", "a"), "now")
    asked = observe(spec={"imagePullSecrets": [{"name": "a"}]}, namespace="").to_read()
    assert asked is not None
    assert asked.namespace == "kaiwo-system"


def test_what_the_status_answers_is_not_asked_again_until_image_secrets_or_annotation_change():
    seen = after(observe(reading=reading(ONE)), reading=None)
    assert seen.to_read() is None

    def changed(**spec) -> ModelObservation:
        status = json.loads(json.dumps(seen.view.status.to_json()))
        return observe(status, spec=spec)

    assert changed().to_read() is None
    assert changed(env=[{"name": "A", "value": "b"}]).to_read() is None
    assert changed(image="ghcr.io/aim:2").to_read() is not None
    assert changed(imagePullSecrets=[{"name": "a"}]).to_read() is not None
    assert replace(seen, model=replace(seen.model, rediscover="now")).to_read() is not None


@pytest.mark.parametrize(
    ("spec", "config", "asks"),
    [
        ({}, None, True),
        ({}, {}, True),
        ({}, {"model": {}}, True),
        ({}, {"model": {"autoDiscovery": False}}, False),
        ({"discovery": {}}, {"model": {"autoDiscovery": False}}, False),
        ({"discovery": {"enabled": True}}, {"model": {"autoDiscovery": False}}, True),
        ({"discovery": {"enabled": False}}, {"model": {"autoDiscovery": True}}, False),
        ({"discovery": {"autoCreateTemplates": False}}, None, True),
    ],
)
def test_the_model_decides_whether_it_is_read_else_the_runtime_config(spec, config, asks):
    seen = observe(spec=spec, config=config)
    assert (seen.to_read() is not None) is asks
    assert (said(seen)["MetadataExtracted"] == ("False", "Disabled")) is not asks


# ---- metadata


def test_while_it_is_read_the_model_is_pending():
    seen = observe()
    assert state(seen) == "Pending"
    assert said(seen)["MetadataExtracted"] == ("False", "ReadingMetadata")
    assert said(seen)["TemplatesAutoGenerated"] == ("False", "AwaitingMetadata")
    assert events(seen) == [("Normal", "Pending")]


def test_what_was_read_is_kept_with_the_time_and_what_it_was_read_for():
    seen = observe(reading=reading(ONE))
    status = decide_model(seen).status
    assert status is not None
    assert status.fields["imageMetadata"] == {
        "image": "ghcr.io/aim:1",
        "digest": "sha256:" + "0" * 64,
        "canonicalName": "org/model",
        "recommendedDeployments": [ONE],
        "extractedAt": "2026-05-04T12:00:00Z",
        "inputHash": seen.question.hash,
    }
    assert said(seen)["MetadataExtracted"] == ("True", "Extracted")


def test_reading_the_same_again_changes_nothing():
    seen = observe(reading=reading(ONE))
    again = after(seen)
    assert again.reading is not None
    status = decide_model(again).status
    assert status is not None
    assert not status.changes(again.view.status.to_json())


def test_an_image_without_our_labels_is_ready_and_says_so():
    seen = observe(reading=PLAIN)
    assert state(seen) == "Ready"
    assert said(seen)["MetadataExtracted"] == ("False", "NoLabels")
    assert said(seen)["Ready"] == ("True", "NoLabels")
    assert said(seen)["TemplatesAutoGenerated"] == ("True", "NothingRecommended")
    assert said(after(seen, reading=None)) == said(seen)


@pytest.mark.parametrize(
    "reason",
    [
        "AccessDenied",
        "ImageNotFound",
        "RegistryUnreachable",
        "MalformedMetadata",
        "PullSecretNotFound",
        "InvalidImage",
    ],
)
def test_what_keeps_it_from_being_read_is_told_and_fails_a_model_without_templates(reason):
    seen = observe(reading=FailedReading(reason, "why"))
    assert state(seen) == "Failed"
    assert said(seen)["MetadataExtracted"] == ("False", reason)
    assert said(seen)["Ready"] == ("False", reason)
    assert ("Warning", reason) in events(seen)
    assert said(after(seen, reading=None)) == said(seen), "while it is tried again"


def test_a_failed_reading_does_not_touch_templates_that_work_nor_what_was_read_before():
    first = after(observe(reading=reading(ONE)))
    templates = (SeenTemplate("t", "team", "Ready"),)
    spec = {"image": "ghcr.io/aim:2"}
    status = first.view.status.to_json()
    seen = observe(status, spec=spec, generation=2, reading=DOWN, templates=templates)
    assert state(seen) == "Ready"
    assert said(seen)["MetadataExtracted"] == ("False", "RegistryUnreachable")
    decided = decide_model(seen)
    assert decided.create == ()
    assert decided.status is not None
    assert decided.status.fields["imageMetadata"]["image"] == "ghcr.io/aim:1"


def test_after_an_edit_the_old_failure_is_not_told_of_the_new_image():
    failed = after(observe(reading=DOWN), reading=None)
    status = failed.view.status.to_json()
    assert said(observe(status, generation=2))["MetadataExtracted"] == ("False", "ReadingMetadata")
    assert said(observe(status, generation=1))["MetadataExtracted"] == ("False", "RegistryUnreachable")


def test_entries_that_are_left_out_are_told():
    seen = observe(reading=reading(ONE, {**ONE, "gpuCount": "two"}))
    decided = decide_model(seen)
    assert decided.status is not None
    (condition,) = [item for item in decided.status.conditions if item["type"] == "MetadataExtracted"]
    assert "left out: recommendedDeployments[1].gpuCount is 'two'" in condition["message"]
    assert len(decided.create) == 1


def test_switched_off_it_forgets_what_another_image_said_and_keeps_its_own():
    read = after(observe(reading=reading(ONE)))
    status = read.view.status.to_json()
    off = {"discovery": {"enabled": False}}
    kept = decide_model(observe(status, spec=off)).status
    assert kept is not None
    assert kept.fields["imageMetadata"]["image"] == "ghcr.io/aim:1"
    lost = decide_model(observe(status, spec={**off, "image": "ghcr.io/aim:2"})).status
    assert lost is not None
    assert "imageMetadata" not in lost.fields


def test_switched_off_and_on_again_it_says_what_it_said():
    read = after(observe(reading=reading(ONE)), reading=None)
    off = after(observe(read.view.status.to_json(), spec={"discovery": {"enabled": False}}))
    on = observe(off.view.status.to_json())
    assert on.to_read() is None
    assert said(on)["MetadataExtracted"] == ("True", "Extracted")
    plain = after(observe(reading=PLAIN), reading=None)
    off = after(observe(plain.view.status.to_json(), spec={"discovery": {"enabled": False}}))
    assert said(observe(off.view.status.to_json()))["MetadataExtracted"] == ("False", "NoLabels")


# ---- runtime config


def test_a_missing_runtime_config_is_told_and_nothing_is_read_or_made():
    seen = observe(config_name="late")
    assert seen.to_read() is None
    assert state(seen) == "Pending"
    for type_ in ("RuntimeResolved", "TemplatesAutoGenerated", "Ready"):
        assert said(seen)[type_] == ("False", "RuntimeConfigNotFound"), type_
    assert decide_model(seen).create == ()


def test_a_runtime_config_that_went_keeps_what_works():
    read = after(observe(reading=reading(ONE)), reading=None)
    templates = (SeenTemplate("t", "team", "Ready"),)
    seen = observe(read.view.status.to_json(), config_name="late", templates=templates)
    assert state(seen) == "Ready"
    assert said(seen)["RuntimeResolved"] == ("False", "RuntimeConfigNotFound")
    decided = decide_model(seen)
    assert decided.status is not None
    assert decided.status.fields["imageMetadata"]["canonicalName"] == "org/model"


def test_the_config_in_force_is_told():
    assert said(observe())["RuntimeResolved"] == ("True", "DefaultsUsed")
    seen = observe(config={})
    assert said(seen)["RuntimeResolved"] == ("True", "RuntimeConfigFound")
    decided = decide_model(seen)
    assert decided.status is not None
    assert decided.status.fields["resolvedRuntimeConfig"]["kind"] == "AIMClusterRuntimeConfig"


# ---- templates of its own


def test_missing_templates_are_made_and_make_it_progressing():
    seen = observe(reading=reading(ONE, {**ONE, "metric": "throughput"}))
    decided = decide_model(seen)
    assert len(decided.create) == 2
    assert state(seen) == "Progressing"
    assert said(seen)["TemplatesAutoGenerated"] == ("False", "TemplatesMissing")


def there(seen: ModelObservation, *, ours: bool = True, state: str = "Ready") -> ModelObservation:
    items = {item.name: SeenTemplate(item.name, "team", state, ours) for item in seen.wanted_templates()}
    return replace(seen, named=items, templates=tuple(items.values()) if ours else ())


def test_templates_that_are_there_are_not_made_again():
    seen = there(observe(reading=reading(ONE)))
    assert decide_model(seen).create == ()
    assert said(seen)["TemplatesAutoGenerated"] == ("True", "TemplatesGenerated")
    assert state(seen) == "Ready"


def test_from_the_status_alone_a_template_that_is_gone_is_made_again():
    seen = after(there(observe(reading=reading(ONE))), reading=None, named={}, templates=())
    assert seen.to_read() is None
    assert len(decide_model(seen).create) == 1


def test_somebody_elses_template_of_the_name_is_left_alone():
    seen = there(observe(reading=reading(ONE)), ours=False)
    assert decide_model(seen).create == ()
    assert said(seen)["TemplatesAutoGenerated"] == ("False", "TemplateNameTaken")


def test_what_the_server_refuses_is_told_in_its_words():
    seen = observe(reading=reading(ONE))
    (wanted,) = decide_model(seen).create
    seen = replace(seen, refused={wanted.name: "exceeded quota: templates"})
    decided = decide_model(seen)
    assert decided.status is not None
    assert decided.status.fields["status"] == "Failed"
    (ready,) = [item for item in decided.status.conditions if item["type"] == "Ready"]
    assert "exceeded quota" in ready["message"], "not that it is on its way"
    (condition,) = [item for item in decided.status.conditions if item["type"] == "TemplatesAutoGenerated"]
    assert condition["reason"] == "TemplatesRefused"
    assert "exceeded quota" in condition["message"]


def test_templates_are_not_made_where_nobody_wants_them():
    for spec in ({"discovery": {"autoCreateTemplates": False}}, {"discovery": {"enabled": False}}):
        seen = observe(spec=spec, reading=reading(ONE))
        assert decide_model(seen).create == ()
        assert said(seen)["TemplatesAutoGenerated"] == ("False", "Disabled")


def test_a_model_that_goes_wants_nothing():
    decided = decide_model(observe(deleting=True, reading=reading(ONE)))
    assert (decided.status, decided.create, decided.events) == (None, (), ())
    assert observe(deleting=True).to_read() is None


# ---- state

ROLL_UP = {
    ("Ready",): "Ready",
    ("Ready", "Ready"): "Ready",
    ("NotAvailable",): "NotAvailable",
    ("Failed", "Failed"): "Failed",
    ("Failed", "Ready"): "Degraded",
    ("Failed", "NotAvailable"): "Degraded",
    ("Failed", "Progressing"): "Degraded",
    ("Degraded",): "Degraded",
    ("Degraded", "Pending"): "Degraded",
    ("NotAvailable", "Ready"): "Degraded",
    ("NotAvailable", "Ready", "Pending"): "Degraded",
    ("NotAvailable", "Pending"): "Progressing",
    ("Pending",): "Progressing",
    ("Progressing", "Ready"): "Progressing",
    ("",): "Progressing",
    ("", "Ready"): "Progressing",
}


@pytest.mark.parametrize("states", ROLL_UP, ids="-".join)
def test_the_state_is_that_of_the_templates(states):
    templates = tuple(SeenTemplate(f"t{number}", "team", one) for number, one in enumerate(states))
    for order in (templates, templates[::-1]):
        seen = observe(reading=PLAIN, templates=order)
        assert state(seen) == ROLL_UP[states]
        assert (said(seen)["Ready"][0] == "True") is (ROLL_UP[states] == "Ready")


def test_the_bad_ones_are_named_but_not_all_of_a_hundred():
    bad = [SeenTemplate(f"t{number:03}", "team", "Failed") for number in range(100)]
    good = SeenTemplate("good", "team", "Ready")
    decided = decide_model(observe(reading=PLAIN, templates=(*bad, good)))
    assert decided.status is not None
    (ready,) = [item for item in decided.status.conditions if item["type"] == "Ready"]
    assert ready["message"] == ("team/t000 is Failed; team/t001 is Failed; team/t002 is Failed and 97 more")


def test_templates_on_their_way_cause_no_writes_one_by_one():
    def message(*states: str) -> str:
        templates = tuple(SeenTemplate(f"t{number}", "team", one) for number, one in enumerate(states))
        decided = decide_model(observe(reading=PLAIN, templates=templates))
        assert decided.status is not None
        return str(decided.status.status())

    assert message("Pending", "Pending") == message("Ready", "Progressing", "Ready") == message("Ready", "")


# ---- always

STATES = ["", *map(str, TemplateState)]


@given(
    st.sampled_from([None, reading(), reading(ONE), reading(ONE, {**ONE, "gpuCount": 8}), PLAIN, DOWN]),
    st.lists(st.sampled_from(STATES), max_size=4),
    st.sampled_from([{}, {"discovery": {"enabled": False}}, {"discovery": {"autoCreateTemplates": False}}]),
    st.sampled_from([None, {}, {"model": {"autoDiscovery": False}}]),
    st.sampled_from(["default", "late"]),
    st.booleans(),
    st.booleans(),
)
def test_deciding_again_on_what_was_decided_changes_nothing_and_tells_nothing(
    found, states, spec, config, name, cluster, some_there
):
    templates = tuple(SeenTemplate(f"t{number}", "team", one) for number, one in enumerate(states))
    seen = observe(
        spec=spec,
        config=config,
        config_name=name,
        namespace="" if cluster else "team",
        reading=found,
        templates=templates,
    )
    if some_there:
        seen = replace(there(seen), templates=templates)
    first = decide_model(seen)
    assert first.status is not None
    assert first.status.fields["status"] in set(map(str, ModelState))
    assert {item["type"] for item in first.status.conditions} == first.status.owned_conditions
    again = after(seen)
    second = decide_model(again)
    assert second.status is not None
    assert not second.status.changes(again.view.status.to_json())
    assert second.events == ()
    third = after(seen, reading=None)
    if third.to_read() is not None and isinstance(found, FailedReading):
        decided = decide_model(third)
        assert decided.status is not None
        assert not decided.status.changes(third.view.status.to_json()), "while it is tried again"


def test_every_pair_of_states_has_a_message():
    for one, other in product(STATES, STATES):
        templates = (SeenTemplate("a", "", one), SeenTemplate("b", "x", other))
        decided = decide_model(observe(reading=PLAIN, templates=templates))
        assert decided.status is not None
        assert all(item["message"] for item in decided.status.conditions)
