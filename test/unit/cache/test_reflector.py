"""The list/watch loop in virtual time (checklist 39-52)."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import pytest
from structlog.testing import capture_logs

from aimctl.kubetypes import ObjectKey
from aimctl.runtime.cache import ReflectorOptions
from aimctl.runtime.kube.answers import ObjectList, UnreadableItem
from aimctl.runtime.kube.errors import ConnectionFailed, DecodeError, error_from_status
from aimctl.testing.virtualtime import virtual_time
from support.cache_recorders import Rig, running
from support.scripted_listwatch import (
    Call,
    Close,
    Refuse,
    ScriptedListWatch,
    Undecodable,
    Wait,
    added,
    bookmark,
    deleted,
    listing,
    modified,
)
from support.things import make

EXPIRED = error_from_status(410, "Expired", "too old resource version")


def versions(calls: list[Call]) -> list[str | None]:
    return [call.version for call in calls]


@virtual_time
async def test_it_lists_then_watches_and_each_event_advances_the_version() -> None:
    """Checklist 39: the watch starts at the version of the list, and resumes after the last event."""
    server = ScriptedListWatch(
        listing(make("a", rv=3), rv=10),
        watches=[[Wait(5), modified("a", rv=11), added("b", rv=12), Wait(5), bookmark(20), Close]],
    )
    async with running(Rig(server)) as rig:
        for at, version in ((4, "10"), (6, "12"), (11, "20")):
            await asyncio.sleep(at - asyncio.get_running_loop().time())
            assert rig.informer.store.resource_version == version
        await asyncio.sleep(400)
        assert versions(server.watches)[:2] == ["10", "20"]
        assert len(server.lists) == 1
        assert rig.held() == ["a@11", "b@12"]
        assert rig.handler.events == ["+a@3!", "a@3>11", "+b@12"]
        assert rig.informer.store.resource_version == "20"


@pytest.mark.parametrize(
    "broken",
    [
        [error_from_status(410, "Expired", "gone")],
        [Refuse(EXPIRED)],
        [added("c", rv=30), EXPIRED],
        [Refuse(error_from_status(400, "BadRequest", "what?"))],
        [DecodeError("a line that is not JSON")],
    ],
)
def test_after_errors_the_next_cycle_makes_the_store_equal_the_list(broken: list[object]) -> None:
    """Checklist 40: after errors of lists and watches the store holds what the next list says."""

    @virtual_time
    async def check() -> None:
        server = ScriptedListWatch(
            error_from_status(500, "InternalError", "not yet"),
            listing(make("a", rv=3), make("b", rv=4), rv=10),
            ConnectionFailed("reset"),
            listing(make("b", rv=4), make("d", rv=35), rv=40),
            watches=[broken],
        )
        async with running(Rig(server)) as rig:
            await asyncio.sleep(60)
            assert rig.held() == ["b@4", "d@35"]
            assert versions(server.watches) == ["10", "40"]
            assert len(server.lists) == 4

    check()


@virtual_time
async def test_cancelling_ends_the_loop_and_closes_the_watch() -> None:
    """Checklist 41: the stop request ends everything, without an error, and closes the stream."""
    server = ScriptedListWatch(listing(rv=10))
    async with running(Rig(server)) as rig:
        await rig.informer.wait_synced()
        await asyncio.sleep(1)
        assert server.open_watches == 1
    assert server.open_watches == 0


@virtual_time
async def test_an_event_that_cannot_be_decoded_leads_to_a_list_of_the_newest_state() -> None:
    """Checklist 42: it may have reported a deletion, so what it reported is read again."""
    server = ScriptedListWatch(
        listing(make("a", rv=3), make("b", rv=4), rv=10),
        listing(make("a", rv=3), rv=11),
        watches=[[Wait(3), Undecodable(), added("never", rv=12)]],
    )
    async with running(Rig(server)) as rig:
        await asyncio.sleep(10)
        assert rig.held() == ["a@3"]
        assert rig.handler.events == ["+a@3!", "+b@4!", "-b@4?"]
        assert [call.version for call in server.lists] == ["", ""]
        assert 3.8 <= server.lists[1].at < 4.7
        assert (rig.metrics.decode_errors, rig.metrics.ends["unreadable"]) == (1, 1)


@virtual_time
async def test_events_that_cannot_be_decoded_again_and_again_are_followed_by_slower_lists() -> None:
    server = ScriptedListWatch(listing(rv=10), watches=[[Undecodable()]] * 1000)
    async with running(Rig(server)) as rig:
        await asyncio.sleep(600)
        assert rig.informer.synced
        assert len(server.lists) < 30


@virtual_time
async def test_items_of_a_list_that_cannot_be_decoded_are_reported_and_the_others_cached() -> None:
    """Checklist 70: a broken item does not lose the others, and its last known state is kept."""

    def page(rv: int, *unreadable: ObjectKey | None) -> ObjectList[Any]:
        bad = tuple(UnreadableItem(key, DecodeError("no object")) for key in unreadable)
        objects = [make(name, rv=rv) for name in "abc" if ObjectKey("ns", name) not in unreadable]
        return ObjectList(tuple(objects), str(rv), unreadable=bad)

    b = ObjectKey("ns", "b")
    server = ScriptedListWatch(
        page(10),
        page(20, b, None),
        page(30, b),
        page(40),
        watches=[[Wait(5), EXPIRED]] * 3,
    )
    with capture_logs() as logs:
        async with running(Rig(server)) as rig:
            await asyncio.sleep(8)
            assert sorted(rig.held()) == ["a@20", "b@10", "c@20"], "the last known state is kept"
            assert rig.metrics.decode_errors == 2
            assert "2 items of the list cannot be read" in rig.informer.health.last_error
            assert rig.informer.health.ready
            await asyncio.sleep(100)
            assert sorted(rig.held()) == ["a@40", "b@40", "c@40"]
            assert not rig.informer.health.last_error
            assert not any(change.startswith("-") for change in rig.handler.events)
    reported = [entry["error"] for entry in logs if "cannot be read" in entry["event"]]
    assert reported == ["ns/b: no object", "an item without a name: no object"]


@virtual_time
async def test_an_error_event_ends_the_stream_as_an_api_error() -> None:
    """Checklist 43: the stream is closed, the health shows the error, and the loop continues."""
    server = ScriptedListWatch(
        listing(rv=10), watches=[[Wait(3), error_from_status(500, "InternalError", "etcdserver: no leader")]]
    )
    async with running(Rig(server)) as rig:
        await asyncio.sleep(3.1)
        assert server.open_watches == 0
        assert rig.informer.health.last_error == "watch things.test.example: etcdserver: no leader"
        await asyncio.sleep(5)
        assert server.open_watches == 1
        assert rig.informer.health.last_error == ""


@virtual_time
async def test_a_refused_connection_on_watch_start_backs_off_without_a_list() -> None:
    """Checklist 44: back-off, the same version, no list."""
    refused = Refuse(ConnectionFailed("connection refused", refused=True))
    server = ScriptedListWatch(listing(rv=10), watches=[[refused]] * 5)
    async with running(Rig(server)) as rig:
        await asyncio.sleep(120)
        assert versions(server.watches)[:6] == ["10"] * 6
        assert len(server.lists) == 1
        starts = [call.at for call in server.watches[:6]]
        pauses = [later - earlier for earlier, later in pairwise(starts)]
        for pause, base in zip(pauses, (0.8, 1.6, 3.2, 6.4, 12.8), strict=True):
            assert base <= pause < 2 * base
        assert rig.metrics.ends["broken"] == 5


@virtual_time
async def test_429_on_a_watch_backs_off_without_a_list() -> None:
    """Checklist 45: back off and watch again; the number of lists stays 1."""
    busy = Refuse(error_from_status(429, "TooManyRequests", "slow down"))
    server = ScriptedListWatch(listing(rv=10), watches=[[busy]] * 4)
    async with running(Rig(server)):
        await asyncio.sleep(60)
        assert len(server.lists) == 1
        assert len(server.watches) == 5
        assert server.watches[1].at - server.watches[0].at >= 0.8


@virtual_time
async def test_500s_on_a_watch_are_retried_without_a_list_only_within_the_window() -> None:
    """Checklist 46: re-watch inside the configured window, then list."""
    failing = Refuse(error_from_status(500, "InternalError", "no"))
    server = ScriptedListWatch(listing(rv=10), watches=[[failing]] * 40)
    options = ReflectorOptions(internal_error_window_seconds=20, backoff_cap_seconds=2)
    async with running(Rig(server, options=options)):
        await asyncio.sleep(60)
        assert 20 <= server.lists[1].at <= 25
        assert sum(call.at < 20 for call in server.watches) >= 5


@virtual_time
async def test_the_first_list_is_the_newest_state_and_later_ones_are_from_the_last_seen() -> None:
    """Checklist 47: "", then the last known version."""
    server = ScriptedListWatch(
        listing(rv=10), listing(make("a", rv=15), rv=16), watches=[[added("a", rv=15), Wait(2), EXPIRED]]
    )
    async with running(Rig(server)):
        await asyncio.sleep(10)
        assert versions(server.lists) == ["", "15"]


@virtual_time
async def test_410_on_a_relist_lists_the_newest_state_once() -> None:
    """Checklist 48: "" at once; afterwards the last version is used again."""
    server = ScriptedListWatch(
        listing(rv=10),
        EXPIRED,
        listing(make("a", rv=50), rv=60),
        watches=[[Wait(2), EXPIRED], [Wait(2), EXPIRED]],
    )
    async with running(Rig(server)) as rig:
        await asyncio.sleep(20)
        assert versions(server.lists)[:4] == ["", "10", "", "60"]
        assert server.lists[1].at == server.lists[2].at
        assert rig.held() == ["a@50"]


@virtual_time
async def test_the_newest_state_is_requested_until_a_list_succeeds() -> None:
    """Checklist 48: a failure in between does not lead back to the expired version."""
    server = ScriptedListWatch(
        listing(rv=10),
        EXPIRED,
        error_from_status(500, "InternalError", "no quorum"),
        listing(rv=60),
        watches=[[Wait(2), EXPIRED]],
    )
    async with running(Rig(server)):
        await asyncio.sleep(20)
        assert versions(server.lists) == ["", "10", "", ""]


@virtual_time
async def test_a_successful_watch_restarts_the_window_for_500s() -> None:
    failing = error_from_status(500, "InternalError", "no")
    server = ScriptedListWatch(
        listing(rv=10),
        watches=[[Refuse(failing)], *([added("a", rv=11 + n), Wait(30), failing] for n in range(5))],
    )
    async with running(Rig(server, options=ReflectorOptions(internal_error_window_seconds=20))):
        await asyncio.sleep(500)
        assert len(server.watches) > 5
        assert len(server.lists) == 1


@virtual_time
async def test_an_unexpected_timeout_error_is_raised() -> None:
    rig = Rig(ScriptedListWatch(listing(rv=10), watches=[[TimeoutError("a bug")]]))
    with pytest.raises(ExceptionGroup) as caught:
        await rig.informer.run()
    assert caught.group_contains(TimeoutError, match="a bug")


@virtual_time
async def test_a_first_list_in_pages_is_joined() -> None:
    """Checklist 50: the newest state is read in pages, and a later list is not."""
    server = ScriptedListWatch(
        listing(make("a", rv=1), rv=10, more="next"),
        listing(make("b", rv=2), rv=10),
        listing(make("a", rv=1), make("b", rv=2), rv=20),
        watches=[[Wait(2), EXPIRED]],
    )
    async with running(Rig(server)) as rig:
        await asyncio.sleep(10)
        assert rig.held() == ["a@1", "b@2"]
        assert [call.options["limit"] for call in server.lists] == [500, 500, None]
        assert [call.options["continue_token"] for call in server.lists] == ["", "next", ""]
        assert versions(server.lists) == ["", None, "10"]


@virtual_time
async def test_a_relist_from_a_concrete_version_is_not_paged() -> None:
    """Checklist 50: so that the server's watch cache can answer it; an explicit page size wins."""
    for page_size, expected in ((None, [500, None]), (7, [7, 7])):
        server = ScriptedListWatch(listing(rv=10), watches=[[Wait(2), EXPIRED]])
        async with running(Rig(server, options=ReflectorOptions(page_size=page_size))):
            await asyncio.sleep(10)
            assert [call.options["limit"] for call in server.lists] == expected


@virtual_time
async def test_watch_timeouts_are_random_between_the_least_and_twice_it() -> None:
    """Checklist 51: within [300, 600) seconds."""
    server = ScriptedListWatch(listing(rv=10))
    async with running(Rig(server)):
        await asyncio.sleep(40_000)
        timeouts = [call.options["timeout_seconds"] for call in server.watches]
        assert len(timeouts) > 60
        assert all(300 <= timeout < 600 for timeout in timeouts)
        assert len(set(timeouts)) > 30
        assert min(timeouts) < 350
        assert max(timeouts) > 550


@virtual_time
async def test_an_unreadable_object_on_the_server_causes_a_list_that_replaces_the_store() -> None:
    """Checklist 52: a StoreReadError leads to a list instead of another watch."""
    server = ScriptedListWatch(
        listing(make("a", rv=1), make("corrupt", rv=2), rv=10),
        listing(make("a", rv=1), rv=20),
        watches=[[Wait(2), error_from_status(500, "StoreReadError", "corrupt object has been deleted")]],
    )
    async with running(Rig(server)) as rig:
        await asyncio.sleep(5)
        assert rig.held() == ["a@1"]
        assert rig.handler.events[-1] == "-corrupt@2?"


@virtual_time
async def test_an_unreadable_object_causes_a_list_without_changes() -> None:
    """Checklist 52: the store is replaced with identical objects, without handler calls."""
    server = ScriptedListWatch(
        listing(make("a", rv=1), rv=10),
        listing(make("a", rv=1), rv=20),
        watches=[[Wait(2), error_from_status(500, "StoreReadError", "corrupt object has been deleted")]],
    )
    async with running(Rig(server)) as rig:
        await asyncio.sleep(5)
        assert (versions(server.lists), versions(server.watches)) == (["", "10"], ["10", "20"])
        assert rig.informer.store.resource_version == "20"
        assert rig.handler.events == ["+a@1!"]


@virtual_time
async def test_a_list_without_a_version_is_refused() -> None:
    """A watch without a version would replay everything and miss deletes."""
    server = ScriptedListWatch(listing(rv=""), listing(make("a", rv=1), rv=10))  # type: ignore[arg-type] # on purpose
    async with running(Rig(server)) as rig:
        await asyncio.sleep(0.5)
        assert not rig.informer.synced
        assert "has no metadata.resourceVersion" in rig.informer.health.problem
        await asyncio.sleep(5)
        assert rig.held() == ["a@1"]


@virtual_time
async def test_a_server_with_a_new_history_replaces_newer_versions() -> None:
    """After restoring a backup the known version is too large, and the newest list, although older, is correct."""
    too_large = error_from_status(504, "Timeout", "Too large resource version: 5000, current: 60")
    server = ScriptedListWatch(
        listing(make("a", rv=4000), make("b", rv=4001), rv=5000),
        too_large,
        listing(make("a", rv=40), rv=60),
        watches=[[Wait(5), too_large], [modified("a", rv=61)]],
    )
    async with running(Rig(server)) as rig:
        await asyncio.sleep(30)
        assert rig.held() == ["a@61"]
        assert versions(server.watches) == ["5000", "60"]
        assert rig.handler.events[2:] == ["-b@4001?", "a@4000>40", "a@40>61"]


@virtual_time
async def test_a_metadata_only_scope_applies_to_lists_and_watches() -> None:
    server = ScriptedListWatch(listing(rv=10))
    async with running(
        Rig(server, projection="metadata", label_selector="app=web", field_selector="metadata.name=a")
    ):
        await asyncio.sleep(1)
    for call in (*server.lists, *server.watches):
        assert call.options["metadata_only"] is True
        assert call.options["label_selector"] == "app=web"
        assert call.options["field_selector"] == "metadata.name=a"


@virtual_time
async def test_a_delete_event_removes_the_object() -> None:
    server = ScriptedListWatch(listing(make("a", rv=3), rv=10), watches=[[deleted("a", rv=11)]])
    async with running(Rig(server)) as rig:
        await asyncio.sleep(1)
        assert rig.held() == []
        assert rig.handler.events == ["+a@3!", "-a@11"]
