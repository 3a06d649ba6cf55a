"""What the server refuses, with a message that names the field; what the operator survives."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from support.proofs import variants
from support.waiting import eventually

if TYPE_CHECKING:
    from support.clusters import RunningCluster

KINDS = ("AIMServiceTemplate", "AIMClusterServiceTemplate")


def bad_template(cluster: RunningCluster, kind: str, **spec: Any) -> str:
    namespace = cluster.new_namespace("bad") if kind == "AIMServiceTemplate" else ""
    document = cluster.template(namespace, "bad", model="some-model")
    document["spec"].update(spec)
    return json.dumps(document)


@pytest.mark.parametrize("kind", variants(KINDS))
@pytest.mark.parametrize(
    ("field", "spec"),
    [
        ("spec.metric", {"metric": "fast"}),
        ("spec.precision", {"precision": "fp7"}),
        ("spec.gpuSelector.count", {"gpuSelector": {"count": 0, "model": "MI300X"}}),
        ("spec.gpuSelector.count", {"gpuSelector": {"count": "two", "model": "MI300X"}}),
        ("spec.gpuSelector.model", {"gpuSelector": {"count": 1, "model": ""}}),
        ("spec.modelName", {"modelName": ""}),
        ("spec.modelName", {"modelName": "Not A Name"}),
        ("spec.modelName", {"modelName": None}),
        ("sourceURI", {"modelSources": [{"name": "a", "sourceURI": "ftp://x/y", "size": "1Gi"}]}),
        ("size", {"modelSources": [{"name": "a", "sourceURI": "hf://x/y", "size": "much"}]}),
    ],
)
def test_a_value_outside_its_schema_is_refused_with_a_message_that_names_the_field(
    cluster: RunningCluster, kind: str, field: str, spec: dict[str, Any]
) -> None:
    message = cluster.kubectl.fails(
        "create", "--validate=false", "-f", "-", stdin=bad_template(cluster, kind, **spec)
    )
    assert field in message, message
    assert (
        "invalid" in message.lower() or "unsupported" in message.lower() or "required" in message.lower()
    ), message


@pytest.mark.parametrize("kind", variants(KINDS))
@pytest.mark.parametrize(
    ("field", "patch"),
    [
        ("modelName", {"modelName": "another-model"}),
        ("metric", {"metric": "throughput"}),
        ("metric", {"metric": None}),
        ("precision", {"precision": "fp8"}),
        ("precision", {"precision": None}),
        ("gpuSelector", {"gpuSelector": {"count": 2}}),
        ("gpuSelector", {"gpuSelector": {"model": "MI325X"}}),
        ("gpuSelector", {"gpuSelector": None}),
    ],
)
def test_an_immutable_field_can_neither_change_nor_vanish(
    cluster: RunningCluster, kind: str, field: str, patch: dict[str, Any]
) -> None:
    resource, where = cluster.create_template(kind, "fixed", gpu={"count": 1, "model": "MI300X"})
    message = cluster.kubectl.fails(
        "patch", resource, "fixed", *where, "--type=merge", "-p", json.dumps({"spec": patch})
    )
    assert field in message, message
    assert "immutable" in message, message


@pytest.mark.parametrize("kind", variants(KINDS))
@pytest.mark.parametrize(
    ("field", "patch"),
    [
        ("metric", {"metric": "throughput"}),
        ("precision", {"precision": "fp8"}),
        ("gpuSelector", {"gpuSelector": {"count": 2, "model": "MI325X"}}),
    ],
)
def test_an_immutable_field_that_was_left_out_cannot_appear_later(
    cluster: RunningCluster, kind: str, field: str, patch: dict[str, Any]
) -> None:
    resource, where = cluster.create_template(kind, "bare", metric=None, precision=None, gpu=None)
    message = cluster.kubectl.fails(
        "patch", resource, "bare", *where, "--type=merge", "-p", json.dumps({"spec": patch})
    )
    assert field in message, message
    assert "immutable" in message, message


@pytest.mark.parametrize(
    ("tag", "words"),
    variants(
        [
            ("nan", "NaN"),
            ("huge", ""),
            ("deep", "nested"),
            ("empty", "empty"),
            ("wrong-types", ""),
            ("no-array", "array"),
            ("scheme", "ftp://example.org/m"),
        ],
        quick=2,
    ),
)
def test_hostile_discovery_output_is_a_failed_discovery_that_says_what_was_wrong(
    cluster: RunningCluster, managed: object, tag: str, words: str
) -> None:
    namespace = cluster.new_namespace("hostile")
    cluster.apply(
        [
            cluster.model("hostile", cluster.image(f"hostile:{tag}"), namespace=namespace),
            cluster.template(namespace, "hostile", model="hostile"),
        ]
    )
    status = eventually(
        lambda: cluster.template_status(namespace, "hostile", until="Failed"), 60, "the template is Failed"
    )
    discovered = next(c for c in status["conditions"] if c["type"] == "Discovered")
    assert (discovered["status"], discovered["reason"]) == ("False", "DiscoveryFailed")
    assert words in discovered["message"]
    assert len(discovered["message"]) > 20, "the message has to show what was wrong"
    assert "modelSources" not in status, "a failed discovery leaves no partial result"
    assert "profile" not in status, "a failed discovery leaves no partial result"


def test_a_model_name_of_253_characters_is_discovered_like_any_other(
    cluster: RunningCluster, managed: object
) -> None:
    namespace = cluster.new_namespace("longname")
    name = ".".join(("m" * 63, "n" * 63, "o" * 63, "p" * 61))
    assert len(name) == 253
    cluster.apply(
        [
            cluster.model(name, cluster.image("quick"), namespace=namespace),
            cluster.template(namespace, "long", model=name),
            cluster.template(namespace, name, model=name),
        ]
    )
    for template in ("long", name):
        eventually(
            lambda template=template: cluster.template_status(namespace, template, until="Ready"),
            60,
            f"{template} is Ready",
        )


def test_template_names_that_truncate_alike_get_jobs_of_their_own(
    cluster: RunningCluster, managed: object
) -> None:
    namespace = cluster.new_namespace("alike")
    stem = "t" * 80
    names = [f"{stem}-a", f"{stem}-b"]
    cluster.apply(
        [
            cluster.model("alike", cluster.image("quick"), namespace=namespace),
            *(cluster.template(namespace, name, model="alike") for name in names),
        ]
    )
    for name in names:
        eventually(
            lambda name=name: cluster.template_status(namespace, name, until="Ready"), 60, f"{name} is Ready"
        )
    jobs = cluster.kubectl.json("get", "jobs", "-n", namespace)["items"]
    assert len(jobs) == 2
    assert len({job["metadata"]["name"] for job in jobs}) == 2
    assert len({job["metadata"]["labels"]["aim.silogen.ai/template"] for job in jobs}) == 2
