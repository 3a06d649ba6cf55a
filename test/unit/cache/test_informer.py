"""Informers: order, sync, handlers, own writes (checklist 61-69, and 71-84 where applicable)."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from structlog.testing import capture_logs

from aimctl.kubetypes import MetadataOnly, Object, ObjectKey, Resource
from aimctl.runtime.cache import Declaration, InformerStopped, Registration
from aimctl.runtime.kube.errors import error_from_status
from aimctl.testing.virtualtime import virtual_time
from support.cache_recorders import RecordingHandler, Rig, running
from support.scripted_listwatch import (
    Close,
    ScriptedListWatch,
    Slow,
    Wait,
    added,
    bookmark,
    deleted,
    listing,
    modified,
)
from support.things import CLUSTER_THINGS, THINGS, make

if TYPE_CHECKING:
    from collections.abc import Sequence

A = ObjectKey("ns", "a")
EXPIRED = error_from_status(410, "Expired", "too old resource version")


def many(count: int, *, first_rv: int = 1) -> list[Object[Any]]:
    return [make(f"o{n:04}", rv=first_rv + n) for n in range(count)]


async def synced(rig: Rig) -> None:
    async with asyncio.timeout(60):
        await rig.informer.wait_synced()


async def first_event(rig: Rig) -> None:
    """Stop in the middle of the first list, when a part has been delivered."""
    while not rig.handler.events:  # noqa: ASYNC110 - turn by turn, on purpose
        await asyncio.sleep(0)


# ---- the order of events


@virtual_time
async def test_a_list_deletes_known_objects_and_undelivered_ones() -> None:
    """Checklist 61: also for an object whose add no handler has seen yet."""
    server = ScriptedListWatch(listing(*many(1500), rv=5000))
    rig = Rig(server)
    async with running(rig):
        await first_event(rig)
        assert len(rig.handler.events) < 1500
        await rig.informer.replaced([], "6000", scope="", reset=False)
        assert len(rig.informer.store) == 0
        assert len(rig.handler.events) == 3000
        assert rig.handler.events[:1500] == [f"+o{n:04}@{n + 1}!" for n in range(1500)]
        assert rig.handler.events[1500:] == [f"-o{n:04}@{n + 1}?" for n in range(1500)]


@virtual_time
async def test_a_deleted_object_is_not_deleted_again() -> None:
    """Checklist 62: neither from a list after a delete event, nor from an event after an own delete."""
    server = ScriptedListWatch(
        listing(make("a", rv=3), make("b", rv=4), rv=10),
        listing(rv=30),
        watches=[[deleted("a", rv=11), Wait(5), deleted("b", rv=20), Wait(2), EXPIRED]],
    )
    async with running(Rig(server)) as rig:
        await asyncio.sleep(1)
        rig.informer.observe_delete(ObjectKey("ns", "b"), "uid-b")
        await asyncio.sleep(20)
        assert rig.handler.events == ["+a@3!", "+b@4!", "-a@11", "-b@4"]


@virtual_time
async def test_deleting_an_undelivered_object_is_an_add_then_a_delete() -> None:
    """Checklist 63: the handler sees both, in order."""
    server = ScriptedListWatch(listing(*many(1500), rv=5000))
    async with running(Rig(server)) as rig:
        await first_event(rig)
        last = ObjectKey("ns", "o1499")
        assert "+o1499@1500!" not in rig.handler.events
        rig.informer.observe_delete(last, "uid-o1499")
        assert rig.informer.store.get(last) is None
        await synced(rig)
        await asyncio.sleep(1)
        assert rig.handler.events[-2:] == ["+o1499@1500!", "-o1499@1500"]


@virtual_time
async def test_events_of_one_object_arrive_in_order_and_none_is_merged() -> None:
    """Checklist 64: every state is delivered, in the order of arrival. 70: also several of one object in one batch."""
    server = ScriptedListWatch(
        listing(rv=10),
        watches=[[added("a", rv=11), modified("a", rv=12), modified("a", rv=13), deleted("a", rv=14)]],
    )
    async with running(Rig(server)) as rig:
        await asyncio.sleep(1)
        assert rig.handler.events == ["+a@11", "a@11>12", "a@12>13", "-a@14"]


@virtual_time
async def test_a_write_during_a_large_list_is_delivered_after_earlier_changes() -> None:
    server = ScriptedListWatch(listing(*many(1500), rv=5000))
    async with running(Rig(server)) as rig:
        await first_event(rig)
        delivered = len(rig.handler.events)
        rig.informer.observe_write(make("o1499", rv=5100))
        assert len(rig.handler.events) == delivered
        await synced(rig)
        await asyncio.sleep(1)
        assert rig.handler.events[-2:] == ["+o1499@1500!", "o1499@1500>5100"]


@virtual_time
async def test_an_informer_is_synced_when_the_whole_first_list_was_delivered() -> None:
    """Checklist 65: not before the last object; an empty first list is synced at once."""
    rig = Rig(ScriptedListWatch(listing(*many(1500), rv=5000)))
    async with running(rig):
        told_at_sync = []
        while not rig.informer.synced:
            told_at_sync.append(len(rig.handler.events))
            assert not rig.registration.synced.is_set()
            await asyncio.sleep(0)
        assert max(told_at_sync) > 0
        assert len(rig.handler.events) == 1500
        assert rig.registration.synced.is_set()
    empty = Rig(ScriptedListWatch(listing(rv=10)))
    async with running(empty):
        await synced(empty)
        assert empty.registration.synced.is_set()


@virtual_time
async def test_deletes_during_the_first_list_do_not_keep_it_from_syncing() -> None:
    """Checklist 66: deletes do not prevent the sync."""
    server = ScriptedListWatch(listing(*many(1500), rv=5000))
    async with running(Rig(server)) as rig:
        await first_event(rig)
        for n in range(1500):
            rig.informer.observe_delete(ObjectKey("ns", f"o{n:04}"), f"uid-o{n:04}")
        await synced(rig)
        await asyncio.sleep(1)
        assert rig.held() == []
        assert len(rig.handler.events) == 3000


@virtual_time
async def test_a_resync_skips_objects_with_undelivered_changes() -> None:
    """Checklist 67: no replay overtakes or repeats a queued event."""
    server = ScriptedListWatch(listing(*many(1500), rv=5000))
    async with running(Rig(server)) as rig:
        await first_event(rig)
        delivered = len(rig.handler.events)
        await rig.informer.resync()
        await synced(rig)
        await asyncio.sleep(1)
        replays = [text for text in rig.handler.events if ">" in text]
        assert len(replays) == delivered
        assert len(rig.handler.events) == 1500 + delivered


@virtual_time
async def test_a_resync_of_an_empty_store_does_nothing() -> None:
    """Checklist 68: an empty store, or an object that is gone."""
    server = ScriptedListWatch(listing(make("a", rv=3), rv=10), watches=[[deleted("a", rv=11)]])
    async with running(Rig(server)) as rig:
        await asyncio.sleep(1)
        rig.handler.take()
        await rig.informer.resync()
        assert rig.handler.take() == []


@virtual_time
async def test_waiting_for_sync_ends_when_the_informer_does() -> None:
    """Checklist 69: closing unblocks the waiter; this one raises InformerStopped."""
    rig = Rig(ScriptedListWatch(Slow(1000, listing(rv=10))))
    task = asyncio.create_task(rig.informer.run())
    waiter = asyncio.create_task(rig.informer.wait_synced())
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(InformerStopped, match=r"things\.test\.example ended before it was synced"):
        await waiter


@virtual_time
async def test_the_store_is_replaced_before_the_first_handler_call() -> None:
    """Checklist 71: handlers see the complete list in the store; deletes come first."""
    server = ScriptedListWatch(
        listing(make("a", rv=1), rv=10),
        listing(make("b", rv=12), make("c", rv=13), rv=20),
        watches=[[Wait(1), EXPIRED]],
    )
    seen: list[list[str]] = []

    class Peeking(RecordingHandler):
        def on_delete(self, obj: Object[Any], *, confirmed: bool) -> None:
            super().on_delete(obj, confirmed=confirmed)
            seen.append(rig.held())

    rig = Rig(server)
    peeking = Peeking()
    rig.informer.add_handler(peeking)
    async with running(rig):
        await asyncio.sleep(10)
        assert seen == [["b@12", "c@13"]]
        assert peeking.events[1:] == ["-a@1?", "+b@12", "+c@13"]


# ---- resync


@virtual_time
async def test_a_resync_replays_the_store_at_its_period_and_never_without_one() -> None:
    """Checklist 77: only informers with a period replay, with at most 10 % jitter."""
    with_period = Rig(ScriptedListWatch(listing(make("a", rv=3), rv=10)), resync_seconds=100)
    without = Rig(ScriptedListWatch(listing(make("a", rv=3), rv=10)))
    async with running(with_period), running(without):
        await asyncio.sleep(89)
        assert with_period.handler.take() == ["+a@3!"]
        await asyncio.sleep(22)
        assert with_period.handler.take() == ["a@3>3"]
        await asyncio.sleep(889)
        assert 8 <= len(with_period.handler.take()) <= 9
        assert without.handler.take() == ["+a@3!"]


# ---- handlers


@virtual_time
async def test_a_handler_added_later_gets_an_add_for_every_object() -> None:
    """Checklist 79: marked initial; the handler is synced when it has received them."""
    server = ScriptedListWatch(listing(make("a", rv=3), rv=10), watches=[[Wait(5), added("b", rv=11)]])
    async with running(Rig(server)) as rig:
        await asyncio.sleep(6)
        late = RecordingHandler()
        registration = rig.informer.add_handler(late)
        assert late.events == ["+a@3!", "+b@11!"]
        assert registration.synced.is_set()
        assert rig.handler.events == ["+a@3!", "+b@11"]


@virtual_time
async def test_a_handler_added_during_the_first_list_gets_every_object_once() -> None:
    """Checklist 79: it is not synced before it has received the whole first list."""
    server = ScriptedListWatch(listing(*many(1500), rv=5000))
    async with running(Rig(server)) as rig:
        await first_event(rig)
        late = RecordingHandler()
        registration = rig.informer.add_handler(late)
        assert len(late.events) == 500
        assert not registration.synced.is_set()
        await synced(rig)
        assert registration.synced.is_set()
        assert sorted(late.events) == sorted(rig.handler.events)
        assert len(late.events) == 1500


@virtual_time
async def test_many_existing_objects_reach_a_new_handler_in_slices_before_later_changes() -> None:
    """The event loop continues in between, and other handlers do not wait."""
    async with running(Rig(ScriptedListWatch(listing(*many(1200), rv=5000)))) as rig:
        await synced(rig)
        rig.handler.take()
        late = RecordingHandler()
        registration = rig.informer.add_handler(late)
        rig.informer.observe_write(make("o1199", rv=6000))
        rig.informer.observe_delete(ObjectKey("ns", "o0000"), "uid-o0000")
        assert rig.handler.take() == ["o1199@1200>6000", "-o0000@1"]
        received = [len(late.events)]
        while not registration.synced.is_set():
            await asyncio.sleep(0)
            received.append(len(late.events))
        assert received == [500, 1000, 1202]
        assert late.events[:1200] == [f"+o{n:04}@{n + 1}!" for n in range(1200)]
        assert late.events[1200:] == ["o1199@1200>6000", "-o0000@1"]
        rig.informer.observe_delete(ObjectKey("ns", "o0001"), "uid-o0001")
        assert late.events[1202:] == rig.handler.take() == ["-o0001@2"]


@virtual_time
async def test_a_handler_that_is_removed_before_it_has_all_objects_gets_no_more() -> None:
    async with running(Rig(ScriptedListWatch(listing(*many(1200), rv=5000)))) as rig:
        await synced(rig)
        late = RecordingHandler()
        registration = rig.informer.add_handler(late)
        registration.remove()
        await asyncio.sleep(1)
        assert len(late.events) == 500
        assert not registration.synced.is_set()


@virtual_time
async def test_a_change_that_a_new_handler_causes_reaches_it_after_the_existing_objects() -> None:
    async with running(Rig(ScriptedListWatch(listing(*many(3), rv=5000)))) as rig:
        await synced(rig)

        class Deleting(RecordingHandler):
            def on_add(self, obj: Object[Any], *, initial: bool) -> None:
                super().on_add(obj, initial=initial)
                rig.informer.observe_delete(ObjectKey("ns", "o0000"), "uid-o0000")

        late = Deleting()
        rig.informer.add_handler(late)
        assert late.events == ["+o0000@1!", "+o0001@2!", "+o0002@3!", "-o0000@1"]


# ---- indexes of many objects


class CountingIndex:
    """An index function by the last digit of the name; counts its calls in each step of the event loop."""

    def __init__(self) -> None:
        self.calls = 0
        self.steps: list[int] = []
        self._in_step = 0

    def __call__(self, obj: Object[Any]) -> list[str]:
        if not self._in_step:
            asyncio.get_running_loop().call_soon(self._end_step)
        self._in_step += 1
        self.calls += 1
        return [obj.meta.name[-1]]

    def _end_step(self) -> None:
        self.steps.append(self._in_step)
        self._in_step = 0


@virtual_time
async def test_a_large_list_is_indexed_in_slices_and_visible_at_once() -> None:
    objects, index = many(1200), CountingIndex()
    changed = [make(f"o{n:04}", rv=6000 + n) for n in range(400)]
    server = ScriptedListWatch(
        listing(*objects, rv=5000),
        listing(*changed, *objects[400:800], rv=9000),
        watches=[[Wait(5), EXPIRED]],
    )
    rig = Rig(server)
    rig.informer.add_index("digit", index)
    async with running(rig):
        found = set[int]()
        while not rig.informer.synced:
            found.add(len(rig.informer.store.by_index("digit", "7")))
            await asyncio.sleep(0)
        assert found == {0, 120}
        assert max(index.steps) == 250
        assert index.calls == 1200
        await asyncio.sleep(60)
        assert index.calls == 1200 + 400 + 400 + 400  # changed: the old and the new object; deleted
        assert max(index.steps) <= 500
        assert [obj.meta.resource_version for obj in rig.informer.store.by_index("digit", "7")][-1] == "6397"
        assert len(rig.informer.store.by_index("digit", "7")) == 80


@virtual_time
async def test_an_index_that_is_added_later_is_filled_in_slices_or_with_the_first_read() -> None:
    async with running(Rig(ScriptedListWatch(listing(*many(1200), rv=5000)))) as rig:
        await synced(rig)
        first, second = CountingIndex(), CountingIndex()
        rig.informer.add_index("first", first)
        assert first.calls == 250
        rig.informer.observe_delete(ObjectKey("ns", "o1197"), "uid-o1197")
        rig.informer.observe_write(make("o1187", rv=6000))
        rig.informer.observe_delete(ObjectKey("ns", "o0007"), "uid-o0007")
        for _ in range(4):
            before = first.calls
            await asyncio.sleep(0)
            assert first.calls - before <= 250
        assert sum(len(rig.informer.store.by_index("first", str(digit))) for digit in range(10)) == 1198
        assert first.calls == 1198 + 2  # the deletion of an indexed object, and the write
        rig.informer.add_index("second", second)
        for digit in map(str, range(10)):
            held = [rig.informer.store.by_index(name, digit) for name in ("first", "second")]
            assert set(held[0]) == set(held[1])


@virtual_time
async def test_a_removed_handler_is_not_called_and_the_others_are() -> None:
    """Checklist 80: removing twice, or with another informer's registration, does nothing."""
    server = ScriptedListWatch(listing(make("a", rv=3), rv=10), watches=[[Wait(5), added("b", rv=11)]])
    async with running(Rig(server)) as rig, running(Rig(ScriptedListWatch(listing(rv=1)))) as other:
        await synced(rig)
        staying = RecordingHandler()
        rig.informer.add_handler(staying)
        rig.registration.remove()
        rig.registration.remove()
        other.registration.remove()
        await asyncio.sleep(10)
        assert rig.handler.events == ["+a@3!"]
        assert staying.events == ["+a@3!", "+b@11"]


@virtual_time
async def test_a_handler_removed_by_another_during_an_event_is_not_called_for_it() -> None:
    server = ScriptedListWatch(listing(make("a", rv=3), rv=10))
    rig = Rig(server)
    victim = RecordingHandler()
    registrations: list[Registration] = []

    class Remover(RecordingHandler):
        def on_add(self, obj: Object[Any], *, initial: bool) -> None:
            registrations[0].remove()

    rig.informer.add_handler(Remover())
    registrations.append(rig.informer.add_handler(victim))
    async with running(rig):
        await synced(rig)
        assert victim.events == []


@virtual_time
async def test_a_stopped_informer_accepts_no_handlers_but_removes_them() -> None:
    """Checklist 81: adding raises, removing does not."""
    rig = Rig(ScriptedListWatch(listing(rv=10)))
    async with running(rig):
        await synced(rig)
    with pytest.raises(InformerStopped, match="accepts no handlers"):
        rig.informer.add_handler(RecordingHandler())
    rig.registration.remove()
    with pytest.raises(RuntimeError, match="was run before"):
        await rig.informer.run()


@virtual_time
async def test_handlers_added_and_removed_during_events_agree_with_the_store() -> None:
    """Checklist 82: no change is lost or delivered twice, and nothing hangs."""
    rng = random.Random(5)
    events = [
        step
        for n in range(300)
        for step in (modified(f"o{rng.randrange(10)}", rv=11 + n), Wait(rng.random() / 5))
    ]
    server = ScriptedListWatch(listing(rv=10), watches=[events])
    async with running(Rig(server)) as rig:
        joined: list[tuple[Registration, RecordingHandler]] = []
        for _ in range(200):
            await asyncio.sleep(rng.random() / 5)
            if joined and rng.random() < 0.4:
                joined.pop(rng.randrange(len(joined)))[0].remove()
            else:
                handler = RecordingHandler()
                joined.append((rig.informer.add_handler(handler), handler))
        await asyncio.sleep(60)
        assert len(joined) > 10
        for _, handler in joined:
            last = {text[1:3] if text[0] in "+-" else text[:2]: text for text in handler.events}
            versions = {
                name: text.rstrip("!").replace(">", "@").split("@")[-1] for name, text in last.items()
            }
            assert sorted(f"{name}@{version}" for name, version in versions.items()) == rig.held()
            assert sum(text.startswith("+") for text in handler.events) == len(rig.held())


@virtual_time
async def test_a_handler_that_raises_loses_only_that_call() -> None:
    """Checklist 83: later events reach it at once, and other handlers are not affected."""
    server = ScriptedListWatch(
        listing(make("a", rv=3), make("b", rv=4), rv=10),
        watches=[[modified("a", rv=11), deleted("b", rv=12)]],
    )

    class Raising(RecordingHandler):
        def on_add(self, obj: Object[Any], *, initial: bool) -> None:
            if obj.meta.name == "a":
                raise ValueError("no")
            super().on_add(obj, initial=initial)

    rig = Rig(server)
    raising = Raising()
    after = RecordingHandler()
    registration = rig.informer.add_handler(raising)
    rig.informer.add_handler(after)
    with capture_logs() as logs:
        async with running(rig):
            await asyncio.sleep(1)
    assert raising.events == ["+b@4!", "a@3>11", "-b@12"]
    assert after.events == rig.handler.events == ["+a@3!", "+b@4!", "a@3>11", "-b@12"]
    assert registration.synced.is_set()
    assert rig.metrics.handler_errors == 1
    assert [entry["event"] for entry in logs if entry["log_level"] == "error"] == ["event handler failed"]


@virtual_time
async def test_failures_to_list_or_watch_show_in_health_and_metrics() -> None:
    """Checklist 84: here they are a state and a counter instead of a hook."""
    server = ScriptedListWatch(error_from_status(500, "InternalError", "no quorum"), listing(rv=10))
    async with running(Rig(server)) as rig:
        await asyncio.sleep(0.1)
        health = rig.informer.health
        assert health.last_error == "list things.test.example: no quorum"
        assert (
            health.problem
            == "things.test.example has not been listed yet: list things.test.example: no quorum"
        )
        assert health.age_seconds is None
        assert rig.metrics.failed_lists == 1
        await synced(rig)
        health = rig.informer.health
        assert (health.last_error, health.problem, health.ready) == ("", "", True)


@virtual_time
async def test_a_change_made_by_a_handler_is_delivered_after_the_current_one() -> None:
    server = ScriptedListWatch(listing(make("a", rv=3), rv=10))
    rig = Rig(server)

    class Writing(RecordingHandler):
        def on_add(self, obj: Object[Any], *, initial: bool) -> None:
            super().on_add(obj, initial=initial)
            rig.informer.observe_write(make("a", rv=20))
            with pytest.raises(RuntimeError, match="by a handler during an event"):
                rig.informer.add_handler(RecordingHandler())

    writing, last = Writing(), RecordingHandler()
    rig.informer.add_handler(writing)
    rig.informer.add_handler(last)
    async with running(rig):
        await synced(rig)
        assert rig.handler.events == writing.events == last.events == ["+a@3!", "a@3>20"]
        assert rig.metrics.handler_errors == 0


@virtual_time
async def test_a_change_made_by_a_handler_during_a_watch_event_reaches_all_in_order() -> None:
    server = ScriptedListWatch(listing(rv=10), watches=[[Wait(1), added("a", rv=11)]])
    rig = Rig(server)

    class Writing(RecordingHandler):
        def on_add(self, obj: Object[Any], *, initial: bool) -> None:
            super().on_add(obj, initial=initial)
            rig.informer.observe_write(make("a", rv=20))

    last = RecordingHandler()
    rig.informer.add_handler(Writing())
    rig.informer.add_handler(last)
    async with running(rig):
        await asyncio.sleep(2)
        assert rig.handler.events == last.events == ["+a@11", "a@11>20"]


# ---- own writes


@virtual_time
async def test_own_writes_are_read_at_once_and_delivered_once() -> None:
    server = ScriptedListWatch(
        listing(make("a", rv=3), rv=10), watches=[[Wait(5), modified("a", rv=11), added("b", rv=12)]]
    )
    async with running(Rig(server)) as rig:
        await synced(rig)
        rig.informer.observe_write(make("a", rv=11))
        rig.informer.observe_write(make("b", rv=12))
        assert rig.held() == ["a@11", "b@12"]
        await asyncio.sleep(10)
        assert rig.handler.events == ["+a@3!", "a@3>11", "+b@12"]
        assert rig.metrics.stale == 0


@virtual_time
async def test_own_writes_outside_namespace_or_selector_are_not_cached() -> None:
    server = ScriptedListWatch(listing(rv=10))
    async with running(Rig(server, namespaces=("ns",), label_selector="app=web")) as rig:
        await synced(rig)
        rig.informer.observe_write(make("in", rv=11, labels={"app": "web"}))
        rig.informer.observe_write(make("label", rv=12, labels={"app": "api"}))
        rig.informer.observe_write(make("namespace", "other", rv=13, labels={"app": "web"}))
        rig.informer.observe_delete(ObjectKey("other", "namespace"), "uid-namespace")
        assert rig.held() == ["in@11"]
        rig.informer.observe_write(make("in", rv=14, labels={"app": "api"}))
        assert rig.held() == []
        assert rig.handler.events == ["+in@11", "-in@14"]


@virtual_time
async def test_own_writes_wait_for_the_watch_if_only_the_server_can_evaluate_the_field_selector() -> None:
    """The response of a write does not show whether the object is still selected."""
    left, back = deleted("a", rv=11), added("a", rv=14)
    server = ScriptedListWatch(
        listing(make("a", rv=3), rv=10),
        watches=[[Wait(5), left, Wait(5), back, Wait(5), modified("a", rv=15)]],
    )
    async with running(Rig(server, field_selector="spec.nodeName=n1")) as rig:
        await synced(rig)
        rig.informer.observe_write(make("a", rv=12))  # the object was moved out at 11, which is not known yet
        rig.informer.observe_write(make("new", rv=13))
        assert rig.held() == ["a@3"]
        await asyncio.sleep(7)
        assert rig.held() == []
        await asyncio.sleep(5)
        assert rig.held() == ["a@14"]
        rig.informer.observe_delete(A, "")
        await asyncio.sleep(5)
        assert rig.held() == []


@virtual_time
async def test_a_field_selector_by_name_is_evaluated_for_own_writes() -> None:
    server = ScriptedListWatch(listing(make("a", rv=3), rv=10))
    async with running(Rig(server, field_selector="metadata.name=a")) as rig:
        await synced(rig)
        rig.informer.observe_write(make("new", rv=11))
        rig.informer.observe_write(make("a", rv=12))
        assert rig.held() == ["a@12"]


@virtual_time
async def test_an_own_write_that_the_label_selector_excludes_is_removed_whatever_the_fields_are() -> None:
    server = ScriptedListWatch(listing(make("a", rv=3, labels={"x": "y"}), rv=10))
    async with running(Rig(server, field_selector="spec.nodeName=n1", label_selector="x=y")) as rig:
        await synced(rig)
        rig.informer.observe_write(make("a", rv=12, labels={}))
        assert rig.held() == []


@virtual_time
async def test_own_writes_enter_a_metadata_cache_without_their_body() -> None:
    """Checklist 73: as the objects of lists and watches do; a projection takes the place of a transform function."""
    server = ScriptedListWatch(listing(rv=10))
    async with running(Rig(server, projection="metadata")) as rig:
        await synced(rig)
        rig.informer.observe_write(make("a", rv=11, labels={"x": "y"}, spec={"big": "z" * 1000}))
        held = rig.informer.store.get(A)
        assert held is not None
        assert sorted(msgspec.json.decode(held.raw)) == ["apiVersion", "kind", "metadata"]
        with pytest.raises(MetadataOnly):
            _ = held.view
        assert held.meta.labels == {"x": "y"}


@virtual_time
async def test_own_writes_have_the_declared_view() -> None:
    def decode(_: bytes) -> str:
        return "declared"

    typed: Resource[str] = Resource("test.example", "v1", "Thing", "things", True, decode)
    async with running(Rig(ScriptedListWatch(listing(rv=10)), typed)) as rig:
        await synced(rig)
        rig.informer.observe_write(make("a", rv=11))
        held = rig.informer.store.get(A)
        assert held is not None
        assert held.view == "declared"


@virtual_time
async def test_a_late_response_does_not_restore_an_object_that_the_watch_deleted() -> None:
    server = ScriptedListWatch(listing(rv=10), watches=[[added("a", rv=11), deleted("a", rv=12)]])
    async with running(Rig(server, namespaces=("ns",))) as rig:
        await asyncio.sleep(1)
        rig.informer.observe_write(make("a", rv=11))
        assert rig.held() == []


# ---- declarations


def test_invalid_declarations_are_errors() -> None:
    with pytest.raises(ValueError, match=r"clusterthings\.test\.example is cluster-scoped"):
        Declaration(CLUSTER_THINGS, ("ns",))
    with pytest.raises(ValueError, match="use an empty sequence for all"):
        Declaration(THINGS, ("ns", ""))
    with pytest.raises(ValueError, match="label selector 'a b'"):
        Declaration(THINGS, label_selector="a b")


@virtual_time
async def test_each_namespace_has_its_own_list_and_watch_and_sync_needs_all() -> None:
    def answer(namespace: str, _options: dict[str, Any]) -> Any:
        return Slow(50 if namespace == "slow" else 0, listing(make("a", namespace, rv=3), rv=10))

    server = ScriptedListWatch(answer, watches=[[Wait(100), bookmark(20), Close]])
    async with running(Rig(server, namespaces=("slow", "fast", "fast"))) as rig:
        await asyncio.sleep(10)
        assert rig.handler.events == ["+a@3!"]
        assert not rig.informer.synced
        await asyncio.sleep(45)
        assert rig.informer.synced
        namespaces: Sequence[str] = [call.namespace for call in server.lists]
        assert namespaces == ["fast", "slow"]
        assert len(rig.informer.store) == 2
        assert rig.informer.health.resource_version == "10"
