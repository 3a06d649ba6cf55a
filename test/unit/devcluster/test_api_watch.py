"""Watch, in virtual time."""

from __future__ import annotations

import asyncio

from aimctl.testing.virtualtime import virtual_time
from support.apiserver import CONFIG_MAPS, CRDS, MERGE, WIDGETS, Api, config_map, crd, widget


async def relabel(api: Api, name: str, value: str | None) -> dict:
    return await api.ok(
        "PATCH", f"{CONFIG_MAPS}/{name}", {"metadata": {"labels": {"on": value}}}, media=MERGE
    )


@virtual_time
async def test_a_watch_returns_exactly_the_changes_after_its_version() -> None:
    api = Api()
    first = await api.ok("POST", CONFIG_MAPS, config_map("a"))
    await api.ok("POST", CONFIG_MAPS, config_map("b"))
    async with api.watch(CONFIG_MAPS, {"resourceVersion": first["metadata"]["resourceVersion"]}) as lines:
        assert await lines.seen(1) == [("ADDED", "b")]
        await api.ok("PATCH", f"{CONFIG_MAPS}/a", {"data": {"x": "1"}}, media=MERGE)
        await api.ok("DELETE", f"{CONFIG_MAPS}/b")
        assert await lines.seen(2) == [("MODIFIED", "a"), ("DELETED", "b")]


@virtual_time
async def test_a_deletion_event_has_the_last_state_at_the_version_of_the_deletion() -> None:
    api = Api()
    await api.ok("POST", CONFIG_MAPS, config_map("a", x="1"))
    version = str(api.server.storage.version)
    await api.ok("DELETE", f"{CONFIG_MAPS}/a")
    async with api.watch(CONFIG_MAPS, {"resourceVersion": version}) as lines:
        event = await lines.next()
    assert event["object"]["data"] == {"x": "1"}
    assert int(event["object"]["metadata"]["resourceVersion"]) == int(version) + 1


@virtual_time
async def test_a_watch_without_a_version_starts_with_the_existing_objects() -> None:
    api = Api()
    await api.ok("POST", CONFIG_MAPS, config_map("a"))
    for query in ({}, {"resourceVersion": "0"}):
        async with api.watch(CONFIG_MAPS, query) as lines:
            assert await lines.seen(1) == [("ADDED", "a")]
            await api.ok(
                "PATCH", f"{CONFIG_MAPS}/a", {"metadata": {"labels": {"q": str(len(query))}}}, media=MERGE
            )
            assert await lines.seen(1) == [("MODIFIED", "a")]


@virtual_time
async def test_objects_that_start_or_stop_to_match_are_added_or_deleted() -> None:
    api = Api()
    await api.ok("POST", CONFIG_MAPS, config_map("a"))
    version = str(api.server.storage.version)
    async with api.watch(CONFIG_MAPS, {"resourceVersion": version, "labelSelector": "on=yes"}) as lines:
        await relabel(api, "a", "yes")
        await api.ok("PATCH", f"{CONFIG_MAPS}/a", {"data": {"x": "1"}}, media=MERGE)
        left = await relabel(api, "a", "no")
        await relabel(api, "a", "never")
        await relabel(api, "a", "yes")
        await api.ok("DELETE", f"{CONFIG_MAPS}/a")
        events = [await lines.next() for _ in range(5)]
    assert [event["type"] for event in events] == ["ADDED", "MODIFIED", "DELETED", "ADDED", "DELETED"]
    assert events[2]["object"]["metadata"]["labels"] == {"on": "yes"}
    assert events[2]["object"]["metadata"]["resourceVersion"] == left["metadata"]["resourceVersion"]


@virtual_time
async def test_a_watch_of_an_object_or_namespace_returns_no_others() -> None:
    api = Api()
    await api.ok("POST", "/api/v1/namespaces", {"metadata": {"name": "other"}})
    version = str(api.server.storage.version)
    async with (
        api.watch(CONFIG_MAPS, {"resourceVersion": version, "fieldSelector": "metadata.name=b"}) as named,
        api.watch("/api/v1/namespaces/other/configmaps", {"resourceVersion": version}) as other,
        api.watch("/api/v1/configmaps", {"resourceVersion": version}) as everywhere,
    ):
        await api.ok("POST", CONFIG_MAPS, config_map("a"))
        await api.ok("POST", "/api/v1/namespaces/other/configmaps", config_map("o"))
        await api.ok("POST", CONFIG_MAPS, config_map("b"))
        assert await named.seen(1) == [("ADDED", "b")]
        assert await other.seen(1) == [("ADDED", "o")]
        assert await everywhere.seen(3) == [("ADDED", "a"), ("ADDED", "o"), ("ADDED", "b")]


@virtual_time
async def test_a_write_before_the_first_read_of_the_stream_is_not_missed() -> None:
    api = Api()
    async with api.watch(CONFIG_MAPS, {"resourceVersion": str(api.server.storage.version)}) as lines:
        await api.ok("POST", CONFIG_MAPS, config_map("a"))
        await asyncio.sleep(100)
        assert await lines.seen(1) == [("ADDED", "a")]


@virtual_time
async def test_a_watch_ends_cleanly_after_its_timeout() -> None:
    api = Api()
    start = asyncio.get_running_loop().time()
    async with api.watch(CONFIG_MAPS, {"timeoutSeconds": "300"}) as lines:
        assert await lines.next() is None
        assert lines.rest == b""
    assert asyncio.get_running_loop().time() - start == 300


@virtual_time
async def test_a_watch_without_a_timeout_lasts_half_an_hour_to_an_hour() -> None:
    api = Api()
    async with api.watch(CONFIG_MAPS) as lines:
        assert await lines.next() is None
    assert 1800 <= asyncio.get_running_loop().time() <= 3600


@virtual_time
async def test_bookmarks_are_sent_each_minute_and_at_the_end_on_request() -> None:
    api = Api()
    query = {"timeoutSeconds": "150", "resourceVersion": str(api.server.storage.version)}
    loop = asyncio.get_running_loop()
    async with api.watch(CONFIG_MAPS, {**query, "allowWatchBookmarks": "true"}) as lines:
        first = await lines.next()
        assert loop.time() == 60
        await api.ok("POST", "/api/v1/namespaces/default/secrets", {"metadata": {"name": "elsewhere"}})
        second = await lines.next()
        last = await lines.next()
        assert loop.time() == 150
        assert await lines.next() is None
    assert [each["type"] for each in (first, second, last)] == ["BOOKMARK"] * 3
    assert first["object"]["kind"] == "ConfigMap"
    assert (
        int(second["object"]["metadata"]["resourceVersion"])
        == int(first["object"]["metadata"]["resourceVersion"]) + 1
    )
    async with api.watch(CONFIG_MAPS, query) as lines:
        assert await lines.next() is None


@virtual_time
async def test_initial_events_end_with_an_annotated_bookmark() -> None:
    api = Api()
    await api.ok("POST", CONFIG_MAPS, config_map("a"))
    query = {
        "sendInitialEvents": "true",
        "resourceVersionMatch": "NotOlderThan",
        "allowWatchBookmarks": "true",
        "resourceVersion": "",
    }
    async with api.watch(CONFIG_MAPS, query) as lines:
        assert await lines.seen(1) == [("ADDED", "a")]
        bookmark = await lines.next()
        assert bookmark["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
        assert bookmark["object"]["metadata"]["resourceVersion"] == str(api.server.storage.version)
        await api.ok("POST", CONFIG_MAPS, config_map("b"))
        assert await lines.seen(1) == [("ADDED", "b")]


@virtual_time
async def test_a_version_older_than_the_history_is_an_error_event() -> None:
    api = Api()
    version = api.server.storage.version
    await api.ok("POST", CONFIG_MAPS, config_map("a"))
    api.server.storage.compact()
    async with api.watch(CONFIG_MAPS, {"resourceVersion": str(version)}) as lines:
        event = await lines.next()
        assert await lines.next() is None
    assert event["type"] == "ERROR"
    assert (event["object"]["code"], event["object"]["reason"]) == (410, "Expired")
    assert event["object"]["message"] == f"too old resource version: {version} ({version + 1})"


@virtual_time
async def test_a_watch_survives_compaction_but_ends_if_its_events_are_dropped() -> None:
    from aimctl.devcluster import ApiServerOptions

    api = Api(options=ApiServerOptions(history=4))
    version = str(api.server.storage.version)
    async with (
        api.watch(CONFIG_MAPS, {"resourceVersion": version}) as quick,
        api.watch(CONFIG_MAPS, {"resourceVersion": version}) as slow,
    ):
        for number in range(9):
            await api.ok("POST", CONFIG_MAPS, config_map(f"c{number}"))
            assert await quick.seen(1) == [("ADDED", f"c{number}")]
        assert await slow.next() is None


@virtual_time
async def test_a_watch_ends_when_its_kind_is_removed_or_the_server_closes() -> None:
    api = Api()
    await api.ok("POST", CRDS, crd())
    await api.ok("POST", WIDGETS, widget("w"))
    version = str(api.server.storage.version)
    async with api.watch(WIDGETS, {"resourceVersion": version}) as widgets, api.watch(CONFIG_MAPS) as maps:
        await api.ok("DELETE", f"{CRDS}/widgets.example.com")
        assert await widgets.seen(1) == [("DELETED", "w")]
        assert await widgets.next() is None
        api.server.close()
        assert await maps.next() is None


@virtual_time
async def test_all_streams_can_be_ended_and_new_ones_started() -> None:
    api = Api()
    async with api.watch(CONFIG_MAPS) as lines:
        waiting = asyncio.create_task(lines.next())
        await asyncio.sleep(1)
        api.server.storage.end_streams()
        assert await waiting is None
    async with api.watch(CONFIG_MAPS, {"timeoutSeconds": "5"}) as lines:
        await api.ok("POST", CONFIG_MAPS, config_map("a"))
        assert await lines.seen(1) == [("ADDED", "a")]


@virtual_time
async def test_leaving_a_watch_removes_its_waker() -> None:
    api = Api()
    wakers = api.server.storage.collection("configmaps").wakers
    async with api.watch(CONFIG_MAPS) as lines:
        waiting = asyncio.create_task(lines.next())
        await asyncio.sleep(1)
        assert len(wakers) == 1
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    assert not wakers


@virtual_time
async def test_watched_tables_have_their_columns_once() -> None:
    api = Api()
    table = "application/json;as=Table;v=v1;g=meta.k8s.io"
    partial = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
    async with (
        api.watch(CONFIG_MAPS, Accept=table) as tables,
        api.watch(CONFIG_MAPS, Accept=partial) as partials,
    ):
        await api.ok("POST", CONFIG_MAPS, config_map("a", x="1"))
        await api.ok("POST", CONFIG_MAPS, config_map("b"))
        first, second = await tables.next(), await tables.next()
        assert first["object"]["columnDefinitions"]
        assert second["object"]["columnDefinitions"] is None
        assert second["object"]["rows"][0]["cells"][0] == "b"
        assert set((await partials.next())["object"]) == {"kind", "apiVersion", "metadata"}


@virtual_time
async def test_a_hundred_watchers_see_the_same_in_the_same_order() -> None:
    api = Api()
    version = str(api.server.storage.version)

    async def follow() -> list[tuple[str, str]]:
        async with api.watch(CONFIG_MAPS, {"resourceVersion": version}) as lines:
            return await lines.seen(20)

    tasks = [asyncio.create_task(follow()) for _ in range(100)]
    for number in range(20):
        await api.ok("POST", CONFIG_MAPS, config_map(f"c{number:02}"))
    seen = await asyncio.gather(*tasks)
    assert all(each == [("ADDED", f"c{number:02}") for number in range(20)] for each in seen)
