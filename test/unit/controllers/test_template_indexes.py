"""Indexes of templates, Jobs and pods, metrics that count objects, and the options of the operator."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from aimctl.api import kinds
from aimctl.controllers.indexes.templates import (
    ANY_GPU,
    EVERYWHERE,
    JOB_INDEXES,
    POD_INDEXES,
    TEMPLATE_INDEXES,
    UNFINISHED,
    place,
)
from aimctl.controllers.metrics import OperatorMetrics
from aimctl.controllers.options import OperatorOptions
from aimctl.controllers.templates.admission import slot_freed
from aimctl.domain.naming import DISCOVERY, DOWNLOAD, LABEL_COMPONENT
from aimctl.kubetypes.builtin import JOBS, PODS
from aimctl.runtime.controller import Created, Deleted, Updated
from aimctl.runtime.kube import Object


def made(resource: Any, namespace: str = "team", version: int = 1, **fields: Any) -> Object[Any]:
    metadata = {
        "name": "a",
        "uid": "u",
        "resourceVersion": str(version),
        **({"namespace": namespace} if namespace else {}),
        **fields.pop("metadata", {}),
    }
    body = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata, **fields}
    return Object.parse(resource, msgspec.json.encode(body))


def found(indexes: Any, obj: Object[Any]) -> dict[str, list[str]]:
    return {name: sorted(function(obj)) for name, function in indexes.items()}


@pytest.mark.parametrize("namespace", ["team", ""])
def test_a_template_is_found_by_model_config_and_normalised_gpu(namespace: str) -> None:
    kind = kinds.TEMPLATES if namespace else kinds.CLUSTER_TEMPLATES
    spec = {
        "modelName": "m",
        "runtimeConfigName": "c",
        "gpuSelector": {"model": "Instinct MI300X", "count": 1},
    }
    assert found(TEMPLATE_INDEXES, made(kind, namespace, spec=spec)) == {
        "model": sorted([place(namespace, "m"), place(EVERYWHERE, "m")]),
        "runtime-config": sorted([place(namespace, "c"), place(EVERYWHERE, "c")]),
        "gpu": ["MI300X"],
    }


def test_a_template_that_needs_a_number_of_any_gpus_is_found_when_any_changes() -> None:
    obj = made(kinds.TEMPLATES, spec={"modelName": "m", "gpuSelector": {"count": 2}})
    assert found(TEMPLATE_INDEXES, obj)["gpu"] == [ANY_GPU]


@pytest.mark.parametrize("gpu", [None, {}, {"model": None}, {"model": ""}])
def test_a_template_without_a_gpu_model_is_not_found_by_gpu_and_uses_the_default_config(gpu: Any) -> None:
    obj = made(kinds.TEMPLATES, spec={"modelName": "m", "gpuSelector": gpu})
    assert found(TEMPLATE_INDEXES, obj)["gpu"] == []
    assert place("team", "default") in found(TEMPLATE_INDEXES, obj)["runtime-config"]
    assert obj.view.spec.runtime_config_name == "default"


@pytest.mark.parametrize("kind", [kinds.TEMPLATES, kinds.CLUSTER_TEMPLATES], ids=lambda kind: kind.kind)
def test_a_template_that_cannot_be_read_is_found_by_its_model_only(kind: Any) -> None:
    unreadable = made(kind, "", spec={"modelName": "m", "gpuSelector": "MI300X"})
    assert unreadable.view_or_none is None
    assert found(TEMPLATE_INDEXES, unreadable) == {
        "model": sorted([place("", "m"), place(EVERYWHERE, "m")]),
        "runtime-config": [],
        "gpu": [],
    }


def ended(type_: str, status: str = "True") -> dict[str, Any]:
    return {"conditions": [{"type": type_, "status": status}]}


@pytest.mark.parametrize(
    ("status", "unfinished"),
    [
        ({}, True),
        ({"active": 1}, True),
        (ended("Suspended"), True),
        (ended("FailureTarget"), True),
        (ended("Complete", "False"), True),
        (ended("Complete"), False),
        (ended("Failed"), False),
    ],
)
def test_a_job_counts_as_unfinished_until_it_is_complete_or_failed(status: Any, unfinished: bool) -> None:
    obj = made(JOBS, metadata={"labels": {LABEL_COMPONENT: DISCOVERY}}, status=status)
    assert found(JOB_INDEXES, obj)["state"] == ([UNFINISHED] if unfinished else [])


def test_a_download_is_not_an_unfinished_discovery_job() -> None:
    assert found(JOB_INDEXES, made(JOBS, metadata={"labels": {LABEL_COMPONENT: DOWNLOAD}}))["state"] == []


def test_jobs_and_pods_are_found_by_their_controller_only() -> None:
    owners = [
        {"apiVersion": "v1", "kind": "X", "name": "x", "uid": "other"},
        {"apiVersion": "v1", "kind": "Y", "name": "y", "uid": "controller", "controller": True},
    ]
    for kind, indexes in ((JOBS, JOB_INDEXES), (PODS, POD_INDEXES)):
        assert found(indexes, made(kind, metadata={"ownerReferences": owners}))["owner"] == ["controller"]


def test_a_slot_is_freed_by_the_end_or_the_deletion_of_a_job_only() -> None:
    running, still = made(JOBS, status={"active": 1}), made(JOBS, version=2, status={"active": 1, "ready": 1})
    done, later = (
        made(JOBS, version=3, status=ended("Complete")),
        made(JOBS, version=4, status=ended("Complete")),
    )
    assert slot_freed(Updated(running, done))
    assert slot_freed(Deleted(running))
    assert not slot_freed(Updated(running, still))
    assert not slot_freed(Updated(done, later))
    assert not slot_freed(Created(done, initial=True))


def test_templates_are_counted_by_state() -> None:
    registry = CollectorRegistry()
    metrics = OperatorMetrics(registry)
    metrics.admission(limit=7, running=lambda: 2, pending=lambda: 5)
    counter = metrics.templates("Namespace")

    def count(state: str) -> float | None:
        return registry.get_sample_value("aim_templates", {"scope": "Namespace", "status": state})

    new = made(kinds.TEMPLATES, spec={"modelName": "m"})
    spec = {"modelName": "m"}
    pending = made(kinds.TEMPLATES, version=2, spec=spec, status={"status": "Pending"})
    ready = made(kinds.TEMPLATES, version=3, spec=spec, status={"status": "Ready"})
    counter.on_add(new, initial=True)
    assert count("") == 1
    counter.on_update(new, pending)
    counter.on_update(
        pending, made(kinds.TEMPLATES, version=3, spec=spec, status={"status": "Pending", "x": 1})
    )
    assert (count(""), count("Pending")) == (0, 1)
    counter.on_update(pending, ready)
    counter.on_add(made(kinds.TEMPLATES, spec=spec, status={"status": "Ready"}), initial=False)
    assert (count("Pending"), count("Ready")) == (0, 2)
    counter.on_delete(ready, confirmed=True)
    assert count("Ready") == 1
    assert registry.get_sample_value("aim_discovery_pending_templates") == 5
    assert registry.get_sample_value("aim_discovery_jobs_running") == 2
    assert registry.get_sample_value("aim_discovery_jobs_limit") == 7


def test_a_standby_exports_no_gauges_of_the_cluster() -> None:
    registry, leads = CollectorRegistry(), [False]
    metrics = OperatorMetrics(registry, leads=lambda: leads[0])
    metrics.admission(limit=7, running=lambda: 2, pending=lambda: 5)
    metrics.services().on_add(made(kinds.SERVICES, spec={"model": {"ref": "m"}}), initial=True)

    def gauges() -> set[str]:
        return {family.name for family in registry.collect() if family.name.startswith("aim_")}

    processes = {
        "aim_discovery_duration_seconds",
        "aim_discovery_wait_seconds",
        "aim_downloads",
        "aim_image_reads",
    }

    assert gauges() == processes
    leads[0] = True
    assert {"aim_discovery_jobs_limit", "aim_services", "aim_templates", "aim_models"} <= gauges()
    assert registry.get_sample_value("aim_services", {"status": ""}) == 1


def test_an_unknown_state_does_not_add_a_label_value() -> None:
    registry = CollectorRegistry()
    counter = OperatorMetrics(registry).templates("Cluster")
    spec = {"modelName": "m"}
    counter.on_add(made(kinds.CLUSTER_TEMPLATES, "", spec=spec, status={"status": "Odd"}), initial=False)
    assert registry.get_sample_value("aim_templates", {"scope": "Cluster", "status": ""}) == 1
    assert registry.get_sample_value("aim_templates", {"scope": "Cluster", "status": "Odd"}) is None


# ---- options


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"operator_namespace": ""}, "operator_namespace"),
        ({"discovery_limit": 0}, "discovery_limit=0"),
        ({"max_concurrent_reconciles": -1}, "max_concurrent_reconciles=-1"),
    ],
)
def test_invalid_options_are_errors_with_name_and_value(fields: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        OperatorOptions(**fields)


def test_the_operator_namespace_is_always_among_the_observed_ones() -> None:
    assert OperatorOptions().namespaces == ()
    options = OperatorOptions(operator_namespace="aim", watch_namespaces=("a", "b", "a"))
    assert options.namespaces == ("a", "b", "aim")
