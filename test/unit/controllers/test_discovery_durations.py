"""The durations of discoveries: each is observed once, by the process that leads."""

from __future__ import annotations

import itertools
import random
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client import CollectorRegistry

from aimctl.api.kinds import CLUSTER_TEMPLATES, TEMPLATES
from aimctl.controllers.metrics import OperatorMetrics
from aimctl.controllers.templates.durations import DiscoveryDurations
from aimctl.kubetypes.builtin import JOBS
from aimctl.runtime.cache import Cache
from aimctl.testing.virtualtime import virtual_clock
from support.scripted_listwatch import ScriptedListWatch
from support.things import make, with_meta

if TYPE_CHECKING:
    from aimctl.kubetypes import Object

CREATED, FINISHED = "2026-05-04T12:00:00Z", "2026-05-04T12:00:07Z"


class Bench:
    """Durations of a process that leads or does not, with a cache of Jobs."""

    def __init__(self, *, leading: bool = True) -> None:
        self.registry = CollectorRegistry()
        self.cache = Cache(ScriptedListWatch(), clock=virtual_clock(), rng=random.Random(0))
        self.cache.declare(JOBS)
        self.durations = DiscoveryDurations(
            OperatorMetrics(self.registry), self.cache, operator_namespace="ops", leading=lambda: leading
        )

    def job(self, name: str, namespace: str) -> None:
        job = make(name, namespace, resource=JOBS)
        self.cache.observe_write(with_meta(job, creationTimestamp=CREATED))

    def observed(self, result: str) -> tuple[float | None, float | None]:
        """Number and sum of the observed durations."""
        name, labels = "aim_discovery_duration_seconds", {"result": result}
        return (
            self.registry.get_sample_value(f"{name}_count", labels),
            self.registry.get_sample_value(f"{name}_sum", labels),
        )


def template(namespace: str = "team", **discovery: str) -> Object[Any]:
    """A template with results and failures of these Jobs."""
    records = {name: {"jobName": job, "finishedAt": FINISHED} for name, job in discovery.items()}
    resource = TEMPLATES if namespace else CLUSTER_TEMPLATES
    return make(
        "a", namespace, resource=resource, spec={"modelName": "m"}, status={"discovery": records or None}
    )


@pytest.mark.parametrize("namespace", ["team", ""], ids=["namespaced", "cluster"])
def test_a_discovery_is_observed_when_its_record_appears(namespace: str) -> None:
    bench = Bench()
    bench.job("one", namespace or "ops")
    bench.job("two", namespace or "ops")
    states = [
        template(namespace),
        template(namespace, result="one"),
        template(namespace, result="one"),
        template(namespace, result="one", failure="two"),
        template(namespace, result="two"),
    ]
    for old, new in itertools.pairwise(states):
        bench.durations.on_update(old, new)
    assert bench.observed("succeeded") == (2, 14)
    assert bench.observed("failed") == (1, 7)


def test_a_template_that_was_discovered_before_is_not_observed() -> None:
    bench = Bench()
    bench.job("one", "team")
    bench.durations.on_add(template(result="one"), initial=True)
    bench.durations.on_delete(template(result="one"), confirmed=True)
    assert bench.observed("succeeded") == (0, 0)


def test_a_process_that_does_not_lead_observes_nothing() -> None:
    bench = Bench(leading=False)
    bench.job("one", "team")
    bench.durations.on_update(template(), template(result="one"))
    assert bench.observed("succeeded") == (0, 0)


def test_an_unknown_job_and_an_unreadable_template_are_ignored() -> None:
    bench = Bench()
    bench.durations.on_update(template(), template(result="gone"))
    unreadable = make("a", "team", resource=TEMPLATES, spec={"modelName": 1})
    bench.job("one", "team")
    bench.durations.on_update(unreadable, template(result="one"))
    bench.durations.on_update(template(), unreadable)
    assert bench.observed("succeeded") == (0, 0)
