from __future__ import annotations

import gc
import json
import weakref
from types import MappingProxyType
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimctl.kubetypes import (
    CACHED_VIEWS,
    DecodeError,
    Object,
    ObjectKey,
    ObjectMeta,
    OwnerReference,
    Pool,
    Resource,
    freeze,
    is_newer,
)
from aimctl.kubetypes.builtin import PODS, SELF_SUBJECT_ACCESS_REVIEWS

THINGS = Resource.untyped("example.com", "v1", "Thing", "things")

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-1000, 1000) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["a", "managedFields", "metadata", '"managedFields":']), inner, max_size=3
        )
    ),
    max_leaves=8,
)


def thing(**metadata: Any) -> dict[str, Any]:
    return {"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "x", **metadata}}


@given(
    spec=json_values,
    managed=json_values,
    first=st.booleans(),
    indent=st.sampled_from([None, 2]),
    after=st.booleans(),
)
def test_managed_fields_are_cut_and_nothing_else_changes(
    spec: Any, managed: Any, first: bool, indent: int | None, after: bool
) -> None:
    metadata = {"name": "x", "managedFields": managed, **({"uid": "u"} if after else {})}
    parts = [("spec", spec), ("metadata", metadata)]
    body = dict(parts if first else reversed(parts))
    parsed = Object.parse(THINGS, json.dumps(body, indent=indent).encode())
    del metadata["managedFields"]
    assert json.loads(parsed.raw) == body


def test_a_body_without_managed_fields_is_kept_byte_for_byte() -> None:
    raw = b'{ "metadata": {"name":"x"},  "spec": 1.50 }'
    assert Object.parse(THINGS, raw).raw == raw


def test_managed_fields_of_a_template_inside_the_body_stay() -> None:
    body = thing() | {"spec": {"template": {"metadata": {"managedFields": [1]}}}}
    assert json.loads(Object.parse(THINGS, json.dumps(body).encode()).raw) == body


def test_the_bytes_are_copied_so_a_page_can_be_let_go() -> None:
    page = bytearray(json.dumps(thing()).encode())
    parsed = Object.parse(THINGS, memoryview(page))
    page[:] = b"\0" * len(page)
    assert parsed.view["kind"] == "Thing"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b"{}",
        b'{"metadata":1}',
        b'{"metadata":{"name":1}}',
        b"\xff",
        b'{"metadata":{"labels":{"a":1}}}',
    ],
)
def test_what_is_no_object_is_a_decode_error_that_shows_no_body(body: bytes) -> None:
    with pytest.raises(DecodeError, match="not a Thing object"):
        Object.parse(THINGS, body)


def test_nulls_in_the_metadata_count_as_absent() -> None:
    body = {
        "kind": "SelfSubjectAccessReview",
        "metadata": {"creationTimestamp": None, "name": None, "labels": None, "generation": None},
        "status": {"allowed": True, "reason": None},
    }
    parsed = Object.parse(SELF_SUBJECT_ACCESS_REVIEWS, json.dumps(body).encode())
    assert (parsed.meta.creation_timestamp, parsed.meta.name, parsed.meta.generation) == ("", "", 0)
    assert dict(parsed.meta.labels) == {}
    assert parsed.view.status.allowed is True


@pytest.mark.parametrize(
    ("kind", "fits"), [("Thing", True), ("PartialObjectMetadata", True), ("Table", False), ("Pod", False)]
)
def test_a_strict_read_refuses_other_kinds(kind: str, fits: bool) -> None:
    body = json.dumps(thing() | {"kind": kind}).encode()
    assert Object.parse(THINGS, body).key == ObjectKey("", "x")
    if fits:
        assert Object.parse(THINGS, body, strict=True).key == ObjectKey("", "x")
    else:
        with pytest.raises(DecodeError, match=kind):
            Object.parse(THINGS, body, strict=True)


def test_the_view_is_made_once_and_an_ill_fitting_body_names_the_object() -> None:
    calls = []

    def decode(raw: bytes) -> Any:
        calls.append(raw)
        if len(calls) > 1:
            raise RuntimeError("no good")
        return raw

    resource = Resource("", "v1", "Pod", "pods", True, decode)
    good = Object.parse(resource, b'{"metadata":{"name":"a","namespace":"n"}}')
    assert good.view is good.view
    assert len(calls) == 1
    assert good.view_or_none is good.view
    bad = Object.parse(resource, b'{"metadata":{"name":"b","namespace":"n"}}')
    with pytest.raises(DecodeError, match="Pod n/b does not fit its type: no good"):
        _ = bad.view
    assert bad.view_or_none is None


@pytest.mark.parametrize(
    ("candidate", "known", "newer"),
    [
        ("10", "9", True),
        ("9", "10", False),
        ("9", "9", False),
        ("99999999999999999999", "1", True),
        ("1" + "0" * 5000, "9" * 5000, True),
        ("9" * 5000, "1" + "0" * 5000, False),
        ("0" * 5000 + "2", "1", True),
        ("a", "b", True),
        ("a", "a", False),
        ("", "", False),
        ("1", "", True),
    ],
)
def test_versions_compare_as_numbers(candidate: str, known: str, newer: bool) -> None:
    assert is_newer(candidate, known) is newer


def test_frozen_values_cannot_be_changed_at_any_depth() -> None:
    view = freeze({"a": [{"b": 1}]})
    assert view == {"a": ({"b": 1},)}
    with pytest.raises(TypeError):
        view["a"][0]["b"] = 2
    assert isinstance(view["a"][0], MappingProxyType)


@pytest.mark.parametrize(
    ("args", "path"),
    [
        (("",), "/api/v1/pods"),
        (("ns",), "/api/v1/namespaces/ns/pods"),
        (("ns", "a"), "/api/v1/namespaces/ns/pods/a"),
        (("ns", "a", "status"), "/api/v1/namespaces/ns/pods/a/status"),
    ],
)
def test_paths_are_those_of_the_api(args: tuple[str, ...], path: str) -> None:
    assert PODS.path(*args) == path


def test_annotations_and_owners_read_from_the_body() -> None:
    body = thing(
        annotations={"a": "b"},
        ownerReferences=[{"apiVersion": "g.x/v1", "kind": "K", "name": "o", "uid": "u", "controller": True}],
        finalizers=["f"],
        deletionTimestamp="2026-01-01T00:00:00Z",
    )
    parsed = Object.parse(THINGS, msgspec.json.encode(body))
    assert dict(parsed.annotations) == {"a": "b"}
    assert parsed.meta.owners[0].group == "g.x"
    assert parsed.meta.deleting
    assert parsed.meta.finalizers == ("f",)


def test_objects_read_with_one_pool_share_equal_values_and_differ_where_they_differ() -> None:
    pool = Pool()

    def read(name: str, **metadata: Any) -> ObjectMeta:
        return Object.parse(
            THINGS, msgspec.json.encode(thing() | {"metadata": {"name": name, **metadata}}), pool=pool
        ).meta

    common = {
        "namespace": "team",
        "labels": {"a": "1", "b": "2"},
        "finalizers": ["f"],
        "creationTimestamp": "2026-01-01T00:00:00Z",
    }
    first, second = read("x", **common), read("y", **common)
    for field in ("namespace", "own_labels", "finalizers", "creation_timestamp"):
        assert getattr(first, field) is getattr(second, field)
    assert read("z", labels={"a": "1"}).labels == {"a": "1"}
    assert read("z", labels={"b": "2", "a": "1"}).labels == {"a": "1", "b": "2"}
    assert read("z", namespace="other").labels == {}


def test_a_pool_of_unique_values_stays_small() -> None:
    pool = Pool(limit=10)
    for number in range(100):
        meta = Object.parse(THINGS, msgspec.json.encode(thing(labels={"n": str(number)})), pool=pool).meta
        assert meta.labels == {"n": str(number)}
        assert len(pool.values()) < 14


@pytest.mark.parametrize("key", ['"managedFields" :', '"managed\\u0046ields":'])
def test_managed_fields_spelled_unusually_are_cut_as_well(key: str) -> None:
    raw = '{"metadata":{"name":"x",KEY[{"manager":"m"}],"uid":"u"},"spec":1}'.replace("KEY", key)
    assert json.loads(Object.parse(THINGS, raw.encode()).raw) == {
        "metadata": {"name": "x", "uid": "u"},
        "spec": 1,
    }


def test_managed_fields_are_cut_from_a_body_with_nulls() -> None:
    body = thing(creationTimestamp=None, managedFields=[{"manager": "m"}])
    parsed = Object.parse(THINGS, json.dumps(body).encode())
    assert "managedFields" not in parsed.view["metadata"]


def things_read(number: int) -> tuple[list[Object[bytes]], list[bytes]]:
    """So many objects, each read once, and the bodies that were decoded."""
    decoded: list[bytes] = []

    def decode(raw: bytes) -> bytes:
        decoded.append(raw)
        return raw

    things = Resource("example.com", "v1", "Thing", "things", True, decode)
    objects = [Object.parse(things, json.dumps(thing(uid=str(one))).encode()) for one in range(number)]
    for item in objects:
        assert item.view == item.raw
    assert len(decoded) == number
    decoded.clear()
    return objects, decoded


def test_as_many_views_are_cached_as_the_limit_says() -> None:
    objects, decoded = things_read(CACHED_VIEWS)
    for item in objects:
        _ = item.view
    assert decoded == []
    objects, decoded = things_read(CACHED_VIEWS + 1)
    for item in objects:
        assert item.view == item.raw
    assert decoded, "one view was replaced"


def test_reading_more_objects_in_turn_than_are_cached_still_finds_most_views() -> None:
    objects, decoded = things_read(CACHED_VIEWS * 5 // 4)
    for _ in range(20):
        for item in objects:
            assert item.view == item.raw
    assert len(decoded) < 0.5 * 20 * len(objects)


def test_an_object_that_was_replaced_is_freed_with_its_view() -> None:
    class View:
        def __init__(self, raw: bytes) -> None:
            self.raw = raw

    things = Resource("example.com", "v1", "Thing", "things", True, View)
    old = Object.parse(things, json.dumps(thing(uid="1")).encode())
    freed = weakref.ref(old.view)
    assert freed() is old.view
    del old
    assert freed() is None


def test_the_garbage_collector_does_not_track_objects() -> None:
    parsed = Object.parse(THINGS, json.dumps(thing(uid="1")).encode())
    _ = parsed.view
    assert not gc.is_tracked(parsed)
    assert not gc.is_tracked(parsed.meta)


def test_objects_are_compared_by_identity() -> None:
    raw = json.dumps(thing(uid="1")).encode()
    one, other = Object.parse(THINGS, raw), Object.parse(THINGS, raw)
    assert one != other
    assert len({one, other, one}) == 2


EMBEDDED = '{"kind":"Thing",FIRST"metadata":{"name":"x",ESCAPED"managedFields":[1],"uid":"u"},"spec":{"managedFields":[1]}}'


@pytest.mark.parametrize(
    ("first", "escaped"),
    [
        ("", ""),
        ("", '"annotations":{"a":"\\""},'),
        ('"data":{"managedFields":[1]},', ""),
        ('"data":{"metadata":{"managedFields":[1]}},', ""),
    ],
    ids=["plain", "with a backslash", "copied before", "copied with the metadata before"],
)
def test_a_copy_of_the_managed_fields_elsewhere_in_the_body_stays(first: str, escaped: str) -> None:
    raw = EMBEDDED.replace("FIRST", first).replace("ESCAPED", escaped)
    expected = json.loads(raw)
    del expected["metadata"]["managedFields"]
    assert json.loads(Object.parse(THINGS, raw.encode()).raw) == expected


def test_annotations_come_from_a_mapping_or_from_the_body_and_cannot_be_changed() -> None:
    parsed = Object.parse(THINGS, json.dumps(thing(annotations={"a": "1"}, managedFields=[])).encode())
    assert parsed.meta.annotations == {"a": "1"} == ObjectMeta(annotated={"a": "1"}).annotations
    assert Object.parse(THINGS, json.dumps(thing(annotations=None)).encode()).meta.annotations == {}
    assert ObjectMeta().annotations == {}
    with pytest.raises(TypeError):
        parsed.meta.annotations["a"] = "2"  # type: ignore[index] # read-only


def test_a_body_cannot_set_annotations_under_another_name() -> None:
    assert Object.parse(THINGS, json.dumps(thing(annotated={"a": "1"})).encode()).meta.annotations == {}


def test_the_controller_is_the_owner_that_says_so() -> None:
    owners = (OwnerReference(uid="1"), OwnerReference(uid="2", controller=True))
    assert ObjectMeta(owner_references=owners).controller == owners[1]
    assert ObjectMeta(owner_references=owners[:1]).controller is None
