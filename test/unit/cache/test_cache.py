"""The cache: declared kinds, shared informers, reads without copies (checklist 85-90)."""

from __future__ import annotations

import asyncio
import gc
import random
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from aimctl.kubetypes import Object, ObjectKey, Resource
from aimctl.kubetypes.builtin import NODES
from aimctl.runtime.cache import (
    Cache,
    CacheNotSynced,
    ClashingDeclaration,
    InformerStopped,
    UndeclaredKind,
    UnknownIndex,
    UnwatchedNamespace,
)
from aimctl.runtime.kube.errors import error_from_status
from aimctl.testing.virtualtime import virtual_clock, virtual_time
from support.cache_recorders import RecordingReflectorMetrics
from support.scripted_listwatch import ScriptedListWatch, Slow, Wait, added, listing
from support.things import PARTS, THINGS, make

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


def make_cache(reader: Any, **options: Any) -> Cache:
    return Cache(reader, clock=virtual_clock(), rng=random.Random(1), **options)


@asynccontextmanager
async def running(cache: Cache) -> AsyncIterator[Cache]:
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(cache.run())
        yield cache
        task.cancel()


def by_label(obj: Object[Any]) -> list[str]:
    return list(obj.meta.labels.values())


def test_reading_an_undeclared_kind_is_an_error_that_says_how_to_declare_it() -> None:
    cache = make_cache(ScriptedListWatch(listing(rv=1)))
    cache.declare(PARTS)
    for read in (
        lambda: cache.get(THINGS, "a", "ns"),
        lambda: cache.list(THINGS),
        lambda: cache.by_index(THINGS, "x", "y"),
        lambda: cache.informer(THINGS),
    ):
        with pytest.raises(
            UndeclaredKind, match=r"things\.test\.example .* declared kinds: parts\.test\.example.*cache"
        ):
            read()


@virtual_time
async def test_reading_an_undeclared_kind_starts_no_list() -> None:
    server = ScriptedListWatch(listing(rv=1))
    async with running(make_cache(server)) as cache:
        with pytest.raises(UndeclaredKind):
            cache.get(THINGS, "a", "ns")
        await asyncio.sleep(10)
        assert (server.lists, server.watches) == ([], [])


def test_a_read_that_cannot_be_meant_is_an_error() -> None:
    """None would mean that the object does not exist."""
    cache = make_cache(ScriptedListWatch(listing(rv=1)))
    cache.declare(THINGS)
    cache.declare(NODES)
    with pytest.raises(ValueError, match=r"Thing 'a' needs a namespace.*get\(resource, name, namespace\)"):
        cache.get(THINGS, "a")
    with pytest.raises(ValueError, match=r"'my\.config' is not a valid namespace.*name, namespace"):
        cache.get(THINGS, "ns", "my.config")
    with pytest.raises(ValueError, match="namespace='ns': nodes are cluster-scoped"):
        cache.get(NODES, "a", "ns")
    for name in ("ns/a", "..", "a%2Fb"):
        with pytest.raises(ValueError, match=f"name {name!r} is not valid: it may not"):
            cache.get(THINGS, name, "ns")
    with pytest.raises(ValueError, match="name 'a/b' is not valid"):
        cache.get(NODES, "a/b")
    assert cache.get(THINGS, "my.config", "ns") is None
    assert cache.get(NODES, "a") is None


@pytest.mark.parametrize("projection", ["meta", "", "FULL", None])
def test_an_unknown_projection_is_an_error(projection: Any) -> None:
    with pytest.raises(ValueError, match=f"projection={projection!r}: use 'full' or 'metadata'"):
        make_cache(ScriptedListWatch(listing(rv=1))).declare(THINGS, projection=projection)


@pytest.mark.parametrize("namespace", ["..", "a/b", "%2e"])
def test_an_invalid_namespace_in_a_declaration_is_an_error(namespace: str) -> None:
    with pytest.raises(ValueError, match=r"namespace .* is not valid"):
        make_cache(ScriptedListWatch(listing(rv=1))).declare(THINGS, namespaces=[namespace])


@virtual_time
async def test_reads_give_the_shared_objects_without_copies() -> None:
    """Checklist 86: this cache never copies, because objects are immutable."""
    server = ScriptedListWatch(listing(make("a", rv=3, labels={"x": "one"}), make("b", "other", rv=4), rv=10))
    cache = make_cache(server)
    informer = cache.declare(THINGS, indexes={"label": by_label})
    async with running(cache):
        await cache.wait_synced(5)
        obj = cache.get(THINGS, "a", "ns")
        assert obj is informer.store.get(ObjectKey("ns", "a"))
        assert cache.list(THINGS, "ns") == [obj]
        assert len(cache.list(THINGS)) == 2
        assert cache.by_index(THINGS, "label", "one") == [obj]


@virtual_time
async def test_a_cached_view_cannot_be_changed() -> None:
    """Checklist 85: no mutation detector is needed, because changing a view or the metadata raises."""
    stored = make("a", rv=3, labels={"l": "1"}, annotations={"n": "1"}, spec={"x": [1]})
    cache = make_cache(ScriptedListWatch(listing(stored, rv=10)))
    cache.declare(THINGS)
    async with running(cache):
        await cache.wait_synced(5)
        obj = cache.get(THINGS, "a", "ns")
        assert obj is not None
        with pytest.raises(TypeError):
            obj.view["spec"]["x"] = 2
        with pytest.raises(AttributeError):
            obj.view["spec"]["x"].append(2)
        with pytest.raises(TypeError):
            obj.meta.labels["l"] = "2"  # type: ignore[index] # on purpose
        with pytest.raises(TypeError):
            obj.annotations["n"] = "2"  # type: ignore[index] # on purpose
        with pytest.raises(AttributeError):
            obj.meta.name = "b"  # type: ignore[misc] # on purpose
        obj.body()["spec"]["x"].append(2)
        assert obj.body() == stored.body(), "each body is a copy of its own"


@virtual_time
async def test_an_absent_object_is_none_and_an_unwatched_namespace_an_error() -> None:
    """Checklist 87: not found is None; reading a namespace that is not cached is an error."""
    cache = make_cache(ScriptedListWatch(listing(rv=10)))
    cache.declare(THINGS, namespaces=["one", "two"])
    async with running(cache):
        await cache.wait_synced(5)
        assert cache.get(THINGS, "a", "one") is None
        assert cache.list(THINGS, "two") == []
        for read in (lambda: cache.get(THINGS, "a", "three"), lambda: cache.list(THINGS, "three")):
            with pytest.raises(UnwatchedNamespace, match="cached for one, two, not for namespace 'three'"):
                read()


@virtual_time
async def test_waiting_for_sync_can_be_cancelled() -> None:
    """Checklist 88: the wait ends, the cache continues."""
    cache = make_cache(ScriptedListWatch(Slow(100, listing(rv=10))))
    cache.declare(THINGS)
    async with running(cache):
        waiter = asyncio.create_task(cache.wait_synced())
        await asyncio.sleep(1)
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter
        await asyncio.sleep(100)
        assert cache.synced


@virtual_time
async def test_a_sync_timeout_names_the_problem_of_each_kind() -> None:
    def answer(namespace: str, options: dict[str, Any]) -> Any:
        if options["label_selector"]:
            return error_from_status(403, "Forbidden", "not you")
        return Slow(1000, listing(rv=1))

    cache = make_cache(ScriptedListWatch(answer))
    cache.declare(THINGS)
    cache.declare(PARTS, label_selector="x")
    async with running(cache):
        with pytest.raises(CacheNotSynced) as caught:
            await cache.wait_synced(30)
        assert caught.value.reasons == (
            "things.test.example has not been listed yet",
            "not allowed to list parts.test.example: not you; grant the verb list on parts.test.example",
        )
        assert "; ".join(caught.value.reasons) in str(caught.value)


@virtual_time
async def test_the_same_declaration_gives_the_same_informer_and_adds_indexes() -> None:
    server = ScriptedListWatch(listing(make("a", rv=3, labels={"x": "one"}), rv=10))
    cache = make_cache(server)
    informer = cache.declare(THINGS, namespaces=["b", "a"], indexes={"label": by_label})
    async with running(cache):
        await cache.wait_synced(5)
        again = cache.declare(
            THINGS,
            namespaces=["a", "b", "a"],
            indexes={"label": by_label, "name": lambda obj: [obj.meta.name]},
        )
        assert again is informer
        assert len(cache.by_index(THINGS, "name", "a")) == 1
        assert len(server.lists) == 2
        with pytest.raises(UnknownIndex):
            cache.by_index(THINGS, "other", "a")


@pytest.mark.parametrize(
    "other",
    [
        {"namespaces": ["x"]},
        {"label_selector": "a=b"},
        {"field_selector": "metadata.name=a"},
        {"projection": "metadata"},
        {"optional": True},
    ],
)
def test_a_clashing_declaration_shows_both_declarations(other: dict[str, Any]) -> None:
    """Checklist 90: there is no precedence between declarations; what cannot be shared is refused."""
    cache = make_cache(ScriptedListWatch(listing(rv=1)))
    cache.declare(THINGS)
    with pytest.raises(ClashingDeclaration) as caught:
        cache.declare(THINGS, **other)
    shown = str(caught.value).splitlines()
    assert shown[1] != shown[2]
    assert next(iter(other)) in shown[2]


def test_an_index_with_two_functions_is_a_clash() -> None:
    cache = make_cache(ScriptedListWatch(listing(rv=1)))
    cache.declare(THINGS, indexes={"x": by_label})
    with pytest.raises(
        ClashingDeclaration, match=r"index 'x' of things\.test\.example is declared with two functions"
    ):
        cache.declare(THINGS, indexes={"x": lambda _: ()})


def test_two_types_of_view_for_one_kind_are_a_clash() -> None:
    typed: Resource[bytes] = Resource("test.example", "v1", "Thing", "things", True, lambda raw: raw)
    cache = make_cache(ScriptedListWatch(listing(rv=1)))
    cache.declare(THINGS)
    with pytest.raises(ClashingDeclaration, match="two types of view"):
        cache.declare(typed)


@virtual_time
async def test_a_kind_declared_while_running_starts_at_once() -> None:
    server = ScriptedListWatch(listing(make("a", rv=3), rv=10), watches=[[Wait(1), added("b", rv=11)]])
    async with running(make_cache(server)) as cache:
        await asyncio.sleep(5)
        cache.declare(THINGS)
        assert not cache.synced
        await cache.wait_synced(5)
        await asyncio.sleep(2)
        assert len(cache.list(THINGS)) == 2


@virtual_time
async def test_the_hooks_for_the_client_reach_the_right_informer() -> None:
    cache = make_cache(ScriptedListWatch(listing(rv=10)))
    cache.declare(THINGS)
    async with running(cache):
        await cache.wait_synced(5)
        cache.observe_write(make("a", rv=11))
        cache.observe_write(make("a", resource=PARTS, rv=12))
        assert cache.get(THINGS, "a", "ns") is not None
        cache.observe_delete(THINGS, ObjectKey("ns", "a"), "uid-a")
        cache.observe_delete(PARTS, ObjectKey("ns", "a"), "uid-a")
        assert cache.get(THINGS, "a", "ns") is None


@virtual_time
async def test_a_cache_runs_once_and_its_informers_end_with_it() -> None:
    """Checklist 89: a stopped informer stays stopped; a new cache has fresh data."""
    server = ScriptedListWatch(listing(rv=10))
    cache = make_cache(server)
    informer = cache.declare(THINGS)
    async with running(cache):
        await cache.wait_synced(5)
        await asyncio.sleep(1)
        assert server.open_watches == 1
    assert server.open_watches == 0
    with pytest.raises(RuntimeError, match="was run before"):
        await cache.run()
    with pytest.raises(InformerStopped):
        informer.add_handler(None)  # type: ignore[arg-type] # never reached
    fresh = make_cache(ScriptedListWatch(listing(make("new", rv=20), rv=30)))
    fresh.declare(THINGS)
    async with running(fresh):
        await fresh.wait_synced(5)
        assert [obj.meta.name for obj in fresh.list(THINGS)] == ["new"]


@virtual_time
async def test_an_informer_that_fails_ends_the_cache() -> None:
    """A bug in a reflector must be raised, so that no kind is silently left unwatched."""
    cache = make_cache(ScriptedListWatch(ZeroDivisionError("a bug")))
    cache.declare(THINGS)
    with pytest.raises(ExceptionGroup) as caught:
        await cache.run()
    assert caught.group_contains(ZeroDivisionError)


@virtual_time
async def test_each_informer_gets_its_own_metrics() -> None:
    made: dict[str, RecordingReflectorMetrics] = {}

    def metrics(name: str) -> RecordingReflectorMetrics:
        return made.setdefault(name, RecordingReflectorMetrics())

    cache = make_cache(ScriptedListWatch(listing(make("a", rv=3), rv=10)), metrics=metrics)
    cache.declare(THINGS)
    cache.declare(PARTS)
    async with running(cache):
        await cache.wait_synced(5)
        await asyncio.sleep(7)
        assert [informer.name for informer in cache.informers] == [
            "things.test.example",
            "parts.test.example",
        ]
        gauges = made["things.test.example"].gauges
        assert gauges is not None
        assert (gauges.name, gauges.objects, gauges.synced) == ("things.test.example", 1, True)
        assert gauges.bytes > 100
        assert gauges.age_seconds == pytest.approx(7)
        assert (made["parts.test.example"].lists, made["parts.test.example"].watches) == (1, 1)


@virtual_time
async def test_the_heap_is_frozen_after_the_first_sync_only_on_request() -> None:
    gc.unfreeze()
    try:
        for freeze in (False, True):
            cache = make_cache(ScriptedListWatch(listing(make("a", rv=3), rv=10)), freeze_after_sync=freeze)
            cache.declare(THINGS)
            async with running(cache):
                await cache.wait_synced(5)
                await asyncio.sleep(1)
                assert (gc.get_freeze_count() > 0) is freeze
    finally:
        gc.unfreeze()


@virtual_time
async def test_the_heap_is_frozen_although_another_kind_cannot_be_listed() -> None:
    def answer(_namespace: str, options: dict[str, Any]) -> Any:
        forbidden = error_from_status(403, "Forbidden", "no")
        return forbidden if options["label_selector"] else listing(make("a", rv=3), rv=10)

    gc.unfreeze()
    try:
        cache = make_cache(ScriptedListWatch(answer), freeze_after_sync=True)
        cache.declare(PARTS, label_selector="forbidden")
        cache.declare(THINGS)
        async with running(cache):
            await asyncio.sleep(10)
            assert not cache.synced
            assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()
