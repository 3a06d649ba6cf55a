"""Which manager leads, from the Lease."""

from __future__ import annotations

import pytest

from aimctl.cli.questions.leader import leader_of, leaderless, lease_of
from support.facts import Paper, at, lease

QUESTION = lease_of("kaiwo-system")


def leader(*objects, **kwargs):
    paper = Paper(*objects, **kwargs)
    paper[QUESTION]
    return leader_of(paper.facts(), "kaiwo-system")


@pytest.mark.parametrize(
    ("holder", "age", "leads", "text"),
    [
        ("pod-1_a", 3, True, "The leader is pod-1_a (lease renewed 3s ago)."),
        ("pod-1_a", 14, True, "The leader is pod-1_a (lease renewed 14s ago)."),
        (
            "pod-1_a",
            16,
            False,
            "No manager leads: the lease of pod-1_a has expired: renewed 16s ago, valid for 15s.",
        ),
        (
            "pod-1_a",
            None,
            False,
            "No manager leads: the lease of pod-1_a has expired: it has no time of renewal, valid for 15s.",
        ),
        ("", 3, False, "No manager leads: the lease has no holder."),
    ],
    ids=["renewed", "about to expire", "expired", "no time", "released"],
)
def test_a_lease_has_expired_as_soon_as_its_duration_has_passed(holder, age, leads, text):
    renewed = None if age is None else at(age)
    found = leader(lease(holder, renewed))
    assert found.leads is leads
    assert found.text == text
    assert found.to_json() == {
        "identity": holder,
        "leads": leads,
        "renewed": renewed,
        "leaseDurationSeconds": 15,
    }
    notes = leaderless(found, "kaiwo-system")
    assert [text in note for note in notes] == ([] if leads else [True])


@pytest.mark.parametrize(
    "denied", [(), ("get leases.coordination.k8s.io kaiwo-system",)], ids=["absent", "denied"]
)
def test_without_a_lease_nothing_is_known(denied):
    assert leader(denied=denied) is None
    assert leaderless(None, "kaiwo-system") == ()


@pytest.mark.parametrize(("label", "limit"), [("7", 7), ("many", None), (None, None)])
def test_the_slots_are_those_that_the_leader_has_published(label, limit):
    labels = {} if label is None else {"aim.silogen.ai/discovery-limit": label}
    assert leader(lease("pod-1_a", at(3), labels=labels)).limit == limit
