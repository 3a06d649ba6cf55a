"""Parsing the responses of registries: platforms, digests, labels and errors."""

from __future__ import annotations

import contextlib
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimctl.domain.images.manifest import (
    INDEX_TYPES,
    MANIFEST_TYPES,
    NotAnImage,
    check_digest,
    choose_platform,
    config_digest,
    error_codes,
    is_index,
    json_object,
    labels_of,
    sha256_digest,
)


def sha(number: int) -> str:
    return f"sha256:{number:064x}"


def platform(number: int, os: str = "linux", architecture: str = "amd64", **more) -> dict:
    return {"digest": sha(number), "platform": {"os": os, "architecture": architecture, **more}}


CHOICES = {
    "linux/amd64 at any position": ([platform(1, architecture="arm64"), platform(2)], 2),
    "the first if there is none": ([platform(1, architecture="arm64"), platform(2, "windows")], 1),
    "attestations are ignored": ([platform(1, "unknown", "unknown"), platform(2, architecture="arm64")], 2),
    "without platforms": ([{"digest": sha(3)}], 3),
    "invalid entries are ignored": ([None, 1, {}, {"digest": "x"}, {"digest": 1}, platform(4)], 4),
    "a variant of a platform": ([platform(5, variant="v3")], 5),
}


@pytest.mark.parametrize("what", CHOICES)
def test_the_platform_is_chosen(what):
    manifests, number = CHOICES[what]
    assert choose_platform({"manifests": manifests}) == sha(number)


@pytest.mark.parametrize("manifests", [None, [], {}, [{}], [platform(1, "unknown", "unknown")], "x"])
def test_an_index_without_images_is_rejected(manifests):
    with pytest.raises(NotAnImage, match="index"):
        choose_platform({"manifests": manifests})


@pytest.mark.parametrize("kind", INDEX_TYPES)
def test_an_index_is_recognized_by_its_media_type_or_its_header(kind):
    assert is_index({"mediaType": kind}, "")
    assert is_index({}, kind + "; charset=utf-8")
    assert is_index({"manifests": []}, "application/json")
    assert not is_index({"mediaType": MANIFEST_TYPES[0], "manifests": []}, kind)
    assert not is_index({"config": {}}, "application/json")


@pytest.mark.parametrize(
    "manifest",
    [
        {},
        {"config": None},
        {"config": {"digest": "sha256:x"}},
        {"config": {"digest": 1}},
        {"schemaVersion": 1},
    ],
)
def test_a_manifest_without_a_configuration_is_rejected(manifest):
    with pytest.raises(NotAnImage, match="configuration"):
        config_digest(manifest)


def test_digests_are_verified():
    check_digest(b"x", sha256_digest(b"x"), "it")
    check_digest(b"x", "sha512:" + hashlib.sha512(b"x").hexdigest(), "it")
    with pytest.raises(NotAnImage, match="it does not match its digest"):
        check_digest(b"y", sha256_digest(b"x"), "it")
    for invalid in ("", "md5:00", "sha256:", "sha256:" + "G" * 64):
        with pytest.raises(NotAnImage, match="invalid digest"):
            check_digest(b"x", invalid, "it")


LABELS = {
    "labels": ({"config": {"Labels": {"a": "b"}}}, {"a": "b"}),
    "null": ({"config": {"Labels": None}}, {}),
    "none": ({"config": {}}, {}),
    "no config": ({}, {}),
    "config null": ({"config": None}, {}),
    "values that are not strings": ({"config": {"Labels": {"a": "b", "c": 1}}}, {"a": "b"}),
}


@pytest.mark.parametrize("what", LABELS)
def test_labels_are_found(what):
    configuration, expected = LABELS[what]
    assert labels_of(configuration) == expected


def test_labels_that_are_not_an_object_are_rejected():
    with pytest.raises(NotAnImage, match="labels"):
        labels_of({"config": {"Labels": ["a"]}})


ERRORS = {
    b'{"errors":[{"code":"DENIED","message":"no"}]}': "DENIED",
    b'{"errors":[{"code":"UNKNOWN"},{"message":"b"},{"code":"DENIED"}]}': "UNKNOWN, DENIED",
    b'{"errors":[{"code":"A"},{"code":["DENIED"]}]}': "",
    b'{"errors":[]}': "",
    b'{"errors":"x"}': "",
    b'{"errors":[1,{"code":2}]}': "",
    b"<html>": "",
    b"": "",
}


@pytest.mark.parametrize("body", ERRORS)
def test_only_standard_error_codes_are_shown(body):
    assert error_codes(body) == ERRORS[body]


@given(st.binary())
def test_any_bytes_are_a_json_object_or_rejected(body):
    error_codes(body)
    with contextlib.suppress(NotAnImage):
        assert isinstance(json_object(body, "it"), dict)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text() | st.just(sha(1)),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(
            st.sampled_from(["manifests", "config", "digest", "platform", "os", "Labels", "mediaType"]), inner
        )
    ),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from(["manifests", "config", "mediaType", "schemaVersion"]), JSON))
def test_any_document_is_parsed_or_rejected(document):
    is_index(document, "x")
    for function in (choose_platform, config_digest, labels_of):
        with contextlib.suppress(NotAnImage):
            function(document)


def test_deeply_nested_json_is_rejected():
    with pytest.raises(NotAnImage):
        json_object(b'{"a":' * 100_000, "it")
