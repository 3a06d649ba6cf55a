"""The fault contract: faults of the network and the server during a watch, and the reaction to them."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from structlog.testing import capture_logs

from aimctl.kubetypes import Object, ObjectKey
from aimctl.kubetypes.builtin import PODS
from aimctl.runtime.cache import Cache, Declaration, Informer
from aimctl.runtime.kube import Client
from aimctl.runtime.kube.errors import ConnectionFailed, WatchLineTooLong, error_from_status
from aimctl.runtime.queue import WorkQueue
from aimctl.testing.virtualtime import virtual_clock, virtual_time
from support.cache_recorders import RecordingHandler, Rig, running
from support.scripted import Answer, ScriptedTransport, event, failure, pod, pod_list, status_body
from support.scripted_listwatch import (
    Close,
    Deaf,
    Mute,
    Refuse,
    ScriptedListWatch,
    Slow,
    Wait,
    added,
    bookmark,
    listing,
    modified,
)
from support.things import THINGS, make

EXPIRED = error_from_status(410, "Expired", "too old resource version")


@virtual_time
async def test_a_clean_close_resumes_without_a_list_a_handler_call_or_a_warning() -> None:
    """Fault 1: the server closes cleanly after timeoutSeconds."""
    server = ScriptedListWatch(listing(make("a", rv=3), rv=10))
    with capture_logs() as logs:
        async with running(Rig(server)) as rig:
            await asyncio.sleep(5000)
            assert len(server.watches) > 8
            assert len(server.lists) == 1
            assert rig.handler.events == ["+a@3!"]
            assert set(rig.metrics.ends) == {"closed"}
    assert [entry for entry in logs if entry["log_level"] != "debug"] == []


@virtual_time
async def test_a_half_open_connection_is_detected_and_the_watch_resumed() -> None:
    """Fault 2: no byte for the idle time; counted as a stall."""
    server = ScriptedListWatch(listing(rv=10), watches=[[added("a", rv=11), Wait(100_000)]])
    async with running(Rig(server)) as rig:
        await asyncio.sleep(80)
        assert rig.metrics.ends["stalled"] == 1
        assert [call.version for call in server.watches] == ["10", "11"]
        assert server.watches[1].at == pytest.approx(75)
        assert len(server.lists) == 1


@virtual_time
async def test_a_watch_without_a_response_ends_after_the_idle_time() -> None:
    server = ScriptedListWatch(listing(rv=10), watches=[[Mute]])
    async with running(Rig(server)) as rig:
        await asyncio.sleep(80)
        assert rig.metrics.ends["broken"] == 1
        assert 75.8 <= server.watches[1].at < 76.7
        assert len(server.lists) == 1


@virtual_time
async def test_a_watch_ends_five_seconds_after_a_timeout_that_the_server_ignores() -> None:
    server = ScriptedListWatch(listing(rv=10), watches=[[Deaf]])
    async with running(Rig(server)) as rig:
        await asyncio.sleep(700)
        first, second = server.watches[:2]
        assert second.at - first.at == pytest.approx(first.options["timeout_seconds"] + 5)
        assert rig.metrics.ends["overdue"] == 1
        assert server.open_watches == 1


@virtual_time
async def test_a_watch_that_ends_at_once_backs_off() -> None:
    server = ScriptedListWatch(listing(rv=10), watches=[[Close]] * 6)
    async with running(Rig(server)) as rig:
        await asyncio.sleep(10)
        assert 2 <= len(server.watches) <= 5
        assert rig.metrics.ends["short"] == len(server.watches)
        assert len(server.lists) == 1


@virtual_time
async def test_a_broken_connection_resumes_from_the_last_version() -> None:
    server = ScriptedListWatch(
        listing(rv=10), watches=[[Wait(30), added("a", rv=11), ConnectionFailed("reset by peer")]]
    )
    async with running(Rig(server)) as rig:
        await asyncio.sleep(31)
        assert [call.version for call in server.watches] == ["10", "11"]
        assert (rig.metrics.ends["broken"], len(server.lists)) == (1, 1)


@virtual_time
async def test_an_event_above_the_limit_leads_to_a_list() -> None:
    """Fault 4: reported, counted, and with back-off if it repeats."""
    huge = [Wait(3), WatchLineTooLong(16 * 1024 * 1024)]
    server = ScriptedListWatch(
        listing(make("a", rv=1), rv=10), listing(make("a", rv=15), rv=20), watches=[huge] * 6
    )
    async with running(Rig(server)) as rig:
        await asyncio.sleep(120)
        assert rig.held() == ["a@15"]
        assert rig.metrics.ends["oversized"] == 6
        pauses = [
            later.at - earlier.at for earlier, later in zip(server.lists, server.lists[1:], strict=False)
        ]
        assert pauses[-1] > pauses[0] + 5  # back-off
        assert server.open_watches == 1


@virtual_time
async def test_a_relist_delivers_deletes_and_changes_only() -> None:
    """Checklist 78: every change found by the list, including deletes, but no updates with an equal version."""
    server = ScriptedListWatch(
        listing(make("same", rv=1), make("changed", rv=2), make("gone", rv=3), rv=10),
        listing(make("same", rv=1), make("changed", rv=12), make("new", rv=13), rv=20),
        watches=[[Wait(2), EXPIRED]],
    )
    async with running(Rig(server)) as rig:
        await asyncio.sleep(1)
        rig.handler.take()
        await asyncio.sleep(9)
        assert rig.handler.take() == ["-gone@3?", "changed@2>12", "+new@13"]
        assert (rig.metrics.lists, rig.metrics.relists) == (2, 1)


@virtual_time
async def test_repeated_410s_back_off_with_one_list_in_flight() -> None:
    """Fault 6: back-off, and never two lists at once."""
    server = ScriptedListWatch(Slow(0.5, listing(rv=10)), watches=[[EXPIRED]] * 100)
    async with running(Rig(server)) as rig:
        await asyncio.sleep(300)
        assert server.most_lists_in_flight == 1
        assert len(server.lists) < 20
        gaps = [later.at - earlier.at for earlier, later in zip(server.lists, server.lists[1:], strict=False)]
        assert gaps[0] < 3
        assert gaps[-1] >= 30
        assert rig.informer.synced


@virtual_time
async def test_several_namespaces_share_one_list_at_a_time() -> None:
    server = ScriptedListWatch(Slow(1, listing(rv=10)))
    async with running(Rig(server, namespaces=("one", "two", "three"))) as rig:
        await rig.informer.wait_synced()
        assert server.most_lists_in_flight == 1
        assert [call.namespace for call in server.lists] == ["one", "three", "two"]
        await asyncio.sleep(1)
        assert server.open_watches == 3


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_the_shortest_pause(status: int) -> None:
    """Fault 7: 429 and 503 with Retry-After."""

    @virtual_time
    async def check() -> None:
        busy = error_from_status(status, "", "later", retry_after=40)
        server = ScriptedListWatch(busy, listing(rv=10), watches=[[Refuse(busy)]])
        async with running(Rig(server)):
            await asyncio.sleep(100)
            assert server.lists[1].at >= 40
            assert server.watches[1].at - server.watches[0].at >= 40
            assert server.watches[1].at < 90

    check()


@virtual_time
async def test_a_401_backs_off_and_continues() -> None:
    """Fault 8: the transport has already renewed the credentials and tried once more."""
    unauthorized = error_from_status(401, "Unauthorized", "who?")
    server = ScriptedListWatch(unauthorized, unauthorized, listing(rv=10), watches=[[Refuse(unauthorized)]])
    async with running(Rig(server)) as rig:
        await rig.informer.wait_synced()
        assert [round(call.at) > 0 for call in server.lists] == [False, True, True]
        await asyncio.sleep(30)
        assert len(server.watches) == 2
        assert len(server.lists) == 3


@virtual_time
async def test_a_403_on_one_kind_makes_it_unready_and_the_others_run() -> None:
    """Fault 9: that informer is unready and says why; the others run."""
    others = Declaration(THINGS)
    forbidden = error_from_status(403, "Forbidden", 'User "bob" cannot list resource "pods"')

    def answer(_namespace: str, options: dict[str, Any]) -> Any:
        return forbidden if options["label_selector"] == "forbidden" else listing(make("a", rv=1), rv=10)

    server = ScriptedListWatch(answer)
    cache = Cache(server, clock=virtual_clock(), rng=random.Random(1))
    cache.declare(PODS, label_selector="forbidden")
    allowed = cache.declare(others.resource)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(cache.run())
        await allowed.wait_synced()
        await asyncio.sleep(60)
        assert not cache.synced
        assert cache.unsynced() == (
            'not allowed to list pods: User "bob" cannot list resource "pods"; grant the verb list on pods',
        )
        assert allowed.health.ready
        server.then_list(listing(rv=10))  # the permission is granted
        await asyncio.sleep(90)
        assert cache.synced
        assert cache.unsynced() == ()
        task.cancel()


@virtual_time
async def test_a_403_on_the_watch_names_the_verb_and_keeps_the_objects() -> None:
    forbidden = Refuse(error_from_status(403, "Forbidden", "no watch for you"))
    server = ScriptedListWatch(listing(make("a", rv=1), rv=10), watches=[[forbidden]] * 3)
    async with running(Rig(server)) as rig:
        await asyncio.sleep(1)
        health = rig.informer.health
        assert (health.synced, health.ready) == (True, False)
        assert "not allowed to watch things.test.example: no watch for you" in health.problem
        assert rig.held() == ["a@1"]
        assert rig.metrics.ends["refused"] >= 1
        await asyncio.sleep(30)
        assert rig.informer.health.ready
        assert len(server.lists) == 1


@virtual_time
async def test_an_expired_page_token_starts_over_without_pages() -> None:
    """Fault 10: one list without paging at the requested version."""
    server = ScriptedListWatch(
        listing(make("a", rv=1), make("gone", rv=3), rv=10, more="next"),
        EXPIRED,
        listing(make("a", rv=1), make("b", rv=2), rv=12),
    )
    async with running(Rig(server)) as rig:
        await rig.informer.wait_synced()
        assert [call.options["limit"] for call in server.lists] == [500, 500, None]
        assert [call.version for call in server.lists] == ["", None, ""]
        assert rig.held() == ["a@1", "b@2"]
        assert rig.informer.store.resource_version == "12"


@virtual_time
async def test_page_tokens_that_always_expire_back_off() -> None:
    pages = [listing(make("a", rv=1), rv=10, more="next"), EXPIRED] * 2
    server = ScriptedListWatch(*pages * 3, listing(rv=20))
    async with running(Rig(server)) as rig:
        await asyncio.sleep(0.1)
        assert [call.version for call in server.lists] == ["", None, "", None]
        await rig.informer.wait_synced()


@virtual_time
async def test_bookmarks_advance_the_version_without_handler_calls() -> None:
    """Fault 11: the version advances, nothing is dispatched."""
    server = ScriptedListWatch(listing(rv=10), watches=[[Wait(50), bookmark(20), Wait(50), bookmark(30)]])
    async with running(Rig(server)) as rig:
        await asyncio.sleep(110)
        assert rig.informer.store.resource_version == "30"
        assert rig.metrics.gauges is not None
        assert rig.metrics.gauges.last_resource_version == 30.0
        assert rig.metrics.gauges.age_seconds == pytest.approx(10)
        assert rig.handler.events == []


@virtual_time
async def test_replays_and_versions_that_go_back_are_dropped_and_counted() -> None:
    """Fault 12: versions are compared as numbers."""
    server = ScriptedListWatch(
        listing(make("a", rv=5), rv=10),
        watches=[[added("a", rv=5), modified("a", rv=4), modified("a", rv=11), modified("a", rv=8)]],
    )
    async with running(Rig(server)) as rig:
        await asyncio.sleep(1)
        assert rig.handler.events == ["+a@5!", "a@5>11"]
        assert rig.metrics.stale == 3
        assert rig.informer.store.resource_version == "11"


@virtual_time
async def test_a_re_created_object_is_delivered_as_a_delete_and_an_add() -> None:
    """Fault 13: a new uid under a known key."""
    server = ScriptedListWatch(
        listing(make("a", rv=5, uid="one"), rv=10), watches=[[modified("a", rv=11, uid="two")]]
    )
    async with running(Rig(server)) as rig:
        await asyncio.sleep(1)
        assert rig.handler.events == ["+a@5!", "-a@5?", "+a@11"]


@virtual_time
async def test_a_large_list_is_delivered_in_slices() -> None:
    server = ScriptedListWatch(listing(*(make(f"a{n}", rv=n + 1) for n in range(3000)), rv=5000))
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with running(Rig(server)) as rig:
        counter = asyncio.create_task(count())
        await rig.informer.wait_synced()
        counter.cancel()
        assert len(rig.handler.events) == 3000
        assert turns >= 6


@virtual_time
async def test_a_removed_and_restored_crd_empties_and_fills_the_store_once() -> None:
    """Fault 17: slow retries, one set of synthetic deletes, recovery."""
    missing = error_from_status(404, "NotFound", "the server could not find the requested resource")
    server = ScriptedListWatch(
        listing(make("a", rv=5), rv=10),
        *[missing] * 6,
        listing(make("b", rv=50), rv=60),
        watches=[[Wait(10), Close], [Refuse(missing)]],
    )
    async with running(Rig(server, optional=True)) as rig:
        await asyncio.sleep(12)
        assert rig.held() == []
        assert rig.handler.events == ["+a@5!", "-a@5?"]
        health = rig.informer.health
        assert (health.missing, health.synced, health.ready) == (True, True, True)
        await asyncio.sleep(400)
        assert rig.handler.events == ["+a@5!", "-a@5?", "+b@50!"]
        pauses = [
            later.at - earlier.at for earlier, later in zip(server.lists[2:], server.lists[3:], strict=False)
        ]
        assert pauses[0] >= 5
        assert 15 <= pauses[-1] <= 30
        assert [call.version for call in server.lists[3:]] == [""] * 5
        assert not rig.informer.health.missing


@pytest.mark.parametrize("lasts", [1, 20])
@virtual_time
async def test_a_404_that_discovery_does_not_confirm_keeps_the_objects(lasts: int) -> None:
    """A load balancer or a starting API server answers for some time."""
    stray = error_from_status(404, "", "404 page not found")
    server = ScriptedListWatch(
        listing(make("a", rv=5), rv=10),
        *[stray] * lasts,
        listing(make("a", rv=5), make("b", rv=50), rv=60),
        watches=[[Wait(10), Close], [Refuse(stray)]],
    )
    server.served = True
    async with running(Rig(server)) as rig:
        await asyncio.sleep(11)
        assert rig.held() == ["a@5"]
        await asyncio.sleep(1200)
        assert rig.handler.events == ["+a@5!", "+b@50"]
        assert server.discoveries == 2 * lasts
        assert rig.informer.health.ready


@virtual_time
async def test_one_confirmation_alone_does_not_empty_the_store() -> None:
    stray = error_from_status(404, "", "404 page not found")
    server = ScriptedListWatch(
        listing(make("a", rv=5), rv=10),
        stray,
        listing(make("a", rv=5), rv=10),
        stray,
        listing(make("a", rv=5), rv=10),
        watches=[[Wait(10), Close], [Refuse(stray)], [Wait(10), Close], [Refuse(stray)]],
    )
    async with running(Rig(server)) as rig:
        await asyncio.sleep(300)
        assert len(server.lists) == 5
        assert rig.handler.events == ["+a@5!"]


@virtual_time
async def test_a_404_of_discovery_as_well_keeps_the_objects() -> None:
    stray = Answer(404, b"404 page not found\n")
    transport = ScriptedTransport().on("GET", "/api/v1/pods", pod_list(pod("a"), rv=5), stray)
    transport.on("GET", "/api/v1", stray, {"kind": "Status"}, {"kind": "APIResourceList", "resources": []})
    clock = virtual_clock()
    cache = Cache(Client(transport, clock=clock), clock=clock, rng=random.Random(1))
    informer = cache.declare(PODS)
    task = asyncio.create_task(cache.run())
    await cache.wait_synced(5)
    await asyncio.sleep(2)
    assert len(informer.store) == 1
    await asyncio.sleep(600)
    assert len(informer.store) == 0, "in the end discovery confirms it twice"
    task.cancel()
    await asyncio.wait([task])


@virtual_time
async def test_an_optional_kind_that_is_missing_at_the_start_counts_as_synced_and_empty() -> None:
    missing = error_from_status(404, "NotFound", "no")
    server = ScriptedListWatch(missing, listing(make("a", rv=1), rv=10))
    async with running(Rig(server, optional=True)) as rig:
        async with asyncio.timeout(1):
            await rig.informer.wait_synced()
        assert rig.registration.synced.is_set()
        assert rig.held() == []
        await asyncio.sleep(15)
        assert rig.handler.events == ["+a@1!"]


@virtual_time
async def test_a_missing_required_kind_is_reported_with_its_remedy() -> None:
    server = ScriptedListWatch(error_from_status(404, "NotFound", "no"))
    async with running(Rig(server)) as rig:
        await asyncio.sleep(10)
        assert not rig.informer.synced
        assert rig.informer.health.problem == (
            "things.test.example is not served; install its CustomResourceDefinition"
        )


@pytest.mark.parametrize(("optional", "first"), [(True, "info"), (False, "warning")])
@virtual_time
async def test_a_missing_kind_is_logged_once(optional: bool, first: str) -> None:
    server = ScriptedListWatch(error_from_status(404, "NotFound", "no"))
    with capture_logs() as logs:
        async with running(Rig(server, optional=optional)):
            await asyncio.sleep(300)
    levels = [entry["log_level"] for entry in logs if "not served" in entry["event"]]
    assert len(levels) > 5, "the list is retried"
    assert levels == [first] + ["debug"] * (len(levels) - 1)


@pytest.mark.parametrize("turns", range(60))
def test_cancellation_at_any_point_leaves_a_consistent_store_and_no_open_stream(turns: int) -> None:
    """Fault 16: the store is consistent and the stream closed."""

    @virtual_time
    async def check() -> None:
        server = ScriptedListWatch(
            listing(*(make(f"a{n}", rv=n + 1) for n in range(20)), rv=5000, more="next"),
            listing(*(make(f"b{n}", rv=n + 50) for n in range(1200)), rv=5000),
            listing(make("a1", rv=2), rv=5200),
            watches=[[modified("a1", rv=5101), EXPIRED], [bookmark(5210)]],
        )
        rig = Rig(server)
        task = asyncio.create_task(rig.informer.run())
        for _ in range(turns):
            await asyncio.sleep(0 if turns < 30 else 0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (server.open_watches, server.lists_in_flight) == (0, 0)
        assert len(rig.informer.store) in {0, 1, 1220}
        assert all(rig.informer.store.get(obj.key) is obj for obj in rig.informer.store)

    check()


@virtual_time
async def test_a_blocked_reconciler_does_not_block_the_watch() -> None:
    """Fault 14: handlers only enqueue, so the store is updated while the only worker is blocked."""
    queue: WorkQueue[ObjectKey] = WorkQueue(clock=virtual_clock())
    server = ScriptedListWatch(
        listing(make("a", rv=3), rv=10), watches=[[Wait(1), *(modified("a", rv=11 + n) for n in range(500))]]
    )

    class Enqueue(RecordingHandler):
        def on_add(self, obj: Object[Any], *, initial: bool) -> None:
            queue.add(obj.key)

        def on_update(self, old: Object[Any], new: Object[Any]) -> None:
            queue.add(new.key)

    async with running(Rig(server)) as rig:
        rig.informer.add_handler(Enqueue())
        await queue.get()  # without calling done
        await asyncio.sleep(2)
        assert rig.held() == ["a@510"]


# ---- with bytes from a client


class _Pods:
    """An informer of pods with a client that gets scripted responses."""

    def __init__(self) -> None:
        self.transport = ScriptedTransport()
        self.client = Client(self.transport, clock=virtual_clock())
        self.handler = RecordingHandler()
        self.informer: Informer[Any] = Informer(
            self.client, Declaration(PODS), clock=virtual_clock(), rng=random.Random(1)
        )
        self.informer.add_handler(self.handler)

    def answer(self, lists: list[Any], watches: list[Any]) -> None:
        """Each watch returns the chunks of one stream, then nothing."""
        pending = iter(watches)
        listed = iter(lists)
        last = lists[-1]

        async def serve(seen: Any) -> Answer:
            if "watch" not in seen.query:
                answer = next(listed, last)
                return answer if isinstance(answer, Answer) else Answer(200, answer)
            chunks = next(pending, None)
            if chunks is None:
                await asyncio.Event().wait()
            return chunks if isinstance(chunks, Answer) else Answer(200, chunks=chunks)

        self.transport.on("GET", "/api/v1/pods", serve)

    async def run_for(self, seconds: float) -> None:
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(self.informer.run())
            await asyncio.sleep(seconds)
            task.cancel()

    def watched_from(self) -> list[str]:
        return [s.query["resourceVersion"] for s in self.transport.seen if "watch" in s.query]


@virtual_time
async def test_a_line_cut_off_by_the_end_of_the_stream_is_discarded_and_read_again() -> None:
    """Fault 3: the end of the stream in the middle of a line."""
    line = event("MODIFIED", pod("a", rv=12))
    rig = _Pods()
    rig.answer(
        [pod_list(pod("a", rv=3), rv=10)],
        [(event("MODIFIED", pod("a", rv=11)), line[: len(line) // 2]), (line,)],
    )
    await rig.run_for(30)
    assert rig.watched_from()[:2] == ["10", "11"]
    assert rig.handler.events == ["+a@3!", "a@3>11", "a@11>12"]


@pytest.mark.parametrize(
    "gone",
    [
        failure(410, "Expired", "too old resource version"),
        (event("ERROR", status_body(410, "Expired", "too old resource version")),),
        Answer(200, status_body(410, "Gone", "too old resource version")),
    ],
    ids=["http status", "error event", "bare status body"],
)
def test_a_410_in_any_form_lists_again_and_delivers_deletes(gone: Any) -> None:
    """Fault 5: a list, synthetic deletes, and no handler calls for unchanged objects."""

    @virtual_time
    async def check() -> None:
        rig = _Pods()
        rig.answer(
            [
                pod_list(pod("a", rv=3), pod("b", rv=4), rv=10),
                pod_list(pod("b", rv=4), rv=20),
            ],
            [gone],
        )
        await rig.run_for(30)
        assert rig.watched_from() == ["10", "20"]
        assert rig.handler.events == ["+a@3!", "+b@4!", "-a@3?"]

    check()


@virtual_time
async def test_events_of_three_and_five_megabytes_arrive() -> None:
    """Fault 4: large events are decoded."""
    rig = _Pods()
    big = event("MODIFIED", pod("a", rv=11, spec={"x": "y" * 3_000_000}))
    bigger = event("MODIFIED", pod("a", rv=12, spec={"x": "y" * 5_000_000}))
    stream = big + bigger
    chunks = tuple(stream[at : at + 65536] for at in range(0, len(stream), 65536))
    rig.answer([pod_list(pod("a", rv=3), rv=10)], [chunks])
    await rig.run_for(1)
    held = rig.informer.store.get(ObjectKey("default", "a"))
    assert held is not None
    assert (held.meta.resource_version, len(held.raw) > 5_000_000) == ("12", True)


@virtual_time
async def test_watches_travel_on_the_connections_for_streams_and_lists_do_not() -> None:
    """Fault 15: calls have connections of their own, for any number of watches."""
    rig = _Pods()
    rig.answer([pod_list(rv=10)], [])
    await rig.run_for(1)
    assert len(rig.transport.seen) == 2
    assert rig.transport.streams == ["/api/v1/pods"]


@virtual_time
async def test_an_event_above_sixteen_megabytes_does_not_end_the_informer() -> None:
    """Fault 4: an event above the limit ends its stream, and a list returns the object."""
    rig = _Pods()
    endless = tuple([b'{"type":"MODIFIED","object":{"x":"' + b"y" * 1_000_000] + [b"y" * 1_000_000] * 17)
    rig.answer(
        [pod_list(pod("a", rv=3), rv=10), pod_list(pod("a", rv=12), rv=20)],
        [endless, (event("MODIFIED", pod("a", rv=21)),)],
    )
    await rig.run_for(30)
    assert rig.handler.events == ["+a@3!", "a@3>12", "a@12>21"]


@virtual_time
async def test_a_410_after_an_outage_lists_without_a_second_pause() -> None:
    """The watch after the outage was already delayed by the back-off of the refused ones."""
    refused = Refuse(ConnectionFailed("connection refused"))
    server = ScriptedListWatch(
        listing(make("old", rv=10), rv=10),
        listing(make("new", rv=50), rv=50),
        watches=[[Wait(20), Close], *[[refused]] * 6, [Refuse(EXPIRED)]],
    )
    async with running(Rig(server)) as rig:
        await asyncio.sleep(300)
        assert [obj.meta.name for obj in rig.informer.store.list()] == ["new"]
        expired = server.watches[7]
        assert server.lists[1].at == expired.at
