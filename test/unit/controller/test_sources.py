from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
from structlog.testing import capture_logs

from aimctl.runtime.controller import (
    Channel,
    Controller,
    Created,
    Deleted,
    EnqueueMapped,
    EnqueueObject,
    HotLoopDetector,
    Request,
    Watch,
    generation_changed,
    labels_changed,
)
from aimctl.runtime.controller.sources.redelivery import Redelivery
from aimctl.runtime.queue import PRIORITY_DEFAULT, PRIORITY_LOW, WorkQueue
from aimctl.testing.virtualtime import virtual_clock, virtual_time
from support.reconciling import Scripted, running
from support.things import THINGS, make


class HandInformer:
    """An informer whose events the test dispatches."""

    def __init__(self) -> None:
        self.resource = THINGS
        self.health = SimpleNamespace(last_error="")
        self.synced = asyncio.Event()
        self.handlers: list = []
        self.store: list = []

    def add_handler(self, handler):
        self.handlers.append(handler)
        return SimpleNamespace(synced=self.synced, remove=lambda: self.handlers.remove(handler))


def work_queue() -> WorkQueue[Request]:
    return WorkQueue(clock=virtual_clock(), ageing_seconds=0, name="things")


def ready(queue):
    return [(item.name, priority) for item, priority, _ in queue.snapshot().ready]


async def watching(*predicates, handler=None):
    informer, queue = HandInformer(), work_queue()
    source = Watch(informer, handler or EnqueueObject(), predicates)
    await source.start(queue)
    return source, informer, queue, informer.handlers[0]


@virtual_time
async def test_predicates_are_anded_and_hold_for_their_own_source():
    """Checklist 104: predicates are ANDed and per-source."""
    _, _, queue, strict = await watching(generation_changed, labels_changed)
    old = make("a")
    strict.on_update(old, make("a", rv=2, generation=2))
    strict.on_update(old, make("a", rv=3, labels={"x": "y"}))
    assert ready(queue) == []
    strict.on_update(old, make("a", rv=4, generation=2, labels={"x": "y"}))
    assert ready(queue) == [("a", PRIORITY_DEFAULT)]
    _, _, other, open_to_all = await watching()
    open_to_all.on_update(old, make("a", rv=2))
    assert ready(other) == [("a", PRIORITY_DEFAULT)]


@virtual_time
async def test_with_a_pause_a_burst_is_one_request_and_other_sources_are_not_delayed():
    queue, informer = work_queue(), HandInformer()
    mapped = EnqueueMapped(lambda _item: [Request("", "all")])
    await Watch(informer, mapped, pause=0.5).start(queue)
    await Watch(informer, EnqueueObject()).start(queue)
    patient, prompt = informer.handlers
    loop = asyncio.get_running_loop()
    started = loop.time()
    for number in range(100):
        patient.on_add(make(f"t{number}"), initial=False)
        await asyncio.sleep(0.001)
    assert (await queue.get()).item.name == "all"
    assert loop.time() - started == pytest.approx(0.5)
    queue.done(Request("", "all"))
    assert len(queue) == 0, "the burst left a second look behind"
    patient.on_add(make("one more"), initial=False)
    prompt.on_add(make("all"), initial=False)
    assert ready(queue) == [("all", PRIORITY_DEFAULT)]


@virtual_time
async def test_an_object_missing_from_a_list_is_an_unconfirmed_deletion():
    """Checklist 104: a tombstone yields a Delete event that says its final state is unknown."""
    seen = []
    _, _, queue, handler = await watching(lambda event: seen.append(event) or True)
    gone = make("a")
    handler.on_delete(gone, confirmed=False)
    assert seen == [Deleted(gone, confirmed=False)]
    assert ready(queue) == [("a", PRIORITY_DEFAULT)]


@virtual_time
async def test_initial_objects_and_replays_have_low_priority():
    """Checklist 106: initial-list creates and equal-RV updates enqueue at -100."""
    _, _, queue, handler = await watching()
    handler.on_add(make("initial"), initial=True)
    handler.on_update(make("replayed", rv=5), make("replayed", rv=5))
    handler.on_add(make("new"), initial=False)
    handler.on_update(make("changed", rv=5), make("changed", rv=6))
    handler.on_delete(make("deleted"), confirmed=True)
    assert dict(ready(queue)) == {
        "initial": PRIORITY_LOW,
        "replayed": PRIORITY_LOW,
        "new": PRIORITY_DEFAULT,
        "changed": PRIORITY_DEFAULT,
        "deleted": PRIORITY_DEFAULT,
    }


@virtual_time
async def test_one_event_adds_a_request_once():
    """Checklist 105: duplicates once."""
    adds = []

    class Spy:
        def add(self, item, *, priority):
            adds.append(item)

    informer = HandInformer()
    mapped = EnqueueMapped(lambda _item: [Request("", "x"), Request("", "y"), Request("", "x")])
    await Watch(informer, mapped).start(Spy())
    informer.handlers[0].on_update(make(rv=1), make(rv=2))
    assert adds == [Request("", "x"), Request("", "y")]


@virtual_time
async def test_a_watch_is_synced_when_the_informer_has_delivered_to_it():
    source, informer, _, _ = await watching()
    waiting = asyncio.create_task(source.wait_synced())
    await asyncio.sleep(1)
    assert not waiting.done()
    informer.synced.set()
    await waiting


@virtual_time
async def test_a_stopped_watch_is_removed_from_the_informer():
    source, informer, queue, handler = await watching()
    source.stop()
    source.stop()
    handler.on_add(make(), initial=False)
    assert (informer.handlers, ready(queue)) == ([], [])


@virtual_time
async def test_a_watch_serves_one_controller():
    source, _, queue, _ = await watching()
    with pytest.raises(RuntimeError, match="own Watch"):
        await source.start(queue)


@virtual_time
async def test_a_watch_describes_the_last_error_of_its_informer():
    source, informer, _, _ = await watching()
    assert source.describe() == "watch of things.test.example"
    informer.health.last_error = "things is forbidden"
    assert "things is forbidden" in source.describe()


def fragile(item):
    if item.meta.name == "bad":
        raise KeyError("spec")
    return [item.key]


async def asynchronous(item):
    return [item.key]


async def asynchronously(item):
    yield item.key


class AsynchronousCall:
    async def __call__(self, item):
        return [item.key]


def errors(logs):
    return [entry for entry in logs if entry["log_level"] == "error"]


@virtual_time
async def test_a_mapping_that_raises_affects_only_its_event():
    _, _, queue, handler = await watching(handler=EnqueueMapped(fragile))
    with capture_logs() as logs:
        handler.on_add(make("bad"), initial=False)
        handler.on_add(make("good"), initial=False)
    assert ready(queue) == [("good", PRIORITY_DEFAULT)]
    (entry,) = errors(logs)
    assert (entry["controller"], entry["handler"]) == ("things", f"EnqueueMapped({__name__}.fragile)")
    assert "ns/bad" in entry["object"]


@virtual_time
@pytest.mark.parametrize(
    "answer",
    [
        [("ns", "a")],
        ["ns/a"],
        "ns/a",
        None,
        5,
        [None],
        [[]],
        [Request(1, 2)],
        [Request(None, "a")],
        lambda item: asynchronous(item),  # noqa: PLW0108 - it is not recognised as async
        [Request("ns", "before"), ("ns", "a")],
    ],
)
async def test_a_mapping_that_returns_no_requests_costs_its_event_and_is_named(answer):
    """What it returned before the mistake is enqueued."""

    def wrong(item):
        if item.meta.name != "bad":
            return [item.key]
        return answer(item) if callable(answer) else answer

    _, _, queue, handler = await watching(handler=EnqueueMapped(wrong))
    with capture_logs() as logs:
        handler.on_add(make("bad"), initial=False)
        handler.on_add(make("good"), initial=False)
    assert [name for name, _ in ready(queue)][-1] == "good"
    assert [name for name, _ in ready(queue)][:-1] == (
        ["before"] if answer == [Request("ns", "before"), ("ns", "a")] else []
    )
    (entry,) = errors(logs)
    assert "wrong" in entry["handler"]
    assert entry["exc_info"]


@virtual_time
async def test_an_event_whose_mapping_raised_is_mapped_again_until_it_succeeds():
    """The cause may disappear, and a deletion cannot be found by reading the objects again."""
    broken = True

    def flaky(item):
        if broken:
            raise KeyError("spec")
        return [item.key]

    source, _, queue, handler = await watching(handler=EnqueueMapped(flaky))
    with capture_logs() as logs:
        handler.on_delete(make("deleted"), confirmed=True)
        handler.on_update(make("a", rv=1), make("a", rv=2))
        await asyncio.sleep(10)
        assert ready(queue) == []
        broken = False
        await asyncio.sleep(10)
        assert sorted(ready(queue)) == [("a", PRIORITY_DEFAULT), ("deleted", PRIORITY_DEFAULT)]
        assert len(errors(logs)) == 2, "each event is reported once"
        broken = True
        handler.on_add(make("late"), initial=False)
        source.stop()
        broken = False
        await asyncio.sleep(1000)
        assert len(ready(queue)) == 2, "a stopped source repeats nothing"


@virtual_time
async def test_repeated_failures_are_repeated_ever_more_slowly():
    calls = []

    def broken(item):
        calls.append(asyncio.get_running_loop().time())
        raise KeyError("spec")

    _, _, _, handler = await watching(handler=EnqueueMapped(broken))
    handler.on_add(make("a"), initial=False)
    await asyncio.sleep(3600)
    assert calls[:4] == [0, 1, 3, 7]
    assert calls[-1] - calls[-2] == 300
    assert len(calls) < 25


@virtual_time
async def test_a_flood_of_failed_events_is_repaired_by_mapping_every_object_again():
    """The memory is bounded, so the oldest failed events are forgotten."""
    broken = True

    def flaky(item):
        if broken:
            raise KeyError("spec")
        return [item.key]

    _, informer, queue, handler = await watching(handler=EnqueueMapped(flaky))
    informer.store = [make(f"o{n}") for n in range(10_100)]
    with capture_logs():
        for obj in informer.store:
            handler.on_add(obj, initial=True)
    broken = False
    await asyncio.sleep(2)
    assert len(ready(queue)) == 10_100


@pytest.mark.parametrize("function", [asynchronous, asynchronously, AsynchronousCall(), None, "name"])
def test_an_asynchronous_function_is_rejected_where_it_is_registered(function):
    with pytest.raises(TypeError, match=r"map function .* (is async: define it with 'def'|is not callable)"):
        EnqueueMapped(function)
    with pytest.raises(TypeError, match=r"predicate .* (is async: define it with 'def'|is not callable)"):
        Watch(HandInformer(), EnqueueObject(), [function])


@virtual_time
@pytest.mark.parametrize("predicate", [lambda event: {}["spec"], lambda event: asynchronous(event)])  # noqa: PLW0108 - it is not recognised as async
async def test_a_predicate_that_fails_passes_the_event(predicate):
    _, _, queue, handler = await watching(predicate)
    with capture_logs() as logs:
        handler.on_add(make("a"), initial=False)
    assert ready(queue) == [("a", PRIORITY_DEFAULT)]
    (entry,) = errors(logs)
    assert (entry["controller"], "<lambda>" in entry["predicate"]) == ("things", True)


@virtual_time
async def test_requests_sent_to_a_channel_before_and_after_the_start_are_reconciled():
    """Checklist 103: Channel events, also those sent before start, are delivered."""
    channel, reconciler = Channel(), Scripted()
    channel.send(Request("ns", "early"))
    async with running(reconciler, channel):
        await asyncio.sleep(1)
        channel.send(Request("ns", "late"))
        await asyncio.sleep(1)
    assert [run.name for run in reconciler.runs] == ["early", "late"]


@virtual_time
async def test_a_channel_coalesces_requests_and_keeps_the_highest_priority():
    channel, queue = Channel(), work_queue()
    for name, priority in (("a", PRIORITY_LOW), ("b", 7), ("a", 5), ("b", PRIORITY_LOW)):
        channel.send(Request("ns", name), priority=priority)
    await channel.start(queue)
    assert dict(ready(queue)) == {"a": 5, "b": 7}
    channel.send(Request("ns", "a"))
    assert dict(ready(queue)) == {"a": 5, "b": 7}


@virtual_time
async def test_requests_sent_to_a_standby_wait_for_the_first_worker():
    channel, reconciler = Channel(), Scripted()
    subject = Controller("test", reconciler, sources=[channel], clock=virtual_clock())
    await subject.warm_up()
    channel.send(Request("ns", "a"))
    await asyncio.sleep(60)
    assert reconciler.runs == []
    task = asyncio.create_task(subject.run())
    await asyncio.sleep(1)
    assert [run.name for run in reconciler.runs] == ["a"]
    subject.stop()
    await task


@virtual_time
async def test_a_channel_serves_one_controller_and_ignores_requests_after_its_stop():
    """Checklist 103: closing the channel ends it."""
    channel, queue = Channel(), work_queue()
    async with running(Scripted(), channel):
        await asyncio.sleep(1)
        with pytest.raises(RuntimeError, match="own Channel"):
            await channel.start(queue)
    channel.send(Request("ns", "a"))
    unused = Channel()
    unused.send(Request("ns", "a"))
    unused.stop()
    unused.send(Request("ns", "b"))
    await unused.start(queue)
    assert ready(queue) == []


def test_the_hot_loop_detector_reports_once_per_window_and_forgets_old_keys():
    detector: HotLoopDetector[str] = HotLoopDetector(3, 10.0)
    said = [detector.succeeded("a", now) for now in (0, 1, 2, 3, 4)]
    assert said == [False, False, True, False, False]
    assert [detector.succeeded("a", now) for now in (10, 11, 12)] == [False, False, True]
    assert detector._counts == {"a": 3}
    detector.succeeded("b", 20)
    assert detector._counts == {"b": 1}


def test_the_hot_loop_detector_can_be_disabled():
    detector: HotLoopDetector[str] = HotLoopDetector(0)
    assert not any(detector.succeeded("a", 0) for _ in range(1000))
    with pytest.raises(ValueError, match="seconds=0"):
        HotLoopDetector(3, 0)


@virtual_time
async def test_failed_events_are_repeated_after_a_stop_as_at_first():
    mapped = []
    events = Redelivery(lambda event: mapped.append(event.object.meta.name) or True, list)
    events.add(Created(make("before"), initial=False))
    events.stop()
    events.add(Created(make("after"), initial=False))
    await asyncio.sleep(1)
    assert mapped == ["after"]
