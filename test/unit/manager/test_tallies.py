from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.exposition import generate_latest

from aimctl.runtime.manager.metrics.tallies import Tallies

BOUNDS = (0.1, 1.0, 2.5)
VALUES = (0.0, 0.1, 0.100001, 1.0, 2.5, 2.6, 1e9)


def test_the_exposition_is_that_of_the_client_library() -> None:
    own, reference = CollectorRegistry(), CollectorRegistry()
    tallies = Tallies()
    seconds = tallies.histogram("seconds", "Duration.", BOUNDS, "controller")
    runs = tallies.counter("runs_total", "Runs.", "controller", "result")
    active = tallies.gauge("active", "Running.", "controller")
    own.register(tallies)
    expected = Histogram("seconds", "Duration.", ["controller"], registry=reference, buckets=BOUNDS)
    expected_runs = Counter("runs_total", "Runs.", ["controller", "result"], registry=reference)
    for value in VALUES:
        seconds.labels("a").observe(value)
        expected.labels("a").observe(value)
    runs.labels("a", "success").value += 2
    expected_runs.labels("a", "success").inc(2)
    active.labels("a").value = 3

    lines = generate_latest(own).decode().splitlines()
    wanted = [line for line in generate_latest(reference).decode().splitlines() if "_created" not in line]
    assert [line for line in lines if "active" not in line] == wanted
    assert own.get_sample_value("active", {"controller": "a"}) == 3


def test_removing_a_label_value_leaves_the_others_and_metrics_without_the_label() -> None:
    registry, tallies = CollectorRegistry(), Tallies()
    runs = tallies.counter("runs_total", "Runs.", "controller", "result")
    stalls = tallies.counter("stalls_total", "Stalls.")
    registry.register(tallies)
    for name in ("a", "b"):
        runs.labels(name, "success").value += 1
    stalls.labels().value += 1
    tallies.remove("controller", "a")
    assert registry.get_sample_value("runs_total", {"controller": "a", "result": "success"}) is None
    assert registry.get_sample_value("runs_total", {"controller": "b", "result": "success"}) == 1
    assert registry.get_sample_value("stalls_total") == 1
    assert runs.labels("a", "success").value == 0


def test_a_registry_takes_each_metric_once() -> None:
    registry = CollectorRegistry()
    first, second = Tallies(), Tallies()
    for tallies in (first, second):
        tallies.counter("runs_total", "Runs.", "controller")
    registry.register(first)
    with pytest.raises(ValueError, match="runs"):
        registry.register(second)
