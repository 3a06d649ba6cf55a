from __future__ import annotations

import asyncio
import random
import re
from collections import Counter
from contextlib import asynccontextmanager

import pytest

from aimctl.runtime.kube.client import Client
from aimctl.runtime.kube.errors import WriteRefused
from aimctl.runtime.manager import EventRecorder
from aimctl.runtime.manager.events.limits import EventLimits
from aimctl.testing.virtualtime import virtual_clock, virtual_time
from support.leaseapi import LeaseApi, LeaseTransport
from support.things import CLUSTER_THINGS, make


class Counts(Counter[str]):
    def event(self, result):
        self[result] += 1


class Stage:
    def __init__(self, write_guard=None, **options) -> None:
        self.api = LeaseApi()
        self.transport = LeaseTransport(self.api)
        self.counts = Counts()
        self.recorder = EventRecorder(
            Client(self.transport, clock=virtual_clock(), write_guard=write_guard),
            clock=virtual_clock(),
            component="aim-operator",
            instance="pod-1" * 40,
            rng=random.Random(1),
            metrics=self.counts,
            **options,
        )

    def say(self, message="hello", *, name="a", reason="Said", type_="Normal", **options):
        self.recorder.event(make(name, **options), type_, reason, message)

    @property
    def events(self):
        return list(self.api.objects.values())

    @asynccontextmanager
    async def running(self):
        task = asyncio.create_task(self.recorder.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])


@virtual_time
async def test_an_event_has_the_fields_that_kubectl_describe_shows():
    stage = Stage()
    async with stage.running():
        stage.recorder.event(make("a", rv=7, uid="u1"), "Warning", "Broken", "it broke", action="Repair")
        await asyncio.sleep(1)
    (event,) = stage.events
    meta = event.pop("metadata")
    assert meta["namespace"] == "ns"
    assert meta["name"].startswith("a.")
    assert event == {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "reportingController": "aim-operator",
        "reportingInstance": ("pod-1" * 40)[:128],
        "action": "Repair",
        "reason": "Broken",
        "regarding": {
            "apiVersion": "test.example/v1",
            "kind": "Thing",
            "name": "a",
            "namespace": "ns",
            "uid": "u1",
            "resourceVersion": "7",
        },
        "note": "it broke",
        "type": "Warning",
    }
    assert stage.counts == {"created": 1}


@virtual_time
async def test_events_of_cluster_scoped_objects_are_in_the_default_namespace():
    stage = Stage()
    async with stage.running():
        stage.recorder.event(make("a", "", resource=CLUSTER_THINGS), "Normal", "Said", "x")
        await asyncio.sleep(1)
    (event,) = stage.events
    assert event["metadata"]["namespace"] == "default"
    assert "namespace" not in event["regarding"]


@virtual_time
async def test_a_message_with_invalid_characters_is_recorded():
    """Program output may contain half of a surrogate pair, which UTF-8 cannot encode."""
    stage = Stage()
    async with stage.running():
        stage.say("bad \udcff byte")
        await asyncio.sleep(1)
    assert [event["note"] for event in stage.events] == ["bad \N{REPLACEMENT CHARACTER} byte"]


@virtual_time
async def test_an_identical_event_becomes_one_series_patch_and_further_ones_only_count():
    """Checklist 129: identical second event becomes a series patch."""
    stage = Stage()
    async with stage.running():
        for _ in range(100):
            stage.say()
            await asyncio.sleep(1)
        assert stage.api.writes() == ["POST", "PATCH"]
        assert stage.events[0]["series"] == {"count": 2, "lastObservedTime": "2026-01-01T00:00:01.000000Z"}
        await asyncio.sleep(400)
        # Six minutes without events end the series: its total is written once.
        assert stage.api.writes() == ["POST", "PATCH", "PATCH"]
        assert stage.events[0]["series"] == {"count": 100, "lastObservedTime": "2026-01-01T00:01:39.000000Z"}
        await asyncio.sleep(100_000)
        assert len(stage.api.writes()) == 3
        stage.say()
        await asyncio.sleep(1)
        assert len(stage.events) == 2


@virtual_time
async def test_a_long_series_is_refreshed_each_half_hour():
    stage = Stage()
    async with stage.running():
        for _ in range(120):
            stage.say()
            await asyncio.sleep(60)
    assert stage.api.writes() == ["POST", "PATCH", "PATCH", "PATCH", "PATCH"]


@virtual_time
@pytest.mark.parametrize(
    "other",
    [
        {"message": "other"},
        {"name": "b"},
        {"reason": "Other"},
        {"type_": "Warning"},
        {"uid": "u2"},
        {"namespace": "n2"},
    ],
)
async def test_different_events_are_created_separately(other):
    stage = Stage()
    async with stage.running():
        stage.say()
        stage.say(**other)
        stage.say(rv=99)  # for another version of the object it is the same event
        await asyncio.sleep(1)
    assert len(stage.events) == 2


@virtual_time
async def test_a_series_whose_event_has_expired_is_created_again():
    """Checklist 129: missing series target is re-created."""
    stage = Stage()
    async with stage.running():
        stage.say()
        await asyncio.sleep(1)
        stage.api.objects.clear()
        stage.say()
        await asyncio.sleep(1)
    (event,) = stage.events
    assert event["series"]["count"] == 2
    assert stage.api.writes() == ["POST", "PATCH", "POST"]


@virtual_time
async def test_counts_are_correct_during_a_write():
    """Checklist 129: concurrent sends never corrupt counts."""
    stage = Stage()
    stage.transport.latency = 3
    async with stage.running():
        for _ in range(50):
            stage.say()
            await asyncio.sleep(0.3)
        await asyncio.sleep(1000)
    assert [event["series"]["count"] for event in stage.events] == [50]


@virtual_time
async def test_recording_does_not_wait_and_drops_excess_events():
    stage = Stage(capacity=10)
    for number in range(25):
        stage.say(name=f"n{number}")
    assert stage.counts == {"dropped": 15}
    async with stage.running():
        await asyncio.sleep(1)
    assert len(stage.events) == 10
    assert asyncio.get_running_loop().time() == 1


@virtual_time
async def test_events_are_written_once_after_an_outage():
    stage = Stage()
    stage.transport.fail = [500, 429, 0, 0]
    async with stage.running():
        stage.say()
        stage.say(name="b")
        await asyncio.sleep(5)
        assert stage.events == []
        await asyncio.sleep(30)
    assert len(stage.events) == 2
    assert stage.api.writes() == ["POST", "POST"]


@virtual_time
async def test_an_event_is_given_up_after_twelve_tries():
    stage = Stage()
    stage.transport.down = True
    async with stage.running():
        stage.say()
        await asyncio.sleep(11 * 12.5 + 1)
        assert stage.counts == {"failed": 1}
        stage.transport.down = False
        await asyncio.sleep(1000)
    assert stage.events == []


@virtual_time
async def test_a_rejected_event_is_dropped_at_once():
    stage = Stage()
    stage.transport.fail = [403]
    async with stage.running():
        stage.say()
        stage.say(name="b")
        await asyncio.sleep(1000)
    assert [event["regarding"]["name"] for event in stage.events] == ["b"]
    assert stage.counts == {"failed": 1, "created": 1}


@virtual_time
async def test_a_standby_writes_no_events():
    def guard():
        raise WriteRefused("not the leader")

    stage = Stage(write_guard=guard)
    async with stage.running():
        stage.say()
        stage.say()
        await asyncio.sleep(1000)
    assert stage.api.calls == []
    assert stage.counts["failed"] >= 1


@virtual_time
async def test_stopping_writes_queued_events_and_the_totals_of_series():
    stage = Stage()
    task = asyncio.create_task(stage.recorder.run())
    for _ in range(5):
        stage.say()
        await asyncio.sleep(1)
    stage.say(name="b")
    stage.recorder.stop()
    stage.say(name="too late")
    await task
    assert sorted(event.get("series", {}).get("count", 1) for event in stage.events) == [1, 5]
    assert stage.counts["dropped"] == 1


@virtual_time
async def test_stopping_without_a_server_does_not_wait_for_each_event():
    stage = Stage()
    stage.transport.down = True
    for number in range(100):
        stage.say(name=f"n{number}")
    stage.recorder.stop()
    await stage.recorder.run()
    assert asyncio.get_running_loop().time() == 0
    assert stage.counts == {"failed": 1, "dropped": 99}


@virtual_time
@pytest.mark.parametrize("running", [True, False])
async def test_stopping_does_not_wait_for_a_server_that_does_not_respond(running):
    stage = Stage()
    stage.transport.black_hole = "request"
    for number in range(3):
        stage.say(name=f"n{number}")
    if running:
        task = asyncio.create_task(stage.recorder.run())
        await asyncio.sleep(1)
        stage.recorder.stop()
    else:
        stage.recorder.stop()
        task = asyncio.create_task(stage.recorder.run())
    started = asyncio.get_running_loop().time()
    await task
    assert asyncio.get_running_loop().time() - started == pytest.approx(5)
    assert stage.counts == {"failed": 1, "dropped": 2}
    stage.recorder.stop()


@pytest.mark.proof
@virtual_time
async def test_memory_is_bounded_however_many_objects_there_are():
    stage = Stage(capacity=100_000)
    async with stage.running():
        for number in range(6000):
            stage.say(name=f"n{number}")
        await asyncio.sleep(1)
        assert len(stage.recorder._series) == 4096
        assert len(stage.events) == 6000
        await asyncio.sleep(1000)
        assert not stage.recorder._series


@virtual_time
async def test_series_end_while_more_events_occur_than_can_be_written():
    stage = Stage()
    stage.transport.latency = 3
    async with stage.running():
        for number in range(500):
            stage.say(name=f"n{number}")
            await asyncio.sleep(2)
        assert len(stage.recorder._series) <= 182  # those of the last six minutes
        assert len(stage.recorder._pending) > 100


@virtual_time
async def test_long_messages_are_truncated_between_characters():
    stage = Stage()
    async with stage.running():
        stage.say("ü" * 2000, name="x" * 253)
        await asyncio.sleep(1)
    (event,) = stage.events
    assert len(event["note"].encode()) <= 1024
    assert set(event["note"]) == {"ü"}
    assert len(event["metadata"]["name"]) <= 253


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"type_": "Error"}, "'Error': use Normal or Warning"),
        ({"reason": ""}, "reason ''"),
        ({"reason": "x" * 129}, "reason"),
    ],
)
def test_invalid_events_are_errors(change, message):
    with pytest.raises(ValueError, match=message):
        Stage().say(**change)


@pytest.mark.parametrize("field", ["reason", "message"])
@pytest.mark.parametrize("value", [None, b"bytes", 3], ids=repr)
def test_a_word_that_is_no_text_is_an_error(field, value):
    with pytest.raises(TypeError, match=f"event {field} {value!r}: use a text"):
        Stage().say(**{field: value})


@virtual_time
@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("plain", "plain."),
        ("system:node-reader", "system-node-reader."),
        ("ClusterAdmins", "clusteradmins."),
        ("a_b", "a-b."),
        ("-edge-", "edge."),
        ("a..b.-c-.", "a.b.c."),
        ("-", "event."),
        ("", "event."),
        ("\u00e9t\u00e9", "t."),
        ("x" * 300, "x" * 230 + "."),
        ("x" * 229 + "-y", "x" * 229 + "."),
    ],
)
async def test_the_name_of_an_event_is_valid_whatever_the_name_of_its_object_is(name, start):
    stage = Stage()
    async with stage.running():
        stage.say(name=name)
        await asyncio.sleep(1)
    (event,) = stage.events
    made = event["metadata"]["name"]
    assert made.startswith(start)
    assert len(made) <= 253
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*", made)
    assert event["regarding"].get("name", "") == name


@virtual_time
async def test_similar_events_are_combined_from_the_tenth_note_on():
    stage = Stage()
    async with stage.running():
        for number in range(100):
            stage.say(f"attempt {number} failed")
            await asyncio.sleep(1)
        assert [event["note"] for event in stage.events] == [
            *(f"attempt {number} failed" for number in range(9)),
            "(combined from similar events): attempt 9 failed",
        ]
        assert stage.events[-1]["series"]["count"] == 2
        stage.say("attempt 3 failed")
        stage.say("another reason", reason="Other")
        await asyncio.sleep(400)
        assert stage.events[-2]["series"]["count"] == 91, "the total is written when the series ends"
        assert stage.events[3]["series"]["count"] == 2
        assert stage.events[-1]["note"] == "another reason"
        await asyncio.sleep(300)
        stage.say("attempt 200 failed")
        await asyncio.sleep(1)
        assert stage.events[-1]["note"] == "attempt 200 failed", "ten minutes without similar Events"


@virtual_time
async def test_about_one_object_a_burst_is_recorded_and_then_one_event_every_five_minutes():
    stage = Stage()
    async with stage.running():
        for number in range(100):
            stage.say(reason=f"Reason{number}")
        stage.say(name="b")
        await asyncio.sleep(299)
        assert Counter(event["regarding"]["name"] for event in stage.events) == {"a": 25, "b": 1}
        assert stage.counts["dropped"] == 75
        stage.say(reason="Reason3")
        stage.say(reason="TooEarly")
        await asyncio.sleep(2)
        stage.say(reason="InTime")
        stage.say(reason="TooMany")
        await asyncio.sleep(1)
        assert [event["reason"] for event in stage.events[26:]] == ["InTime"]
        assert stage.counts == {"created": 27, "series": 1, "dropped": 77}


def test_the_memory_of_the_limits_is_bounded():
    limits = EventLimits()
    for number in range(10_000):
        assert not limits.combines(number, "note", 0)
        assert limits.admits(number, 0)
    assert [len(entries) for entries in (limits._groups, limits._buckets)] == [4096, 4096]


def test_the_limits_forget_objects_that_have_no_events_any_more():
    limits = EventLimits()
    for number in range(3000):
        now = number * 10.0
        limits.combines(f"group-{number}", "note", now)
        limits.admits(f"object-{number}", now)
    assert len(limits._groups) <= 62  # ten minutes
    assert len(limits._buckets) <= 31  # five minutes, in which the Event is available again


def test_forgetting_does_not_shorten_a_limit():
    limits = EventLimits()
    admitted = sum(limits.admits("noisy", 0.0) for _ in range(30))
    for number in range(200):
        limits.admits(f"object-{number}", number * 1.0)
    assert (admitted, limits.admits("noisy", 290.0), limits.admits("noisy", 590.0)) == (25, False, True)
