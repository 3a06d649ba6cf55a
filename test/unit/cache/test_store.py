"""The store: its content, the changes it reports, and the order of versions."""

from __future__ import annotations

from typing import Any

import pytest
from structlog.testing import capture_logs

from aimctl.kubetypes import Object, ObjectKey
from aimctl.runtime.cache import Change, Store, UnknownIndex
from aimctl.runtime.cache.storage import store as store_module
from aimctl.runtime.cache.storage.store import same_in
from support.scripted_listwatch import added, bookmark, deleted, modified
from support.things import make

A = ObjectKey("ns", "a")


def filled(*objects: Object[Any], rv: int = 100, **options: Any) -> Store[Any]:
    store: Store[Any] = Store(**options)
    store.replace(objects, str(rv))
    return store


def words(changes: Any) -> list[str]:
    """Changes as short words, in order."""

    def word(change: Change[Any]) -> str:
        if change.old is None:
            assert change.new is not None
            return f"+{change.new.meta.name}@{change.new.meta.resource_version}"
        if change.new is None:
            mark = "" if change.confirmed else "?"
            return f"-{change.old.meta.name}@{change.old.meta.resource_version}{mark}"
        return f"{change.new.meta.name}@{change.old.meta.resource_version}>{change.new.meta.resource_version}"

    return [word(change) for change in changes]


def test_replace_deletes_every_known_object_that_the_list_does_not_have() -> None:
    """Checklist 61: a delete with the last state for every known key absent from the new list."""
    store = filled(make("a", rv=3), make("b", rv=4), make("c", rv=5))
    changes = store.replace([make("b", rv=4)], "110")
    assert sorted(words(changes)) == ["-a@3?", "-c@5?"]
    assert [obj.meta.name for obj in store.list()] == ["b"]


def test_replace_is_one_step_with_deletes_before_the_rest() -> None:
    """Checklist 71: the store is replaced in one step; deletes precede adds and updates."""
    store = filled(make("a", rv=3), make("b", rv=4))
    changes = store.replace([make("c", rv=105), make("b", rv=106)], "110")
    assert words(changes) == ["-a@3?", "+c@105", "b@4>106"]
    assert store.get(A) is None
    assert len(store) == 2


def test_an_unchanged_resource_version_is_no_change() -> None:
    store = filled(make("a", rv=3))
    before = store.get(A)
    assert words(store.replace([make("a", rv=3)], "110")) == []
    assert store.get(A) is before


def test_the_resource_version_follows_adds_updates_deletes_replaces_and_bookmarks() -> None:
    """Checklist 74: and a deletion moves it to the deletion's version."""
    store: Store[Any] = Store()
    assert store.resource_version == ""
    store.replace([make("a", rv=3)], "10")
    seen = [store.resource_version]
    for event in (added("b", rv=11), modified("a", rv=12), bookmark(20), deleted("b", rv=21)):
        store.apply(event)
        seen.append(store.resource_version)
    assert seen == ["10", "11", "12", "20", "21"]
    store.observe_write(make("a", rv=500))
    assert store.resource_version == "21"  # confirmed by the watch only


def test_indexes_follow_adds_updates_and_deletes() -> None:
    """Checklist 75: several values, empty buckets dropped, others survive, an update moves between buckets."""
    store: Store[Any] = Store({"label": lambda obj: obj.meta.labels.values()})
    store.replace(
        [make("a", rv=1, labels={"x": "one", "y": "two"}), make("b", rv=2, labels={"x": "one"})], "10"
    )

    def names(value: str) -> list[str]:
        return [obj.meta.name for obj in store.by_index("label", value)]

    assert (names("one"), names("two")) == (["a", "b"], ["a"])
    store.apply(modified("a", rv=11, labels={"x": "three"}))
    assert (names("one"), names("two"), names("three")) == (["b"], [], ["a"])
    assert store._indexes.get("label").values() == ["one", "three"]
    store.apply(deleted("b", rv=12))
    assert (names("one"), names("three")) == ([], ["a"])
    store.replace([make("c", rv=13, labels={"x": "three"})], "20")
    assert names("three") == ["c"]
    assert store._indexes.get("label").values() == ["three"]


def test_an_index_added_later_covers_existing_objects() -> None:
    """Checklist 76: existing objects are indexed."""
    store = filled(make("a", rv=1, labels={"x": "one"}))
    store.add_index("label", lambda obj: obj.meta.labels.values())
    assert [obj.meta.name for obj in store.by_index("label", "one")] == ["a"]


def test_the_error_for_an_unknown_index_names_the_existing_ones() -> None:
    store = filled(indexes={"one": lambda _: (), "two": lambda _: ()})
    with pytest.raises(UnknownIndex, match=r"no index 'three' \(existing indexes: one, two\)"):
        store.by_index("three", "x")


def test_an_index_function_that_raises_affects_only_its_index() -> None:
    """Checklist 72: the object is stored and delivered, and is in the other indexes."""

    def broken(obj: Object[Any]) -> list[str]:
        if obj.meta.name == "b":
            raise ValueError("no")
        return ["found"]

    store: Store[Any] = Store({"broken": broken, "good": lambda _: ["found"]})
    changes = store.replace([make("a", rv=1), make("b", rv=2)], "10")
    assert words(changes) == ["+a@1", "+b@2"]
    assert len(store) == 2
    assert [obj.meta.name for obj in store.by_index("broken", "found")] == ["a"]
    assert [obj.meta.name for obj in store.by_index("good", "found")] == ["a", "b"]
    assert words(store.apply(deleted("b", rv=11))) == ["-b@11"]
    assert len(store.by_index("good", "found")) == 1


def test_lists_are_by_namespace_or_all() -> None:
    store = filled(make("a", "one", rv=1), make("b", "two", rv=2))
    assert [obj.meta.name for obj in store.list("two")] == ["b"]
    assert [obj.meta.name for obj in store.list("three")] == []
    assert len(store.list()) == len(store.list("")) == len(store.list(None)) == 2
    assert store.bytes == sum(len(obj.raw) for obj in store)


# ---- no older version


@pytest.mark.parametrize("rv", [2, 5])
def test_a_replayed_or_older_event_is_dropped_and_counted(rv: int) -> None:
    store = filled(make("a", rv=5))
    assert store.apply(added("a", rv=rv)) == ()
    assert store.get(A) is not None
    assert store.stale_dropped == 1


def test_versions_are_compared_as_numbers() -> None:
    store = filled(make("a", rv=9), rv=9)
    assert words(store.apply(modified("a", rv=10))) == ["a@9>10"]
    assert store.resource_version == "10"


def test_a_delete_of_a_re_created_object_is_dropped() -> None:
    store = filled(make("a", rv=5))
    store.observe_write(make("a", rv=120))  # an own write made the selector match again
    assert store.apply(deleted("a", rv=110)) == ()
    assert store.get(A) is not None
    assert store.stale_dropped == 0


def test_a_delete_older_than_the_stored_object_is_dropped_and_counted() -> None:
    store = filled(make("a", rv=50))
    assert store.apply(deleted("a", rv=40)) == ()
    assert store.stale_dropped == 1


def test_delete_and_recreate_is_a_delete_of_the_old_then_an_add_of_the_new() -> None:
    store = filled(make("a", rv=5, uid="one"))
    assert words(store.apply(added("a", rv=101, uid="two"))) == ["-a@5?", "+a@101"]
    changes = store.replace([make("a", rv=105, uid="three")], "110")
    assert words(changes) == ["-a@101?", "+a@105"]


def test_a_late_delete_of_the_old_uid_does_not_touch_the_new_one() -> None:
    store = filled(make("a", rv=5, uid="one"))
    store.observe_write(make("a", rv=103, uid="two"))
    assert store.apply(deleted("a", rv=102, uid="one")) == ()
    kept = store.get(A)
    assert kept is not None
    assert kept.meta.uid == "two"


def test_the_delete_of_a_newer_uid_removes_the_older_one() -> None:
    store = filled(make("a", rv=5, uid="one"))
    assert words(store.apply(deleted("a", rv=110, uid="two"))) == ["-a@5?"]


def test_a_delete_event_carries_the_final_state() -> None:
    store = filled(make("a", rv=5))
    assert words(store.apply(deleted("a", rv=110))) == ["-a@110"]
    assert store.apply(deleted("a", rv=111)) == ()


# ---- read-your-writes


def test_a_write_is_stored_at_once_and_its_event_changes_nothing() -> None:
    store = filled(make("a", rv=5))
    assert words(store.observe_write(make("a", rv=101))) == ["a@5>101"]
    assert store.apply(modified("a", rv=101)) == ()
    assert store.stale_dropped == 0


def test_events_older_than_a_write_do_not_revert_it() -> None:
    store = filled(make("a", rv=5))
    store.observe_write(make("a", rv=110))
    assert store.apply(modified("a", rv=105)) == ()
    assert words(store.apply(modified("a", rv=111))) == ["a@110>111"]
    assert store.stale_dropped == 0


def test_a_response_older_than_the_watch_is_ignored() -> None:
    store = filled(make("a", rv=5))
    store.apply(modified("a", rv=110))
    assert store.observe_write(make("a", rv=105)) == ()


def test_a_stale_list_neither_removes_nor_reverts_a_write() -> None:
    store = filled(make("a", rv=5))
    store.observe_write(make("a", rv=110))
    store.observe_write(make("new", rv=111))
    assert words(store.replace([make("a", rv=5)], "105")) == []
    assert sorted(obj.meta.resource_version for obj in store) == ["110", "111"]
    assert words(store.replace([make("a", rv=110)], "120")) == ["-new@111?"]


def test_after_a_restore_with_a_raised_revision_the_list_replaces_newer_objects() -> None:
    """The list is newer than the stored object and has an older one, so the history was replaced."""
    store = filled(make("a", rv=5), make("b", rv=6))
    store.apply(modified("a", rv=110))
    store.apply(added("late", rv=111))
    changes = store.replace([make("a", rv=5), make("b", rv=6)], "1111")
    assert words(changes) == ["-late@111?", "a@110>5"]
    assert sorted(obj.meta.resource_version for obj in store) == ["5", "6"]


def test_a_deleted_uid_is_not_restored_by_events_or_lists() -> None:
    store = filled(make("a", rv=5), make("b", rv=6))
    assert words(store.observe_delete(A, "uid-a")) == ["-a@5"]
    assert store.apply(modified("a", rv=101)) == ()
    assert words(store.replace([make("a", rv=102), make("b", rv=6)], "102")) == []
    assert store.get(A) is None
    assert store.observe_write(make("a", rv=103)) == ()  # the late response to an earlier write
    assert store.apply(deleted("a", rv=104)) == ()
    assert not store._gone


def test_an_object_in_a_restored_backup_is_stored_although_its_deletion_is_answered_after_its_event() -> None:
    """The response to a delete request often arrives after the event."""
    store = filled(make("a", rv=5))
    assert words(store.apply(deleted("a", rv=104))) == ["-a@104"]
    assert store.observe_delete(A, "uid-a") == ()
    assert words(store.replace([make("a", rv=5)], "1104")) == ["+a@5"]
    assert store.apply(modified("a", rv=1105)) != ()


def test_a_new_object_of_the_same_name_is_stored_after_a_delete() -> None:
    store = filled(make("a", rv=5, uid="one"))
    store.observe_delete(A, "one")
    assert words(store.apply(added("a", rv=110, uid="two"))) == ["+a@110"]


def test_a_delete_without_a_uid_means_the_stored_one() -> None:
    store = filled(make("a", rv=5))
    assert words(store.observe_delete(A, "")) == ["-a@5"]
    assert store.apply(modified("a", rv=101)) == ()
    assert store.observe_delete(A, "") == ()


def test_a_delete_of_another_uid_keeps_the_stored_object() -> None:
    store = filled(make("a", rv=5, uid="two"))
    assert store.observe_delete(A, "one") == ()
    assert store.get(A) is not None


def test_a_tombstone_is_removed_by_a_list_newer_than_the_delete() -> None:
    store = filled(make("a", rv=50))
    store.observe_write(make("a", rv=120))
    store.observe_delete(A, "uid-a")
    store.replace([], "110")  # may be older than the object's last state, whose events may still arrive
    assert store._gone
    assert store.apply(added("a", rv=120)) == ()
    store.replace([], "130")
    assert not store._gone


def test_a_list_does_not_remove_the_tombstone_of_an_unknown_uid() -> None:
    store = filled()
    store.observe_delete(A, "uid-a")
    store.replace([], "105")
    assert store.apply(added("a", rv=110)) == ()
    assert store.get(A) is None


def test_an_object_older_than_a_deleted_one_is_removed() -> None:
    """Uid two was created and deleted without being seen: its late event or listing shows that uid one is deleted."""
    for told_by_list in (False, True):
        store = filled(make("a", rv=5, uid="one"))
        store.observe_delete(A, "two")
        late = make("a", rv=110, uid="two")
        changes = store.replace([late], "110") if told_by_list else store.apply(added("a", rv=110, uid="two"))
        assert words(changes) == ["-a@5?"]
        assert store.get(A) is None


def test_an_object_replaced_by_an_own_write_is_not_restored() -> None:
    store = filled(make("a", rv=5, uid="one"))
    store.observe_write(make("a", rv=110, uid="two"))
    store.observe_delete(A, "two")
    assert words(store.replace([make("a", rv=5, uid="one")], "105")) == []
    assert store.get(A) is None


def test_the_number_of_tombstones_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "_MAX_TOMBSTONES", 3)
    store = filled()
    for number in range(10):
        store.observe_delete(ObjectKey("ns", str(number)), f"uid-{number}")
    assert list(store._gone) == ["uid-7", "uid-8", "uid-9"]


def test_the_number_of_remembered_deletions_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "_MAX_PASSED", 3)
    store = filled()
    for number in range(10):
        store.apply(deleted(f"a-{number}", rv=110 + number))
    assert list(store._passed) == ["uid-a-7", "uid-a-8", "uid-a-9"]


def test_a_write_that_leaves_the_selector_removes_the_object_until_a_newer_version() -> None:
    store = filled(make("a", rv=5))
    assert words(store.observe_write(make("a", rv=110), selected=False)) == ["-a@110"]
    assert store.apply(modified("a", rv=105)) == ()
    assert words(store.apply(modified("a", rv=115))) == ["+a@115"]
    assert not store._gone
    assert store.observe_write(make("other", rv=120), selected=False) == ()


def test_the_delete_event_for_leaving_the_selector_removes_the_tombstone() -> None:
    store = filled(make("a", rv=5))
    store.observe_write(make("a", rv=110), selected=False)
    assert store.apply(deleted("a", rv=110)) == ()
    assert not store._gone


def test_a_reset_list_replaces_newer_versions() -> None:
    store = filled(make("a", rv=5000), make("b", rv=5001), rv=6000)
    store.observe_delete(ObjectKey("ns", "c"), "uid-c")
    changes = store.replace([make("a", rv=40), make("c", rv=41)], "50", reset=True)
    assert words(changes) == ["-b@5001?", "a@5000>40", "+c@41"]
    assert store.resource_version == "50"


def test_clear_empties_one_scope() -> None:
    store: Store[Any] = Store()
    store.replace([make("a", "one", rv=1)], "10", scope="one")
    store.replace([make("b", "two", rv=2)], "12", scope="two")
    assert (store.resource_version, store.version_of("one")) == ("10", "10")
    assert words(store.clear(scope="one")) == ["-a@1?"]
    assert (store.version_of("one"), store.resource_version) == ("", "12")
    assert [obj.meta.name for obj in store] == ["b"]


def test_replacing_a_scope_keeps_other_namespaces() -> None:
    store: Store[Any] = Store()
    store.replace([make("a", "one", rv=1)], "10", scope="one")
    store.replace([make("b", "two", rv=2)], "10", scope="two")
    assert words(store.replace([], "20", scope="one")) == ["-a@1?"]
    assert [obj.meta.name for obj in store] == ["b"]


def test_of_two_listed_versions_of_an_object_the_newer_is_stored() -> None:
    store: Store[Any] = Store()
    changes = store.replace([make("a", rv=3), make("a", rv=7), make("a", rv=5)], "10")
    assert words(changes) == ["+a@7"]


async def an_asynchronous_index(item: Object[Any]) -> list[str]:
    return [item.meta.name]


@pytest.mark.parametrize("function", [an_asynchronous_index, None])
def test_an_index_function_that_cannot_be_called_synchronously_is_rejected(function: Any) -> None:
    with pytest.raises(TypeError, match=r"the function of index 'i' .*(is async|is not callable)"):
        Store({"i": function})


@pytest.mark.parametrize("answer", ["a string", 5, None, [[]], [1], ["x", None]])
def test_an_index_function_that_returns_no_list_of_strings_leaves_out_its_object(answer: Any) -> None:
    store: Store[Any] = Store({"i": lambda item: answer if item.meta.name == "bad" else ["x"]})
    with capture_logs() as logs:
        store.apply(added("bad", rv=1))
        store.apply(added("good", rv=2))
    assert [item.meta.name for item in store.by_index("i", "x")] == ["good"]
    assert len(store) == 2
    assert [(entry["index"], "bad" in entry["object"]) for entry in logs] == [("i", True)]


def test_an_index_function_that_raises_only_at_the_removal_leaves_nothing_behind() -> None:
    broken = False

    def function(item: Object[Any]) -> list[str]:
        if broken:
            raise KeyError("spec")
        return [item.meta.name]

    store: Store[Any] = Store({"i": function})
    store.apply(added("a", rv=1))
    store.apply(added("b", rv=2))
    broken = True
    store.apply(deleted("a", rv=3))
    assert store.by_index("i", "a") == []
    assert len(store.by_index("i", "b")) == 1


# ---- sharing


@pytest.mark.parametrize(
    ("known", "shared"),
    [
        (make("a", rv=3, spec={"x": 1}), True),
        (make("a", rv=4, spec={"x": 1}), False),
        (make("a", rv=3, uid="other", spec={"x": 1}), False),
        (make("a", rv=3, spec={"x": 2}), False),
        (make("b", rv=3, spec={"x": 1}), False),
    ],
    ids=["the same", "another version", "another uid", "another body", "another name"],
)
def test_only_an_object_of_the_same_version_and_body_is_shared(known, shared):
    store: Store[Any] = Store()
    store.replace([known], "10")
    obj = make("a", rv=3, spec={"x": 1})
    assert same_in([Store(), store], obj) is (known if shared else obj)
