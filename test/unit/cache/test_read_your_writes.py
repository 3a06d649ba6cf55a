"""Responses to writes and watch events arrive at the cache in any order: the older one must not undo the newer one."""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from aimctl.kubetypes.builtin import PODS
from aimctl.runtime.cache import Cache
from aimctl.runtime.kube import Client
from aimctl.testing.virtualtime import virtual_clock, virtual_time
from support.cache_recorders import RecordingHandler
from support.scripted import Answer, ScriptedTransport, event, pod, pod_list

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ONE = "/api/v1/namespaces/default/pods/a"
DYING = {"deletionTimestamp": "2026-01-01T00:00:00Z"}


class Race:
    """A cache of pods, a client with its hooks, and a server whose events and responses the test releases."""

    def __init__(self, *listed: dict[str, Any], **declaration: Any) -> None:
        self.wire = ScriptedTransport()
        self._events: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._listed = pod_list(*listed, rv=10)
        self._answered = asyncio.Event()
        collection = "/api/v1/namespaces/default/pods" if declaration.get("namespaces") else "/api/v1/pods"
        self.wire.on("GET", collection, self._list_or_watch)
        client = Client(self.wire, clock=virtual_clock())
        self.cache = Cache(client, clock=virtual_clock(), rng=random.Random(1))
        self.handler = RecordingHandler()
        self.cache.declare(PODS, **declaration).add_handler(self.handler)
        self.client = client.with_(on_write=self.cache.observe_write, on_delete=self.cache.observe_delete)

    async def _list_or_watch(self, seen: Any) -> Any:
        if "watch" not in seen.query:
            return Answer(200, self._listed)
        line = await self._events.get()
        return Answer(410, b"") if line is None else Answer(200, chunks=(line,))

    def answers(self, method: str, path: str, body: dict[str, Any]) -> None:
        """The response to a write, delayed until :meth:`answer`."""

        async def held(_seen: Any) -> Answer:
            await self._answered.wait()
            return Answer(200, body)

        self.wire.on(method, path, held)

    async def answer(self) -> None:
        self._answered.set()
        await asyncio.sleep(1)

    async def watch_brings(self, type_: str, body: dict[str, Any]) -> None:
        self._events.put_nowait(event(type_, body))
        await asyncio.sleep(5)

    async def list_brings(self, *listed: dict[str, Any], rv: int) -> None:
        self._listed = pod_list(*listed, rv=rv)
        self._events.put_nowait(None)
        await asyncio.sleep(5)

    def held(self) -> list[str]:
        return [f"{obj.meta.name}@{obj.meta.resource_version}" for obj in self.cache.list(PODS)]


@asynccontextmanager
async def running(race: Race) -> AsyncIterator[Race]:
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(race.cache.run())
        await race.cache.wait_synced(10)
        yield race
        task.cancel()


@pytest.mark.parametrize("declaration", [{}, {"namespaces": ["default"]}, {"projection": "metadata"}])
@virtual_time
async def test_a_late_response_with_a_deleting_object_does_not_restore_it(
    declaration: dict[str, Any],
) -> None:
    race = Race(pod("a", rv=3), **declaration)
    race.answers("DELETE", ONE, pod("a", rv=12, metadata=DYING))
    async with running(race), asyncio.TaskGroup() as calls:
        calls.create_task(race.client.delete(PODS, "a", "default"))
        await race.watch_brings("DELETED", pod("a", rv=13, metadata=DYING))
        assert race.held() == []
        await race.answer()
        assert race.held() == []
        assert race.handler.events == ["+a@3!", "-a@13"]


@virtual_time
async def test_a_deleting_object_is_removed_by_its_delete_event() -> None:
    """The response to deleting a pod without grace period is its last state, with the version of the deletion."""
    race = Race(pod("a", rv=3))
    race.wire.on("DELETE", ONE, pod("a", rv=12, metadata=DYING))
    async with running(race):
        await race.client.delete(PODS, "a", "default", grace_period_seconds=0)
        assert race.held() == ["a@12"]
        await race.watch_brings("DELETED", pod("a", rv=12, metadata=DYING))
        assert race.held() == []


@virtual_time
async def test_a_late_response_does_not_restore_an_object_that_a_list_did_not_have() -> None:
    race = Race(pod("a", rv=3))
    race.answers("PATCH", ONE, pod("a", rv=15))
    async with running(race), asyncio.TaskGroup() as calls:
        calls.create_task(race.client.patch(PODS, "a", {}, "default"))
        await race.list_brings(rv=20)
        assert race.held() == []
        await race.answer()
        assert race.held() == []
        assert race.handler.events == ["+a@3!", "-a@3?"]


@virtual_time
async def test_a_late_response_does_not_undo_a_later_write() -> None:
    race = Race(pod("a", rv=3))
    race.answers("PATCH", ONE, pod("a", rv=15))
    async with running(race), asyncio.TaskGroup() as calls:
        calls.create_task(race.client.patch(PODS, "a", {}, "default"))
        await race.watch_brings("MODIFIED", pod("a", rv=16))
        await race.answer()
        assert race.held() == ["a@16"]
        assert race.handler.events == ["+a@3!", "a@3>16"]


@virtual_time
async def test_a_late_response_does_not_affect_a_new_object_of_the_same_name() -> None:
    race = Race(pod("a", rv=3))
    race.answers("DELETE", ONE, {"kind": "Status", "status": "Success", "details": {"uid": "uid-a"}})
    async with running(race), asyncio.TaskGroup() as calls:
        calls.create_task(race.client.delete(PODS, "a", "default"))
        await race.watch_brings("DELETED", pod("a", rv=12))
        await race.watch_brings("ADDED", pod("a", rv=13, metadata={"uid": "another"}))
        await race.answer()
        assert race.held() == ["a@13"]


@virtual_time
async def test_a_deleting_object_outside_the_selector_is_not_cached() -> None:
    race = Race(pod("b", rv=3, metadata={"labels": {"app": "web"}}), label_selector="app=web")
    race.wire.on("DELETE", ONE, pod("a", rv=12, metadata=DYING | {"labels": {"app": "api"}}))
    async with running(race):
        await race.client.delete(PODS, "a", "default")
        assert race.held() == ["b@3"]
        assert race.handler.events == ["+b@3!"]


@virtual_time
async def test_a_write_before_the_first_list_is_read_at_once_and_the_list_does_not_undo_it() -> None:
    race = Race(pod("a", rv=3))
    race.wire.on("PATCH", ONE, pod("a", rv=11))
    await race.client.patch(PODS, "a", {}, "default")
    assert race.held() == ["a@11"]
    async with running(race):
        assert race.held() == ["a@11"]
        await race.watch_brings("MODIFIED", pod("a", rv=11))
        assert race.handler.events == ["+a@11"]


# ---- reads without own writes


def confirmed(race: Race) -> list[str]:
    """What the cache has without own writes, by all three ways of reading."""
    listed = race.cache.list(PODS, own_writes=False)
    for namespace in ("default", "other"):
        own = race.cache.list(PODS, namespace, own_writes=False)
        assert [one for one in listed if one.meta.namespace == namespace] == own
    for obj in listed:
        assert race.cache.get(PODS, obj.meta.name, obj.meta.namespace, own_writes=False) is obj
        assert obj in race.cache.by_index(PODS, "name", obj.meta.name, own_writes=False)
    return [f"{obj.meta.name}@{obj.meta.resource_version}" for obj in listed]


@virtual_time
async def test_a_read_can_ignore_own_writes_until_the_watch_brings_them() -> None:
    race = Race(pod("a", rv=3), indexes={"name": lambda obj: [obj.meta.name]})
    race.wire.on("PATCH", ONE, pod("a", rv=12))
    race.wire.on("POST", ONE.removesuffix("/a"), pod("b", rv=13))
    async with running(race):
        await race.client.patch(PODS, "a", {}, "default")
        await race.client.create(PODS, pod("b", rv=0), "default")
        assert (sorted(race.held()), confirmed(race)) == (["a@12", "b@13"], ["a@3"])
        assert race.cache.get(PODS, "b", "default", own_writes=False) is None
        await race.watch_brings("MODIFIED", pod("a", rv=11))
        assert (sorted(race.held()), confirmed(race)) == (["a@12", "b@13"], ["a@11"])
        await race.watch_brings("MODIFIED", pod("a", rv=12))
        await race.watch_brings("ADDED", pod("b", rv=13))
        assert sorted(race.held()) == sorted(confirmed(race)) == ["a@12", "b@13"]


@virtual_time
async def test_a_read_can_still_see_an_object_that_was_deleted_here() -> None:
    race = Race(pod("a", rv=3), indexes={"name": lambda obj: [obj.meta.name]})
    race.wire.on("DELETE", ONE, {"kind": "Status", "status": "Success", "details": {"uid": "uid-a"}})
    async with running(race):
        await race.client.delete(PODS, "a", "default")
        assert (race.held(), confirmed(race)) == ([], ["a@3"])
        await race.list_brings(pod("a", rv=3), rv=11)
        assert (race.held(), confirmed(race)) == ([], ["a@3"])
        await race.list_brings(rv=20)
        assert (race.held(), confirmed(race)) == ([], [])
