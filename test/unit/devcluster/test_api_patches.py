"""JSON merge, JSON patch and strategic merge."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimctl.devcluster.apiserver.apply.json_patches import PatchError, PatchTestFailed, json_patch
from aimctl.devcluster.apiserver.apply.patches import merge_patch, strategic_merge_patch


@pytest.mark.parametrize(  # the examples of RFC 7386, appendix A
    ("target", "patch", "expected"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patch_follows_the_rfc(target, patch, expected) -> None:
    before = copy.deepcopy(target)
    assert merge_patch(target, patch) == expected
    assert target == before


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from("abc"), values), st.dictionaries(st.sampled_from("abc"), values))
def test_a_merge_patch_is_idempotent(target, patch) -> None:
    once = merge_patch(target, patch)
    assert merge_patch(once, patch) == once


def test_json_patch_adds_replaces_and_removes() -> None:
    patch = [
        {"op": "test", "path": "/a", "value": 1},
        {"op": "replace", "path": "/a", "value": 2},
        {"op": "add", "path": "/l/-", "value": 3},
        {"op": "remove", "path": "/x~1y"},
    ]
    assert json_patch({"a": 1, "l": [], "x/y": 0}, patch) == {"a": 2, "l": [3]}


@pytest.mark.parametrize(
    "patch",
    [
        [{"op": "test", "path": "/a", "value": 2}],
        [{"op": "remove", "path": "/b"}],
        [{"op": "replace", "path": "/b/c", "value": 1}],
    ],
)
def test_a_json_patch_that_cannot_be_applied_changes_nothing(patch) -> None:
    target = {"a": 1}
    with pytest.raises(PatchTestFailed):
        json_patch(target, patch)
    assert target == {"a": 1}


@pytest.mark.parametrize("patch", [[{"op": "jump", "path": "/a"}], [{"path": "/a"}], [1]])
def test_an_invalid_json_patch_is_another_error(patch) -> None:
    with pytest.raises(PatchError):
        json_patch({"a": 1}, patch)


def pod(*containers: dict) -> dict:
    return {"spec": {"containers": list(containers)}}


def test_strategic_merge_identifies_list_items_by_their_key() -> None:
    live = pod({"name": "a", "image": "1", "env": [{"name": "X", "value": "1"}]}, {"name": "b", "image": "2"})
    patch = pod({"name": "a", "env": [{"name": "Y", "value": "2"}]}, {"name": "c", "image": "3"})
    assert strategic_merge_patch(live, patch) == pod(
        {"name": "a", "image": "1", "env": [{"name": "Y", "value": "2"}, {"name": "X", "value": "1"}]},
        {"name": "c", "image": "3"},
        {"name": "b", "image": "2"},
    )


def test_strategic_merge_replaces_lists_without_a_key_and_deletes_with_null() -> None:
    live = {
        "spec": {"tolerations": [{"key": "a"}], "containers": [{"name": "a", "args": ["x"], "image": "i"}]}
    }
    patch = {
        "spec": {"tolerations": [{"key": "b"}], "containers": [{"name": "a", "args": ["y"], "image": None}]}
    }
    assert strategic_merge_patch(live, patch) == {
        "spec": {"tolerations": [{"key": "b"}], "containers": [{"name": "a", "args": ["y"]}]}
    }


def test_strategic_merge_supports_its_directives() -> None:
    live = pod({"name": "a"}, {"name": "b"}, {"name": "c"})
    assert strategic_merge_patch(live, pod({"name": "b", "$patch": "delete"})) == pod(
        {"name": "a"}, {"name": "c"}
    )
    assert strategic_merge_patch(live, pod({"$patch": "replace"}, {"name": "z"})) == pod({"name": "z"})
    assert strategic_merge_patch({"d": {"x": 1}}, {"d": {"$patch": "replace", "y": 2}}) == {"d": {"y": 2}}
    assert strategic_merge_patch(
        {"s": {"type": "A", "a": 1}}, {"s": {"$retainKeys": ["type"], "type": "B"}}
    ) == {"s": {"type": "B"}}
    patch = {
        "spec": {"$setElementOrder/containers": [{"name": "n"}, {"name": "a"}], "containers": [{"name": "n"}]}
    }
    ordered = strategic_merge_patch(pod({"name": "a"}, {"name": "live"}), patch)
    assert [each["name"] for each in ordered["spec"]["containers"]] == ["n", "a", "live"]
    finalizers = {"metadata": {"finalizers": ["x/a", "x/b"]}}
    patch = {"metadata": {"$deleteFromPrimitiveList/finalizers": ["x/a"], "finalizers": ["x/c"]}}
    assert strategic_merge_patch(finalizers, patch) == {"metadata": {"finalizers": ["x/c", "x/b"]}}


def test_ports_are_identified_by_container_port_in_pods_and_by_port_in_services() -> None:
    live = pod({"name": "a", "ports": [{"containerPort": 80, "name": "web"}]})
    patch = pod({"name": "a", "ports": [{"containerPort": 80, "protocol": "TCP"}]})
    assert strategic_merge_patch(live, patch)["spec"]["containers"][0]["ports"] == [
        {"containerPort": 80, "name": "web", "protocol": "TCP"}
    ]
    service = strategic_merge_patch(
        {"spec": {"ports": [{"port": 80, "name": "web"}]}},
        {"spec": {"ports": [{"port": 80, "targetPort": 1}]}},
    )
    assert service["spec"]["ports"] == [{"port": 80, "name": "web", "targetPort": 1}]


def test_a_strategic_item_without_key_or_with_an_unknown_directive_is_rejected() -> None:
    with pytest.raises(PatchError, match="does not contain declared merge key: name"):
        strategic_merge_patch(pod({"name": "a"}), pod({"image": "x"}))
    with pytest.raises(PatchError, match="sideways"):
        strategic_merge_patch({"a": {}}, {"a": {"$patch": "sideways"}})
