from __future__ import annotations

import pytest

from aimctl.runtime.controller import (
    Created,
    Deleted,
    EnqueueMapped,
    EnqueueObject,
    EnqueueOwner,
    Request,
    Updated,
)
from support.things import CLUSTER_THINGS, PARTS, THINGS, make, owner


def part(*owners, namespace="ns"):
    return make("p", namespace, resource=PARTS, owners=list(owners))


@pytest.mark.parametrize(
    "event",
    [
        Created(make("a")),
        Updated(make("a", rv=1), make("a", rv=2)),
        Deleted(make("a"), confirmed=False),
    ],
)
def test_enqueue_object_returns_the_key_of_the_object(event):
    assert set(EnqueueObject().requests(event)) == {Request("ns", "a")}


@pytest.mark.parametrize(
    ("owners", "controller_only", "wanted"),
    [
        ([owner("a")], True, ["a"]),
        ([owner("a", api_version="test.example/v9")], True, ["a"]),
        ([owner("a", api_version="other.example/v1")], True, []),
        ([owner("a", kind="Other")], True, []),
        ([owner("a", controller=False)], True, []),
        ([owner("a", controller=False), owner("b")], False, ["a", "b"]),
        ([owner("a", controller=False), owner("b")], True, ["b"]),
        ([owner("a", api_version="test.example/v1/extra")], True, []),
        ([owner("a", api_version="")], True, []),
        ([], True, []),
    ],
)
def test_owners_are_found_by_group_and_kind_and_controller_flag(owners, controller_only, wanted):
    """Checklist 105: group+kind match only, controller-only vs all, an invalid apiVersion is ignored."""
    handler = EnqueueOwner(THINGS, controller_only=controller_only)
    assert list(handler.requests(Created(part(*owners)))) == [Request("ns", name) for name in wanted]


def test_a_core_owner_is_not_matched_by_an_empty_api_version():
    """Checklist 105: an invalid apiVersion is ignored, also where the group is the empty one."""
    from aimctl.kubetypes import Resource

    pods = Resource.untyped("", "v1", "Pod", "pods")
    bad = owner("a", kind="Pod", api_version="")
    good = owner("b", kind="Pod", api_version="v1")
    assert list(EnqueueOwner(pods).requests(Created(part(bad, good)))) == [Request("ns", "b")]


def test_a_cluster_scoped_owner_has_no_namespace():
    """Checklist 105: cluster-scoped owner has no namespace."""
    event = Created(part(owner("a", kind="ClusterThing")))
    assert list(EnqueueOwner(CLUSTER_THINGS).requests(event)) == [Request("", "a")]


def test_an_update_enqueues_the_old_and_the_new_owner():
    event = Updated(part(owner("old")), part(owner("new")))
    assert set(EnqueueOwner(THINGS).requests(event)) == {Request("ns", "old"), Request("ns", "new")}


def test_a_mapping_sees_the_old_object_and_the_new():
    handler = EnqueueMapped(lambda item: [Request("", item.meta.labels["ref"])])
    event = Updated(make(labels={"ref": "one"}), make(labels={"ref": "two"}, rv=2))
    assert set(handler.requests(event)) == {Request("", "one"), Request("", "two")}
    assert list(handler.requests(Deleted(make(labels={"ref": "one"})))) == [Request("", "one")]
