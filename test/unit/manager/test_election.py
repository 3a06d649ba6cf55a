from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from aimctl.runtime.kube.client import Client
from aimctl.runtime.kube.errors import WriteRefused
from aimctl.runtime.manager import Elector, LeaderElectionOptions, LeaderLost
from aimctl.testing.virtualtime import run_virtual, virtual_clock, virtual_time
from support.leaseapi import LeaseApi, LeaseTransport

PATH = "/apis/coordination.k8s.io/v1/namespaces/ns/leases/lock"


class Recorded:
    def __init__(self) -> None:
        self.leads: list[bool] = []
        self.slow: Counter[str] = Counter()

    def leading(self, name, *, leads):
        self.leads.append(leads)

    def slow_path(self, name):
        self.slow[name] += 1


class Candidate:
    """An elector with its transport and its task."""

    def __init__(self, api: LeaseApi, identity: str, seed: int = 1, **options) -> None:
        self.transport = LeaseTransport(api)
        self.recorded = Recorded()
        self.elector = Elector(
            Client(self.transport, clock=virtual_clock()),
            LeaderElectionOptions("lock", "ns", **options),
            identity=identity,
            clock=virtual_clock(),
            rng=random.Random(seed),
            metrics=self.recorded,
        )
        self.task = asyncio.create_task(self.elector.run())

    @property
    def leads(self) -> bool:
        try:
            self.elector.check_write()
        except WriteRefused:
            return False
        return True

    async def end(self) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])


def now() -> float:
    return asyncio.get_running_loop().time()


def foreign(api: LeaseApi, holder: str = "them", **spec) -> None:
    known = api.objects.get(PATH, {"metadata": {"name": "lock", "namespace": "ns"}, "spec": {}})
    wanted = {"holderIdentity": holder, "leaseDurationSeconds": 15, "leaseTransitions": 3, **spec}
    api.put(PATH, {**known, "spec": {**known["spec"], **wanted}})


@virtual_time
async def test_a_missing_lease_is_created_and_led():
    """Checklist 109: missing lease -> created and led."""
    api = LeaseApi()
    me = Candidate(api, "me", labels=(("app", "aim"),))
    await me.elector.leading.wait()
    assert api.spec(PATH)["holderIdentity"] == "me"
    assert api.spec(PATH)["leaseTransitions"] == 0
    assert api.objects[PATH]["metadata"]["labels"] == {"app": "aim"}
    assert me.leads
    await me.end()


@virtual_time
@pytest.mark.parametrize("age", ["1999-01-01T00:00:00.000000Z", "2999-01-01T00:00:00.000000Z"])
async def test_a_foreign_lease_is_taken_only_after_it_was_seen_unchanged_for_its_whole_duration(age):
    """Checklist 110: no clock comparison with renewTime. 109: expired by local observation -> taken, transitions +1."""
    api = LeaseApi()
    foreign(api, renewTime=age)
    me = Candidate(api, "me")
    await asyncio.sleep(14.9)
    assert not me.leads
    await asyncio.sleep(0.2)
    assert me.leads
    assert api.spec(PATH)["leaseTransitions"] == 4
    await me.end()


@virtual_time
async def test_a_lease_without_a_holder_is_taken_at_once():
    """Checklist 111: lease with empty holder is taken at once."""
    api = LeaseApi()
    foreign(api, holder="")
    me = Candidate(api, "me")
    await asyncio.sleep(0.001)
    assert me.leads
    await me.end()


@virtual_time
async def test_the_holder_renews_by_writing_without_reading():
    """Checklist 113: holder with valid lease: update only, no GET. 112: acquireTime and transitions unchanged."""
    api = LeaseApi()
    me = Candidate(api, "me")
    await asyncio.sleep(1)
    before = dict(api.spec(PATH))
    api.calls.clear()
    await asyncio.sleep(20)
    assert [method for _, method, _ in api.calls] == ["PUT"] * 10
    after = api.spec(PATH)
    assert after["renewTime"] > before["renewTime"]
    assert {**after, "renewTime": ""} == {**before, "renewTime": ""}
    assert not me.recorded.slow
    await me.end()


@virtual_time
async def test_a_failed_fast_renewal_falls_back_to_reading_first():
    """Checklist 113: on update failure falls back to GET+update, and counts it."""
    api = LeaseApi()
    me = Candidate(api, "me")
    await asyncio.sleep(1)
    api.objects[PATH]["metadata"]["annotations"] = {"touched": "manually"}
    api.put(PATH, api.objects[PATH])
    api.calls.clear()
    await asyncio.sleep(2)
    assert [method for _, method, _ in api.calls] == ["PUT", "GET", "PUT"]
    assert me.recorded.slow == {"lock": 1}
    assert api.objects[PATH]["metadata"]["annotations"] == {"touched": "manually"}
    assert me.leads
    await me.end()


@virtual_time
async def test_a_lost_response_does_not_lose_the_lease():
    api = LeaseApi()
    me = Candidate(api, "me")
    await asyncio.sleep(1)
    me.transport.black_hole = "answer"
    await asyncio.sleep(3)
    me.transport.black_hole = ""
    api.calls.clear()
    await asyncio.sleep(30)
    assert me.leads
    # The server may have stored the write, so the known lease may be out of date: read it first.
    assert [method for _, method, _ in api.calls][:3] == ["GET", "PUT", "PUT"]
    assert api.spec(PATH)["leaseTransitions"] == 0
    await me.end()


@virtual_time
async def test_a_holder_that_cannot_renew_refuses_writes_after_the_deadline():
    api = LeaseApi()
    me = Candidate(api, "me")
    await asyncio.sleep(4.5)  # renewed at 0, 2, 4
    me.transport.down = True
    await asyncio.sleep(9.4)
    assert me.leads
    await asyncio.sleep(0.2)
    with pytest.raises(WriteRefused, match="does not hold lease ns/lock"):
        me.elector.check_write()
    with pytest.raises(LeaderLost, match="not renewed for 10 s"):
        await me.task
    assert me.recorded.leads == [False, True, False]


@virtual_time
async def test_a_holder_keeps_the_lease_if_the_server_returns_shortly_before_the_deadline():
    """A whole retry period would leave no attempt between the end of the outage and the deadline."""
    api = LeaseApi()
    me = Candidate(api, "me")
    await asyncio.sleep(4.5)  # renewed at 0, 2, 4
    me.transport.down = True
    await asyncio.sleep(8.4)
    me.transport.down = False
    await asyncio.sleep(10)
    assert me.leads
    assert me.recorded.leads == [False, True]
    await me.end()


@virtual_time
async def test_the_deadline_counts_from_when_the_renewal_was_sent_not_answered():
    api = LeaseApi()
    me = Candidate(api, "me")
    await asyncio.sleep(1)
    me.transport.latency = 2.0  # the response to the renewal sent at 2 arrives at 6
    await asyncio.sleep(4)
    me.transport.down = True
    await asyncio.sleep(6.9)
    assert me.leads
    await asyncio.sleep(0.2)
    assert not me.leads
    assert isinstance(me.task.exception(), LeaderLost)


@virtual_time
async def test_writes_are_refused_after_the_deadline_before_any_timer_runs():
    api = LeaseApi()
    me = Candidate(api, "me")
    await asyncio.sleep(1)
    # A blocked loop: time passes without any timer running.
    asyncio.get_running_loop()._jumping.now += 12
    with pytest.raises(WriteRefused, match=r"last renewed 13.0 s ago, the limit is renew_deadline=10 s"):
        me.elector.check_write()
    await me.end()


@virtual_time
async def test_a_holder_that_sees_another_holder_stops_at_once():
    api = LeaseApi()
    me = Candidate(api, "me")
    await asyncio.sleep(1)
    foreign(api)
    with pytest.raises(LeaderLost, match="held by 'them'"):
        await me.task
    assert now() == 2
    assert not me.leads


@virtual_time
async def test_each_attempt_has_a_time_limit_of_its_own():
    """Checklist 127: half of the renew deadline, so that there is time for another attempt."""
    api = LeaseApi()
    foreign(api, holder="")
    me = Candidate(api, "me")
    me.transport.black_hole = "request"
    with capture_logs() as logs:
        await asyncio.sleep(6)
    assert [entry["event"] for entry in logs] == ["timeout reading or writing the lease"]
    me.transport.black_hole = ""
    await asyncio.sleep(4)
    assert me.leads
    await me.end()


@virtual_time
async def test_release_empties_the_holder_and_the_next_leader_need_not_wait():
    """Checklist 114: release: writes empty holder, keeps transitions."""
    api = LeaseApi()
    foreign(api, holder="")
    me = Candidate(api, "me")
    await asyncio.sleep(1)
    other = Candidate(api, "other")
    await asyncio.sleep(9)
    await me.end()
    await me.elector.release()
    assert api.spec(PATH)["holderIdentity"] == ""
    assert api.spec(PATH)["leaseTransitions"] == 4
    released = now()
    await other.elector.leading.wait()
    assert now() - released <= 2.4
    await other.end()


@virtual_time
async def test_release_does_not_change_a_missing_or_foreign_lease():
    """Checklist 114: release is skipped if the lease is missing or held by another process."""
    api = LeaseApi()
    me = Candidate(api, "me")
    await asyncio.sleep(1)
    await me.end()
    foreign(api)
    await me.elector.release()
    assert api.spec(PATH)["holderIdentity"] == "them"
    del api.objects[PATH]
    await me.elector.release()
    assert PATH not in api.objects


@virtual_time
async def test_a_candidate_that_never_wrote_releases_nothing():
    """Checklist 114: release is skipped without a request if this process never wrote the lease."""
    api = LeaseApi()
    foreign(api)
    me = Candidate(api, "me")
    await asyncio.sleep(1)
    await me.end()
    api.calls.clear()
    await me.elector.release()
    assert api.calls == []


@virtual_time
async def test_release_is_tried_again_after_a_conflict_and_other_failures():
    """Checklist 114: release retries on Conflict."""
    api = LeaseApi()
    me = Candidate(api, "me")
    await asyncio.sleep(1)
    await me.end()
    me.transport.fail = [0, 409, 500, 0, 503]
    await me.elector.release()
    assert api.spec(PATH)["holderIdentity"] == ""


@virtual_time
async def test_release_ends_in_time_without_a_response():
    api = LeaseApi()
    me = Candidate(api, "me")
    await asyncio.sleep(1)
    await me.end()
    me.transport.black_hole = "request"
    began = now()
    await me.elector.release()
    assert now() - began == 5
    assert not me.leads


@virtual_time
@pytest.mark.parametrize("calls_before", [0, 1, 2, 3])
@pytest.mark.parametrize("hole", ["request", "answer"])
async def test_release_works_when_the_cancellation_hits_a_read_or_write_in_flight(calls_before, hole):
    """Checklist 114: also when cancellation hits an in-flight GET or UPDATE."""
    api = LeaseApi()
    foreign(api, holder="")
    me = Candidate(api, "me")
    seen = 0

    def swallow(_request):
        nonlocal seen
        if seen == calls_before:
            me.transport.black_hole = hole
        seen += 1

    me.transport.on_request = swallow
    await asyncio.sleep(8)
    await me.end()
    me.transport.on_request, me.transport.black_hole = None, ""
    await me.elector.release()
    assert api.spec(PATH)["holderIdentity"] == ""
    assert not me.leads


@virtual_time
async def test_the_health_check_fails_only_for_a_holder_long_past_its_lease():
    """Checklist 117: health check fails only for a holder whose last renew is older than lease+tolerance."""
    api = LeaseApi()
    foreign(api)
    standby = Candidate(api, "standby")
    await asyncio.sleep(0.001)
    assert standby.elector.check_renewal() is None
    await standby.end()
    foreign(api, holder="")
    me = Candidate(api, "me")
    await asyncio.sleep(0.001)
    asyncio.get_running_loop()._jumping.now += 34.9
    assert me.elector.check_renewal(tolerance_seconds=20) is None
    asyncio.get_running_loop()._jumping.now += 0.2
    assert "holds lease ns/lock but last renewed it 35.1 s ago" in me.elector.check_renewal(20)
    await me.end()


@virtual_time
async def test_candidates_have_jitter_and_log_the_leader_once():
    api = LeaseApi()
    foreign(api, leaseDurationSeconds=3600)
    with capture_logs() as logs:
        one = Candidate(api, "one", seed=1)
        await asyncio.sleep(300)
    await one.end()
    times = [time for time, _, _ in api.calls]
    pauses = [b - a for a, b in itertools.pairwise(times)]
    assert all(2 <= pause <= 2.4 for pause in pauses)
    assert len(set(pauses)) > 100
    assert [entry["holder"] for entry in logs if entry["event"] == "another process is the leader"] == [
        "them"
    ]


FAULTS = st.lists(
    st.tuples(
        st.floats(0.5, 12),
        st.integers(0, 2),
        st.sampled_from(["down", "up", "slow", "hole", "lost", "touch"]),
    ),
    max_size=12,
)


def check_that_at_most_one_process_may_write(seed, faults):
    async def story() -> None:
        api = LeaseApi()
        candidates = [Candidate(api, f"c{number}", seed + number) for number in range(3)]
        latest_leads: list[list[int]] = []

        async def watch() -> None:
            while True:
                latest_leads.append([number for number, one in enumerate(candidates) if one.leads])
                await asyncio.sleep(0.1)

        watcher = asyncio.create_task(watch())
        for pause, number, fault in faults:
            transport = candidates[number].transport
            transport.down, transport.black_hole, transport.latency = fault == "down", "", 0.0
            match fault:
                case "slow":
                    transport.latency = 1.5
                case "hole":
                    transport.black_hole = "request"
                case "lost":
                    transport.black_hole = "answer"
                case "touch" if PATH in api.objects:
                    api.put(PATH, api.objects[PATH])
            await asyncio.sleep(pause)
        for one in candidates:
            one.transport.down, one.transport.black_hole, one.transport.latency = False, "", 0.0
        await asyncio.sleep(40)
        watcher.cancel()
        assert all(len(leads) <= 1 for leads in latest_leads)
        # If a candidate is still running, there is a leader in the end.
        if not all(one.task.done() for one in candidates):
            assert len(latest_leads[-1]) == 1
        for one in candidates:
            await one.end()
            assert one.task.cancelled() or isinstance(one.task.exception(), LeaderLost)

    run_virtual(story())


@settings(max_examples=15)
@given(st.integers(0, 2**32), FAULTS)
def test_there_are_never_two_processes_that_may_write(seed, faults):
    check_that_at_most_one_process_may_write(seed, faults)


@pytest.mark.proof
@settings(max_examples=500)
@given(st.integers(0, 2**32), FAULTS)
def test_there_are_never_two_processes_that_may_write_in_many_runs(seed, faults):
    check_that_at_most_one_process_may_write(seed, faults)
