"""Objects and their history."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimctl.devcluster.storage.history import Collection
from aimctl.devcluster.storage.store import Storage


def thing(name: str, namespace: str = "a", **more: object) -> dict:
    return {
        "kind": "T",
        "metadata": {"name": name, "namespace": namespace, "uid": name},
        "apiVersion": "v1",
        **more,
    }


def names(records) -> list[str]:
    return [record.key for record in records]


def test_every_write_has_the_next_resource_version_for_all_kinds() -> None:
    storage = Storage()
    first, second = storage.collection("first"), storage.collection("second")
    versions = [storage.put(each, thing("x")).version for each in (first, second, first)]
    versions.append(storage.delete(second, second.records["a/x"]).version)
    assert versions == [2, 3, 4, 5]
    assert storage.version == 5


def test_a_stored_object_has_its_version_and_starts_with_its_type() -> None:
    storage = Storage()
    record = storage.put(storage.collection("things"), thing("x", spec=1))
    assert record.raw.startswith(b'{"apiVersion":"v1","kind":"T","metadata":{')
    assert record.object()["metadata"]["resourceVersion"] == "2"


def test_reading_returns_copies() -> None:
    storage = Storage()
    things = storage.collection("things")
    storage.put(things, thing("x", spec={"n": 1}))
    things.records["a/x"].object()["spec"]["n"] = 2
    assert things.records["a/x"].object()["spec"] == {"n": 1}


def test_keys_are_sorted_and_a_namespace_is_not_a_prefix_of_another() -> None:
    storage = Storage()
    things = storage.collection("things")
    for namespace, name in (("b", "z"), ("a-b", "q"), ("a", "y"), ("a", "x")):
        storage.put(things, thing(name, namespace))
    assert names(things.scan()) == ["a-b/q", "a/x", "a/y", "b/z"]
    assert names(things.scan("a/")) == ["a/x", "a/y"]
    assert names(things.scan("a/", "a/x\0")) == ["a/y"]
    assert things.count("a/") == 2
    assert things.count("a/", "a/x\0") == 1


def test_a_full_history_drops_its_oldest_half() -> None:
    storage = Storage(history=4)
    things = storage.collection("things")
    for number in range(5):
        storage.put(things, thing(f"t{number}"))
    assert things.dropped == 3
    assert things.compacted == 4
    assert [event.version for event in things.events] == [5, 6]


def test_compaction_drops_the_history() -> None:
    storage = Storage()
    things = storage.collection("things")
    storage.put(things, thing("x"))
    storage.compact()
    assert (things.compacted, things.events, things.position) == (storage.version, [], 1)


def test_a_history_of_less_than_two_events_is_rejected() -> None:
    with pytest.raises(ValueError, match="history is 1"):
        Storage(history=1)


async def test_a_write_wakes_every_watch() -> None:
    storage = Storage()
    things = storage.collection("things")
    wakers = [asyncio.Event(), asyncio.Event()]
    things.wakers.update(dict.fromkeys(wakers))
    storage.put(things, thing("x"))
    assert all(waker.is_set() for waker in wakers)


def test_a_dropped_collection_is_closed_and_opens_empty_again() -> None:
    storage = Storage()
    old = storage.collection("things")
    storage.drop("things")
    assert old.closed
    assert storage.collection("things") is not old


def test_nothing_is_written_after_close() -> None:
    storage = Storage()
    things = storage.collection("things")
    storage.close()
    with pytest.raises(RuntimeError, match="closed"):
        storage.put(things, thing("x"))


def test_new_field_paths_are_read_from_existing_objects() -> None:
    storage = Storage()
    storage.put(storage.collection("things"), thing("x", spec={"node": "n1", "on": True}))
    things = storage.collection("things", ("spec.node", "spec.on", "spec.missing"))
    assert things.records["a/x"].fields == {"spec.node": "n1", "spec.on": "true", "spec.missing": ""}


@given(st.lists(st.tuples(st.sampled_from("wxyz"), st.booleans()), max_size=30), st.data())
def test_a_snapshot_shows_any_version_in_the_history(writes: list[tuple[str, bool]], data) -> None:
    storage = Storage(history=1000)
    things: Collection = storage.collection("things")
    moments: dict[int, dict[str, int]] = {storage.version: {}}
    state: dict[str, int] = {}
    for name, remove in writes:
        record = things.records.get(f"a/{name}")
        if remove and record is not None:
            storage.delete(things, record)
            state.pop(record.key)
        else:
            new = storage.put(things, thing(name))
            state[new.key] = new.version
        moments[storage.version] = dict(state)
    version = data.draw(st.sampled_from(sorted(moments)))
    found = {record.key: record.version for record in things.snapshot(version, "a/")}
    assert found == moments[version]
    assert list(found) == sorted(found)
    start = data.draw(st.sampled_from(["", "a/x", "a/y\0"]))
    assert {record.key for record in things.snapshot(version, "a/", start)} == {
        key for key in found if key >= start
    }


def test_a_restored_storage_has_the_earlier_objects_and_a_later_version() -> None:
    storage = Storage()
    things = storage.collection("things")
    storage.put(things, thing("x"))
    storage.put(things, thing("y"))
    backup = storage.snapshot()
    storage.delete(things, things.records["a/x"])
    last = storage.put(things, thing("z")).version
    position = things.position
    storage.restore(backup)
    assert names(things.scan()) == ["a/x", "a/y"]
    assert storage.version > last
    assert things.compacted == storage.version
    assert things.dropped > position, "open watches have missed events"
    assert storage.put(things, thing("w")).version == storage.version
