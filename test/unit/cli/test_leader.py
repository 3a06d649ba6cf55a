"""Which manager leads, from the Lease."""

from __future__ import annotations

import pytest

from aimctl.cli.questions.leader import leader_of, lease_of
from support.facts import Paper, at, lease

QUESTION = lease_of("kaiwo-system")


def leader(*objects, **kwargs):
    paper = Paper(*objects, **kwargs)
    paper[QUESTION]
    return leader_of(paper.facts(), "kaiwo-system")


@pytest.mark.parametrize(
    ("holder", "age", "leads", "words"),
    [
        ("pod-1_a", 3, True, "The leader is pod-1_a."),
        ("pod-1_a", 50, True, "The leader is pod-1_a."),
        ("pod-1_a", 600, False, "No manager leads: pod-1_a last renewed the Lease 10m ago. Check"),
        ("pod-1_a", None, False, "No manager leads: pod-1_a last renewed the Lease - ago. Check"),
        ("", 3, False, "No manager leads: the Lease has no holder. Check"),
    ],
    ids=["held", "clock differs", "expired", "no time", "released"],
)
def test_a_lease_counts_as_held_until_it_has_expired_for_sure(holder, age, leads, words):
    found = leader(lease(holder, None if age is None else at(age)))
    assert found.leads is leads
    assert found.text.startswith(words)
    assert found.to_json() == {"identity": holder, "leads": leads}


@pytest.mark.parametrize(
    "denied", [(), ("get leases.coordination.k8s.io kaiwo-system",)], ids=["absent", "denied"]
)
def test_without_a_lease_nothing_is_known(denied):
    assert leader(denied=denied) is None
