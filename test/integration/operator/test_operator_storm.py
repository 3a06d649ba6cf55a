"""Random hours with everything that happens in a cluster: the invariants hold, and what can be Ready becomes Ready.

``make test-storm`` runs more seeds, and prints the trace of one.
"""

from __future__ import annotations

import pytest

from storm.scenario import run_storm
from support.proofs import seeds


@pytest.mark.timeout(400)
@pytest.mark.parametrize("seed", seeds(20, quick=0))
def test_after_a_random_hour_everything_that_can_be_ready_is_ready(seed: int) -> None:
    report = run_storm(seed)
    assert report.problems == [], report.text()
    assert report.counts["objects"] == 60
    assert report.counts["completeness"] > 0


@pytest.mark.proof
@pytest.mark.timeout(400)
def test_the_same_seed_gives_the_same_trace() -> None:
    traces = []
    for _ in range(2):
        trace = run_storm(5, seconds=120.0).trace
        assert trace is not None
        traces.append(list(trace.lines()))
    assert traces[0] == traces[1]
    assert len(traces[0]) > 100
