import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimctl.devcluster.controllers.ownership import FOREGROUND, ORPHAN, Decision, Item, OwnerGraph, decide
from aimctl.kubetypes import ObjectKey, ObjectMeta, OwnerReference, Resource

KIND = Resource.untyped("", "v1", "ConfigMap", "configmaps")


def owner(uid, *, blocks=None):
    return OwnerReference(
        api_version="v1", kind="ConfigMap", name=f"name-{uid}", uid=uid, block_owner_deletion=blocks
    )


def item(uid, *owners, namespace="ns", finalizers=(), deleting=False):
    meta = ObjectMeta(
        name=uid,
        namespace=namespace,
        uid=uid,
        resource_version="1",
        deletion_timestamp="2026-01-01T00:00:00Z" if deleting else None,
        owner_references=tuple(owners),
        finalizers=tuple(finalizers),
    )
    return Item(KIND, ObjectKey(namespace, uid), meta)


A, B = owner("a"), owner("b")


@pytest.mark.parametrize(
    ("states", "decision"),
    [
        ({"a": "solid", "b": "solid"}, Decision()),
        ({"a": "solid", "b": "absent"}, Decision(keep=(A,))),
        ({"a": "waiting", "b": "solid"}, Decision(keep=(B,))),
        ({"a": "absent", "b": "absent"}, Decision(delete="Background")),
        ({"a": "waiting", "b": "absent"}, Decision(delete="Background")),
    ],
)
def test_a_dependent_is_kept_while_one_of_its_owners_exists(states, decision):
    assert decide((A, B), lambda reference: states[reference.uid]) == decision


def test_without_owners_nothing_happens():
    assert decide((), lambda _: "absent") == Decision()


@pytest.mark.parametrize(
    ("finalizers", "expected"),
    [((), "Background"), ((ORPHAN,), "Orphan"), ((FOREGROUND,), "Foreground"), (("mine",), "Background")],
)
def test_finalizers_of_the_dependent_select_the_propagation(finalizers, expected):
    assert decide((A,), lambda _: "absent", finalizers=finalizers) == Decision(delete=expected)


def test_foreground_deletion_descends_and_cycles_are_broken():
    assert decide((A,), lambda _: "waiting", has_dependents=True) == Decision(delete="Foreground")
    assert decide((A,), lambda _: "waiting", has_dependents=True, cycle=True) == Decision(
        delete="Foreground", unblock=True
    )
    assert decide((A,), lambda _: "waiting") == Decision(delete="Background")


def test_an_owner_is_identified_by_uid_in_the_namespace_or_cluster_wide():
    graph = OwnerGraph()
    graph.put(item("here"))
    graph.put(item("elsewhere", namespace="other"))
    graph.put(item("cluster", namespace=""))
    dependent = item("d", owner("here"))
    assert graph.state(dependent, owner("here")) == "solid"
    assert graph.state(dependent, owner("cluster")) == "solid"
    assert graph.state(dependent, owner("elsewhere")) is None
    assert graph.state(dependent, owner("unknown")) is None
    assert graph.state(item("c", namespace=""), owner("here")) is None


def test_an_owner_in_foreground_deletion_does_not_keep_its_dependents():
    graph = OwnerGraph()
    graph.put(item("a", finalizers=[FOREGROUND], deleting=True))
    assert graph.state(item("d", A), A) == "waiting"
    graph.put(item("a", finalizers=[FOREGROUND]))
    assert graph.state(item("d", A), A) == "solid"


def test_dependents_are_known_before_their_owner():
    graph = OwnerGraph()
    graph.put(item("d", A))
    assert [one.uid for one in graph.dependents("a")] == ["d"]


def test_only_blocking_references_delay_the_owner():
    graph = OwnerGraph()
    graph.put(item("d", owner("a", blocks=True)))
    graph.put(item("e", owner("a", blocks=False)))
    graph.put(item("f", A))
    assert [one.uid for one in graph.blocking("a")] == ["d"]


@given(
    st.lists(
        st.tuples(st.sampled_from("abcde"), st.lists(st.sampled_from("abcde"), unique=True), st.booleans()),
        max_size=30,
    )
)
def test_the_index_of_dependents_matches_the_objects(changes):
    graph, model = OwnerGraph(), {}
    for uid, owners, removed in changes:
        if removed:
            graph.remove(uid)
            model.pop(uid, None)
        else:
            graph.put(item(uid, *(owner(each) for each in owners)))
            model[uid] = set(owners)
    for uid in "abcde":
        assert {one.uid for one in graph.dependents(uid)} == {
            each for each, owners in model.items() if uid in owners
        }
