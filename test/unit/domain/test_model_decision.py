"""Decisions about models: which images are read, which templates are created, and what the status reports."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimctl.api import kinds
from aimctl.api.v1alpha1 import ModelState, TemplateState
from aimctl.domain.images.metadata import read_metadata
from aimctl.domain.images.reading import FailedReading, ImageQuestion, Reading
from aimctl.domain.models.decision import decide_model
from aimctl.domain.models.observation import ModelObservation
from aimctl.domain.plan import Create, Plan, ReadImage, WriteStatus
from aimctl.domain.resolution import resolve_runtime_config
from aimctl.domain.status_slice import StatusSlice
from aimctl.kubetypes import ObjectKey
from support.things import make, owner

NOW = datetime(2026, 5, 4, 12, 0, 0, tzinfo=UTC)
ONE = {"gpuModel": "MI300X", "gpuCount": 1, "precision": "fp8", "metric": "latency"}
DOWN = FailedReading("RegistryUnreachable", "registry ghcr.io: connection refused")


def reading(*deployments: dict[str, Any], name: str = "org/model") -> Reading:
    prefix = "com.amd.aim.model."
    labels = {f"{prefix}canonicalName": name, f"{prefix}recommendedDeployments": json.dumps(deployments)}
    return Reading("sha256:" + "0" * 64, read_metadata(labels))


PLAIN = Reading("sha256:" + "1" * 64, read_metadata({"org.opencontainers.image.title": "vLLM"}))


def model(spec=None, status=None, *, namespace: str = "team", **metadata):
    return make(
        "llama",
        namespace,
        resource=kinds.MODELS if namespace else kinds.CLUSTER_MODELS,
        spec={"image": "ghcr.io/aim:1", **(spec or {})},
        status=status or {},
        **metadata,
    )


def observe(
    status=None,
    *,
    spec=None,
    namespace: str = "team",
    config: dict[str, Any] | None = None,
    config_name: str = "default",
    rediscover: str = "",
    generation: int = 1,
    deleting: bool = False,
    **more,
) -> ModelObservation:
    annotations = {"aim.silogen.ai/rediscover": rediscover} if rediscover else None
    obj = model(
        spec, status, namespace=namespace, generation=generation, deleting=deleting, annotations=annotations
    )
    found = (
        None if config is None else make(config_name, "", resource=kinds.CLUSTER_RUNTIME_CONFIGS, spec=config)
    )
    return ModelObservation(
        obj,
        resolve_runtime_config(config_name, namespace or "kaiwo-system", namespaced=None, cluster=found),
        namespace or "kaiwo-system",
        more.pop("now", NOW),
        **more,
    )


def written(plan: Plan) -> StatusSlice:
    (action,) = plan.of_type(WriteStatus)
    return action.part


def created(plan: Plan) -> list[str]:
    return [action.key.name for action in plan.of_type(Create)]


def after(seen: ModelObservation, **changes) -> ModelObservation:
    """The same model an hour after the planned status was written."""
    meta, view = seen.model.meta, seen.model.view
    obj = model(
        view.spec.to_json(),
        written(decide_model(seen)).status(),
        namespace=meta.namespace,
        generation=meta.generation,
    )
    return replace(seen, **{"model": obj, "now": seen.now + timedelta(hours=1), **changes})


def status_of(seen: ModelObservation) -> dict[str, Any]:
    return seen.model.view.status.to_json()


def conditions(seen: ModelObservation) -> dict[str, dict[str, Any]]:
    return {item["type"]: dict(item) for item in written(decide_model(seen)).conditions}


def said(seen: ModelObservation) -> dict[str, tuple[str, str]]:
    return {type_: (item["status"], item["reason"]) for type_, item in conditions(seen).items()}


def message(seen: ModelObservation, type_: str) -> str:
    return conditions(seen)[type_]["message"]


def state(seen: ModelObservation) -> str:
    return written(decide_model(seen)).fields["status"]


def events(seen: ModelObservation) -> list[tuple[str, str]]:
    (action,) = decide_model(seen).of_type(WriteStatus)
    return [(event.type, event.reason) for event in action.events]


def in_states(*states: str) -> dict[str, list[ObjectKey]]:
    """Templates t0, t1, ... in these states."""
    templates: dict[str, list[ObjectKey]] = {}
    for number, one in enumerate(states):
        templates.setdefault(one, []).append(ObjectKey("team", f"t{number}"))
    return templates


# ---- the question about the image


def test_a_new_model_reads_its_image_anonymously_unless_it_names_pull_secrets():
    assert observe().open_question == ImageQuestion("ghcr.io/aim:1")
    question = observe(
        spec={"imagePullSecrets": [{"name": "b"}, {"name": "a"}]}, rediscover="now"
    ).open_question
    assert question == ImageQuestion("ghcr.io/aim:1", "team", ("b", "a"), "now")
    question = observe(spec={"imagePullSecrets": [{"name": "a"}]}, namespace="").open_question
    assert question is not None
    assert question.namespace == "kaiwo-system"


def test_an_image_is_read_again_when_image_secrets_or_annotation_change():
    seen = after(observe(reading=reading(ONE)), reading=None)
    assert seen.open_question is None
    assert decide_model(seen).of_type(ReadImage) == []

    def changed(rediscover: str = "", **spec) -> bool:
        again = observe(status_of(seen), spec=spec, rediscover=rediscover)
        return decide_model(again).of_type(ReadImage) == [ReadImage(again.question)]

    assert not changed()
    assert not changed(env=[{"name": "A", "value": "b"}])
    assert changed(image="ghcr.io/aim:2")
    assert changed(imagePullSecrets=[{"name": "a"}])
    assert changed(rediscover="now")


def test_the_plan_reads_then_creates_then_writes_the_status():
    seen = observe(reading=reading(ONE, {**ONE, "gpuCount": 8}))
    plan = decide_model(seen)
    assert [type(action) for action in plan.actions] == [ReadImage, Create, Create, WriteStatus]


def test_a_failed_read_is_planned_again_with_the_delay_of_the_reader():
    plan = decide_model(observe(reading=DOWN, retry_seconds=17.0))
    assert [type(action) for action in plan.actions] == [ReadImage, WriteStatus]
    assert plan.requeue_after == 17.0
    assert decide_model(observe(reading=reading())).requeue_after is None


@pytest.mark.parametrize(
    ("spec", "config", "reads"),
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
def test_the_model_decides_whether_its_image_is_read_and_else_the_runtime_config(spec, config, reads):
    seen = observe(spec=spec, config=config)
    assert bool(decide_model(seen).of_type(ReadImage)) is reads
    assert (said(seen)["MetadataExtracted"] == ("False", "Disabled")) is not reads


# ---- metadata


def test_a_model_is_pending_while_its_image_is_read():
    seen = observe()
    assert state(seen) == "Pending"
    assert said(seen)["MetadataExtracted"] == ("False", "ReadingMetadata")
    assert said(seen)["TemplatesAutoGenerated"] == ("False", "AwaitingMetadata")
    assert events(seen) == [("Normal", "Pending")]


def test_the_metadata_is_stored_with_the_time_and_the_hash_of_the_question():
    seen = observe(reading=reading(ONE))
    assert written(decide_model(seen)).fields["imageMetadata"] == {
        "image": "ghcr.io/aim:1",
        "digest": "sha256:" + "0" * 64,
        "canonicalName": "org/model",
        "recommendedDeployments": [ONE],
        "extractedAt": "2026-05-04T12:00:00Z",
        "inputHash": seen.question.hash,
    }
    assert said(seen)["MetadataExtracted"] == ("True", "Extracted")


def test_an_image_without_aim_labels_is_ready():
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
def test_a_failed_read_is_reported_and_fails_a_model_without_templates(reason):
    seen = observe(reading=FailedReading(reason, "why"))
    assert state(seen) == "Failed"
    assert said(seen)["MetadataExtracted"] == ("False", reason)
    assert said(seen)["Ready"] == ("False", reason)
    assert ("Warning", reason) in events(seen)
    assert said(after(seen, reading=None)) == said(seen), "while it is read again"


def test_a_failed_read_changes_neither_the_state_of_templates_nor_the_known_metadata():
    first = after(observe(reading=reading(ONE)))
    seen = observe(
        status_of(first),
        spec={"image": "ghcr.io/aim:2"},
        generation=2,
        reading=DOWN,
        templates=in_states("Ready"),
    )
    assert state(seen) == "Ready"
    assert said(seen)["MetadataExtracted"] == ("False", "RegistryUnreachable")
    assert created(decide_model(seen)) == []
    assert written(decide_model(seen)).fields["imageMetadata"]["image"] == "ghcr.io/aim:1"


def test_an_edit_resets_an_earlier_failure():
    failed = status_of(after(observe(reading=DOWN), reading=None))
    assert said(observe(failed, generation=2))["MetadataExtracted"] == ("False", "ReadingMetadata")
    assert said(observe(failed, generation=1))["MetadataExtracted"] == ("False", "RegistryUnreachable")


def test_ignored_deployments_are_reported():
    seen = observe(reading=reading(ONE, {**ONE, "gpuCount": "two"}))
    assert "ignored: recommendedDeployments[1].gpuCount is 'two'" in message(seen, "MetadataExtracted")
    assert len(created(decide_model(seen))) == 1


def test_disabling_discovery_removes_the_metadata_of_another_image_only():
    status = status_of(after(observe(reading=reading(ONE))))
    off = {"discovery": {"enabled": False}}
    kept = written(decide_model(observe(status, spec=off)))
    assert kept.fields["imageMetadata"]["image"] == "ghcr.io/aim:1"
    removed = written(decide_model(observe(status, spec={**off, "image": "ghcr.io/aim:2"})))
    assert "imageMetadata" not in removed.fields


@pytest.mark.parametrize(
    ("outcome", "expected"), [(reading(ONE), ("True", "Extracted")), (PLAIN, ("False", "NoLabels"))]
)
def test_enabling_discovery_again_restores_the_condition_without_a_read(outcome, expected):
    read = after(observe(reading=outcome), reading=None)
    off = after(observe(status_of(read), spec={"discovery": {"enabled": False}}))
    on = observe(status_of(off))
    assert on.open_question is None
    assert said(on)["MetadataExtracted"] == expected


# ---- runtime config


def test_without_its_runtime_config_a_model_is_pending_and_nothing_is_read_or_created():
    seen = observe(config_name="late")
    assert state(seen) == "Pending"
    for type_ in ("RuntimeResolved", "TemplatesAutoGenerated", "Ready"):
        assert said(seen)[type_] == ("False", "RuntimeConfigNotFound"), type_
    assert [type(action) for action in decide_model(seen).actions] == [WriteStatus]


def test_a_deleted_runtime_config_changes_neither_metadata_nor_the_state_of_templates():
    read = after(observe(reading=reading(ONE)), reading=None)
    seen = observe(status_of(read), config_name="late", templates=in_states("Ready"))
    assert state(seen) == "Ready"
    assert said(seen)["RuntimeResolved"] == ("False", "RuntimeConfigNotFound")
    assert written(decide_model(seen)).fields["imageMetadata"]["canonicalName"] == "org/model"


def test_the_runtime_config_in_use_is_reported():
    assert said(observe())["RuntimeResolved"] == ("True", "DefaultsUsed")
    seen = observe(config={})
    assert said(seen)["RuntimeResolved"] == ("True", "RuntimeConfigFound")
    assert written(decide_model(seen)).fields["resolvedRuntimeConfig"]["kind"] == "AIMClusterRuntimeConfig"


# ---- recommended templates


def existing(seen: ModelObservation, *, state: str = "Ready", **metadata: Any) -> ModelObservation:
    """The recommended templates exist; by default they are owned by the model."""
    namespace = seen.model.meta.namespace
    kind = kinds.TEMPLATES if namespace else kinds.CLUSTER_TEMPLATES
    metadata = metadata or {"owners": [owner("llama")]}
    objects = {
        name: make(name, namespace, resource=kind, spec=manifest["spec"], **metadata)
        for name, manifest in seen.recommended_templates().items()
    }
    return replace(seen, existing=objects, templates={state: [item.key for item in objects.values()]})


def test_missing_templates_are_created_and_make_the_model_progressing():
    seen = observe(reading=reading(ONE, {**ONE, "metric": "throughput"}))
    assert len(created(decide_model(seen))) == 2
    assert state(seen) == "Progressing"
    assert said(seen)["TemplatesAutoGenerated"] == ("False", "TemplatesMissing")


def test_existing_templates_are_not_created_again_and_an_event_reports_them_once():
    seen = existing(observe(reading=reading(ONE)))
    assert created(decide_model(seen)) == []
    assert said(seen)["TemplatesAutoGenerated"] == ("True", "TemplatesGenerated")
    assert state(seen) == "Ready"
    assert events(seen) == [("Normal", "Extracted"), ("Normal", "TemplatesCreated"), ("Normal", "Ready")]
    assert events(after(seen)) == []


def test_a_deleted_template_is_created_again_without_another_read():
    seen = after(existing(observe(reading=reading(ONE))), reading=None, existing={}, templates={})
    assert [type(action) for action in decide_model(seen).actions] == [Create, WriteStatus]


GENERATED = {"aim.silogen.ai/auto-generated": "true"}


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ({"owners": [owner("llama")]}, "TemplatesGenerated"),
        ({"labels": GENERATED}, "TemplatesGenerated"),
        ({"labels": GENERATED, "owners": [owner("before")]}, "TemplatesGenerated"),
        ({"labels": {"a": "b"}}, "TemplateNameTaken"),
    ],
    ids=["owned", "labelled", "of an earlier model of the name", "another"],
)
def test_a_template_that_was_not_created_for_the_model_is_reported_and_left_alone(metadata, reason):
    seen = existing(observe(reading=reading(ONE)), **metadata)
    assert created(decide_model(seen)) == []
    assert said(seen)["TemplatesAutoGenerated"][1] == reason


def test_a_template_of_another_model_takes_the_name():
    seen = observe(reading=reading(ONE))
    (name,) = seen.recommended_templates()
    template = make(name, "team", resource=kinds.TEMPLATES, labels=GENERATED, spec={"modelName": "other"})
    taken = replace(seen, existing={name: template})
    assert said(taken)["TemplatesAutoGenerated"] == ("False", "TemplateNameTaken")
    assert name in message(taken, "TemplatesAutoGenerated")


def test_a_rejected_template_is_reported_with_the_message_of_the_server():
    seen = observe(reading=reading(ONE))
    (name,) = created(decide_model(seen))
    seen = replace(seen, rejections={name: "exceeded quota: templates"})
    assert created(decide_model(seen)) == [name], "the executor decides when it is sent again"
    assert state(seen) == "Failed"
    assert said(seen)["TemplatesAutoGenerated"] == ("False", "TemplatesRefused")
    for type_ in ("Ready", "TemplatesAutoGenerated"):
        assert "exceeded quota" in message(seen, type_)
    there = existing(seen)
    assert said(there)["TemplatesAutoGenerated"] == ("True", "TemplatesGenerated"), (
        "it has been created since"
    )


@pytest.mark.parametrize("discovery", [{"autoCreateTemplates": False}, {"enabled": False}])
def test_templates_are_not_created_when_that_is_disabled(discovery):
    seen = observe(spec={"discovery": discovery}, reading=reading(ONE))
    assert created(decide_model(seen)) == []
    assert said(seen)["TemplatesAutoGenerated"] == ("False", "Disabled")


def test_nothing_is_planned_for_a_model_that_is_being_deleted():
    assert decide_model(observe(deleting=True, reading=reading(ONE))) == Plan()


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
    ("NotAvailable", "Ready"): "Ready",
    ("NotAvailable", "Ready", "Pending"): "Progressing",
    ("NotAvailable", "Ready", "Failed"): "Degraded",
    ("NotAvailable", "Pending"): "Progressing",
    ("Pending",): "Progressing",
    ("Progressing", "Ready"): "Progressing",
    ("",): "Progressing",
    ("", "Ready"): "Progressing",
}


@pytest.mark.parametrize("states", ROLL_UP, ids="-".join)
def test_the_state_follows_from_the_states_of_the_templates(states):
    for order in (states, states[::-1]):
        seen = observe(reading=PLAIN, templates=in_states(*order))
        assert state(seen) == ROLL_UP[states]
        assert (said(seen)["Ready"][0] == "True") is (ROLL_UP[states] == "Ready")


def test_the_message_names_a_few_of_the_templates_that_are_not_ready():
    bad = [ObjectKey("team", f"t{number:03}") for number in range(100)]
    seen = observe(reading=PLAIN, templates={"Failed": bad, "Ready": [ObjectKey("team", "good")]})
    assert message(seen, "Ready") == (
        "team/t000 is Failed; team/t001 is Failed; team/t002 is Failed and 97 more"
    )


def test_the_status_does_not_change_with_each_template_that_becomes_ready():
    def status(*states: str) -> dict[str, Any]:
        return written(decide_model(observe(reading=PLAIN, templates=in_states(*states)))).status()

    assert status("Pending", "Pending") == status("Ready", "Progressing", "Ready") == status("Ready", "")


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
def test_a_decision_on_the_written_status_changes_nothing_and_records_no_events(
    found, states, spec, config, name, cluster, recommended_exist
):
    seen = observe(
        spec=spec,
        config=config,
        config_name=name,
        namespace="" if cluster else "team",
        reading=found,
    )
    if recommended_exist:
        seen = existing(seen)
    seen = replace(seen, templates=in_states(*states))
    first = written(decide_model(seen))
    assert first.fields["status"] in set(map(str, ModelState))
    assert {item["type"] for item in first.conditions if item["message"]} == first.owned_conditions
    again = after(seen)
    assert not written(decide_model(again)).changes(status_of(again))
    assert events(again) == []
    if isinstance(found, FailedReading) and again.open_question is not None:
        retrying = replace(again, reading=None)
        assert not written(decide_model(retrying)).changes(status_of(retrying))
