"""Decoding of protobuf bodies, which kubectl's typed commands send."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimctl.devcluster.apiserver.openapi.gnostic import encode_openapi_v2
from aimctl.devcluster.apiserver.wire.protobuf import ProtobufError, decode_object


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = b""
    while value >= 0x80:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def text(number: int, value: str | bytes) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(raw)) + raw


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def envelope(api_version: str, kind: str, message: bytes) -> bytes:
    return (
        b"k8s\x00"
        + text(1, text(1, api_version) + text(2, kind))
        + text(2, message)
        + text(3, "")
        + text(4, "")
    )


def test_a_config_map_with_maps_and_times_is_decoded() -> None:
    metadata = text(1, "c") + text(2, "") + text(8, b"") + text(11, text(1, "a") + text(2, "b"))
    message = (
        text(1, metadata)
        + text(2, text(1, "k") + text(2, "v"))
        + text(3, text(1, "b") + text(2, b"\x00\xff"))
        + number(4, 1)
    )
    assert decode_object(envelope("v1", "ConfigMap", message)) == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "c", "labels": {"a": "b"}},
        "data": {"k": "v"},
        "binaryData": {"b": "AP8="},
        "immutable": True,
    }


def test_times_quantities_and_int_or_strings_have_their_json_form() -> None:
    metadata = text(1, "c") + text(8, number(1, 1767225600))
    assert (
        decode_object(envelope("v1", "Namespace", text(1, metadata)))["metadata"]["creationTimestamp"]
        == "2026-01-01T00:00:00Z"
    )
    limits = text(1, text(1, "cpu") + text(2, text(1, "500m")))
    container = text(1, "main") + text(8, limits)
    pod = decode_object(envelope("v1", "Pod", text(2, text(2, container))))
    assert pod["spec"]["containers"] == [{"name": "main", "resources": {"limits": {"cpu": "500m"}}}]
    lease = envelope("coordination.k8s.io/v1", "Lease", text(2, text(3, number(1, 1) + number(2, 5000))))
    assert decode_object(lease)["spec"]["acquireTime"] == "1970-01-01T00:00:01.000005Z"
    for port, shown in ((number(1, 0) + number(2, 80), 80), (number(1, 1) + text(3, "web"), "web")):
        service = envelope("v1", "Service", text(2, text(1, number(3, 443) + text(4, port))))
        assert decode_object(service)["spec"]["ports"] == [{"port": 443, "targetPort": shown}]


def test_embedded_structs_are_part_of_their_parent() -> None:
    volume = text(1, "v") + text(2, text(2, b""))
    pod = decode_object(envelope("v1", "Pod", text(2, text(1, volume))))
    assert pod["spec"]["volumes"] == [{"name": "v", "emptyDir": {}}]


def test_zeros_are_kept_only_in_pointer_fields() -> None:
    deployment = decode_object(
        envelope("apps/v1", "Deployment", text(2, number(1, 0) + number(5, 0) + number(7, 0)))
    )
    assert deployment["spec"] == {"replicas": 0}
    options = decode_object(envelope("policy/v1", "DeleteOptions", number(1, 0) + text(4, "Background")))
    assert options == {
        "apiVersion": "policy/v1",
        "kind": "DeleteOptions",
        "gracePeriodSeconds": 0,
        "propagationPolicy": "Background",
    }


def test_negative_numbers_are_decoded_and_unknown_fields_ignored() -> None:
    job = decode_object(envelope("batch/v1", "Job", text(2, number(7, -1) + number(999, 5) + text(998, "x"))))
    assert job["spec"] == {"backoffLimit": -1}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{}", "does not appear to be a protobuf message"),
        (envelope("v1", "Nothing", b""), 'no kind "Nothing"'),
        (envelope("v1", "ConfigMap", b"\x0a\x7f"), "unexpected EOF"),
        (envelope("v1", "ConfigMap", b"\x0b"), "illegal wireType 3"),
    ],
)
def test_bytes_that_are_not_a_message_are_rejected(body: bytes, message: str) -> None:
    with pytest.raises(ProtobufError, match=message):
        decode_object(body)


def test_the_rules_of_an_ingress_are_part_of_their_parent() -> None:
    path = text(1, "/") + text(3, "Prefix")
    rule = text(1, "a.example.com") + text(2, text(1, text(1, path)))
    made = decode_object(envelope("networking.k8s.io/v1", "Ingress", text(2, text(3, rule))))
    http = {"paths": [{"path": "/", "pathType": "Prefix"}]}
    assert made["spec"] == {"rules": [{"host": "a.example.com", "http": http}]}


def test_the_openapi_document_is_encoded_with_its_definitions() -> None:
    item = {"type": "object", "properties": {"a": {"type": "array", "items": {"$ref": "#/definitions/b"}}}}
    marked = {**item, "required": ["a"], "additionalProperties": {"type": "string"}, "x-k": [{"kind": "A"}]}
    document = {"swagger": "2.0", "info": {"title": "t", "version": "v"}, "definitions": {"a": marked}}
    items = text(23, text(1, text(1, "#/definitions/b")))
    fields = text(1, text(1, "a") + text(2, text(22, text(1, "array")) + items))
    extension = text(31, text(1, "x-k") + text(2, text(2, '[{"kind":"A"}]')))
    schema = (
        text(19, "a")
        + text(21, text(1, text(22, text(1, "string"))))
        + text(22, text(1, "object"))
        + text(25, fields)
        + extension
    )
    definitions = text(9, text(1, text(1, "a") + text(2, schema)))
    head = text(1, "2.0") + text(2, text(1, "t") + text(2, "v")) + text(8, "")
    assert encode_openapi_v2(document) == head + definitions


@given(st.binary(max_size=60))
def test_any_bytes_are_decoded_or_rejected(junk: bytes) -> None:
    for body in (b"k8s\x00" + junk, envelope("v1", "Pod", junk)):
        with contextlib.suppress(ProtobufError):
            assert isinstance(decode_object(body), dict)
