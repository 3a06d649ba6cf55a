"""A cache that would stay out of date without an error: silent connections, and a history that goes backwards."""

from __future__ import annotations

import asyncio

import pytest

from aimctl.runtime.cache.reflector.policy import Next, Step, WatchEnd, after_check, went_back
from aimctl.runtime.kube.errors import ConnectionFailed, error_from_status
from aimctl.testing.virtualtime import virtual_time
from support.cache_recorders import Rig, running
from support.scripted_listwatch import (
    Close,
    Deaf,
    Refuse,
    ScriptedListWatch,
    Wait,
    added,
    bookmark,
    listing,
    modified,
)
from support.things import make

SILENT = Wait(1000)
"""Longer than the idle time."""


def versions(calls) -> list[str | None]:
    return [call.version for call in calls]


# ---- a restored etcd: the server has an older version, and drops events up to the version of the watch


@virtual_time
async def test_a_history_that_went_back_is_found_after_a_silent_watch() -> None:
    server = ScriptedListWatch(
        listing(make("a", rv=4000), make("b", rv=4001), rv=5000),
        listing(make("a", rv=40), make("c", rv=41), rv=60),
        watches=[[Wait(5), ConnectionFailed("the server restarts")], [SILENT], [modified("a", rv=61)]],
    )
    server.newest = listing(make("a", rv=40), rv=60)
    async with running(Rig(server)) as rig:
        await asyncio.sleep(100)
        assert rig.held() == ["a@61", "c@41"]
        assert versions(server.lists) == ["", ""]
        assert versions(server.checks) == [None]
        assert versions(server.watches) == ["5000", "5000", "60"]
        assert rig.metrics.history_resets == 1


@virtual_time
async def test_a_history_that_went_back_is_found_if_a_proxy_keeps_ending_the_watch() -> None:
    """No single watch is silent for the idle time."""
    short = [Wait(30), Close]
    server = ScriptedListWatch(
        listing(make("a", rv=4000), rv=5000),
        listing(make("a", rv=40), rv=60),
        watches=[short, short, short, []],
    )
    server.newest = listing(rv=60)
    async with running(Rig(server)) as rig:
        await asyncio.sleep(100)
        assert rig.held() == ["a@40"]


@pytest.mark.parametrize("event", [bookmark(61), added("c", rv=61)])
def test_a_history_that_went_back_is_found_by_an_older_event(event) -> None:
    @virtual_time
    async def scenario() -> None:
        server = ScriptedListWatch(
            listing(make("a", rv=4000), rv=5000),
            listing(make("a", rv=40), make("c", rv=61), rv=62),
            watches=[[Wait(5), event]],
        )
        server.newest = listing(rv=62)
        async with running(Rig(server)) as rig:
            await asyncio.sleep(6)
            assert rig.held() == ["a@40", "c@61"]
            assert rig.metrics.ends[WatchEnd.BACKWARDS.value] == 1

    scenario()


@virtual_time
async def test_a_replay_costs_one_check_and_no_list() -> None:
    replay = [added("a", rv=5), Wait(1)]
    server = ScriptedListWatch(listing(make("a", rv=5), rv=10), watches=[[*replay * 50, added("b", rv=11)]])
    async with running(Rig(server)) as rig:
        await asyncio.sleep(60)
        assert (len(server.lists), len(server.checks), len(server.watches)) == (1, 1, 1)
        assert rig.held() == ["a@5", "b@11"]


@virtual_time
async def test_a_list_older_than_requested_leads_to_the_newest_state() -> None:
    server = ScriptedListWatch(
        listing(make("a", rv=4000), rv=5000),
        listing(rv=50),
        listing(make("a", rv=40), rv=60),
        watches=[[Wait(5), error_from_status(410, "Expired", "too old")]],
    )
    async with running(Rig(server)) as rig:
        await asyncio.sleep(10)
        assert versions(server.lists) == ["", "5000", ""]
        assert rig.held() == ["a@40"]


# ---- silence


@virtual_time
async def test_a_server_without_bookmarks_is_checked_but_not_listed_again() -> None:
    server = ScriptedListWatch(listing(make("a", rv=1), rv=10), watches=[[SILENT]] * 10)
    async with running(Rig(server)) as rig:
        await asyncio.sleep(10 * 75 + 1)
        assert len(server.lists) == 1
        assert len(server.checks) == 10
        assert rig.informer.health.ready


@virtual_time
async def test_a_server_that_has_sent_bookmarks_is_listed_after_the_second_silence() -> None:
    """Something between the client and the server swallows the events."""
    server = ScriptedListWatch(
        listing(make("a", rv=1), rv=10),
        listing(make("a", rv=1), make("b", rv=50), rv=60),
        watches=[[bookmark(20), SILENT], [SILENT]],
    )
    async with running(Rig(server)) as rig:
        await asyncio.sleep(2 * 75 + 1)
        assert versions(server.lists) == ["", "20"]
        assert rig.held() == ["a@1", "b@50"]


@virtual_time
async def test_an_idle_server_that_sends_bookmarks_is_not_checked() -> None:
    server = ScriptedListWatch(listing(rv=10))
    async with running(Rig(server)) as rig:
        await asyncio.sleep(6 * 3600)
        assert (len(server.lists), len(server.checks)) == (1, 0)
        assert rig.informer.health.ready


@virtual_time
async def test_an_informer_without_a_sign_of_life_is_not_ready_and_says_for_how_long() -> None:
    server = ScriptedListWatch(listing(rv=10), watches=[[Wait(10), bookmark(20), ConnectionFailed("gone")]])
    server.newest = ConnectionFailed("away")
    for _ in range(200):
        server.then_watch(Refuse(ConnectionFailed("away")))
    async with running(Rig(server)) as rig:
        await asyncio.sleep(200)
        assert rig.informer.health.ready
        await asyncio.sleep(120)
        health = rig.informer.health
        assert not health.ready
        assert "no list, event or bookmark for 310 s" in health.problem
        assert "away" in health.problem
        assert health.age_seconds == pytest.approx(310)
        server._scripts.clear()
        await asyncio.sleep(130)
        assert rig.informer.health.ready


@virtual_time
async def test_opening_a_watch_is_no_sign_of_life() -> None:
    server = ScriptedListWatch(listing(rv=10), watches=[[Deaf, SILENT]])
    async with running(Rig(server)) as rig:
        await asyncio.sleep(70)
        assert rig.metrics.gauges.age_seconds == pytest.approx(70)


# ---- decisions


@pytest.mark.parametrize(
    ("known", "newest", "silences", "bookmarks", "expected"),
    [
        ("10", "9", 1, False, Next(Step.LIST, newest=True)),
        ("10", "10", 1, True, Next(Step.WATCH)),
        ("10", "11", 5, False, Next(Step.WATCH)),
        ("10", "11", 2, True, Next(Step.LIST)),
        ("10", "", 1, True, Next(Step.WATCH)),
        ("abc", "abb", 1, True, Next(Step.WATCH)),
    ],
)
def test_after_a_check(known, newest, silences, bookmarks, expected) -> None:
    assert after_check(known, newest, silences=silences, bookmarks=bookmarks) == expected


def test_versions_are_compared_as_numbers() -> None:
    assert went_back("10", "9")
    assert not went_back("9", "10")
    assert not went_back("", "10")
    assert not went_back("x2", "x1")
    assert went_back("9" * 5000, "9")
    assert not went_back("9", "9" * 5000)
