"""The metrics of objects that are unhealthy or wait: what counts, and the bound on their namespaces."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client import CollectorRegistry

from aimctl.api.kinds import CLUSTER_TEMPLATES, MODEL_CACHES, MODELS, SERVICES, TEMPLATE_CACHES, TEMPLATES
from aimctl.controllers.metrics import OperatorMetrics
from aimctl.controllers.unhealthy import MAX_NAMESPACES, OTHERS
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


NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


def with_state(
    resource: Any,
    state: str,
    name: str = "a",
    namespace: str = "team",
    *,
    ready: str = "",
    progressing: str = "",
    reason: str = "Pending",
) -> Object[Any]:
    """An object in a state, whose conditions changed at these times."""
    conditions = [
        {"type": type_, "status": "False", "reason": reason, "lastTransitionTime": f"2026-01-05T{time}Z"}
        for type_, time in (("Ready", ready), ("Progressing", progressing))
        if time
    ]
    return make(
        name,
        namespace if resource.namespaced else "",
        resource=resource,
        created="2026-01-05T10:00:00Z",
        spec=SPECS[resource.kind],
        status={"status": state, "conditions": conditions} if state else {},
    )


def series(registry: CollectorRegistry, name: str) -> dict[str, float]:
    """The values of a metric by namespace."""
    return {
        sample.labels["namespace"]: sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name == name
    }


def waits(registry: CollectorRegistry, resource: Any) -> float | None:
    namespace = "team" if resource.namespaced else ""
    return registry.get_sample_value("aim_waiting_seconds", {"kind": resource.kind, "namespace": namespace})


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
    registry = CollectorRegistry()
    counter = OperatorMetrics(registry).services()
    for number in range(MAX_NAMESPACES + 5):
        for copy in range(number + 1):
            counter.on_add(with_state(SERVICES, "Failed", f"s-{copy}", f"team-{number:03}"), initial=True)
    values = series(registry, "aim_unhealthy_objects")
    assert len(values) == MAX_NAMESPACES + 1
    assert values[OTHERS] == 1 + 2 + 3 + 4 + 5
    assert sum(values.values()) == sum(range(1, MAX_NAMESPACES + 6))
    assert values["team-005"] == 6


# ---- objects that wait


@pytest.mark.parametrize("resource", KINDS, ids=[kind.kind for kind in KINDS])
def test_an_object_waits_since_the_status_of_a_condition_changed_last(resource: Any) -> None:
    registry = CollectorRegistry()
    handler = HANDLERS[resource.kind](OperatorMetrics(registry, now=lambda: NOON))
    new = with_state(resource, "")
    started = with_state(resource, "Pending", ready="11:00:00", progressing="11:10:00")
    done = with_state(resource, "Ready", ready="11:50:00")
    handler.on_add(new, initial=True)
    assert waits(registry, resource) == pytest.approx(2 * 3600)  # since its creation
    handler.on_update(new, started)
    assert waits(registry, resource) == pytest.approx(50 * 60)
    handler.on_update(started, done)
    assert waits(registry, resource) is None
    handler.on_update(done, started)
    handler.on_delete(started, confirmed=True)
    assert waits(registry, resource) is None


@pytest.mark.parametrize("reason", ["RuntimeStopped", "Downloading", "Warming"])
def test_an_object_does_not_wait_while_it_is_stopped_or_receives_data(reason: str) -> None:
    registry = CollectorRegistry()
    handler = OperatorMetrics(registry, now=lambda: NOON).services()
    stopped = with_state(SERVICES, "Starting", ready="11:00:00", reason=reason)
    stuck = with_state(SERVICES, "Starting", ready="11:00:00")
    handler.on_add(stopped, initial=True)
    assert waits(registry, SERVICES) is None
    handler.on_update(stopped, stuck)
    assert waits(registry, SERVICES) == 3600


def test_the_longest_wait_of_a_namespace_counts_and_the_shortest_share_one_series() -> None:
    registry = CollectorRegistry()
    counter = OperatorMetrics(registry, now=lambda: NOON).services()
    for minute in range(50):
        for second in range(3):
            time = f"11:{minute:02}:{second:02}"
            item = with_state(SERVICES, "Pending", f"s-{second}", f"team-{minute:03}", ready=time)
            counter.on_add(item, initial=True)
            counter.on_add(
                with_state(
                    SERVICES, "Pending", f"s-{second}", f"late-{minute:03}", ready=f"11:59:{minute:02}"
                ),
                initial=True,
            )
        counter.on_add(
            with_state(SERVICES, "Pending", "s", f"more-{minute:03}", ready="11:59:55"), initial=True
        )
    values = series(registry, "aim_waiting_seconds")
    assert len(values) == MAX_NAMESPACES + 1
    assert values[OTHERS] == 5
    assert values["team-000"] == 3600
    assert values["late-049"] == 11


def test_an_unreadable_object_waits_and_one_that_is_being_deleted_does_not() -> None:
    registry = CollectorRegistry()
    counter = OperatorMetrics(registry, now=lambda: NOON).services()
    unreadable = make("a", "team", resource=SERVICES, spec={"model": 3}, created="2026-01-05T10:00:00Z")
    counter.on_add(unreadable, initial=True)
    assert waits(registry, SERVICES) == 2 * 3600
    gone = make(
        "a",
        "team",
        resource=SERVICES,
        spec=SPECS[SERVICES.kind],
        created="2026-01-05T10:00:00Z",
        deleting=True,
    )
    counter.on_update(unreadable, gone)
    assert waits(registry, SERVICES) is None
