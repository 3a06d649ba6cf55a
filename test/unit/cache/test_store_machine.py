"""A model of a server whose watch and watch cache lag, and a store that must never store an older version."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from aimctl.kubetypes import Object, ObjectKey
from aimctl.runtime.cache import Store
from aimctl.runtime.cache.storage.merge import group
from aimctl.runtime.kube.watch import WatchEvent
from support.scripted_listwatch import bookmark
from support.things import make

NAMES = st.sampled_from("abc")
BY = {"label": lambda obj: obj.meta.labels.values()}


class StoreMachine(RuleBasedStateMachine):
    """The history of the server is a list of events. Watches and lists see a prefix of it, writers all of it."""

    def __init__(self) -> None:
        super().__init__()
        self.history: list[WatchEvent[Any]] = []
        self.live: dict[str, Object[Any]] = {}
        self.delivered = 0
        """How much of the history the watch has brought, or a list has shown."""
        self.answers: list[Object[Any]] = []
        self.deletions: list[tuple[ObjectKey, str]] = []
        self.store: Store[Any] = Store(BY)
        self.store.replace([], "0")
        self.mirror: dict[str, Object[Any]] = {}
        """What a handler would believe from the changes alone."""
        self.newest_seen: dict[str, int] = {}
        self.gone: set[str] = set()
        """Uids of own deletions with a response."""
        self.told_gone: set[str] = set()
        """Uids whose deletion was delivered to handlers; they must not be delivered again."""
        self.uids = 0

    # ---- the server

    def commit(self, type_: Any, obj: Object[Any]) -> None:
        self.history.append(WatchEvent(type_, obj))

    @property
    def version(self) -> int:
        return len(self.history)

    def build(self, name: str, uid: str) -> Object[Any]:
        return make(name, rv=self.version + 1, uid=uid, labels={"x": str(self.version % 3)})

    def state_at(self, version: int) -> dict[str, Object[Any]]:
        state: dict[str, Object[Any]] = {}
        for event in self.history[:version]:
            if event.type == "DELETED":
                state.pop(event.object.meta.name, None)
            else:
                state[event.object.meta.name] = event.object
        return state

    @rule(name=NAMES, own=st.booleans())
    def write(self, name: str, own: bool) -> None:
        old = self.live.get(name)
        if old is None:
            self.uids += 1
        obj = self.build(name, old.meta.uid if old else f"uid-{self.uids}")
        self.live[name] = obj
        self.commit("MODIFIED" if old else "ADDED", obj)
        if own:
            self.answers.append(obj)

    @precondition(lambda self: self.live)
    @rule(data=st.data(), own=st.booleans())
    def delete(self, data: st.DataObject, own: bool) -> None:
        name = data.draw(st.sampled_from(sorted(self.live)))
        uid = self.live.pop(name).meta.uid
        self.commit("DELETED", self.build(name, uid))
        if own:
            self.deletions.append((ObjectKey("ns", name), uid))

    # ---- input of the store

    def deliver(self, changes: Any) -> None:
        for change in changes:
            old, new = change.old, change.new
            if new is None:
                assert old is not None
                assert self.mirror.pop(old.meta.name).meta.uid == old.meta.uid
                self.told_gone.add(old.meta.uid)
            elif old is None:
                assert new.meta.name not in self.mirror
                assert new.meta.uid not in self.told_gone
                self.mirror[new.meta.name] = new
            else:
                assert self.mirror[new.meta.name] is old
                assert old.meta.uid == new.meta.uid
                assert int(old.meta.resource_version) < int(new.meta.resource_version)
                self.mirror[new.meta.name] = new

    @precondition(lambda self: self.answers)
    @rule(data=st.data())
    def our_answer_arrives(self, data: st.DataObject) -> None:
        """Responses arrive in any order, because calls are concurrent."""
        answer = self.answers.pop(data.draw(st.integers(0, len(self.answers) - 1)))
        self.deliver(self.store.observe_write(answer))
        if answer.meta.uid not in self.gone:
            held = self.store.get(answer.key)
            watched_past = self.delivered >= int(answer.meta.resource_version)
            assert watched_past or (
                held is not None and int(held.meta.resource_version) >= int(answer.meta.resource_version)
            )

    @precondition(lambda self: self.deletions)
    @rule()
    def our_deletion_is_answered(self) -> None:
        key, uid = self.deletions.pop()
        self.deliver(self.store.observe_delete(key, uid))
        self.gone.add(uid)

    @precondition(lambda self: self.delivered < len(self.history))
    @rule()
    def the_watch_brings_an_event(self) -> None:
        event = self.history[self.delivered]
        self.delivered += 1
        self.deliver(self.store.apply(event))

    @precondition(lambda self: self.delivered < len(self.history))
    @rule()
    def the_watch_brings_many(self) -> None:
        while self.delivered < len(self.history):
            self.the_watch_brings_an_event()

    @rule(data=st.data())
    def a_relist_shows_some_state_not_older_than_the_confirmed_version(self, data: st.DataObject) -> None:
        """It may be indexed in steps before; responses to writes arrive in between."""
        version = data.draw(st.integers(self.delivered, self.version))
        listed = group(self.state_at(version).values())
        for _ in self.store.index_ahead(listed) if data.draw(st.booleans()) else ():
            if self.answers and data.draw(st.booleans()):
                self.our_answer_arrives(data)
            if self.deletions and data.draw(st.booleans()):
                self.our_deletion_is_answered()
            self.indexes_agree_with_the_objects()
        self.delivered = version
        self.deliver(self.store.replace(listed, str(version)))

    @rule(most=st.integers(1, 3))
    def some_objects_are_indexed(self, most: int) -> None:
        self.store.index_some(most)

    @precondition(lambda self: "later" not in self.store.indexes)
    @rule()
    def an_index_is_added(self) -> None:
        self.store.add_index("later", BY["label"])

    @rule()
    def a_bookmark_comes(self) -> None:
        self.deliver(self.store.apply(bookmark(self.delivered)))

    # ---- invariants

    @invariant()
    def the_changes_tell_the_whole_story(self) -> None:
        assert self.mirror == {obj.meta.name: obj for obj in self.store}

    @invariant()
    def no_uid_goes_back(self) -> None:
        for obj in self.store:
            version = int(obj.meta.resource_version)
            assert version >= self.newest_seen.get(obj.meta.uid, 0)
            self.newest_seen[obj.meta.uid] = version

    @invariant()
    def what_we_deleted_stays_deleted(self) -> None:
        assert not self.gone & {obj.meta.uid for obj in self.store}

    @invariant()
    def the_store_is_not_behind_the_watch(self) -> None:
        for name, obj in self.state_at(self.delivered).items():
            held = self.store.get(ObjectKey("ns", name))
            if held is None:
                alive = self.live.get(name)
                assert obj.meta.uid in self.gone or alive is None or alive.meta.uid != obj.meta.uid
            else:
                assert int(held.meta.resource_version) >= int(obj.meta.resource_version)

    @invariant()
    def indexes_agree_with_the_objects(self) -> None:
        for value in ("0", "1", "2"):
            expected = {id(obj) for obj in self.store if obj.meta.labels["x"] == value}
            for name in self.store.indexes:
                assert {id(obj) for obj in self.store.by_index(name, value)} == expected

    @invariant()
    def reads_without_own_writes_show_what_the_watch_has_brought(self) -> None:
        expected = {name: obj.meta.resource_version for name, obj in self.state_at(self.delivered).items()}
        listed = self.store.list(own_writes=False)
        assert {obj.meta.name: obj.meta.resource_version for obj in listed} == expected
        assert len(listed) == len(expected)
        found = {name: self.store.get(ObjectKey("ns", name), own_writes=False) for name in "abc"}
        assert {name: obj.meta.resource_version for name, obj in found.items() if obj is not None} == expected
        for value in ("0", "1", "2"):
            by_index = self.store.by_index("label", value, own_writes=False)
            assert sorted(obj.meta.name for obj in by_index) == sorted(
                obj.meta.name for obj in listed if obj.meta.labels["x"] == value
            )

    @invariant()
    def a_caught_up_watch_leaves_the_servers_state(self) -> None:
        if self.delivered == self.version and not self.answers and not self.deletions:
            assert {obj.meta.name: obj for obj in self.store} == self.live


class TestStoreMachine(StoreMachine.TestCase):
    settings = settings(max_examples=40, stateful_step_count=40)


@pytest.mark.proof
class TestStoreMachineProof(StoreMachine.TestCase):
    settings = settings(max_examples=1000, stateful_step_count=60)
