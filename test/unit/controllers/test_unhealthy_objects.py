"""The metric of unhealthy objects: what counts, and the bound on its namespaces."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client import CollectorRegistry

from aimctl.api.kinds import CLUSTER_TEMPLATES, MODEL_CACHES, MODELS, SERVICES, TEMPLATE_CACHES, TEMPLATES
from aimctl.controllers.metrics import OperatorMetrics
from aimctl.controllers.unhealthy import MAX_NAMESPACES, OTHERS, UnhealthyObjects
from support.things import make

if TYPE_CHECKING:
    from aimctl.kubetypes import Object

SPECS: dict[str, dict[str, Any]] = {
    TEMPLATES.kind: {"modelName": "m"},
    CLUSTER_TEMPLATES.kind: {"modelName": "m"},
    SERVICES.kind: {"model": {"ref": "m"}},
    MODELS.kind: {"image": "registry.example/aim:1"},
    MODEL_CACHES.kind: {"sourceURI": "hf://m/m", "size": "1Gi"},
    TEMPLATE_CACHES.kind: {"templateRef": "t"},
}
HANDLERS = {
    TEMPLATES.kind: lambda metrics: metrics.templates("Namespace"),
    CLUSTER_TEMPLATES.kind: lambda metrics: metrics.templates("Cluster"),
    SERVICES.kind: OperatorMetrics.services,
    MODELS.kind: lambda metrics: metrics.models("Namespace"),
    MODEL_CACHES.kind: OperatorMetrics.model_caches,
    TEMPLATE_CACHES.kind: OperatorMetrics.template_caches,
}
KINDS = (TEMPLATES, CLUSTER_TEMPLATES, SERVICES, MODELS, MODEL_CACHES, TEMPLATE_CACHES)


def with_state(resource: Any, state: str) -> Object[Any]:
    namespace = "team" if resource.namespaced else ""
    return make("a", namespace, resource=resource, spec=SPECS[resource.kind], status={"status": state})


def count(registry: CollectorRegistry, kind: str, namespace: str) -> float | None:
    return registry.get_sample_value("aim_unhealthy_objects", {"kind": kind, "namespace": namespace})


@pytest.mark.parametrize("resource", KINDS, ids=[kind.kind for kind in KINDS])
def test_an_object_counts_while_it_is_failed_or_degraded(resource: Any) -> None:
    registry = CollectorRegistry()
    handler = HANDLERS[resource.kind](OperatorMetrics(registry))
    states = ["", "Pending", "Failed", "Degraded", "Ready", "Failed"]
    objects = [with_state(resource, state) for state in states]
    seen = []
    handler.on_add(objects[0], initial=True)
    for old, new in itertools.pairwise(objects):
        handler.on_update(old, new)
        seen.append(count(registry, resource.kind, "team" if resource.namespaced else ""))
    assert seen == [None, 1, 1, None, 1]
    handler.on_delete(objects[-1], confirmed=True)
    assert count(registry, resource.kind, "team" if resource.namespaced else "") is None


def test_a_standby_reports_no_unhealthy_objects() -> None:
    registry, leads = CollectorRegistry(), [False]
    OperatorMetrics(registry, leads=lambda: leads[0]).services().on_add(
        with_state(SERVICES, "Failed"), initial=True
    )
    assert count(registry, SERVICES.kind, "team") is None
    leads[0] = True
    assert count(registry, SERVICES.kind, "team") == 1


def test_the_namespaces_with_the_fewest_unhealthy_objects_share_one_series() -> None:
    registry, unhealthy = CollectorRegistry(), UnhealthyObjects()
    registry.register(unhealthy)
    for number in range(MAX_NAMESPACES + 5):
        unhealthy.add("AIMService", f"team-{number:03}", number + 1)
    (family,) = registry.collect()
    values = {sample.labels["namespace"]: sample.value for sample in family.samples}
    assert len(values) == MAX_NAMESPACES + 1
    assert values[OTHERS] == 1 + 2 + 3 + 4 + 5
    assert sum(values.values()) == sum(range(1, MAX_NAMESPACES + 6))
    assert values["team-005"] == 6
