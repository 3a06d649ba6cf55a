from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimctl.runtime.manager import LeaderElectionOptions
from aimctl.runtime.manager.leaderelection.lease import Action, LeaseRecord, Observation, decide, lease_body

OPTIONS = LeaderElectionOptions("lock", "ns")
THEIRS = LeaseRecord("them", 15, "2026-01-01T00:00:00.000000Z", "2026-01-01T00:00:00.000000Z", 4)
NOW = "2026-01-02T00:00:00.000000Z"


@pytest.mark.parametrize(
    ("record", "since", "now", "action"),
    [
        (None, 0, 100, Action.CREATE),
        (LeaseRecord("", 15), 100, 100, Action.TAKE),
        (LeaseRecord("me", 15), 0, 1000, Action.RENEW),
        (LeaseRecord("them", 15), 100, 100, Action.WAIT),
        (LeaseRecord("them", 15), 100, 114.999, Action.WAIT),
        (LeaseRecord("them", 15), 100, 115, Action.TAKE),
        (LeaseRecord("them", 60), 100, 115, Action.WAIT),
        (LeaseRecord("them", 0), 100, 114, Action.WAIT),
        (LeaseRecord("them", 0), 100, 115, Action.TAKE),
    ],
)
def test_the_decision_for_each_state_of_the_lease(record, since, now, action):
    """Checklist 109: missing -> created; unowned or expired by local observation -> taken. 111: empty holder -> taken."""
    observed = None if record is None else Observation(record, since)
    assert decide(observed, "me", now, 15.0) is action


@given(st.text(max_size=30), st.text(max_size=30), st.integers(1, 3600), st.floats(0, 0.999))
def test_a_freshly_seen_foreign_lease_is_never_taken_whatever_its_times_say(
    acquired, renewed, duration, part
):
    """Checklist 110: a freshly seen foreign lease is never taken, whatever its timestamps say."""
    record = LeaseRecord("them", duration, acquired, renewed, 0)
    assert decide(Observation(record, 50.0), "me", 50.0 + part * duration, 15.0) is Action.WAIT


def test_an_unchanged_record_keeps_the_time_it_was_first_seen():
    """Checklist 110: expiry is judged by the time since the last observed change."""
    seen = Observation(THEIRS, 10.0)
    assert seen.next(LeaseRecord(*_fields(THEIRS)), 20.0).since == 10.0
    renewed = LeaseRecord("them", 15, THEIRS.acquire_time, NOW, 4)
    assert seen.next(renewed, 20.0).since == 20.0


def test_taking_over_counts_a_transition_and_starts_a_new_acquire_time():
    """Checklist 109: a taken lease has transitions +1."""
    taken = THEIRS.held_by(OPTIONS, "me", NOW)
    assert taken == LeaseRecord("me", 15, NOW, NOW, 5)


def test_renewing_changes_the_renew_time_alone():
    """Checklist 112: holder renews: acquireTime and transitions unchanged, renewTime new."""
    assert THEIRS.held_by(OPTIONS, "them", NOW) == LeaseRecord("them", 15, THEIRS.acquire_time, NOW, 4)


def test_releasing_empties_the_holder_and_keeps_the_transitions():
    """Checklist 114: release writes empty holder, keeps transitions."""
    assert THEIRS.released(NOW) == LeaseRecord("", 1, NOW, NOW, 4)


texts = st.text(st.characters(codec="ascii", exclude_characters="\x00"), max_size=12)
records = st.builds(LeaseRecord, texts, st.integers(0, 10**6), texts, texts, st.integers(0, 10**6))


@given(records, st.dictionaries(texts, texts), st.dictionaries(texts, texts))
def test_a_record_round_trips_and_unknown_fields_are_kept(record, labels, others):
    """Checklist 116: Lease spec <-> record round trip is loss-free, user labels are merged not replaced."""
    lease = {
        "metadata": {"name": "lock", "labels": others, "annotations": {"a": "b"}},
        "spec": {"preferredHolder": "x", "strategy": "OldestEmulationVersion"},
    }
    body = lease_body(lease, record, tuple(labels.items()))
    assert LeaseRecord.of(body) == record
    assert body["metadata"]["labels"] == {**others, **labels}
    assert body["metadata"]["annotations"] == {"a": "b"}
    assert body["spec"]["preferredHolder"] == "x"
    assert lease["metadata"]["labels"] == others


@pytest.mark.parametrize(
    "lease", [{}, {"spec": None}, {"spec": {"holderIdentity": None, "leaseTransitions": None}}]
)
def test_a_lease_without_a_spec_has_no_holder(lease):
    assert LeaseRecord.of(lease) == LeaseRecord()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lease_duration": 10.0}, "lease_duration=10.0: must be longer than renew_deadline=10.0"),
        ({"lease_duration": 5.0}, "lease_duration=5.0"),
        ({"renew_deadline": 2.4}, "renew_deadline=2.4: must be longer than 1.2 x retry_period=2.0"),
        ({"retry_period": 0}, "retry_period=0: must be above zero"),
        ({"renew_deadline": -1}, "renew_deadline=-1"),
        ({"lease_duration": 0}, "lease_duration=0"),
        ({"name": ""}, "name: must not be empty"),
        ({"namespace": ""}, "namespace: must not be empty"),
    ],
)
def test_invalid_options_are_errors(change, message):
    """Checklist 115: config is refused if lease <= renewDeadline, renewDeadline <= 1.2 retry, non-positive, missing."""
    with pytest.raises(ValueError, match=message):
        LeaderElectionOptions(**{"name": "lock", "namespace": "ns", **change})


def test_one_attempt_takes_half_the_renew_deadline_at_most_and_at_least_a_second():
    """Checklist 127: renew deadline reaches the client timeout."""
    assert OPTIONS.attempt_seconds == 5
    assert LeaderElectionOptions("a", "b", "", 2.0, 1.5, 0.5).attempt_seconds == 1


def _fields(record):
    return (
        record.holder,
        record.duration_seconds,
        record.acquire_time,
        record.renew_time,
        record.transitions,
    )
