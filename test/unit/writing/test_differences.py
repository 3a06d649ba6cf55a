"""Whether an object has everything of a body."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimctl.runtime.writing.differences import has_all

OWNER = {"kind": "Team", "name": "a", "uid": "u"}


def at(path: str, value: Any) -> dict[str, Any]:
    """A body with one value at a path."""
    for name in reversed(path.split(".")):
        value = {name: value}
    return value


@pytest.mark.parametrize(
    ("path", "current", "wanted", "expected"),
    [
        ("spec.size", 1, 1, True),
        ("spec.size", 1, 2, False),
        ("spec.on", True, 1, False),
        ("spec.on", False, 0, False),
        ("spec", {"size": 1, "default": 2}, {"size": 1}, True),
        ("spec", {"size": 1}, {"size": 1, "more": 2}, False),
        ("spec", {}, {"off": False, "none": 0, "text": "", "list": [], "map": {}, "gone": None}, True),
        ("spec", None, {}, True),
        ("spec", None, {"size": 1}, False),
        ("spec.list", None, [], True),
        ("spec.list", None, ["a"], False),
        ("spec.list", ["a"], "a", False),
        ("spec.args", ["a", "b"], ["a"], False),
        ("spec.args", ["b", "a"], ["a", "b"], False),
        ("spec.containers", [{"name": "c", "policy": "default"}], [{"name": "c"}], True),
        ("spec.containers", [{"name": "c"}, {"name": "injected"}], [{"name": "c"}], False),
        ("metadata.finalizers", ["theirs", "ours"], ["ours"], True),
        ("metadata.finalizers", ["theirs"], ["ours"], False),
        ("metadata.ownerReferences", [{"uid": "other"}, {**OWNER, "controller": True}], [OWNER], True),
        ("metadata.ownerReferences", [{"uid": "other"}], [OWNER], False),
        ("spec.finalizers", ["theirs", "ours"], ["ours"], False),
        ("resources.limits.cpu", "500m", "0.5", True),
        ("resources.limits.cpu", "500m", 0.5, True),
        ("resources.limits.cpu", "500m", "0.6", False),
        ("resources.limits.cpu", "500m", "half", False),
        ("emptyDir.sizeLimit", "1Mi", "1024Ki", True),
        ("spec.version", "1", "1.0", False),
    ],
)
def test_differences_of_meaning_are_found(path: str, current: Any, wanted: Any, expected: bool) -> None:
    assert has_all(at(path, current), at(path, wanted)) is expected


values = st.recursive(
    st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "a", "1"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from("abc"), values, max_size=3))
def test_an_object_has_all_of_itself_also_after_it_gained_fields(body: dict[str, Any]) -> None:
    assert has_all(body, body)
    more = copy.deepcopy(body)
    more["added"] = 1
    for value in more.values():
        if isinstance(value, dict):
            value["added"] = {"x": 1}
    assert has_all(more, body)
    assert not has_all(body, more)
